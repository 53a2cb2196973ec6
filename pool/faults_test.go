package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

var errOops = errors.New("oops")

// oops adds the SQL function oops() to a configuration. The function panics.
func oops(cfg pool.Config) pool.Config {
	cfg.Init = func(c *sqlite3.Conn) error {
		return c.CreateFunction("oops", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { panic(errOops) })
	}
	return cfg
}

// panics reports whether f panics with errOops.
func panics(f func()) (did bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errOops:
			did = true
		default:
			panic(r)
		}
	}()
	f()
	return false
}

// TestPanicInAFunction checks that a panic in a function of the program reaches the program,
// for every way to execute a query. The connection is closed, and the next waiter gets its
// turn.
func TestPanicInAFunction(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name string
		run  func(p *pool.Pool) error
	}{
		{"DB.Exec", func(p *pool.Pool) error { _, err := p.DB().Exec("INSERT INTO t VALUES (oops())"); return err }},
		{"DB.QueryRow", func(p *pool.Pool) error { return p.DB().QueryRow("SELECT oops()").Scan(new(int)) }},
		{"DB.QueryRow that writes", func(p *pool.Pool) error {
			return p.DB().QueryRow("INSERT INTO t VALUES (oops()) RETURNING a").Scan(new(int))
		}},
		{"Rows.Next", func(p *pool.Pool) error {
			rows, err := p.DB().Query("SELECT iif(value = 3, oops(), 1) FROM json_each('[1, 2, 3]')")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		}},
		{"Stmt.Exec", func(p *pool.Pool) error {
			stmt, err := p.DB().Prepare("INSERT INTO t VALUES (oops())")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.Exec()
			return err
		}},
		{"Tx", func(p *pool.Pool) error {
			tx, err := p.DB().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			_, err = tx.Exec("INSERT INTO t VALUES (oops())")
			return err
		}},
		{"a Tx that reads", func(p *pool.Pool) error {
			tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return tx.QueryRow("SELECT oops()").Scan(new(int))
		}},
		{"Conn", func(p *pool.Pool) error {
			c, err := p.Acquire(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.ExecContext(ctx, "INSERT INTO t VALUES (oops())")
			return err
		}},
		{"Pool.Raw", func(p *pool.Pool) error {
			return p.Raw(ctx, func(c *sqlite3.Conn) error { return c.Exec("SELECT oops()") })
		}},
		{"Conn.Raw", func(p *pool.Pool) error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec("SELECT oops()") })
		}},
		{"WithTx", func(p *pool.Pool) error {
			return p.WithTx(ctx, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec("INSERT INTO t VALUES (oops())")
				return err
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, l := pooled(t, oops(pool.Config{AcquireTimeout: time.Minute, MaxConns: 2}))
			must(t, p.DB(), "CREATE TABLE t(a)")
			times := 2 * runtime.GOMAXPROCS(0)
			for range times {
				var err error
				if !panics(func() { err = tc.run(p) }) {
					t.Fatalf("there was no panic: %v", err)
				}
			}
			if n := l.count(driver.KindDiscard); n != times {
				t.Errorf("%d of %d connections were closed", n, times)
			}
			if n := l.closedFor(driver.ReasonPanic) + l.closedFor(driver.ReasonBad); n != times {
				t.Errorf("closed for %v", p.Stats().ClosedFor)
			}
			l.settled(t, p)
			var n int
			if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows, %v", n, err)
			}
			must(t, p.DB(), "INSERT INTO t VALUES (1)")
			if n := p.Stats().StepWaits; n != 0 {
				t.Errorf("%d steps had to wait: a connection never left the gate", n)
			}
		})
	}
}

// TestPanicBesideOpenRows checks that a panic also ends other open rows of the same connection.
// The connection is released with them.
func TestPanicBesideOpenRows(t *testing.T) {
	p, l := pooled(t, oops(pool.Config{AcquireTimeout: time.Minute, MaxConns: 2}))
	must(t, p.DB(), "CREATE TABLE t(a)")
	must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
	c, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.QueryContext(t.Context(), "SELECT a FROM t")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	if !panics(func() { c.QueryRowContext(t.Context(), "SELECT oops()").Scan(new(int)) }) {
		t.Fatal("there was no panic")
	}
	if rows.Next() || !errors.Is(rows.Err(), driver.ErrPanicked) {
		t.Errorf("the other rows go on: %v", rows.Err())
	}
	rows.Close()
	c.Close()
	l.settled(t, p)
	if n := l.closedFor(driver.ReasonPanic); n != 1 {
		t.Errorf("closed for %v", p.Stats().ClosedFor)
	}
}

