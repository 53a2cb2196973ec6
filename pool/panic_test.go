package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// bombs are callbacks of SQLite that panic while they are armed.
type bombs struct{ armed atomic.Pointer[string] }

func (b *bombs) arm(names string) { b.armed.Store(&names) }

func (b *bombs) blow(name string) {
	if armed := b.armed.Load(); armed != nil && strings.Contains(*armed, name) {
		panic(errOops)
	}
}

func (b *bombs) init(c *sqlite3.Conn) error {
	c.CommitHook(func() bool { b.blow("commit"); return true })
	c.RollbackHook(func() { b.blow("rollback") })
	c.SetAuthorizer(func(sqlite3.AuthorizerActionCode, string, string, string, string) sqlite3.AuthorizerReturnCode {
		b.blow("authorizer")
		return sqlite3.AUTH_OK
	})
	c.Trace(sqlite3.TRACE_PROFILE|sqlite3.TRACE_CLOSE, func(e sqlite3.TraceEvent, _, _ any) error {
		if e == sqlite3.TRACE_PROFILE {
			b.blow("profile")
		} else {
			b.blow("close")
		}
		return nil
	})
	return c.CreateFunction("boom", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
		if arg[0].Int() == 3 {
			b.blow("function")
		}
		ctx.ResultValue(arg[0])
	})
}

// callReturns calls f, which must return in time. It reports whether f has panicked with
// errOops.
func callReturns(t *testing.T, f func()) (panicked bool) {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	select {
	case v := <-done:
		if v != nil && v != errOops {
			t.Errorf("it panicked with %v", v)
		}
		return v != nil
	case <-time.After(time.Minute):
		t.Fatal("the call does not return")
		return false
	}
}

