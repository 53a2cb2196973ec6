package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// These tests run in synctest bubbles, like those of timers_test.go.

// stuck adds the SQL function stuck() to a configuration. The function blocks inside SQLite
// until let is closed.
func stuck(cfg pool.Config) (_ pool.Config, let chan struct{}) {
	let = make(chan struct{})
	cfg.Init = func(c *sqlite3.Conn) error {
		return c.CreateFunction("stuck", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			<-let
			ctx.ResultInt(1)
		})
	}
	return cfg, let
}

// traced returns a context within a trace.
func traced(ctx context.Context, id byte) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}, TraceFlags: trace.FlagsSampled,
	}))
}

// TestAcquireTimeoutNamesTheHolder checks that a wait for the writer ends exactly at
// AcquireTimeout. The error names the holder, and matches sqlite3.BUSY for code that checks for
// it.
func TestAcquireTimeoutNamesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{AcquireTimeout: 2 * time.Second, TrackStacks: true, Name: "shop"})
		must(t, p.DB(), "CREATE TABLE secrets(a)")
		ctx := traced(pool.WithOwner(t.Context(), "job 7"), 9)
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		must(t, tx, "INSERT INTO secrets VALUES ('hunter2'), ('*******')")
		rows, err := tx.Query("SELECT a FROM secrets")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		defer rows.Close()

		began := time.Now()
		later(time.Second)
		_, err = p.DB().Exec("DELETE FROM secrets")
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("it took %v", d)
		}
		var e *pool.AcquireError
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		var code sqlite3.ErrorCode
		if !errors.Is(err, pool.ErrAcquireTimeout) || !errors.Is(err, sqlite3.BUSY) || !errors.As(err, &code) || code != sqlite3.BUSY ||
			errors.Is(err, sqlite3.LOCKED) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrClosed) {
			t.Errorf("the error matches too few or too many errors: %v", err)
		}
		if e.Pool != "shop" || e.Lane != "writer" || e.Waited != 2*time.Second || e.Place != 1 || e.Waiting != 0 || e.Cause != pool.CauseIdle || len(e.Holders) != 1 {
			t.Fatalf("%+v", e)
		}
		h := e.Holders[0]
		if h.Conn != c.ID() || h.Held != 3*time.Second || h.Owner != "job 7" || h.Trace != (trace.TraceID{9}) || !h.Tx || h.Rows != 1 || h.Last != "SELECT secrets" {
			t.Errorf("%+v", h)
		}
		if len(h.Stack) == 0 || !strings.Contains(h.Stack[0], "TestAcquireTimeoutNamesTheHolder") {
			t.Errorf("stack %q", h.Stack)
		}
		for _, part := range []string{`a writer of "shop"`, `held: connection ` + h.Conn.String(), "3s", `by "job 7"`, "SELECT secrets", "in a transaction", "with open rows of a query", h.Trace.String(), "waits_test.go", "idle", "close the rows or use the transaction before asking the database again"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error does not contain %q: %v", part, err)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows stored data: %v", err)
		}
		if n := l.count(driver.KindTimeout); n != 1 {
			t.Errorf("%d timeouts", n)
		}
	})
}

// TestAcquireTimeoutOfAReader checks that a timeout of a wait for a reader does not match
// sqlite3.BUSY.
func TestAcquireTimeoutOfAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, let := stuck(pool.Config{MaxConns: 2, AcquireTimeout: time.Second})
		p, _ := pooled(t, cfg)
		done := make(chan error)
		go func() {
			_, err := p.Reader().ExecContext(t.Context(), "SELECT stuck()")
			done <- err
		}()
		synctest.Wait()
		_, err := p.AcquireRead(t.Context())
		var e *pool.AcquireError
		if !errors.As(err, &e) || !errors.Is(err, pool.ErrAcquireTimeout) || errors.Is(err, sqlite3.BUSY) || e.Lane != "reader" || e.Waited != time.Second {
			t.Errorf("%v", err)
		}
		var code sqlite3.ErrorCode
		if errors.As(err, &code) {
			t.Errorf("the error has the code %v", code)
		}
		if n := p.Stats().Overflows; n != 0 {
			t.Errorf("%d were let in though one reader is inside SQLite", n)
		}
		close(let)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAcquireErrorCauses checks the cause in the error of a failed acquire.
