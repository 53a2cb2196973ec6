package pool_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// accounts creates a database of two accounts, between which money is moved. It also has many
// other rows, so that the copy takes several steps.
func accounts(t testing.TB, p *pool.Pool) {
	t.Helper()
	execOn(t, p.DB(), `CREATE TABLE account(id INTEGER PRIMARY KEY, money); INSERT INTO account VALUES (1, 1000), (2, 0);
		CREATE TABLE moved(n); CREATE TABLE other(a);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800)
		INSERT INTO other SELECT randomblob(4000) FROM n`)
}

func move(t testing.TB, p *pool.Pool) {
	t.Helper()
	tx, err := p.DB().BeginTx(context.Background(), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer tx.Rollback()
	for _, query := range []string{
		"UPDATE account SET money = money - 1 WHERE id = 1",
		"INSERT INTO moved VALUES (1)",
		"UPDATE account SET money = money + 1 WHERE id = 2",
	} {
		if _, err := tx.Exec(query); err != nil {
			t.Error(err)
			return
		}
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

// checkCopy checks that a copy is sound and consistent. It returns how often money had been
// moved.
func checkCopy(t testing.TB, path string) int {
	t.Helper()
	cfg := pool.Config{Path: path, MustExist: true}
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var result string
	if err := p.DB().QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("%s: %q, %v", path, result, err)
	}
	if n := intOf(t, p.DB(), "SELECT sum(money) FROM account"); n != 1000 {
		t.Errorf("%s: the total is %d, want 1000", path, n)
	}
	moved := intOf(t, p.DB(), "SELECT count(*) FROM moved")
	if n := intOf(t, p.DB(), "SELECT money FROM account WHERE id = 2"); n != moved {
		t.Errorf("%s: %d were moved, but the account has %d", path, moved, n)
	}
	if n := intOf(t, p.DB(), "SELECT count(*) FROM other"); n != 800 {
		t.Errorf("%s: %d of 800 other rows", path, n)
	}
	return moved
}

// namesIn returns the names in the directory.
func namesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A pollContext calls f each time its Err is called, as a backup does at each step. It does not
// call f while f runs.
type pollContext struct {
	context.Context
	n       int
	f       func(n int) error
	running bool
}

func (c *pollContext) Err() error {
	if c.running {
		return nil
	}
	c.running = true
	defer func() { c.running = false }()
	c.n++
	return c.f(c.n)
}

// backupRunning reports whether a copy is being made under its temporary name.
func backupRunning(path string) bool { return len(temporaries(path)) > 0 }

// temporaries returns the temporary files of copies that will get this name.
func temporaries(path string) []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+filepath.Base(path)+".backup-") {
			names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return names
}

// TestBackupIsConsistent checks that writes during the steps of a backup do not get into the
// copy, not even between its pages. They do not restart the backup either.
func TestBackupIsConsistent(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	accounts(t, p)
	move(t, p)
	path := filepath.Join(t.TempDir(), "copy.db")
	ctx := &pollContext{Context: t.Context(), f: func(n int) error {
		if n > 1000 {
			t.Error("the backup does not end")
			return context.Canceled
		}
		move(t, p)
		return nil
	}}
	if err := p.Backup(ctx, path); err != nil {
		t.Fatal(err)
	}
	then, now := checkCopy(t, path), intOf(t, p.DB(), "SELECT count(*) FROM moved")
	if then < 1 || then >= now-2 {
		t.Errorf("the copy has %d moves of %d", then, now)
	}
}

// TestBackupUnderLoad checks copies that are made while many goroutines write.
func TestBackupUnderLoad(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"lanes":       {Path: filepath.Join(t.TempDir(), "lanes.db"), Synchronous: pool.SynchronousOff},
		"one":         {Path: filepath.Join(t.TempDir(), "one.db"), Synchronous: pool.SynchronousOff, MaxConns: 1},
		"without WAL": {Path: filepath.Join(t.TempDir(), "journal.db"), Synchronous: pool.SynchronousOff, DisableWAL: true},
		"memory":      pool.InMemory(),
	} {
		t.Run(name, func(t *testing.T) {
			p := openOwn(t, cfg)
			accounts(t, p)
			var stop atomic.Bool
			var writers, copies sync.WaitGroup
			for range 4 {
				writers.Go(func() {
					for !stop.Load() {
						move(t, p)
					}
				})
			}
			dir := t.TempDir()
			for _, name := range []string{"a.db", "b.db"} {
				copies.Go(func() {
					if err := p.Backup(t.Context(), filepath.Join(dir, name)); err != nil {
						t.Error(err)
					}
				})
			}
			copies.Wait()
			stop.Store(true)
			writers.Wait()
			for _, name := range namesIn(t, dir) {
				checkCopy(t, filepath.Join(dir, name))
			}
			if left := namesIn(t, dir); len(left) != 2 {
				t.Errorf("the directory contains %q", left)
			}
			if h := p.Holders(); len(h) != 0 {
				t.Errorf("still held: %v", h)
			}
		})
	}
}

