package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestSpecInMemoryPool checks that an in-memory pool opens, is healthy, and has one connection.
func TestSpecInMemoryPool(t *testing.T) {
	p, _ := pooled(t, pool.InMemory())
	if err := p.HealthCheck(t.Context()); err != nil {
		t.Error(err)
	}
	if r := p.Health(); r.Health != pool.HealthOK {
		t.Errorf("health %v: %v", r.Health, r.Reasons)
	}
	if s := p.Stats(); s.Max != 1 || s.Open != 1 || s.Idle != 1 {
		t.Errorf("stats %+v", s)
	}
	mustExec(t, p.DB(), "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO t (name) VALUES ('a')")
	if name := mustScan[string](t, p.DB(), "SELECT name FROM t WHERE id = 1"); name != "a" {
		t.Errorf("name %q", name)
	}
	if on := mustScan[int](t, p.DB(), "PRAGMA foreign_keys"); on != 1 {
		t.Errorf("foreign_keys is %d", on)
	}
}

// TestSpecInMemoryPoolIsSharedByGoroutines checks that all goroutines share one in-memory
// database, whatever MaxConns is. No other pool shares it.
func TestSpecInMemoryPoolIsSharedByGoroutines(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"InMemory":    pool.InMemory(),
		"five":        {Path: ":memory:", MaxConns: 5, DisableWAL: true},
		"by URI":      {Path: "file::memory:", MaxConns: 3},
		"memdb":       {Path: "file:/spec?vfs=memdb", MaxConns: 4},
		"mode=memory": {Path: "file:x?mode=memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pooled(t, cfg)
			other, _ := pooled(t, pool.InMemory())
			mustExec(t, p.DB(), "CREATE TABLE t (a)")
			var wg sync.WaitGroup
			for i := range 32 {
				wg.Go(func() {
					for range 10 {
						if _, err := p.DB().Exec("INSERT INTO t VALUES (?)", i); err != nil {
							t.Error(err)
						}
						var n int
						if err := p.DB().QueryRow("SELECT count(*) FROM t WHERE a = ?", i).Scan(&n); err != nil || n == 0 {
							t.Errorf("%d rows, %v", n, err)
						}
					}
				})
			}
			wg.Wait()
			if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM t"); n != 320 {
				t.Errorf("%d rows of 320", n)
			}
			if _, err := other.DB().Exec("SELECT * FROM t"); err == nil {
				t.Error("another in-memory pool has the same table")
			}
		})
	}
}

// TestSpecInMemoryPoolKeepsItsData checks that an in-memory database exists as long as its
// pool, however long it is unused, and after any Reset.
func TestSpecInMemoryPoolKeepsItsData(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"InMemory":      pool.InMemory(),
		"with timeouts": {Path: ":memory:", IdleTimeout: time.Second, MaxLifetime: 2 * time.Second, MaxConns: 5, DisableWAL: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, cfg)
				mustExec(t, p.DB(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
				for range 3 {
					time.Sleep(time.Hour)
					if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
						t.Errorf("%d rows", n)
					}
					p.Reset()
				}
				if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
					t.Errorf("%d rows after resets", n)
				}
			})
		})
	}
}

// TestSpecStats checks Stats and utilization of a new pool and of a used one.
func TestSpecStats(t *testing.T) {
	p, _ := pooled(t, pool.Config{MinConns: 2, MaxConns: 4})
	if s := p.Stats(); s.Open != 2 || s.Idle != 2 || s.Max != 4 || s.InUse != 0 || s.Utilization() != 0 {
		t.Errorf("a fresh pool: open %d, idle %d, max %d, in use %d, utilization %v", s.Open, s.Idle, s.Max, s.InUse, s.Utilization())
	}
	var held []*pool.Conn
	for i := range 4 {
		acquire := p.AcquireRead
		if i == 0 {
			acquire = p.AcquireWrite
		}
		c, err := acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if s := p.Stats(); s.InUse != i+1 || s.Utilization() != float64(i+1)/4 {
			t.Errorf("with %d held: %d in use, utilization %v", i+1, s.InUse, s.Utilization())
		}
	}
	for _, c := range held {
		c.Release()
	}
	if s := p.Stats(); s.InUse != 0 || s.Utilization() != 0 || s.Open != 4 || s.PeakInUse != 4 {
		t.Errorf("after the release: open %d, in use %d, peak %d", s.Open, s.InUse, s.PeakInUse)
	}
}