func TestAcquireErrorCauses(t *testing.T) {
	hold := func(t *testing.T, p *pool.Pool, ctx context.Context) *pool.Conn {
		t.Helper()
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Release() })
		return c
	}
	for _, tc := range []struct {
		name  string
		cause pool.Cause
		run   func(t *testing.T, p *pool.Pool) error
	}{
		{"an owner waits for itself", pool.CauseCycle, func(t *testing.T, p *pool.Pool) error {
			ctx := pool.WithOwner(t.Context(), "me")
			hold(t, p, ctx)
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
		{"a trace waits for itself", pool.CauseCycle, func(t *testing.T, p *pool.Pool) error {
			ctx := traced(t.Context(), 1)
			hold(t, p, ctx)
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
		{"others do not", pool.CauseIdle, func(t *testing.T, p *pool.Pool) error {
			errs := make(chan error)
			first := hold(t, p, pool.WithOwner(traced(t.Context(), 1), "you"))
			go func() { // gets the writer meanwhile
				c, err := p.AcquireWrite(t.Context())
				if err == nil {
					time.Sleep(time.Hour)
					err = c.Release()
				}
				errs <- err
			}()
			synctest.Wait()
			go func() {
				time.Sleep(3 * time.Second)
				first.Release()
			}()
			_, err := p.DB().ExecContext(pool.WithOwner(traced(t.Context(), 2), "me"), "DELETE FROM t")
			if err := <-errs; err != nil {
				t.Error(err)
			}
			return err
		}},
		{"a holder does nothing", pool.CauseIdle, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			later(time.Minute)
			_, err := p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"a transaction does nothing", pool.CauseIdle, func(t *testing.T, p *pool.Pool) error {
			tx, err := hold(t, p, t.Context()).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			later(time.Minute)
			_, err = p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"another pool has the file", pool.CauseOther, func(t *testing.T, p *pool.Pool) error {
			other, _ := pooled(t, pool.Config{Path: p.Config().Path})
			hold(t, other, t.Context())
			_, err := p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"too many wait", pool.CauseQueueFull, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			done := make(chan error)
			for range 2 {
				go func() {
					_, err := p.DB().Exec("DELETE FROM t")
					done <- err
				}()
			}
			synctest.Wait()
			began := time.Now()
			_, err := p.DB().Exec("DELETE FROM t")
			if time.Since(began) != 0 {
				t.Error("the acquire waited")
			}
			if !errors.Is(err, pool.ErrQueueFull) {
				t.Error(err)
			}
			for range 2 {
				if err := <-done; !errors.Is(err, pool.ErrAcquireTimeout) {
					t.Error(err)
				}
			}
			return err
		}},
		{"the caller gives up", pool.CauseCancelled, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: 5 * time.Second, MaxWaiters: 2})
				must(t, p.DB(), "CREATE TABLE t(a)")
				err := tc.run(t, p)
				var e *pool.AcquireError
				if !errors.As(err, &e) {
					t.Fatalf("%T: %v", err, err)
				}
				if e.Cause != tc.cause || !strings.Contains(err.Error(), string(tc.cause)) {
					t.Errorf("cause %q: %v", e.Cause, err)
				}
				if !errors.Is(err, sqlite3.BUSY) {
					t.Error("the error does not match BUSY")
				}
			})
		})
	}
}

// TestAcquireEndsWithItsContext checks that a context ends a wait at its time, with its own
// error and cause. No turn is lost.
func TestAcquireEndsWithItsContext(t *testing.T) {
	why := errors.New("the user has gone")
	for _, tc := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		is   []error
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, []error{context.DeadlineExceeded}},
		{"deadline with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, why)
		}, []error{context.DeadlineExceeded, why}},
		{"cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}},
		{"cancel with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(why) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, why}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, l := pooled(t, pool.Config{})
				c, err := p.AcquireWrite(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				began := time.Now()
				_, err = p.AcquireWrite(ctx)
				if d := time.Since(began); d != time.Second {
					t.Errorf("it took %v", d)
				}
				for _, is := range tc.is {
					if !errors.Is(err, is) {
						t.Errorf("the error does not match %v: %v", is, err)
					}
				}
				if errors.Is(err, pool.ErrAcquireTimeout) || l.count(driver.KindCancel) != 1 || l.count(driver.KindTimeout) != 0 {
					t.Errorf("the error matches a timeout: %v", err)
				}
				c.Release()
				if c, err = p.AcquireWrite(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.Release()
			})
		})
	}
}

