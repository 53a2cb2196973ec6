package driver_test

import (
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A game is something that happens to the files of an open database.
type game struct {
	name string
	wal  bool // it needs a WAL
	play func(dir string) error
	says string // the error's file and change
}

var games = []game{
	{"the database is removed", false, func(dir string) error { return os.Remove(dir + "/a.db") }, `a.db" was removed`},
	{"the database is replaced", false, func(dir string) error { return replace(dir, "a.db") }, `a.db" was replaced`},
	{"the database is emptied", false, func(dir string) error { return os.Truncate(dir+"/a.db", 0) }, `a.db" was emptied`},
	{"the database is renamed", false, func(dir string) error { return os.Rename(dir+"/a.db", dir+"/b.db") }, `a.db" was removed`},
	{"the directory is renamed", false, func(dir string) error { return os.Rename(dir, dir+"2") }, `a.db" was removed`},
	{"a file is where the directory was", false, func(dir string) error {
		return errors.Join(os.Rename(dir, dir+"2"), os.WriteFile(dir, nil, 0o600))
	}, `a.db" was removed`},
	{"the WAL is removed", true, func(dir string) error { return os.Remove(dir + "/a.db-wal") }, `a.db-wal" was removed`},
	{"the WAL is replaced", true, func(dir string) error { return replace(dir, "a.db-wal") }, `a.db-wal" was replaced`},
	{"the WAL's index is removed", true, func(dir string) error { return os.Remove(dir + "/a.db-shm") }, `a.db-shm" was removed`},
	{"the WAL's index is replaced", true, func(dir string) error { return replace(dir, "a.db-shm") }, `a.db-shm" was replaced`},
}

// replace replaces a file by a copy of itself.
func replace(dir, name string) error {
	from, err := os.Open(dir + "/" + name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(dir + "/copy")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), os.Rename(dir+"/copy", dir+"/"+name))
}

// After one connection has noticed the loss, every call on every connection to the file
// fails, and no file is created in its place. After all are closed, the database can be
// reopened immediately.
func TestEveryCallOfALostFileFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of files that are open")
	}
	for _, mode := range []string{"wal", "delete"} {
		for _, g := range games {
			if g.wal && mode != "wal" {
				continue
			}
			t.Run(mode+", "+g.name, func(t *testing.T) {
				dir := t.TempDir() + "/in"
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				dsn := "file:" + filepath.ToSlash(dir) + "/a.db?_pragma=busy_timeout(5000)&_txlock=deferred&_pragma=journal_mode(" + mode + ")"
				db, other := open(t, dsn, driver.Config{}), open(t, dsn, driver.Config{})
				exec(t, db, "CREATE TABLE t(a)")
				exec(t, db, "INSERT INTO t VALUES (1)")
				conn, err := other.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				exec(t, execer{conn}, "SELECT count(*) FROM t")
				tx, err := conn.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				prepared, err := db.Prepare("INSERT INTO t VALUES (2)")
				if err != nil {
					t.Fatal(err)
				}
				before := names(t, dir)
				if err := g.play(dir); err != nil {
					t.Fatal(err)
				}
				after := names(t, dir)

				err = db.Ping()
				if !errors.Is(err, driver.ErrFileLost) || !strings.Contains(err.Error(), g.says) {
					t.Errorf("ping says %v, not that %s", err, g.says)
				}
				_, execErr := db.Exec("INSERT INTO t VALUES (3)")
				_, queryErr := db.Query("SELECT a FROM t")
				_, returningErr := db.Query("INSERT INTO t VALUES (3) RETURNING a")
				_, prepareErr := db.Prepare("SELECT 1")
				_, preparedErr := prepared.Exec()
				_, beginErr := db.Begin()
				_, txErr := tx.Exec("INSERT INTO t VALUES (4)")
				for call, err := range map[string]error{
					"Exec": execErr, "Query": queryErr, "a query that writes": returningErr, "Prepare": prepareErr, "a prepared statement": preparedErr, "Begin": beginErr,
					"a call of a transaction of another database": txErr, "its commit": tx.Commit(), "Conn": new(connecting).err(t, db),
				} {
					if !errors.Is(err, driver.ErrFileLost) || !errors.Is(err, sqlite3.READONLY_DBMOVED) {
						t.Errorf("%s: %v", call, err)
					}
				}
				for _, name := range strings.Fields(names(t, dir)) {
					if !strings.Contains(" "+after+" ", " "+name+" ") {
						t.Errorf("the files were %q, then %q, and now there is %s", before, after, name)
					}
				}
				prepared.Close()
				conn.Close()
				db.Close()
				other.Close()

				if _, err := os.Stat(dir); err != nil || strings.Contains(g.name, "where the directory was") {
					return // the directory is missing
				}
				again := open(t, dsn, driver.Config{})
				exec(t, again, "CREATE TABLE IF NOT EXISTS t(a)")
				exec(t, again, "INSERT INTO t VALUES (5)")
				if got := value[string](t, again, "PRAGMA integrity_check"); got != "ok" {
					t.Errorf("opened anew, it is %s", got)
				}
				if g.wal && value[int](t, again, "SELECT count(*) FROM t WHERE a = 1") != 1 {
					t.Error("what was in the WAL when it was lost is gone, though the connections had it")
				}
			})
		}
	}
}

