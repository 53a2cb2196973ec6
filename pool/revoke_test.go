package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool"
)

// endless is a query that ends only when it is interrupted.
const endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"

// TestE8ShutdownTakesConnectionsAway checks that all that a Shutdown takes away ends by itself,
// without a race: queries inside SQLite, rows, transactions and waits. The errors are
// ErrClosed, or SQLite's if the call was interrupted. On none of them does database/sql try
// again.
func TestE8ShutdownTakesConnectionsAway(t *testing.T) {
	for name, open := range map[string]func(path string, l *ledger) (*sql.DB, *pool.Pool){
		"pool.Open": func(path string, l *ledger) (*sql.DB, *pool.Pool) {
			p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxConns: 20, Recorder: l, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return p.DB(), p
		},
		"sql.Open": func(path string, l *ledger) (*sql.DB, *pool.Pool) {
			d := &pool.Driver{Config: pool.Config{MaxConns: 20, Recorder: l, Logger: slog.New(slog.DiscardHandler)}}
			c, err := d.OpenConnector(path)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			mustExec(t, db, "SELECT 1")
			return db, pool.Of(db)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			var l ledger
			db, p := open(filepath.ToSlash(path), &l)
			shutdownInUse(t, db, p)
			if s := p.Stats(); s.Open != 0 {
				t.Errorf("%d connections are open", s.Open)
			}
			if files := openFiles(t, filepath.Dir(path)); len(files) > 0 {
				t.Errorf("open files after all calls have ended: %v", files)
			}
			var left *pool.ShutdownError
			if err := p.Close(); !errors.As(err, &left) {
				t.Errorf("a second Close: %v", err)
			}
			db.Close()
			l.settled(t, p)
			if n := l.open(); n != 0 {
				t.Errorf("%d connections were never closed", n)
			}
			again := openDoor(t, pool.Config{}, path)
			if n := mustScan[int](t, again.db, "SELECT count(*) FROM t"); n != 1000 {
				t.Errorf("%d rows of 1000: a transaction was committed after it had been taken away", n)
			}
		})
	}
}

// shutdownInUse closes a pool of 20 connections while 17 are in use and 4 calls wait.
func shutdownInUse(t *testing.T, db *sql.DB, p *pool.Pool) {
	mustExec(t, db, "CREATE TABLE t (a)",
		"INSERT INTO t WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<1000) SELECT i FROM n")
	until := func(what func(pool.Stats) bool) {
		for !what(p.Stats()) {
			runtime.Gosched()
		}
	}
	// ask queries until a query fails.
	ask := func(db queryer) (err error) {
		for err == nil {
			var n int
			err = db.QueryRowContext(context.Background(), "SELECT count(*) FROM t").Scan(&n)
		}
		return err
	}
	var wg sync.WaitGroup
	run := func(name string, n int, f func() error) {
		for range n {
			wg.Go(func() {
				err := f()
				if err == nil {
					t.Errorf("%s: no error", name)
					return
				}
				for _, err := range flat(err) {
					if !errors.Is(err, pool.ErrClosed) && !errors.Is(err, sqlite3.INTERRUPT) || errors.Is(err, sqldriver.ErrBadConn) {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
	run("in a long query", 4, func() error {
		var n int
		return db.QueryRow(endless).Scan(&n)
	})
	run("between rows", 4, func() error {
		rows, err := db.Query("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n) SELECT i FROM n")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			runtime.Gosched()
		}
		return rows.Err()
	})
	run("in a transaction that reads", 4, func() error {
		tx, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(ask(tx), tx.Rollback())
	})
	run("on a connection", 4, func() error {
		conn, err := db.Conn(context.Background())
		if err != nil {
			return err
		}
		defer conn.Close()
		return ask(conn)
	})
	run("in a transaction that writes", 1, func() error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		if _, err = tx.Exec("DELETE FROM t"); err != nil {
			return err
		}
		return errors.Join(ask(tx), tx.Commit())
	})
	until(func(s pool.Stats) bool { return s.WritersInUse == 1 && s.ReadersInUse == 16 })
	until(func(pool.Stats) bool { // each holder has executed something
		said := 0
		for _, h := range p.Holders() {
			if h.Last != "" {
				said++
			}
		}
		return said == 17
	})
	run("in the queue", 4, func() error {
		_, err := db.Exec("DELETE FROM t")
		return err
	})
	until(func(s pool.Stats) bool { return s.Waiting == 4 })

	ctx, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error, 1)
	go func() { done <- p.Shutdown(ctx) }()
	for !p.Closed() {
		runtime.Gosched()
	}
	if _, err := db.Exec("DELETE FROM t"); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("a call after Shutdown has started: %v", err)
	}
	end()
	err := <-done
	wg.Wait()
	var left *pool.ShutdownError
	if !errors.As(err, &left) || !errors.Is(err, context.Canceled) {
		t.Fatalf("shutdown: %v", err)
	}
	writers := 0
	for _, h := range left.Holders {
		if h.Last == "" {
			t.Errorf("the last query of %v is missing", h)
		}
		if h.Lane == wrap.LaneWriter {
			writers++
			if !h.Tx {
				t.Errorf("the writer's transaction is not reported: %v", h)
			}
		}
	}
	if len(left.Holders) != 17 || writers != 1 {
		t.Errorf("%d holders, %d of the writer: %v", len(left.Holders), writers, err)
	}
}

// flat returns the errors that are joined in one.
func flat(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// TestE8ShutdownDoesNotWaitForUnreadRows checks that open rows that are not read do
// not prevent Shutdown from returning. When they are closed, their connection is closed.
func TestE8ShutdownDoesNotWaitForUnreadRows(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: newFile(t), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, p.DB(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
	rows, err := p.DB().Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var left *pool.ShutdownError
	if err := p.Shutdown(ctx); !errors.As(err, &left) || len(left.Holders) != 1 || left.Holders[0].Rows != 1 {
		t.Errorf("shutdown: %v", err)
	}
	var a int
	if err := rows.Scan(&a); err != nil || a != 1 {
		t.Errorf("the current row: %d, %v", a, err)
	}
	if rows.Next() || !errors.Is(rows.Err(), pool.ErrClosed) {
		t.Errorf("the next row: %v", rows.Err())
	}
	rows.Close()
	if n := p.Stats().Open; n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// TestShutdownWithAHookThatPanics checks that a hook that panics ends Shutdown, and that no
// other Shutdown waits forever.
func TestShutdownWithAHookThatPanics(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler),
		Hooks: pool.Hooks{BeforeClose: func(pool.ConnInfo) { panic("hook") }}})
	if err != nil {
		t.Fatal(err)
	}
	sub := p.Subscribe(100)
	func() {
		defer func() {
			if recover() != "hook" {
				t.Error("the panic does not reach the caller")
			}
		}()
		p.Close()
	}()
	if err := p.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("the next Shutdown returns %v", err)
	}
	for range sub.All() { // the loop ends
	}
}
