package pool_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestLostFile checks the loss of each of a database's three files, detected by each
// kind of call. After that, the pool writes nothing, and health, log and events say why.
func TestLostFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not remove files that are open")
	}
	remove := func(ending string) func(string) error {
		return func(path string) error { return os.Remove(path + ending) }
	}
	for _, g := range []struct {
		name    string
		play    func(path string) error
		reason  string
		untouch bool // the file that is there now must not change
	}{
		{"removed", remove(""), "database removed", false},
		{"WAL removed", remove("-wal"), "-wal removed", false},
		{"index removed", remove("-shm"), "-shm removed", false},
		{"emptied", func(path string) error { return os.Truncate(path, 0) }, "database emptied", false},
		{"cut to half", func(path string) error { return os.Truncate(path, 4096) }, "database truncated", false},
		{"replaced", func(path string) error {
			other, err := sql.Open("sqlite3", "file:"+path+".new")
			if err != nil {
				return err
			}
			_, err = other.Exec("CREATE TABLE precious(a)")
			return errors.Join(err, other.Close(), os.Rename(path+".new", path))
		}, "database replaced", true},
	} {
		for noticed, notice := range map[string]func(t *testing.T, p *pool.Pool) error{
			"by a health check": func(t *testing.T, p *pool.Pool) error { return p.HealthCheck(t.Context()) },
			"by a ping":         func(t *testing.T, p *pool.Pool) error { return p.Reader().Ping() },
			"by the writer's": func(t *testing.T, p *pool.Pool) error {
				return p.Writer().Ping()
			},
			"by a new connection": func(t *testing.T, p *pool.Pool) error {
				p.Reset()
				_, err := p.DB().Exec("INSERT INTO t VALUES (2)")
				return err
			},
			"by a backup": func(t *testing.T, p *pool.Pool) error {
				return p.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db"))
			},
			"by a checkpoint": func(t *testing.T, p *pool.Pool) error {
				_, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_PASSIVE)
				return err
			},
		} {
			if g.reason == "database truncated" && noticed != "by a health check" {
				continue // only a health check compares sizes
			}
			t.Run(g.name+", "+noticed, func(t *testing.T) {
				path := newFile(t)
				var log logged
				p, _ := pooled(t, pool.Config{Path: path, MinConns: 3, Logger: logger(&log)})
				must(t, p.DB(), "CREATE TABLE t(a)")
				must(t, p.DB(), "INSERT INTO t VALUES (1), (zeroblob(100000))")
				if _, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); err != nil {
					t.Fatal(err)
				}
				second, _ := pooled(t, pool.Config{Path: path})
				beside, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(path))
				if err != nil {
					t.Fatal(err)
				}
				defer beside.Close()
				must(t, beside, "DELETE FROM t WHERE a = 3")
				if err := g.play(path); err != nil {
					t.Fatal(err)
				}
				want, _ := os.ReadFile(path)

				if err := notice(t, p); !errors.Is(err, driver.ErrFileLost) {
					t.Fatalf("the loss is not detected: %v", err)
				}
				_, write := p.DB().Exec("INSERT INTO t VALUES (4)")
				read := p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int))
				_, another := second.DB().Exec("INSERT INTO t VALUES (4)")
				_, plain := beside.Exec("INSERT INTO t VALUES (4)")
				for who, err := range map[string]error{"a write": write, "a read": read, "another pool": another, `"sqlitemw"`: plain, "the health check": second.HealthCheck(t.Context())} {
					if !errors.Is(err, driver.ErrFileLost) {
						t.Errorf("%s: %v", who, err)
					}
				}
				h := p.Health()
				if h.Health != pool.HealthDown || !errors.Is(h.Err, driver.ErrFileLost) || len(h.Reasons) != 1 {
					t.Fatalf("health is %v, %q, %v", h.Health, h.Reasons, h.Err)
				}
				if !log.has(strings.TrimPrefix(h.Reasons[0], "sqlitemw: ")) {
					t.Errorf("the log is %q", log.lines)
				}
				var said []driver.Reason
				for _, e := range p.Events() {
					if e.Kind == driver.KindFileLost {
						said = append(said, e.Reason)
					}
				}
				if len(said) != 1 || string(said[0]) != g.reason {
					t.Errorf("events have the reason %q, want %q", said, g.reason)
				}
				for _, err := range []error{p.Close(), second.Close(), beside.Close()} {
					if err != nil {
						t.Error(err)
					}
				}
				if got, err := os.ReadFile(path); g.untouch && string(got) != string(want) {
					t.Errorf("the file that is there now has been written (%v)", err)
				}
				if g.reason == "database truncated" {
					return // and is damaged
				}
				again, _ := pooled(t, pool.Config{Path: path})
				must(t, again.DB(), "CREATE TABLE u(a)")
			})
		}
	}
}