// TestSpecValidation checks the specification's example: a MinConns above MaxConns is refused.
func TestSpecValidation(t *testing.T) {
	_, err := pool.Open(t.Context(), pool.Config{Path: newFile(t), MinConns: 10, MaxConns: 5})
	if !errors.Is(err, pool.ErrInvalidConfig) || !strings.Contains(err.Error(), "10") || !strings.Contains(err.Error(), "5") {
		t.Errorf("min 10, max 5: %v", err)
	}
}

// TestSpecBuilder checks the specification's builder: ":memory:", at most five connections, no
// WAL.
func TestSpecBuilder(t *testing.T) {
	p, _ := pooled(t, pool.Config{Path: ":memory:", MaxConns: 5, DisableWAL: true})
	if c := p.Config(); c.Path != ":memory:" || c.MaxConns != 5 || !c.DisableWAL {
		t.Errorf("path %q, max %d, no WAL %t", c.Path, c.MaxConns, c.DisableWAL)
	}
	if mode := mustScan[string](t, p.DB(), "PRAGMA journal_mode"); mode != "memory" {
		t.Errorf("journal_mode %s", mode)
	}
}

// TestSpecConfig checks that Config returns the fields that are set and, for the others, the
// specification's defaults. All of them are effective.
func TestSpecConfig(t *testing.T) {
	path := filepath.ToSlash(newFile(t))
	p, _ := pooled(t, pool.Config{Path: path})
	c := p.Config()
	if c.Path != path || c.MinConns != 1 || c.MaxConns != 10 || c.AcquireTimeout != 30*time.Second || c.IdleTimeout != 600*time.Second ||
		c.MaxLifetime != 1800*time.Second || c.DisableWAL || c.Synchronous != pool.SynchronousFull || c.BusyTimeout != 5*time.Second || c.MustExist {
		t.Errorf("defaults: %+v", c)
	}
	for name, db := range map[string]*sql.DB{"writer": p.Writer(), "reader": p.Reader()} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
			if got := mustScan[string](t, db, "PRAGMA "+pragma); got != want {
				t.Errorf("%s on the %s is %s, want %s", pragma, name, got, want)
			}
		}
	}
	q, _ := pooled(t, pool.Config{MinConns: 2, MaxConns: 3, AcquireTimeout: 2 * time.Second, IdleTimeout: -1, Synchronous: pool.SynchronousOff, DisableWAL: true})
	if c := q.Config(); c.MinConns != 2 || c.MaxConns != 3 || c.AcquireTimeout != 2*time.Second || c.IdleTimeout >= 0 || c.BusyTimeout != time.Second || !c.DisableWAL {
		t.Errorf("the fields that are set: %+v", c)
	}
	if got := mustScan[string](t, q.DB(), "PRAGMA synchronous"); got != "0" {
		t.Errorf("synchronous is %s", got)
	}
}

