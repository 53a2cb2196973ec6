package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

const adviseSelf = "close the rows or use the transaction before asking the database again"

// TestCauses checks the cause of a failed acquire and the advice in its error, in scenes of
// programs that use a *sql.DB.
func TestCauses(t *testing.T) {
	openRows := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		rows, err := db.QueryContext(ctx, "SELECT a FROM t")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		return func() { rows.Close() }
	}
	returning := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		rows, err := db.QueryContext(ctx, "INSERT INTO t VALUES (3), (4) RETURNING a")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		return func() { rows.Close() }
	}
	connRows := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.QueryContext(ctx, "INSERT INTO t VALUES (3), (4) RETURNING a")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		return func() { rows.Close(); c.Close() }
	}
	openTx := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		return func() { tx.Rollback() }
	}
	openConn := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecContext(ctx, "PRAGMA foreign_keys = off"); err != nil { // it keeps its turn
			t.Fatal(err)
		}
		return func() { c.Close() }
	}
	begun := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{"BEGIN", "COMMIT", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (3)"} {
			if _, err := c.ExecContext(ctx, query); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			if _, err := c.ExecContext(ctx, "ROLLBACK"); err != nil {
				t.Error(err)
			}
			c.Close()
		}
	}
	ended := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{"PRAGMA foreign_keys = off", "BEGIN", "INSERT INTO t VALUES (3)", "COMMIT"} { // it keeps its turn
			if _, err := c.ExecContext(ctx, query); err != nil {
				t.Fatal(err)
			}
		}
		return func() { c.Close() }
	}
	// working runs short statements in a transaction until the wait is over.
	working := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop, done := make(chan struct{}), make(chan error)
		go func() {
			for {
				select {
				case <-stop:
					done <- tx.Rollback()
					return
				case <-time.After(70 * time.Millisecond):
					if _, err := tx.ExecContext(ctx, "UPDATE t SET a = a"); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		return func() {
			close(stop)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	inside := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			db.ExecContext(ctx, "UPDATE t SET a = sleepy(a)")
			close(done)
		}()
		synctest.Wait()
		return func() { cancel(); <-done }
	}
	// turns lets others take turns, each for less than half of the wait.
	turns := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		done := make(chan error, 4*3)
		for range 4 {
			go func() {
				for range 3 {
					tx, err := db.BeginTx(ctx, nil)
					if err == nil {
						time.Sleep(300 * time.Millisecond)
						err = tx.Rollback()
					}
					done <- err
				}
			}()
		}
		synctest.Wait()
		return func() {
			for range 4 * 3 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
	}
	raw := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		inRaw, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			c, err := db.Conn(ctx)
			if err == nil {
				err = c.Raw(func(dc any) error {
					dc.(driver.Conn).Raw()
					close(inRaw)
					<-leave
					return nil
				})
				c.Close()
			}
			done <- err
		}()
		<-inRaw
		return func() {
			close(leave)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	afterRaw := func(t *testing.T, db *sql.DB, ctx context.Context) (end func()) {
		c, err := db.Conn(ctx)
		if err == nil {
			err = c.Raw(func(dc any) error {
				dc.(driver.Conn).Raw()
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { c.Close() }
	}
	as := func(name string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return pool.WithOwner(ctx, name) }
	}
	in := func(id byte) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return traced(ctx, id) }
	}
	memory := pool.Config{Path: ":memory:"}
	for _, scene := range []struct {
		name           string
		cfg            pool.Config
		hold           func(t *testing.T, db *sql.DB, ctx context.Context) (end func())
		holder, waiter func(context.Context) context.Context // nil is context.Background
		err            error                                 // nil is ErrAcquireTimeout
		cause          pool.Cause
		text           string
	}{
		{"exec within rows", pool.Config{MaxConns: 1}, openRows, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec within rows, in memory", memory, openRows, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec within rows of a write", pool.Config{}, returning, nil, nil, nil, pool.CauseIdle, "with open rows of a query"},
		{"exec within rows of a connection", pool.Config{}, connRows, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec within rows of a write, leaked", pool.Config{LeakAfter: 100 * time.Millisecond}, returning, nil, nil, nil, pool.CauseLeak, "reported as leaked"},
		{"exec within rows of a write, of the same context", pool.Config{}, returning, in(0), in(0), nil, pool.CauseIdle, "the caller seems to wait for itself"},
		{"exec within rows of a write, the same owner", pool.Config{}, returning, as("me"), as("me"), pool.ErrDeadlock, pool.CauseCycle, adviseSelf},
		{"exec within rows of a connection, the same owner", pool.Config{}, connRows, as("me"), as("me"), pool.ErrDeadlock, pool.CauseCycle, adviseSelf},
		{"exec beside a transaction, 1 connection", pool.Config{MaxConns: 1}, openTx, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec beside a transaction, 2 connections", pool.Config{MaxConns: 2}, openTx, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec beside a transaction, 3 connections", pool.Config{MaxConns: 3}, openTx, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec beside a transaction, in memory", memory, openTx, nil, nil, nil, pool.CauseIdle, adviseSelf},
		{"exec beside BEGIN", pool.Config{}, begun, nil, nil, nil, pool.CauseIdle, ", in a transaction; close the rows or use the transaction"},
		{"exec beside BEGIN, in memory", memory, begun, nil, nil, nil, pool.CauseIdle, ", in a transaction; close the rows or use the transaction"},
		{"exec beside BEGIN and COMMIT", pool.Config{}, ended, nil, nil, nil, pool.CauseIdle, "close the connection, or use it"},
		{"exec beside a connection that keeps its turn", pool.Config{}, openConn, nil, nil, nil, pool.CauseIdle, "close the connection, or use it"},
		{"the same context", pool.Config{}, openTx, in(0), in(0), nil, pool.CauseIdle, "the caller seems to wait for itself"},
		{"the same trace", pool.Config{}, openTx, in(1), in(1), nil, pool.CauseCycle, "the caller seems to wait for itself, because the holder has the same trace"},
		{"another trace", pool.Config{}, openTx, in(1), in(2), nil, pool.CauseIdle, adviseSelf},
		{"the same owner", pool.Config{}, openTx, as("me"), as("me"), pool.ErrDeadlock, pool.CauseCycle, "the caller waits for itself"},
		{"the same owner, in memory", memory, openRows, as("me"), as("me"), pool.ErrDeadlock, pool.CauseCycle, adviseSelf},
		{"another owner", pool.Config{}, openTx, as("you"), as("me"), nil, pool.CauseIdle, `by "you"`},
		{"leaked transaction", pool.Config{LeakAfter: 100 * time.Millisecond}, openTx, nil, nil, nil, pool.CauseLeak, "reported as leaked"},
		{"leaked rows", pool.Config{LeakAfter: 100 * time.Millisecond, MaxConns: 1}, openRows, nil, nil, nil, pool.CauseLeak, "acquired at github.com/sqlitemw/sqlitemw/pool_test.TestCauses"},
		{"long use, reported as leaked", pool.Config{LeakAfter: 100 * time.Millisecond}, working, nil, nil, nil, pool.CauseSlow, "used the connection all the time"},
		{"a transaction at work", pool.Config{}, working, nil, nil, nil, pool.CauseSlow, "used the connection all the time"},
		{"a transaction at work, of the same trace", pool.Config{}, working, in(1), in(1), nil, pool.CauseSlow, "shorten the transaction"},
		{"a transaction at work, of the same trace, in memory", memory, working, in(1), in(1), nil, pool.CauseSlow, "shorten the transaction"},
		{"a transaction at work, of the same context", pool.Config{}, working, in(0), in(0), nil, pool.CauseSlow, "shorten the transaction"},
		{"a long statement", pool.Config{}, inside, nil, nil, nil, pool.CauseSlow, "inside a statement"},
		{"a long statement, of the same owner", pool.Config{}, inside, as("me"), as("me"), nil, pool.CauseSlow, "Config.StatementTimeout"},
		{"a long statement, in memory", memory, inside, nil, nil, nil, pool.CauseSlow, "inside a statement"},
		{"a long statement, reported as leaked", pool.Config{LeakAfter: 100 * time.Millisecond}, inside, nil, nil, nil, pool.CauseSlow, "inside a statement"},
		{"others take turns", pool.Config{}, turns, nil, nil, nil, pool.CauseOverload, "3 uses ended during the wait"},
		{"the program has SQLite's connection", pool.Config{}, raw, nil, nil, nil, pool.CauseSlow, "the pool does not see its calls"},
		{"the program has had SQLite's connection", pool.Config{}, afterRaw, nil, nil, nil, pool.CauseSlow, "close the connection or make its next call"},
	} {
		t.Run(scene.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := scene.cfg
				cfg.AcquireTimeout = time.Second
				cfg.Init = func(c *sqlite3.Conn) error {
					return c.CreateFunction("sleepy", 1, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
						time.Sleep(time.Minute)
						ctx.ResultInt(1)
					})
				}
				p, _ := pooled(t, cfg)
				must(t, p.DB(), "CREATE TABLE t(a)")
				must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
				base := context.Background()
				if scene.name == "the same context" || strings.HasSuffix(scene.name, "of the same context") {
					base = t.Context()
				}
				context := func(with func(context.Context) context.Context) context.Context {
					if with == nil {
						return base
					}
					return with(base)
				}
				end := scene.hold(t, p.DB(), context(scene.holder))
				defer end()
				later(300 * time.Millisecond)
				_, err := p.DB().ExecContext(context(scene.waiter), "DELETE FROM t")
				want := scene.err
				if want == nil {
					want = pool.ErrAcquireTimeout
				}
				var e *pool.AcquireError
				if !errors.As(err, &e) || !errors.Is(err, want) || !errors.Is(err, sqlite3.BUSY) {
					t.Fatalf("%v", err)
				}
				if e.Cause != scene.cause || !strings.Contains(err.Error(), scene.text) || len(e.Holders) == 0 {
					t.Errorf("cause %q, want %q, and %q in %v", e.Cause, scene.cause, scene.text, err)
				}
				if e.Advice == "" || !strings.HasSuffix(err.Error(), "; "+e.Advice) {
					t.Errorf("the error does not end with the advice %q: %v", e.Advice, err)
				}
			})
		})
	}
}

