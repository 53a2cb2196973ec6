package pool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestHealthCheckDoesNotQueue checks that a health check does not queue behind the pool's
// callers. It succeeds while all connections are held and the writer is in a transaction.
func TestHealthCheckDoesNotQueue(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"file":   {Path: filepath.Join(t.TempDir(), "a.db"), MaxConns: 2},
		"memory": pool.InMemory(),
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pooled(t, cfg)
			tx, err := p.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if name == "file" {
				r, err := p.AcquireRead(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
			}
			if err := p.HealthCheck(t.Context()); err != nil {
				t.Errorf("with everything in use, the check returns %v", err)
			}
			if r := p.Health(); r.Health != pool.HealthOK {
				t.Errorf("the pool is %v: %v", r.Health, r.Reasons)
			}
			if s := p.Stats(); s.Waits != 0 {
				t.Errorf("the check has waited: %+v", s)
			}
		})
	}
}

// TestHealthCheckFindsRemovedFile checks that a removed file is reported, although SQLite
// itself continues to use it.
func TestHealthCheckFindsRemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	p, _ := pooled(t, pool.Config{Path: path})
	if _, err := p.DB().Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	err := p.HealthCheck(t.Context())
	if !errors.Is(err, pool.ErrHealthCheck) {
		t.Fatalf("the check returns %v", err)
	}
	if !errors.Is(err, driver.ErrFileLost) && !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("the error does not contain the reason: %v", err)
	}
	if r := p.Health(); r.Health != pool.HealthDown || len(r.Reasons) == 0 {
		t.Errorf("the pool is %v: %v", r.Health, r.Reasons)
	}
	var seen bool
	for _, e := range p.Events() {
		seen = seen || e.Kind == driver.KindHealth && e.Health == "down"
	}
	if !seen {
		t.Error("no event reports it")
	}
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	if err := p.HealthCheck(t.Context()); !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("after the file was put back, the check returns %v, but what was written meanwhile is unknown", err)
	}
}

// TestHealthCheckCancelled checks that a cancelled check does not change the recorded health.
func TestHealthCheckCancelled(t *testing.T) {
	p, _ := pooled(t, pool.Config{Path: filepath.Join(t.TempDir(), "a.db")})
	before := p.Health()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.HealthCheck(ctx); !errors.Is(err, pool.ErrHealthCheck) || !errors.Is(err, context.Canceled) {
		t.Errorf("the check returns %v", err)
	}
	if after := p.Health(); after.Checked != before.Checked || after.Health != pool.HealthOK {
		t.Errorf("it is recorded: %+v, after %+v", after, before)
	}
}

// TestHealthCheckOfAClosedPool checks that a health check after Shutdown returns ErrClosed.
func TestHealthCheckOfAClosedPool(t *testing.T) {
	p, _ := pooled(t, pool.Config{Path: filepath.Join(t.TempDir(), "a.db")})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.HealthCheck(t.Context()); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("the check returns %v", err)
	}
}

// TestLostFileIsNotRecreated checks that a pool fails once its file is lost. It does not
// create a new, empty file.
func TestLostFileIsNotRecreated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxConns: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	must(t, p.DB(), "CREATE TABLE t(a)")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, path+".old"+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	p.Reset()
	if _, err := p.DB().Exec("CREATE TABLE u(a)"); !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("after the file was removed, a write returns %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file exists again: %v", err)
	}
}

// TestHealthCheckOfAnExclusiveDatabase checks a database that only one connection can have. The
// health check uses that connection, and does not wait for it.
func TestHealthCheckOfAnExclusiveDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p, _ := pooled(t, pool.Config{Pragmas: []driver.Pragma{{Name: "locking_mode", Value: "exclusive"}}})
		must(t, p.DB(), "CREATE TABLE t(a)")
		for range 2 {
			if err := p.HealthCheck(t.Context()); err != nil || p.Health().Health != pool.HealthOK {
				t.Errorf("%v, %+v", err, p.Health())
			}
		}
		func() {
			c, err := p.AcquireWrite(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			// Health stays as it was, because no check is possible.
			if err := p.HealthCheck(t.Context()); err != nil || p.Health().Health != pool.HealthOK {
				t.Errorf("in use: %v, %+v", err, p.Health())
			}
		}()
		p.Reset() // otherwise SQLite would not read the file again
		if err := os.WriteFile(p.Config().Path, bytes.Repeat([]byte("garbage "), 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.HealthCheck(t.Context()); !errors.Is(err, pool.ErrHealthCheck) || p.Health().Health != pool.HealthDown {
			t.Errorf("spoilt: %v, %+v", err, p.Health())
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// TestHealthCheckOfPragmas checks a pragma that the program has left on the writer and that may
// make writes wrong. Health reports it as long as it applies.
func TestHealthCheckOfPragmas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		check := func(want pool.Health) {
			t.Helper()
			if err := p.HealthCheck(t.Context()); err != nil || p.Health().Health != want {
				t.Errorf("%v, %+v", err, p.Health())
			}
		}
		check(pool.HealthOK)
		must(t, p.DB(), "PRAGMA foreign_keys=OFF")
		check(pool.HealthDegraded)
		must(t, p.DB(), "PRAGMA foreign_keys=ON")
		check(pool.HealthOK)
		must(t, p.DB(), "PRAGMA cache_size=100")
		check(pool.HealthOK)
	})
}

// TestHealthCheckHasADeadline checks that a check without an answer ends at its own deadline.
func TestHealthCheckHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checking := false
		p, _ := pooled(t, pool.Config{Init: func(c *sqlite3.Conn) error {
			if checking {
				<-c.GetInterrupt().Done()
				return c.GetInterrupt().Err()
			}
			return nil
		}})
		checking = true
		began := time.Now()
		if err := p.HealthCheck(context.Background()); !errors.Is(err, pool.ErrHealthCheck) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
		checking = false
	})
}