// faulty is an interceptor that calls an injected function once. The function makes the call
// fail.
type faulty struct {
	sqlmw.NullInterceptor
	fault atomic.Pointer[func() error]
	calls atomic.Int64
}

func (f *faulty) next() error {
	f.calls.Add(1)
	if do := f.fault.Swap(nil); do != nil {
		return (*do)()
	}
	return nil
}

func (f *faulty) inject(do func() error) { f.fault.Store(&do) }

func (f *faulty) ConnExecContext(ctx context.Context, c sqldriver.ExecerContext, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return c.ExecContext(ctx, query, args)
}

func (f *faulty) ConnQueryContext(ctx context.Context, c sqldriver.QueryerContext, query string, args []sqldriver.NamedValue) (context.Context, sqldriver.Rows, error) {
	if err := f.next(); err != nil {
		return ctx, nil, err
	}
	rows, err := c.QueryContext(ctx, query, args)
	return ctx, rows, err
}

func (f *faulty) ConnBeginTx(ctx context.Context, c sqldriver.ConnBeginTx, opts sqldriver.TxOptions) (context.Context, sqldriver.Tx, error) {
	if err := f.next(); err != nil {
		return ctx, nil, err
	}
	tx, err := c.BeginTx(ctx, opts)
	return ctx, tx, err
}

func (f *faulty) ConnPrepareContext(ctx context.Context, c sqldriver.ConnPrepareContext, query string) (context.Context, sqldriver.Stmt, error) {
	if err := f.next(); err != nil {
		return ctx, nil, err
	}
	st, err := c.PrepareContext(ctx, query)
	return ctx, st, err
}

func (f *faulty) TxCommit(_ context.Context, tx sqldriver.Tx) error {
	if err := f.next(); err != nil {
		return err
	}
	return tx.Commit()
}

// doors are the ways to reach a connection that an interceptor can make fail.
var doors = []struct {
	name string
	run  func(db *sql.DB) error
}{
	{"Exec", func(db *sql.DB) error { _, err := db.Exec("INSERT INTO t VALUES (1)"); return err }},
	{"Query", func(db *sql.DB) error { return db.QueryRow("SELECT count(*) FROM t").Scan(new(int)) }},
	{"Prepare", func(db *sql.DB) error {
		st, err := db.Prepare("SELECT a FROM t")
		if err == nil {
			err = st.Close()
		}
		return err
	}},
	{"Begin", func(db *sql.DB) error {
		tx, err := db.Begin()
		if err == nil {
			err = tx.Rollback()
		}
		return err
	}},
}

// TestErrBadConn checks that a connection is not used again after a call returned
// driver.ErrBadConn. database/sql tries another connection, as with any driver.
func TestErrBadConn(t *testing.T) {
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			f := &faulty{}
			p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 2, Interceptors: []sqlmw.Interceptor{f}})
			must(t, p.DB(), "CREATE TABLE t(a)")
			f.calls.Store(0)
			f.inject(func() error { return sqldriver.ErrBadConn })
			if err := door.run(p.DB()); err != nil {
				t.Errorf("the call was not tried again: %v", err)
			}
			if n := f.calls.Load(); n != 2 {
				t.Errorf("it was called %d times", n)
			}
			if n := l.closedFor(driver.ReasonBad); n != 1 {
				t.Errorf("closed for %v", p.Stats().ClosedFor)
			}
			l.settled(t, p)
		})
	}
}

// TestErrorOfAnInterceptor checks that an error of an interceptor reaches the program
// unchanged. Neither the connection nor the turn is lost.
func TestErrorOfAnInterceptor(t *testing.T) {
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			f := &faulty{}
			p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 2, Interceptors: []sqlmw.Interceptor{f}})
			must(t, p.DB(), "CREATE TABLE t(a)")
			for range 5 {
				f.inject(func() error { return errOops })
				if err := door.run(p.DB()); err != errOops {
					t.Errorf("the error is %v", err)
				}
				if err := door.run(p.DB()); err != nil {
					t.Error(err)
				}
			}
			if n := l.count(driver.KindDiscard); n != 0 {
				t.Errorf("%d connections were closed", n)
			}
			l.settled(t, p)
		})
	}
}