// TestShutdownDeadline checks that Shutdown waits for connections in use as long as its context
// allows, and then takes them away. Waiters get an error immediately.
func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		p, err := pool.Open(t.Context(), pool.Config{Path: t.TempDir() + "/test.db", Recorder: &l, Logger: logger(&logged{})})
		if err != nil {
			t.Fatal(err)
		}
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		c, err := p.AcquireWrite(pool.WithOwner(t.Context(), "job 7"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.DB().Query("SELECT a FROM t")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		waiter := make(chan error)
		began := time.Now()
		go func() {
			_, err := p.DB().Exec("DELETE FROM t")
			if time.Since(began) != 0 {
				t.Error("the waiter got its error late")
			}
			waiter <- err
		}()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		closed := make(chan error)
		go func() { closed <- p.Shutdown(ctx) }()
		if err := <-waiter; !errors.Is(err, pool.ErrClosed) || errors.Is(err, sqlite3.BUSY) {
			t.Errorf("the waiter got %v", err)
		}
		later(time.Second)
		must(t, c, "INSERT INTO t VALUES (3)") // before the deadline
		err = <-closed
		var e *pool.ShutdownError
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("it took %v", d)
		}
		if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || len(e.Holders) != 2 || !strings.Contains(err.Error(), "job 7") {
			t.Errorf("%v", err)
		}
		if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (4)"); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("a connection that was taken away can be used: %v", err)
		}
		if rows.Next() || !errors.Is(rows.Err(), pool.ErrClosed) {
			t.Errorf("rows that were taken away: %v", rows.Err())
		}
		rows.Close()
		c.Release()
		if n := l.open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
		if again := p.Shutdown(t.Context()); again != err {
			t.Errorf("the second Shutdown returns %v", again)
		}
		l.settled(t, p)
	})
}

// TestStalledReadersAreLetIn checks readers that all wait for each other, as nested
// queries do. When there is no progress for a while, the last waiter is let in first. A waiter
// that already has a connection joined later than one that waits for its first. The extra
// connections are closed at their release.
func TestStalledReadersAreLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 3, AcquireTimeout: time.Minute})
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		var outer []*sql.Rows
		for range 2 {
			rows, err := p.DB().Query("SELECT a FROM t")
			if err != nil || !rows.Next() {
				t.Fatal(err)
			}
			outer = append(outer, rows)
		}
		served := make(chan string, 2)
		go func() {
			c, err := p.AcquireRead(t.Context())
			if err == nil {
				err = c.Release() // before the send, so that the test sees it in Stats
			}
			served <- fmt.Sprint("first ", err)
		}()
		synctest.Wait()
		began := time.Now()
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if d := time.Since(began); d == 0 || d > 100*time.Millisecond {
			t.Errorf("the inner query took %v", d)
		}
		if len(served) != 0 {
			t.Error("the first waiter was let in beyond the limit")
		}
		if s := p.Stats(); s.Overflows != 1 || l.closedFor(driver.ReasonOverflow) != 1 || s.Readers != 2 {
			t.Errorf("%d overflows, %d closed, %d readers are left", s.Overflows, l.closedFor(driver.ReasonOverflow), s.Readers)
		}
		outer[0].Close()
		if got := <-served; got != "first <nil>" {
			t.Error(got)
		}
		outer[1].Close()
		l.settled(t, p)
	})
}

// TestNestedQueriesEnd checks that nested queries end without a timeout if all
// goroutines have their first connection before any asks for a second one.
func TestNestedQueriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 5, AcquireTimeout: time.Minute})
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		errs := make(chan error)
		const n = 64
		for range n {
			go func() { errs <- nested(t.Context(), p.DB()) }()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if s := p.Stats(); s.Overflows == 0 || s.Readers > 4 || s.Timeouts != 0 {
			t.Errorf("%d overflows, %d readers are left, %d timeouts", s.Overflows, s.Readers, s.Timeouts)
		}
		l.settled(t, p)
	})
}

// nested issues a query for each row of a query, slowly.
func nested(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT a FROM t LIMIT 2")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		time.Sleep(time.Millisecond)
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil {
			return err
		}
	}
	return rows.Err()
}

// TestAcquireErrorContainsCauseOnOneLine checks that the cause of the program's context is in
// the error, which stays on one line.
func TestAcquireErrorContainsCauseOnOneLine(t *testing.T) {
	p, _ := pooled(t, pool.Config{})
	c, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(because) })
	_, err = p.AcquireWrite(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, because) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
}