// TestSpecMustExist checks that a missing file with MustExist fails with ErrNotFound and is not
// created.
func TestSpecMustExist(t *testing.T) {
	path := newFile(t)
	if _, err := pool.Open(t.Context(), pool.Config{Path: path, MustExist: true}); !errors.Is(err, pool.ErrNotFound) {
		t.Errorf("pool.Open: %v", err)
	}
	db, err := sql.Open(pool.Name, "file:"+filepath.ToSlash(path)+"?_pool_must_exist=on")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); !errors.Is(err, pool.ErrNotFound) {
		t.Errorf("sql.Open: %v", err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 0 {
		t.Errorf("there is %v, %v", list, err)
	}
	// It is found after it has been created: the pool tries again after a failed open.
	made, _ := pooled(t, pool.Config{Path: path})
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err != nil {
		t.Errorf("after it has been created: %v", err)
	}
}

// TestSpecOpenErrorHasTheCause checks that an open that fails returns immediately, with
// SQLite's own error, and leaves nothing open.
func TestSpecOpenErrorHasTheCause(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(path string) error
		code error
	}{
		"a directory": {func(path string) error { return os.Mkdir(path, 0o700) }, sqlite3.CANTOPEN},
		"garbage": {func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("this is no database. ", 500)), 0o600)
		}, sqlite3.NOTADB},
		"a directory that is not there": {func(path string) error { return os.Remove(filepath.Dir(path)) }, sqlite3.CANTOPEN},
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			check := func(err error) {
				t.Helper()
				var open *pool.OpenError
				var code sqlite3.ErrorCode
				if !errors.As(err, &open) || !errors.As(err, &code) || !errors.Is(err, tc.code) || errors.Is(err, pool.ErrAcquireTimeout) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v (%T)", err, err)
				}
				if left := openFiles(t, filepath.Dir(path)); len(left) > 0 {
					t.Errorf("still open: %v", left)
				}
			}
			_, err := pool.Open(t.Context(), pool.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
			check(err)
			db, err := sql.Open(pool.Name, "file:"+filepath.ToSlash(path))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			check(db.Ping())
		})
	}
}

// TestSpecClose checks that a closed pool reports that it is closed, and refuses later calls.
func TestSpecClose(t *testing.T) {
	p, _ := pooled(t, pool.Config{})
	mustExec(t, p.DB(), "CREATE TABLE t (a)")
	conn, err := p.Acquire(t.Context()) // has not acquired a connection yet
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p.Closed() {
		t.Error("Closed returns true before Close")
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if !p.Closed() {
			t.Error("Closed returns false after Close")
		}
	}
	for name, f := range map[string]func() error{
		"AcquireRead":  func() error { _, err := p.AcquireRead(t.Context()); return err },
		"AcquireWrite": func() error { _, err := p.AcquireWrite(t.Context()); return err },
		"Acquire":      func() error { _, err := p.Acquire(t.Context()); return err },
		"TryAcquire":   func() error { _, _, err := p.TryAcquire(t.Context()); return err },
		"HealthCheck":  func() error { return p.HealthCheck(t.Context()) },
		"Raw":          func() error { return p.Raw(t.Context(), func(*sqlite3.Conn) error { return nil }) },
		"a checkout that was there": func() error {
			_, err := conn.ExecContext(t.Context(), "SELECT 1")
			return err
		},
	} {
		if err := f(); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.DB().Ping(); err == nil {
		t.Error("a ping of DB succeeds")
	}
	if s := p.Stats(); s.Open != 0 {
		t.Errorf("%d connections are open", s.Open)
	}
}

// TestSpecClosingAFacadeLeavesThePool checks that closing DB, Reader or Writer closes neither
// the pool nor the others.
func TestSpecClosingAFacadeLeavesThePool(t *testing.T) {
	p, _ := pooled(t, pool.Config{})
	if err := p.Reader().Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, p.DB(), "CREATE TABLE t (a)")
	if p.Closed() {
		t.Error("the pool is closed")
	}
	if err := p.DB().Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, p.Writer(), "INSERT INTO t VALUES (1)")
}

// TestNotFoundShowsNoPassword checks that the error shows no password. A path that looks like
// the URL of another database may contain one.
func TestNotFoundShowsNoPassword(t *testing.T) {
	_, err := pool.Open(t.Context(), pool.Config{Path: "postgres://me:hunter2@host/db", MustExist: true})
	if !errors.Is(err, pool.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