// TestPanicsTwice checks a panic in any callback of SQLite, for every way to execute a query. A
// second panic follows while the connection is closed because of the first. After that, the
// turn and the lock are free, and nothing of the interrupted work is committed. The program can
// close what it holds, and the counters are right.
func TestPanicsTwice(t *testing.T) {
	ctx := context.Background()
	const three = "INSERT INTO t SELECT boom(value) FROM json_each('[1, 2, 3, 4]')"
	const read = "SELECT boom(value) FROM json_each('[1, 2, 3]')"
	drain := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
	begin := func(t *testing.T, db *sql.DB, opts *sql.TxOptions) *sql.Tx {
		t.Helper()
		tx, err := db.BeginTx(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for _, tc := range []struct {
		name  string
		bombs string
		run   func(t *testing.T, p *pool.Pool, b *bombs) error
		is    error // nil if the panic reaches the program
	}{
		{name: "Exec", bombs: "function commit rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			_, err := p.DB().Exec(three)
			return err
		}},
		{name: "Exec, in the commit hook", bombs: "commit rollback close", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			_, err := p.DB().Exec("INSERT INTO t VALUES (1)")
			return err
		}},
		{name: "a row of a reader", bombs: "function profile rollback close", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			return drain(p.DB().Query(read))
		}},
		{name: "a row that nothing closes", bombs: "function rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			rows, err := p.DB().Query(read)
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Err()
		}},
		{name: "rows that write", bombs: "function commit rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			return drain(p.DB().Query(three + " RETURNING a"))
		}},
		{name: "Query, when it is prepared", bombs: "authorizer rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			return drain(p.DB().Query("SELECT a, a FROM t"))
		}},
		{name: "a transaction", bombs: "function commit rollback", run: func(t *testing.T, p *pool.Pool, b *bombs) error {
			b.arm("")
			tx := begin(t, p.DB(), nil)
			must(t, tx, "INSERT INTO t VALUES (1)")
			b.arm("function commit rollback")
			defer func() {
				if err := tx.Rollback(); !errors.Is(err, driver.ErrPanicked) {
					t.Errorf("Rollback: %v", err)
				}
			}()
			_, err := tx.Exec(three)
			return err
		}},
		{name: "a transaction that reads", bombs: "function profile rollback", run: func(t *testing.T, p *pool.Pool, b *bombs) error {
			b.arm("")
			tx := begin(t, p.DB(), &sql.TxOptions{ReadOnly: true})
			defer tx.Rollback()
			b.arm("function profile rollback")
			return drain(tx.Query(read))
		}},
		{name: "a query of a transaction, when it is prepared", bombs: "authorizer rollback", run: func(t *testing.T, p *pool.Pool, b *bombs) error {
			b.arm("")
			tx := begin(t, p.DB(), nil)
			defer tx.Rollback()
			b.arm("authorizer rollback")
			return drain(tx.Query("SELECT a, a FROM t"))
		}},
		{name: "a prepared statement of a transaction", bombs: "function rollback", is: driver.ErrPanicked, run: func(t *testing.T, p *pool.Pool, _ *bombs) error {
			tx := begin(t, p.DB(), nil)
			defer tx.Rollback()
			stmt, err := tx.Prepare(three)
			if err != nil {
				return err
			}
			_, err = stmt.Exec()
			return err
		}},
		{name: "a prepared statement of a connection", bombs: "function rollback", is: driver.ErrPanicked, run: func(t *testing.T, p *pool.Pool, _ *bombs) error {
			c, err := p.Acquire(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			stmt, err := c.PrepareContext(ctx, three)
			if err != nil {
				return err
			}
			_, err = stmt.Exec()
			return err
		}},
		{name: "Begin of a connection", bombs: "authorizer", is: driver.ErrPanicked, run: func(t *testing.T, p *pool.Pool, _ *bombs) error {
			c, err := p.Acquire(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.BeginTx(ctx, nil)
			return err
		}},
		{name: "Commit", bombs: "commit rollback", run: func(t *testing.T, p *pool.Pool, _ *bombs) error {
			tx := begin(t, p.DB(), nil)
			defer tx.Rollback()
			must(t, tx, "INSERT INTO t VALUES (1)")
			return tx.Commit()
		}},
		{name: "Rollback", bombs: "rollback close", run: func(t *testing.T, p *pool.Pool, _ *bombs) error {
			tx := begin(t, p.DB(), nil)
			must(t, tx, "INSERT INTO t VALUES (1)")
			return tx.Rollback()
		}},
		{name: "WithTx", bombs: "function rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			return p.WithTx(ctx, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec(three)
				return err
			})
		}},
		{name: "Raw", bombs: "function commit rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			return p.Raw(ctx, func(c *sqlite3.Conn) error { return c.Exec(three) })
		}},
		{name: "Raw of a connection", bombs: "function commit rollback", run: func(_ *testing.T, p *pool.Pool, _ *bombs) error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec(three) })
		}},
		{name: "a checkout with both lanes", bombs: "function commit rollback", run: func(t *testing.T, p *pool.Pool, b *bombs) error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			b.arm("")
			rows, err := c.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
			if err != nil || !rows.Next() {
				return err
			}
			defer rows.Close()
			b.arm("function commit rollback")
			_, err = c.ExecContext(ctx, three)
			return err
		}},
		{name: "a transaction left open by SQL", bombs: "", is: errNothing, run: func(t *testing.T, p *pool.Pool, b *bombs) error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				return err
			}
			must(t, c, "BEGIN")
			must(t, c, "INSERT INTO t VALUES (1)")
			b.arm("rollback")
			c.Close() // rolls the transaction back
			return errNothing
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bombs{}
			p, l := pooled(t, pool.Config{Init: b.init, MaxConns: 3, AcquireTimeout: 30 * time.Second, BusyTimeout: -1})
			must(t, p.DB(), "CREATE TABLE t(a)")
			if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int)); err != nil { // opens a reader
				t.Fatal(err)
			}
			for range 4 { // more often than there are turns
				b.arm(tc.bombs)
				var err error
				panicked := callReturns(t, func() { err = tc.run(t, p, b) })
				b.arm("")
				if panicked != (tc.is == nil) || !errors.Is(err, tc.is) {
					t.Errorf("panicked: %v; failed: %v", panicked, err)
				}
				if err := p.HealthCheck(ctx); err != nil { // afterwards the Recorder has all events
					t.Error(err)
				}
				l.settled(t, p)
				must(t, p.DB(), "CREATE TABLE free(a)")
				must(t, p.DB(), "DROP TABLE free")
				var n int
				if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
					t.Errorf("%d rows, %v", n, err)
				}
			}
			if n := l.closedFor(driver.ReasonPanic) + l.closedFor(driver.ReasonBad); n != 4 {
				t.Errorf("closed for %v", p.Stats().ClosedFor)
			}
			if n := p.Stats().StepWaits; n != 0 {
				t.Errorf("%d steps had to wait: a connection never left the gate", n)
			}
		})
	}
}