// TestBackupNeedsNoTurn checks that a backup beside readers needs none of the pool's
// connections.
func TestBackupNeedsNoTurn(t *testing.T) {
	cfg := fileConfig(t)
	cfg.MaxConns = 2
	p := openOwn(t, cfg)
	accounts(t, p)
	r, err := p.AcquireRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	w, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Release()
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := p.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	checkCopy(t, path)
	if s := p.Stats(); s.InUse != 2 || s.Open != 2 || s.Connects != s.Closes+2 || s.Acquires != s.Releases+s.Discards+2 {
		t.Errorf("stats %+v", s)
	}
}

// TestBackupRefusesExistingFiles checks that a backup does not change an existing file. That
// includes a file that SQLite would take for a part of the copy.
func TestBackupRefusesExistingFiles(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	for _, ending := range []string{"", "-journal", "-wal"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "copy.db")
		if err := os.WriteFile(path+ending, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "copy.db"+ending) {
			t.Errorf("copy.db%s: %v", ending, err)
		}
		if text, err := os.ReadFile(path + ending); string(text) != "precious" {
			t.Errorf("copy.db%s is %q, %v", ending, text, err)
		}
		if left := namesIn(t, dir); len(left) != 1 {
			t.Errorf("copy.db%s: the directory contains %q", ending, left)
		}
	}
	if runtime.GOOS != "windows" {
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "copy.db")); err != nil {
			t.Fatal(err)
		}
		if err := p.Backup(t.Context(), filepath.Join(dir, "copy.db")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a dangling link: %v", err)
		}
		if left := namesIn(t, dir); len(left) != 1 {
			t.Errorf("a dangling link: the directory contains %q", left)
		}
	}
	if err := p.Backup(t.Context(), p.Config().Path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("to the pool's own file: %v", err)
	}
	if err := p.Backup(t.Context(), ""); err == nil {
		t.Error("an empty path is not refused")
	}
	if err := p.Backup(t.Context(), filepath.Join(t.TempDir(), "none", "copy.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
}

// TestBackupTakesNamesLiterally checks that a name is the name of a file, even if SQLite would
// give it another meaning.
func TestBackupTakesNamesLiterally(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	accounts(t, p)
	dir := t.TempDir()
	t.Chdir(dir)
	names := []string{":memory:", "file:a?mode=memory", "50%20 #1"}
	if runtime.GOOS == "windows" {
		names = []string{"50%20 #1"}
	}
	for _, name := range names {
		if err := p.Backup(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 800*4000 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left := namesIn(t, dir); len(left) != len(names) {
		t.Errorf("the directory contains %q", left)
	}
}

// TestBackupKeepsPermissions checks that users without permission to read the database cannot
// read its copy.
func TestBackupKeepsPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions on this system")
	}
	cfg := fileConfig(t)
	p := openOwn(t, cfg)
	if err := os.Chmod(cfg.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := p.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestBackupEndsWithItsContext checks that a context that ends during a backup ends it. No
// files are left.
func TestBackupEndsWithItsContext(t *testing.T) {
	for name, cfg := range map[string]pool.Config{"lanes": fileConfig(t), "memory": pool.InMemory()} {
		p := openOwn(t, cfg)
		accounts(t, p)
		dir := t.TempDir()
		path := filepath.Join(dir, "copy.db")
		during := false
		ctx := &pollContext{Context: t.Context(), f: func(int) error {
			if during = backupRunning(path); during {
				return context.Canceled
			}
			return nil
		}}
		if err := p.Backup(ctx, path); !errors.Is(err, context.Canceled) || !during {
			t.Errorf("%s: %v, during the copy: %v", name, err, during)
		}
		if left := namesIn(t, dir); len(left) != 0 {
			t.Errorf("%s: the backup leaves %q", name, left)
		}
		move(t, p) // no lock is left
	}
}

// TestShutdownWaitsForABackup checks that Shutdown waits for a running backup.
func TestShutdownWaitsForABackup(t *testing.T) {
	cfg := fileConfig(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	synctest.Test(t, func(t *testing.T) {
		p := openOwn(t, cfg)
		accounts(t, p)
		ended := make(chan error, 1)
		during := false
		ctx := &pollContext{Context: context.Background(), f: func(n int) error {
			if !during && backupRunning(path) {
				during = true
				go func() { ended <- p.Shutdown(context.Background()) }()
				synctest.Wait()
				if len(ended) > 0 || !p.Closed() {
					t.Error("Shutdown does not wait")
				}
			}
			return nil
		}}
		if err := p.Backup(ctx, path); err != nil || !during {
			t.Errorf("%v, Shutdown during it: %v", err, during)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := p.Backup(context.Background(), path+"2"); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("after Shutdown: %v", err)
		}
	})
	checkCopy(t, path)
}

// TestShutdownEndsABackup checks that a Shutdown whose context has ended ends a backup, and
// that its error names the backup.
func TestShutdownEndsABackup(t *testing.T) {
	cfg := fileConfig(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		accounts(t, p)
		over, cancel := context.WithCancel(context.Background())
		cancel()
		during := false
		ctx := &pollContext{Context: context.Background(), f: func(n int) error {
			if !during && backupRunning(path) {
				during = true
				err := p.Shutdown(over)
				var left *pool.ShutdownError
				if !errors.As(err, &left) || len(left.Holders) != 1 || left.Holders[0].Owner != "Backup" || !left.Holders[0].Tx {
					t.Errorf("Shutdown: %v", err)
				}
			}
			return nil
		}}
		if err := p.Backup(ctx, path); !errors.Is(err, pool.ErrClosed) || !during {
			t.Errorf("the backup: %v, Shutdown during it: %v", err, during)
		}
	})
	if left := namesIn(t, dir); len(left) != 0 {
		t.Errorf("the backup leaves %q", left)
	}
}

// TestBackupRefusesAnotherVFS checks that another VFS is refused. It may encrypt the database,
// and a copy in a plain file would not be encrypted.
func TestBackupRefusesAnotherVFS(t *testing.T) {
	vfs.Register("pool-test-backup", vfs.Find("os"))
	t.Cleanup(func() { vfs.Unregister("pool-test-backup") }) // after the pool is closed
	cfg := fileConfig(t)
	cfg.Path = "file:" + filepath.ToSlash(cfg.Path) + "?vfs=pool-test-backup"
	p := openOwn(t, cfg)
	dir := t.TempDir()
	if err := p.Backup(t.Context(), filepath.Join(dir, "copy.db")); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if left := namesIn(t, dir); len(left) != 0 {
		t.Errorf("the backup leaves %q", left)
	}
}

// TestBackupCostsNoReaders checks that a backup opens a connection beyond those of the readers
// and closes none of theirs.
func TestBackupCostsNoReaders(t *testing.T) {
	p, l := pooled(t, pool.Config{MaxConns: 2})
	must(t, p.DB(), "CREATE TABLE t(a)")
	must(t, p.DB(), "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM c WHERE n < 4000) INSERT INTO t SELECT randomblob(2000) FROM c")
	done := make(chan error, 1)
	path := t.TempDir() + "/copy.db"
	go func() { done <- p.Backup(context.Background(), path) }()
	for {
		select {
		case err := <-done:
			if n := l.closedFor(driver.ReasonShrunk); err != nil || n > 0 {
				t.Errorf("%v; %d readers were closed", err, n)
			}
			return
		default:
			if err := p.DB().QueryRow("SELECT 1").Scan(new(int)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
