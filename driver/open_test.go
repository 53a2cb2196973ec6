package driver_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/ioutil"
	"github.com/ncruces/go-sqlite3/vfs/readervfs"

	"github.com/sqlitemw/sqlitemw/driver"
)

// An unusable database fails to open with a clear error. It leaves no connection and no
// file open.
func TestOpenFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(t *testing.T, dir string) (dsn string)
		is    error
		says  string
	}{
		{"a directory", func(t *testing.T, dir string) string {
			return "file:" + dir
		}, sqlite3.CANTOPEN, "is a directory"},
		{"no such directory", func(t *testing.T, dir string) string {
			return "file:" + dir + "/no/such.db"
		}, sqlite3.CANTOPEN, "no such file"},
		{"no such file, mode=rw", func(t *testing.T, dir string) string {
			return "file:" + dir + "/none.db?mode=rw"
		}, sqlite3.CANTOPEN, "no such file"},
		{"no such file, mode=ro", func(t *testing.T, dir string) string {
			return "file:" + dir + "/none.db?mode=ro"
		}, sqlite3.CANTOPEN, "no such file"},
		{"no database", func(t *testing.T, dir string) string {
			write(t, dir+"/text.db", strings.Repeat("this is no database\n", 99))
			return "file:" + dir + "/text.db"
		}, sqlite3.NOTADB, "not a database"},
		{"no database, by its name", func(t *testing.T, dir string) string {
			write(t, dir+"/text.db", strings.Repeat("this is no database\n", 99))
			return dir + "/text.db"
		}, sqlite3.NOTADB, "not a database"},
		{"no database, with a pragma that reads it", func(t *testing.T, dir string) string {
			write(t, dir+"/text.db", strings.Repeat("this is no database\n", 99))
			return "file:" + dir + "/text.db?_pragma=journal_mode(wal)"
		}, sqlite3.NOTADB, "journal_mode"},
		{"can only be read, mode=rw", func(t *testing.T, dir string) string {
			return readerDSN(t, dir) + "&mode=rw"
		}, sqlite3.READONLY, "mode=ro"},
		{"can only be read, to be written by a pragma", func(t *testing.T, dir string) string {
			return readerDSN(t, dir) + "&_pragma=user_version(5)"
		}, sqlite3.READONLY, "user_version"},
		{"can only be read, to be WAL", func(t *testing.T, dir string) string {
			return readerDSN(t, dir) + "&_pragma=journal_mode(wal)"
		}, nil, "journal_mode"},
		{"no such vfs", func(t *testing.T, dir string) string {
			return "file:" + dir + "/a.db?vfs=nope"
		}, sqlite3.ERROR, "no such vfs"},
		{"no such mode", func(t *testing.T, dir string) string {
			return "file:" + dir + "/a.db?mode=rx&mode=rw"
		}, sqlite3.ERROR, `no such access mode: "rx": use ro, rw`},
		{"no such cache", func(t *testing.T, dir string) string {
			return "file:" + dir + "/a.db?cache="
		}, driver.ErrDSN, `no such cache mode: ""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			dsn := tc.setup(t, dir)
			var log eventLog
			db := open(t, dsn, driver.Config{Recorder: &log})
			err := db.PingContext(t.Context())
			if err == nil {
				t.Fatal("it opened")
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v is no %v", err, tc.is)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			var openErr *driver.OpenError
			if path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?"); !errors.As(err, &openErr) || openErr.File != path {
				t.Errorf("%q does not name the file", err)
			}
			if n := db.Stats().OpenConnections; n != 0 {
				t.Errorf("%d connections are left", n)
			}
			if files := openFiles(t, dir); len(files) > 0 {
				t.Errorf("files are left open: %v", files)
			}
			if len(log.events) != 1 || log.events[0].Kind != driver.KindConnect || log.events[0].Err == "" || log.events[0].Conn != 0 {
				t.Errorf("events: %+v", log.events)
			}
		})
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readerDSN returns the DSN of a database that cannot be written.
func readerDSN(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "reader.db")
	db := open(t, name, driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	db.Close()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	readervfs.Create("reader.db", ioutil.NewSizeReaderAt(bytes.NewReader(content)))
	t.Cleanup(func() { readervfs.Delete("reader.db") })
	return "file:reader.db?vfs=reader"
}

// A file without write permission opens read-only, if the DSN says so. The test needs a
// user to whom permissions apply.
func TestOpenFileWithoutWritePermission(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs Unix permissions")
	}
	if dir := os.Getenv("SQLITEMW_TEST_READONLY"); dir != "" {
		testReadOnly(t, dir)
		return
	}
	dir, err := os.MkdirTemp("", "readonly") // open to other users, unlike t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	db := open(t, dir+"/a.db", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	db.Close()
	self, err := os.ReadFile(must(t, os.Executable))
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o555, "a.db": 0o444} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "self.test")
	os.Chmod(dir, 0o755)
	if err := os.WriteFile(bin, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(bin, "-test.run=^TestOpenFileWithoutWritePermission$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SQLITEMW_TEST_READONLY="+dir, "TMPDIR="+dir)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = asNobody()
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestOpenFileWithoutWritePermission")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func testReadOnly(t *testing.T, dir string) {
	db := open(t, "file:"+dir+"/a.db?mode=ro", driver.Config{})
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write says %v", err)
	}
	db.Close()
	for _, dsn := range []string{dir + "/a.db", "file:" + dir + "/a.db", "file:" + dir + "/a.db?mode=rw", "file:" + dir + "/a.db?mode=rwc"} {
		err := open(t, dsn, driver.Config{}).Ping()
		if !errors.Is(err, sqlite3.CANTOPEN) || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s says %v", dsn, err)
		}
	}
	// As with the other drivers, and with SQLite's own VFS, the file can be read.
	for _, compat := range []driver.Compat{driver.CompatMattn, driver.CompatModernc} {
		for _, dsn := range []string{dir + "/a.db", "file:" + dir + "/a.db", "file:" + dir + "/a.db?mode=rwc"} {
			db := open(t, dsn, driver.Config{Compat: compat})
			db.SetMaxIdleConns(0) // each call opens a connection
			for range 2 {
				if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
					t.Errorf("%v %s: %d rows", compat, dsn, n)
				}
			}
			if _, err := db.Exec("INSERT INTO t VALUES (1)"); err == nil || !strings.Contains(err.Error(), "attempt to write a readonly database") {
				t.Errorf("%v %s: a write says %v", compat, dsn, err)
			}
			db.Close()
		}
	}
	if files := openFiles(t, dir+"/a.db"); len(files) > 0 {
		t.Errorf("left open: %v", files)
	}
}

func must(t *testing.T, f func() (string, error)) string {
	t.Helper()
	s, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A lock held by another connection does not prevent opening. As in the plain driver, the
// first call waits for it.
func TestOpenDoesNotWaitForALock(t *testing.T) {
	dsn := file(t)
	holder := open(t, dsn, driver.Config{})
	conn, err := holder.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the plain driver's timeout is a minute
	defer cancel()
	db := open(t, dsn, driver.Config{})
	other, err := db.Conn(ctx)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer other.Close()
	var timeout int
	if err := other.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != 60000 {
		t.Errorf("busy_timeout is %d afterwards, %v", timeout, err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
}

// With an ended context, nothing is opened, and the context's error is returned.
func TestOpenContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := driver.NewConnector(file(t), driver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Connect(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// Driver works without a connector of its own, and under another name.
func TestDriverOpen(t *testing.T) {
	d := &driver.Driver{Config: driver.Config{Pragmas: []driver.Pragma{{Name: "user_version", Value: "4"}}}}
	conn, err := d.Open(file(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Open("file:a.db?_nope=1"); !errors.Is(err, driver.ErrDSN) {
		t.Errorf("got %v", err)
	}
	name := "sqlitemw-" + rand.Text() // a name cannot be unregistered
	sql.Register(name, d)
	db, err := sql.Open(name, file(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n := value[int](t, db, "PRAGMA user_version"); n != 4 {
		t.Errorf("user_version is %d", n)
	}
	if driver.ConnectorOf(db) == nil {
		t.Error("it has no connector")
	}
}

// A read-only database in WAL mode without a -shm fails with an error that says what to do.
// If it can be read without a -shm, it opens as usual.
func TestReadOnlyWALSaysWhatItNeeds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, "file:"+filepath.ToSlash(path)+"?_pragma=journal_mode(wal)", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+"-shm", 0o700); err != nil { // nobody can write to a directory, whatever their permissions
		t.Fatal(err)
	}
	for _, params := range []string{"mode=ro", "mode=ro&_pragma=query_only(1)", "mode=ro&_pragma=synchronous(full)"} {
		db := open(t, "file:"+filepath.ToSlash(path)+"?"+params, driver.Config{})
		err := db.Ping()
		var openErr *driver.OpenError
		if !errors.As(err, &openErr) || !strings.Contains(err.Error(), "immutable=1") || strings.Contains(err.Error(), "asked for") {
			t.Errorf("%s: %v", params, err)
		}
		if code, _, ok := driver.Code(err); !ok || code != int(sqlite3.CANTOPEN) && code != int(sqlite3.READONLY) && code != int(sqlite3.IOERR) {
			t.Errorf("%s: the code is %d, %v", params, code, ok)
		}
	}
	db = open(t, "file:"+filepath.ToSlash(path)+"?immutable=1", driver.Config{})
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Code finds SQLite's codes, whatever wraps the error.
func TestCode(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	exec(t, db, "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
	_, failure := db.Exec("INSERT INTO t VALUES (?)", 1)
	_, syntax := db.Exec("no SQL")
	for _, c := range []struct {
		err            error
		code, extended int
		ok             bool
	}{
		{failure, 19, 2067, true},
		{fmt.Errorf("wrapped: %w", errors.Join(errors.New("other"), failure)), 19, 2067, true},
		{syntax, 1, 1, true},
		{sqlite3.BUSY, 5, 5, true},
		{driver.ErrFileLost, 8, 1032, true},
		{errors.New("other"), 0, 0, false},
		{nil, 0, 0, false},
	} {
		if code, extended, ok := driver.Code(c.err); code != c.code || extended != c.extended || ok != c.ok {
			t.Errorf("%v: %d, %d, %v, want %d, %d, %v", c.err, code, extended, ok, c.code, c.extended, c.ok)
		}
	}
}