// connecting opens connections until one is new.
type connecting struct{}

func (connecting) err(t *testing.T, db *sql.DB) error {
	for range 3 {
		c, err := db.Conn(t.Context())
		if err != nil {
			return err
		}
		_, err = c.ExecContext(t.Context(), "SELECT 1")
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func names(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "not a directory") {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "a.db-journal" { // of the transaction, which has ended
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// The WAL of a lost database does not overwrite the database that has taken its place.
// Neither this package nor any other process writes it there.
func TestAReplacedDatabaseIsLeftAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of files that are open")
	}
	for _, keep := range []bool{false, true} {
		dir := filepath.ToSlash(t.TempDir())
		db := open(t, "file:"+dir+"/a.db?_pragma=journal_mode(wal)", driver.Config{})
		exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
		restored, err := sql.Open("sqlite3", "file:"+dir+"/new.db")
		if err != nil {
			t.Fatal(err)
		}
		exec(t, restored, "CREATE TABLE precious(a); INSERT INTO precious VALUES (7)")
		restored.Close()
		if keep {
			err = os.Rename(dir+"/a.db", dir+"/old.db")
		}
		if err := errors.Join(err, os.Rename(dir+"/new.db", dir+"/a.db")); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(dir + "/a.db")
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); !errors.Is(err, driver.ErrFileLost) {
			t.Errorf("ping says %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(dir + "/a.db"); err != nil || string(got) != string(want) {
			t.Errorf("the new file has been written: %v", err)
		}
		wantNames := "a.db"
		if keep {
			wantNames = "a.db old.db"
			old, err := sql.Open("sqlite3", "file:"+dir+"/old.db")
			if err != nil {
				t.Fatal(err)
			}
			if got := value[int](t, old, "SELECT a FROM t"); got != 1 {
				t.Errorf("in the old file is %d", got)
			}
			old.Close()
		}
		if got := names(t, dir); got != wantNames {
			t.Errorf("left are %q, want %q", got, wantNames)
		}
		plain, err := sql.Open("sqlite3", "file:"+dir+"/a.db")
		if err != nil {
			t.Fatal(err)
		}
		if got := value[int](t, plain, "SELECT a FROM precious"); got != 7 {
			t.Errorf("in the new file is %d", got)
		}
		plain.Close()
	}
}

// A database that was moved while open is complete after it is closed, unless another
// process has it open. Then its WAL is kept.
func TestAMovedDatabaseIsComplete(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of files that are open")
	}
	for _, busy := range []bool{false, true} {
		for _, taken := range []bool{false, true} {
			dir := filepath.ToSlash(t.TempDir())
			db := open(t, "file:"+dir+"/a.db?_pragma=journal_mode(wal)", driver.Config{})
			exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			if err := os.Rename(dir+"/a.db", dir+"/b.db"); err != nil {
				t.Fatal(err)
			}
			if taken {
				if err := os.WriteFile(dir+"/a.db", nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var plain *sql.DB
			if busy {
				var err error
				if plain, err = sql.Open("sqlite3", "file:"+dir+"/b.db?_pragma=busy_timeout(0)"); err != nil {
					t.Fatal(err)
				}
				plain.SetMaxOpenConns(1)
				exec(t, plain, "SELECT * FROM sqlite_schema")
			}
			if err := db.Ping(); !errors.Is(err, driver.ErrFileLost) {
				t.Errorf("ping says %v", err)
			}
			db.Close()
			switch got := names(t, dir); {
			case !busy && !taken && got != "b.db", !busy && taken && got != "a.db b.db",
				busy && !strings.Contains(got, "a.db-wal-lost1"):
				t.Errorf("busy %v, taken %v: left is %q", busy, taken, got)
			}
			if busy {
				plain.Close()
				continue
			}
			again := open(t, "file:"+dir+"/b.db", driver.Config{})
			if got := value[int](t, again, "SELECT a FROM t"); got != 1 {
				t.Errorf("taken %v: in the moved file is %d", taken, got)
			}
		}
	}
}

// The identity of a database comes from SQLite's handle, so it does not matter when the
// file is replaced.
func TestFileExchangedWhileItIsOpened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of files that are open")
	}
	path := filepath.ToSlash(t.TempDir()) + "/a.db"
	again := false
	db := open(t, "file:"+path+"?_pragma=journal_mode(wal)", driver.Config{Init: func(*sqlite3.Conn) error {
		if again {
			return nil
		}
		again = true
		return errors.Join(os.Remove(path), os.Remove(path+"-wal"), os.Remove(path+"-shm"), os.WriteFile(path, nil, 0o600))
	}})
	if _, err := db.Exec("CREATE TABLE t(a)"); !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("a write into the file that is gone: %v", err)
	}
	exec(t, db, "CREATE TABLE t(a)") // no connection was ever open to the first file
}