var errNothing = errors.New("no panic expected")

// TestRecorderPanicsAtRelease checks that a Recorder that panics at a release loses neither
// the connection nor its turn.
func TestRecorderPanicsAtRelease(t *testing.T) {
	var fail atomic.Bool
	p, err := pool.Open(t.Context(), func() pool.Config {
		cfg := fileConfig(t)
		cfg.MaxConns = 2
		cfg.Recorder = driver.RecorderFunc(func(e driver.Event) {
			if e.Kind == driver.KindRelease && fail.Load() {
				panic(errOops)
			}
		})
		return cfg
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	must(t, p.DB(), "CREATE TABLE t(a)")
	for range 3 {
		fail.Store(true)
		if !panics(func() { p.DB().Exec("INSERT INTO t VALUES (1)") }) {
			t.Error("the panic does not reach the program")
		}
		fail.Store(false)
		must(t, p.DB(), "INSERT INTO t VALUES (2)")
		if s := p.Stats(); s.InUse != 0 || s.Open > 2 {
			t.Errorf("%d connections are in use, %d open", s.InUse, s.Open)
		}
	}
}

// TestMemoryLimit checks that Config's memory limit applies to every connection, and that of a
// context to none. It is chance which call opens a connection.
func TestMemoryLimit(t *testing.T) {
	little := sqlite3.WithMaxMemory(context.Background(), 4<<20)
	much := sqlite3.WithMaxMemory(context.Background(), 1<<30)
	const eightMegabytes = "SELECT length(hex(zeroblob(4000000)))"
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		limit int64
		param string
		fits  bool
	}{
		{"by default", little, 0, "", true},
		{"of Config", much, 4 << 20, "", false},
		{"of Path", much, 0, "?_memory_limit=4194304", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := fileConfig(t)
			cfg.MaxConns, cfg.MinConns, cfg.MemoryLimit = 4, 2, tc.limit
			if tc.param != "" {
				cfg.Path = "file:" + cfg.Path + tc.param
			}
			p, err := pool.Open(tc.ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if got, want := p.Config().MemoryLimit, map[bool]int64{true: driver.DefaultMemoryLimit, false: 4 << 20}[tc.fits]; got != want {
				t.Errorf("Config returns %d", got)
			}
			db := map[string]*sql.DB{"reader": p.Reader(), "writer": p.Writer()}
			try := func(when string) {
				t.Helper()
				for lane, db := range db {
					fits := func() (fits bool) {
						defer func() { recover() }()
						var n int
						err := db.QueryRowContext(tc.ctx, eightMegabytes).Scan(&n)
						return err == nil && n == 8000000
					}()
					if fits != tc.fits {
						t.Errorf("%s, %s: it fits: %v", when, lane, fits)
					}
				}
			}
			try("the first connections")
			try("those after them")
			rows, err := p.Reader().QueryContext(tc.ctx, "SELECT 1 UNION SELECT 2")
			if err != nil || !rows.Next() {
				t.Fatal(err)
			}
			try("beside another")
			rows.Close()
			p.Reset()
			try("after Reset")
			if err := p.Backup(tc.ctx, t.TempDir()+"/backup.db"); err != nil {
				t.Error(err)
			}
		})
	}
}
