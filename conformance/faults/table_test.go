//go:build unix

package faults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// preciousRows is the number of rows in a spare database's own table.
const preciousRows = 50

// A table is what a game is played on: a database, and the files that may replace it.
type table struct {
	*scene
	shop *shop
	base string              // leaks of the player are searched below it
	path string              // of the database, as the player spells it
	kept map[string]*os.File // the original files, by their endings

	other  *other  // the other process
	others []int64 // ids whose commit it has confirmed

	mu   sync.Mutex
	away map[string]bool // names that must not be created; whether one was
	same map[string][32]byte

	done chan struct{}
	wg   sync.WaitGroup
}

// newTable creates the directories.
func newTable(s *scene, sh *shop, linked bool) *table {
	tb := &table{scene: s, shop: sh, base: s.TempDir(), kept: map[string]*os.File{}, away: map[string]bool{}, same: map[string][32]byte{}, done: make(chan struct{})}
	dir := filepath.Join(tb.base, "data")
	if linked {
		if err := os.Symlink(tb.dirOf("first"), dir); err != nil {
			s.Fatal(err)
		}
	} else {
		tb.dirOf("data")
	}
	tb.path = filepath.Join(dir, "app.db")
	return tb
}

// dirOf creates a directory.
func (tb *table) dirOf(name string) string {
	dir := filepath.Join(tb.base, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// hold opens the original files, so that they can be read when their names are gone. A second
// name would do as well, but then a file that was removed would still have a name. This process
// has no locks that closing the descriptors could release.
func (tb *table) hold() {
	for _, ending := range []string{"", "-wal"} {
		f, err := os.Open(tb.path + ending)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			tb.Fatal(err)
		}
		tb.kept[ending] = f
		tb.Cleanup(func() { f.Close() })
	}
}

// spare creates a file that may replace another, and returns its name.
func (tb *table) spare(name string) string {
	to := filepath.Join(tb.dirOf("spare"), name)
	kind := "spare.db" + endingOf(name)
	if name == "pair.db" {
		kind = "pair.db"
	}
	if err := copyFile(to, filepath.Join(tb.shop.dir, kind)); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(to, 0o666); err != nil { // for any user
		tb.Fatal(err)
	}
	return to
}

func endingOf(name string) string {
	if i := strings.LastIndex(name, ".db-"); i >= 0 {
		return name[i+len(".db"):]
	}
	return ""
}

// A shop has what all tables of a test share.
type shop struct {
	dir string // with the spare files
	exe func() (string, error)
}

// newShop creates the spare files. spare.db is a database with a WAL and a wal-index of another
// database. pair.db is the database to which that WAL belongs.
func newShop(t testing.TB) *shop {
	t.Helper()
	sh := &shop{dir: t.TempDir()}
	sh.exe = sync.OnceValues(func() (string, error) { return copyExecutable(sh.dir) })
	// Other users use these directories, too.
	for _, dir := range []string{sh.dir, filepath.Dir(sh.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	live := filepath.Join(sh.dir, "live.db")
	h, err := openHandle(ctx, doorPlain, live, pool.Config{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		if _, err := h.db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	copyTo := func(name, from string) {
		if err := copyFile(filepath.Join(sh.dir, name), from); err != nil {
			t.Fatal(err)
		}
	}
	const half = "INSERT INTO precious WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT hex(randomblob(300)) FROM c"
	exec("CREATE TABLE precious(a)")
	exec(schema)
	exec(half, preciousRows/2)
	exec("PRAGMA wal_checkpoint(TRUNCATE)")
	exec(half, preciousRows/2)
	copyTo("pair.db", live)
	copyTo("spare.db-wal", live+"-wal")
	copyTo("spare.db-shm", live+"-shm")
	if err := h.close(ctx); err != nil {
		t.Fatal(err)
	}
	copyTo("spare.db", live)
	return sh
}

// copyExecutable makes a copy of this binary that any user may execute. Another process makes
// the copy. If this process did, a process started during the copying would inherit the
// descriptor that is open for writing, and the copy could not be executed then.
func copyExecutable(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "faults.test")
	err = exec.Command("cp", self, to).Run()
	return to, errors.Join(err, os.Chmod(to, 0o755))
}

// replace moves a file to the place of another. From then on it must not change.
func (tb *table) replace(name, by string) error {
	if err := os.Rename(by, name); err != nil {
		return err
	}
	tb.staysSame(name)
	return nil
}

// relink points the symbolic link of the database's directory to dir.
func (tb *table) relink(dir string) error {
	link := filepath.Join(tb.base, "link")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	return os.Rename(link, filepath.Dir(tb.path))
}

// staysSame registers a file that must have the same bytes at the end as now.
func (tb *table) staysSame(name string) {
	sum, err := sumOf(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.same[name] = sum
}

func sumOf(name string) ([32]byte, error) {
	b, err := os.ReadFile(name)
	return sha256.Sum256(b), err
}

// staysAway registers names that must not be created after the end of the act.
func (tb *table) staysAway(names ...string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, name := range names {
		tb.away[name] = false
	}
}

// watch checks, until unwatch, that the registered names are not created.
func (tb *table) watch() {
	tb.wg.Go(func() {
		for {
			tb.mu.Lock()
			for name, found := range tb.away {
				if info, err := os.Lstat(name); err == nil && !found {
					tb.away[name] = true
					tb.Errorf("(c) %s was created (%d bytes)", filepath.Base(name), info.Size())
				}
			}
			tb.mu.Unlock()
			select {
			case <-tb.done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

// unwatch ends watch, and checks the files that must not change.
func (tb *table) unwatch() {
	close(tb.done)
	tb.wg.Wait()
	for name, want := range tb.same {
		switch got, err := sumOf(name); {
		case errors.Is(err, fs.ErrNotExist):
			tb.Errorf("(c) the replacement, %s, is gone", filepath.Base(name))
		case err != nil:
			tb.Error(err)
		case got != want:
			tb.Errorf("(c) the replacement, %s, has changed", filepath.Base(name))
		}
	}
}

// first reads the original files.
func (tb *table) first(ids []int64) (map[int64]bool, error) {
	dir, err := os.MkdirTemp(tb.base, "first")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db := filepath.Join(dir, "first.db")
	for ending, f := range tb.kept {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		out, err := os.Create(db + ending)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(out, io.NewSectionReader(f, 0, info.Size()))
		if err := errors.Join(err, out.Close()); err != nil {
			return nil, err
		}
	}
	return tb.read(db, db+"-wal", ids)
}

// now reads the database that has the name now. It does not use another database's WAL.
func (tb *table) now(ids []int64) (map[int64]bool, error) {
	db, err := filepath.EvalSymlinks(tb.path) // as SQLite does
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	wal := db + "-wal"
	if tb.isFirst("", db) && tb.foreign(wal) || !tb.isFirst("", db) && tb.isFirst("-wal", wal) {
		wal = ""
	}
	return tb.read(db, wal, ids)
}

// isFirst reports whether name is the original file with that ending.
func (tb *table) isFirst(ending, name string) bool {
	f := tb.kept[ending]
	if f == nil {
		return false
	}
	kept, err := f.Stat()
	info, statErr := os.Stat(name)
	return err == nil && statErr == nil && os.SameFile(info, kept)
}

// foreign reports whether a WAL is the one with which games replace others.
func (tb *table) foreign(wal string) bool {
	got, err := sumOf(wal)
	spare, spareErr := sumOf(filepath.Join(tb.shop.dir, "spare.db-wal"))
	return err == nil && spareErr == nil && got == spare
}

// read reads a copy of a database with the plain driver: all its ids, or, if it is damaged,
// those of ids that can be read.
func (tb *table) read(db, wal string, ids []int64) (map[int64]bool, error) {
	dir, err := os.MkdirTemp(tb.base, "read")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "copy.db")
	if err := copyFile(copied, db); err != nil {
		return nil, err
	}
	if wal != "" {
		if err := copyFile(copied+"-wal", wal); err != nil {
			return nil, err
		}
	}
	got, err := readBack(copied)
	switch {
	case noDatabase(err):
		return nil, nil
	case err == nil && len(got.broken) == 0 && len(got.partial) == 0:
		return got.ids, nil
	case err == nil:
		err = fmt.Errorf("integrity_check: %v; incomplete transactions: %v", got.broken, firsts(got.partial))
	}
	there := map[int64]bool{}
	h, openErr := openHandle(context.Background(), doorPlain, copied, pool.Config{MaxConns: 1})
	if openErr != nil {
		return nil, err
	}
	defer h.close(context.Background())
	for _, id := range ids {
		var n int
		if h.db.QueryRow("SELECT count(*) FROM t WHERE id = ?", id).Scan(&n) == nil && n > 0 {
			there[id] = true
		}
	}
	return there, err
}

// commitOther lets the other process, which has begun a transaction, write, wait, and commit.
// With stopped, the process is stopped during the wait.
func (tb *table) commitOther(stopped bool) (undo func(), err error) {
	const id = siblingFirst
	if _, err := tb.other.do(fmt.Sprintf("INSERT INTO t(id, part, parts, body) VALUES (%d, 0, 1, NULL)", id)); err != nil {
		return nil, err
	}
	if stopped {
		err = tb.other.pause()
	}
	return func() {
		if stopped {
			tb.other.resume()
		}
		if _, err := tb.other.do("COMMIT"); err == nil {
			tb.others = append(tb.others, id)
		}
	}, err
}

// try executes a statement that may fail, for example because the database is locked.
func (o *other) try(query string) { _, _ = o.do(query) }

// copyFile copies a file if it exists.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