// TestHealthCheckFindsCutWAL checks that the health check finds a WAL that was cut short. After
// the next commit, such a WAL is at least as long as before, with a hole from the cut to the
// new frames. The check finds the hole wherever it begins.
func TestHealthCheckFindsCutWAL(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("on Windows, no other handle can cut an open file")
	}
	for name, kept := range map[string]int64{"to nothing": 0, "to its header": 32, "to a frame": 32 + 24 + 4096, "by a frame": -1 - 24 - 4096} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			p, _ := pooled(t, pool.Config{Path: path, Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "0"}}})
			must(t, p.DB(), "CREATE TABLE t(a, b)")
			for i := range 20 {
				must(t, p.DB(), "INSERT INTO t VALUES (?, zeroblob(5000))", i)
			}
			if err := p.HealthCheck(t.Context()); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			if kept < 0 {
				kept += info.Size() + 1
			}
			if err := os.Truncate(path+"-wal", kept); err != nil {
				t.Fatal(err)
			}
			must(t, p.DB(), "INSERT INTO t VALUES (?, 0)", 20)
			if now, err := os.Stat(path + "-wal"); err != nil || now.Size() <= info.Size() {
				t.Fatalf("the WAL has %d bytes after the commit, want more than %d (%v)", now.Size(), info.Size(), err)
			}
			var lost *driver.FileLostError
			if err := p.HealthCheck(t.Context()); !errors.As(err, &lost) || lost.File != path+"-wal" || lost.Change != "truncated" {
				t.Errorf("the health check returns %v", err)
			}
		})
	}
}

// TestHealthCheckOfRestartingWAL checks that a WAL that restarts all the time during the
// check is not taken for one that was cut.
func TestHealthCheckOfRestartingWAL(t *testing.T) {
	p, _ := pooled(t, pool.Config{Path: newFile(t), Synchronous: pool.SynchronousOff, Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "0"}}})
	must(t, p.DB(), "CREATE TABLE t(a PRIMARY KEY, b)")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		plain, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(p.Config().Path)+"?_pragma=busy_timeout(60000)&_pragma=synchronous(off)&_pragma=wal_autocheckpoint(0)")
		if err != nil {
			t.Error(err)
			return
		}
		defer plain.Close()
		plain.SetMaxOpenConns(1)
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := plain.Exec("INSERT OR REPLACE INTO t VALUES (?, zeroblob(?))", n%20, 100+n%7*4000); err != nil {
				t.Error(err)
			}
			if n%9 == 0 {
				if _, err := plain.Exec("PRAGMA wal_checkpoint(RESTART)"); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 300 {
		if err := p.HealthCheck(t.Context()); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
}

// TestManagerReopensALostFile checks a restore by rename under a Manager: the next call that
// opens the pool gets the restored file.
func TestManagerReopensALostFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not remove files that are open")
	}
	path := newFile(t)
	var m pool.Manager
	defer m.Close(t.Context())
	p, err := m.OpenPrimary(t.Context(), pool.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "CREATE TABLE t(a)")
	must(t, p.DB(), "INSERT INTO t VALUES (1)")
	copied := path + ".copy"
	if err := p.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "DELETE FROM t")
	if err := os.Rename(copied, path); err != nil {
		t.Fatal(err)
	}
	if err := m.HealthCheck(t.Context())[pool.PrimaryName]; !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("health: %v", err)
	}
	again, err := m.OpenPrimary(t.Context(), pool.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Closed() {
		t.Error("the pool of the lost file is still open")
	}
	if n := mustScan[int](t, again.DB(), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("the restored file has %d rows", n)
	}
}

// TestWALThroughSymlink checks that a pool finds its WAL when it opens the database through a
// symbolic link.
func TestWALThroughSymlink(t *testing.T) {
	path := newFile(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	p, _ := pooled(t, pool.Config{Path: link})
	must(t, p.DB(), "CREATE TABLE t(a)")
	if s := p.Stats(); s.Pages.Frames == 0 {
		t.Errorf("the WAL is %+v", s.Pages)
	}
}