// A file removed while no connection was open may be replaced by one with the same inode
// number.
func TestInodeUsedAgain(t *testing.T) {
	path := filepath.ToSlash(t.TempDir()) + "/a.db"
	db := open(t, "file:"+path, driver.Config{})
	db.SetMaxIdleConns(-1)
	exec(t, db, "CREATE TABLE t(a)")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE u(a)"); !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("a removed file is made again: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file again")
	}
}

func TestReplacedBetweenConnections(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	db := open(t, "file:"+dir+"/a.db", driver.Config{})
	db.SetMaxIdleConns(-1)
	exec(t, db, "CREATE TABLE t(a)")
	content, err := os.ReadFile(dir + "/a.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(dir+"/a.db"), os.WriteFile(dir+"/a.db", content, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); runtime.GOOS == "linux" && !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("a write into a file that another has put there: %v", err)
	}
}

// If a symbolic link or the working directory changes, no connection opens another file.
func TestNameThatLeadsElsewhere(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links want a privilege there")
	}
	dir := t.TempDir()
	for _, sub := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	t.Run("symbolic link", func(t *testing.T) {
		db := open(t, "file:"+filepath.ToSlash(link)+"/a.db?_pragma=journal_mode(wal)", driver.Config{})
		exec(t, db, "CREATE TABLE t(a)")
		if err := errors.Join(os.Remove(link), os.Symlink("two", link)); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); !errors.Is(err, driver.ErrFileLost) {
			t.Errorf("ping says %v", err)
		}
		if _, err := db.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, driver.ErrFileLost) {
			t.Errorf("a write: %v", err)
		}
		if got := names(t, filepath.Join(dir, "two")); got != "" {
			t.Errorf("in the other directory there is now %q", got)
		}
	})
	t.Run("working directory", func(t *testing.T) {
		t.Chdir(filepath.Join(dir, "one"))
		db := open(t, "file:b.db", driver.Config{})
		db.SetMaxIdleConns(-1)
		exec(t, db, "CREATE TABLE t(a)")
		t.Chdir(filepath.Join(dir, "two"))
		exec(t, db, "INSERT INTO t VALUES (1)")
		if got := names(t, filepath.Join(dir, "two")); got != "" {
			t.Errorf("in the other directory there is now %q", got)
		}
	})
}