// TestPanicOfAnInterceptor checks that a connection is released after a panic that passes
// through database/sql. database/sql may make no further call for that checkout.
func TestPanicOfAnInterceptor(t *testing.T) {
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			f := &faulty{}
			p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 2, Interceptors: []sqlmw.Interceptor{f}})
			must(t, p.DB(), "CREATE TABLE t(a)")
			for range 3 {
				f.inject(func() error { panic(errOops) })
				if !panics(func() { door.run(p.DB()) }) {
					t.Fatal("there was no panic")
				}
				l.settled(t, p)
				if err := door.run(p.DB()); err != nil {
					t.Error(err)
				}
			}
			if n := l.closedFor(driver.ReasonPanic); n != 3 {
				t.Errorf("closed for %v", p.Stats().ClosedFor)
			}
		})
	}
	t.Run("a checkout that is used again", func(t *testing.T) {
		f := &faulty{}
		p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 2, Interceptors: []sqlmw.Interceptor{f}})
		must(t, p.DB(), "CREATE TABLE t(a)")
		c, err := p.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, c, "BEGIN")
		f.inject(func() error { panic(errOops) })
		if !panics(func() { c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)") }) {
			t.Fatal("there was no panic")
		}
		// It must not continue on another connection, without its transaction.
		if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); err == nil {
			t.Error("the checkout continues as if there had been no panic")
		}
		c.Close()
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows, %v", n, err)
		}
		l.settled(t, p)
	})
}

// TestFailedCommit checks that a failed commit returns its error to the program, and that
// the connection is released in a clean state.
func TestFailedCommit(t *testing.T) {
	for _, fault := range []error{errOops, sqldriver.ErrBadConn} {
		f := &faulty{}
		p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 2, Interceptors: []sqlmw.Interceptor{f}})
		must(t, p.DB(), "CREATE TABLE t(a)")
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		must(t, tx, "INSERT INTO t VALUES (1)")
		f.inject(func() error { return fault })
		if err := tx.Commit(); err != fault {
			t.Errorf("%v", err)
		}
		l.settled(t, p)
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows, %v", n, err)
		}
		must(t, p.DB(), "INSERT INTO t VALUES (1)")
	}
}

// TestCorruptFile checks that a connection that finds the file corrupt is closed and not used
// again. The program gets SQLite's error, and the pool stays usable.
func TestCorruptFile(t *testing.T) {
	path := t.TempDir() + "/test.db"
	p, _ := pooled(t, pool.Config{Path: path})
	must(t, p.DB(), "CREATE TABLE good(a)")
	must(t, p.DB(), "CREATE TABLE bad(a)")
	must(t, p.DB(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO bad SELECT randomblob(1000) FROM n")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p, l := pooled(t, pool.Config{Path: path, MaxConns: 3})
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 4096)
	for i := range junk {
		junk[i] = 0xA5
	}
	for page := int64(2); page < 50; page++ { // from the third page on
		if _, err := f.WriteAt(junk, page*4096); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	for range 4 {
		if err := p.DB().QueryRow("SELECT sum(length(a)) FROM bad").Scan(new(int)); !errors.Is(err, sqlite3.CORRUPT) {
			t.Errorf("%v", err)
		}
		if _, err := p.DB().Exec("DELETE FROM bad"); !errors.Is(err, sqlite3.CORRUPT) {
			t.Errorf("%v", err)
		}
	}
	if n := l.closedFor(driver.ReasonSick); n != 8 || l.count(driver.KindDiscard) != 8 {
		t.Errorf("closed for %v", p.Stats().ClosedFor)
	}
	var n int
	if err := p.DB().QueryRow("SELECT count(*) FROM good").Scan(&n); err != nil {
		t.Errorf("intact data cannot be read: %v", err)
	}
	l.settled(t, p)
}

// TestDiskFull checks that on a full disk only the writes fail that do not fit.
func TestDiskFull(t *testing.T) {
	p, l := pooled(t, pool.Config{Init: func(c *sqlite3.Conn) error { return c.Exec("PRAGMA max_page_count=20") }})
	must(t, p.DB(), "CREATE TABLE t(a)")
	must(t, p.DB(), "INSERT INTO t VALUES (1)")
	for range 5 {
		if _, err := p.DB().Exec("INSERT INTO t VALUES (zeroblob(1000000))"); !errors.Is(err, sqlite3.FULL) {
			t.Fatalf("%v", err)
		}
		err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
			if _, err := tx.Exec("INSERT INTO t VALUES (2)"); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO t VALUES (zeroblob(1000000))")
			return err
		})
		if !errors.Is(err, sqlite3.FULL) {
			t.Fatalf("%v", err)
		}
	}
	must(t, p.DB(), "INSERT INTO t VALUES (3)")
	var n int
	if err := p.DB().QueryRow("SELECT sum(a) FROM t").Scan(&n); err != nil || n != 4 {
		t.Errorf("%d, %v", n, err)
	}
	if s := p.Stats(); s.Writers != 1 || s.Dirty != 0 {
		t.Errorf("%d writers, %d dirty", s.Writers, s.Dirty)
	}
	l.settled(t, p)
}