// TestCauseOfEndedContext checks the error of a call whose context ends while its own rows or
// its own transaction, with the same context, have the only connection. database/sql ends these
// at the same time. The error names the holder anyway.
func TestCauseOfEndedContext(t *testing.T) {
	for name, hold := range map[string]func(context.Context, *sql.DB) (func() error, error){
		"rows": func(ctx context.Context, db *sql.DB) (func() error, error) {
			rows, err := db.QueryContext(ctx, "SELECT a FROM t")
			if err != nil {
				return nil, err
			}
			rows.Next()
			return rows.Close, nil
		},
		"transaction": func(ctx context.Context, db *sql.DB) (func() error, error) {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return nil, err
			}
			return tx.Rollback, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{Path: ":memory:"})
				must(t, p.DB(), "CREATE TABLE t(a)")
				must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
				for range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					end, err := hold(ctx, p.DB())
					if err != nil {
						t.Fatal(err)
					}
					_, err = p.DB().ExecContext(ctx, "DELETE FROM t")
					var e *pool.AcquireError
					if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
					if e.Cause != pool.CauseCancelled || len(e.Holders) != 1 || e.Advice != adviseSelf || !strings.Contains(err.Error(), "the caller seems to wait for itself") {
						t.Errorf("cause %q, %d holders: %v", e.Cause, len(e.Holders), err)
					}
					_ = end()
					cancel()
					synctest.Wait()
				}
			})
		})
	}
}