// Two hard links to one file would have two WALs.
func TestHardLink(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	db := open(t, "file:"+dir+"/a.db", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	if err := os.Link(dir+"/a.db", dir+"/b.db"); err != nil {
		t.Skip(err)
	}
	other := open(t, "file:"+dir+"/b.db", driver.Config{})
	var names *driver.OtherNameError
	err := other.Ping()
	if !errors.As(err, &names) || !errors.Is(err, sqlite3.CANTOPEN) || !strings.Contains(err.Error(), dir+"/a.db") || !strings.Contains(err.Error(), dir+"/b.db") {
		if runtime.GOOS != "windows" {
			t.Errorf("opened by another name: %v", err)
		}
	}
	exec(t, db, "INSERT INTO t VALUES (1)")
	db.Close()
	if err := other.Ping(); err != nil {
		t.Errorf("once the first is closed: %v", err)
	}
}

// Changing the journal mode removes the WAL, which is no loss.
func TestWALThatIsLeftIsNotLost(t *testing.T) {
	path := filepath.ToSlash(t.TempDir()) + "/a.db"
	db := open(t, "file:"+path+"?_pragma=journal_mode(wal)", driver.Config{})
	db.SetMaxOpenConns(1)
	for _, mode := range []string{"delete", "wal", "memory", "wal", "off", "truncate", "wal"} {
		exec(t, db, "CREATE TABLE IF NOT EXISTS t(a)")
		exec(t, db, "INSERT INTO t VALUES (1)")
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		if got := value[string](t, db, "PRAGMA Journal_Mode = "+mode); got != mode {
			t.Fatalf("the mode is %s", got)
		}
		if err := db.Ping(); err != nil {
			t.Errorf("in mode %s: %v", mode, err)
		}
		exec(t, db, "INSERT INTO t VALUES (1)")
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw(t, conn, func(c *sqlite3.Conn) {
			if err := c.Exec("PRAGMA journal_mode=delete; PRAGMA journal_mode=wal"); err != nil {
				t.Error(err)
			}
		})
		conn.Close()
		if err := db.Ping(); err != nil {
			t.Errorf("after Raw: %v", err)
		}
	}
}

// A file that cannot be checked is not lost, and Ping returns the reason.
func TestFileThatCannotBeLookedAt(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Skip("permissions hold nobody off here")
	}
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db := open(t, "file:"+filepath.ToSlash(dir)+"/a.db", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := db.Ping(); errors.Is(err, driver.ErrFileLost) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("ping says %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO t VALUES (1)")
}

// An index that is cut short while a connection opens is noticed before the connection reads.
// By reading, it would make the index as long as before, with pages missing.
func TestIndexCutShortDuringOpen(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not cut short files that are mapped")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.db")
	db := open(t, "file:"+path+"?_pragma=journal_mode(wal)", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := held.PingContext(t.Context()); err != nil { // notes the WAL and its index
		t.Fatal(err)
	}
	var armed atomic.Bool
	armed.Store(true)
	sqlite3.AutoExtension(func(conn *sqlite3.Conn) error {
		if conn.Filename("main").String() != path || !armed.CompareAndSwap(true, false) {
			return nil
		}
		info, err := os.Stat(path + "-shm")
		if err != nil {
			return err
		}
		return os.Truncate(path+"-shm", info.Size()/2)
	})
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, driver.ErrFileLost) || !strings.Contains(err.Error(), `a.db-shm" was truncated`) {
		t.Errorf("a second connection: %v", err)
	}
	if armed.Load() {
		t.Error("no second connection was opened")
	}
}