// TestFileRemoved checks that a removed file is detected at a release and by the health check.
// The pool closes the connections that had it open. Opening a new connection fails with the
// reason.
func TestFileRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 3})
		must(t, p.DB(), "CREATE TABLE t(a)")
		remove(t, p)
		time.Sleep(2 * time.Second)
		if _, err := p.DB().Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, driver.ErrFileLost) { // SQLite itself does not notice
			t.Errorf("a write into a removed file: %v", err)
		}
		if err := p.HealthCheck(t.Context()); !errors.Is(err, driver.ErrFileLost) || !errors.Is(err, pool.ErrHealthCheck) {
			t.Errorf("%v", err)
		}
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int)); err == nil {
			t.Error("the file can be read")
		}
		l.settled(t, p)
	})
}

// TestFailedClose checks that a connection whose close fails is closed, counted and logged.
func TestFailedClose(t *testing.T) {
	var log logged
	p, l := pooled(t, pool.Config{Logger: logger(&log), Term: func(*sqlite3.Conn) error { return errOops }})
	must(t, p.DB(), "CREATE TABLE t(a)")
	n := p.Stats().CloseErrors // of the health check's connection
	p.Reset()
	if s := p.Stats(); s.CloseErrors != n+1 || !log.has("closed with an error") || log.has("oops") {
		t.Errorf("%d of %d closes failed; logged %q", s.CloseErrors, s.Closes, log.lines)
	}
	must(t, p.DB(), "INSERT INTO t VALUES (1)")
	l.settled(t, p)
}

// TestFailedConnect checks that failed connects fail the calls that need a connection, each
// with the cause. No turn is lost, and calls succeed again when connects do.
func TestFailedConnect(t *testing.T) {
	var fail atomic.Bool
	p, l := pooled(t, pool.Config{MaxConns: 3, Init: func(*sqlite3.Conn) error {
		if fail.Load() {
			return errOops
		}
		return nil
	}})
	must(t, p.DB(), "CREATE TABLE t(a)")
	fail.Store(true)
	p.Reset()
	for range 10 {
		var open *pool.OpenError
		for _, door := range doors {
			if err := door.run(p.DB()); !errors.Is(err, errOops) || !errors.As(err, &open) {
				t.Errorf("%s: %v", door.name, err)
			}
		}
	}
	if s := p.Stats(); s.Open != 0 || s.ConnectErrors != 40 || s.Refusals != 40 {
		t.Errorf("%d open, %d errors, %d refusals", s.Open, s.ConnectErrors, s.Refusals)
	}
	l.settled(t, p)
	fail.Store(false)
	for _, door := range doors {
		if err := door.run(p.DB()); err != nil {
			t.Errorf("%s: %v", door.name, err)
		}
	}
}

// A lateFaulty injects faults where database/sql makes no further call for the checkout.
type lateFaulty struct{ *faulty }

func (f lateFaulty) ConnPing(ctx context.Context, c sqldriver.Pinger) error {
	if err := f.next(); err != nil {
		return err
	}
	return c.Ping(ctx)
}

func (f lateFaulty) TxRollback(_ context.Context, tx sqldriver.Tx) error {
	if err := f.next(); err != nil {
		return err
	}
	return tx.Rollback()
}

// TestPanicInPingAndRollback checks that a panic of a ping or a rollback loses neither the
// connection nor the turn. database/sql makes no further call after such a panic.
func TestPanicInPingAndRollback(t *testing.T) {
	for name, run := range map[string]func(db *sql.DB, f *faulty){
		"Ping": func(db *sql.DB, f *faulty) {
			f.inject(func() error { panic(errOops) })
			db.Ping()
		},
		"Commit": func(db *sql.DB, f *faulty) {
			tx, err := db.Begin()
			must(t, tx, "INSERT INTO t VALUES (1)")
			f.inject(func() error { panic(errOops) })
			if err == nil {
				tx.Commit()
			}
		},
		"Rollback": func(db *sql.DB, f *faulty) {
			tx, err := db.Begin()
			f.inject(func() error { panic(errOops) })
			if err == nil {
				tx.Rollback()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{}
			p, l := pooled(t, pool.Config{AcquireTimeout: time.Minute, MaxConns: 1, Interceptors: []sqlmw.Interceptor{lateFaulty{f}}})
			must(t, p.DB(), "CREATE TABLE t(a)")
			if !panics(func() { run(p.DB(), f) }) {
				t.Fatal("there was no panic")
			}
			l.settled(t, p)
			must(t, p.DB(), "INSERT INTO t VALUES (2)")
			var n int
			if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}