// TestCauseOfPoolRaw checks that a function that has SQLite's connection is not said to be inside a
// statement, because the pool does not know that.
func TestCauseOfPoolRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
		leave, done := make(chan struct{}), make(chan error)
		go func() {
			done <- p.Raw(context.Background(), func(*sqlite3.Conn) error {
				<-leave
				return nil
			})
		}()
		synctest.Wait()
		_, err := p.DB().Exec("CREATE TABLE t(a)")
		var e *pool.AcquireError
		if !errors.As(err, &e) || e.Cause != pool.CauseSlow || !strings.Contains(err.Error(), "does not see its calls; held: ") || !strings.Contains(e.Advice, "return from Raw") {
			t.Error(err)
		}
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestCauseHook checks the cause if Hooks.BeforeAcquire refuses every connection.
func TestCauseHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second, Hooks: pool.Hooks{BeforeAcquire: func(context.Context, pool.ConnInfo) bool {
			if refuse {
				time.Sleep(100 * time.Millisecond)
			}
			return !refuse
		}}})
		must(t, p.DB(), "CREATE TABLE t(a)")
		refuse = true
		second := make(chan error)
		go func() {
			time.Sleep(time.Millisecond)
			_, err := p.DB().Exec("DELETE FROM t")
			second <- err
		}()
		_, first := p.DB().Exec("DELETE FROM t")
		for _, err := range []error{first, <-second} {
			var e *pool.AcquireError
			if !errors.As(err, &e) || !errors.Is(err, pool.ErrAcquireTimeout) || e.Cause != pool.CauseHook || !strings.Contains(err.Error(), "BeforeAcquire") {
				t.Errorf("%v", err)
			}
		}
		refuse = false
	})
}
