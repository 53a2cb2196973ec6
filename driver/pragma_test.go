package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A pragma without effect fails the connection. The error names the pragma, the requested
// value, the actual value, and the remedy.
func TestPragmaWithoutEffectFailsTheOpen(t *testing.T) {
	for _, tc := range []struct {
		dsn        string
		want       driver.PragmaError
		hint, says string
	}{
		{dsn: "file::memory:?_pragma=foregn_keys(1)", want: driver.PragmaError{Name: "foregn_keys", Want: "..."}, hint: "did you mean foreign_keys?"},
		{dsn: "file::memory:?_pragma=nonsense", want: driver.PragmaError{Name: "nonsense"}, hint: "does not know"},
		{dsn: "file::memory:?_pragma=page_size(1000)", want: driver.PragmaError{Name: "page_size", Want: "1000", Got: "4096"}},
		{dsn: "file::memory:?_pragma=hexkey('00')", want: driver.PragmaError{Name: "hexkey", Want: "..."}, hint: "vfs=adiantum"},
		{dsn: "file::memory:?_pragma=nope.cache_size(5)", want: driver.PragmaError{Name: "nope.cache_size", Want: "5"}, says: "SQL logic error"},
	} {
		t.Run(tc.dsn, func(t *testing.T) {
			db := open(t, tc.dsn, driver.Config{})
			var got *driver.PragmaError
			if err := db.Ping(); !errors.As(err, &got) {
				t.Fatalf("got %v, want a PragmaError", err)
			}
			if got.Name != tc.want.Name || got.Want != tc.want.Want || got.Got != tc.want.Got {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
			for _, s := range []string{tc.want.Name, tc.want.Want, tc.want.Got, tc.hint, tc.says} {
				if !strings.Contains(got.Error(), s) {
					t.Errorf("%q does not say %q", got, s)
				}
			}
		})
	}
}

// If SQLite documents that a pragma may have another value than requested, there is an
// event and a log line, and no failure.
func TestPragmaThatMayDiffer(t *testing.T) {
	for _, pragma := range []string{"journal_mode(wal)", "mmap_size(4096)", "threads(2)"} {
		t.Run(pragma, func(t *testing.T) {
			l := &warnings{}
			db := open(t, "file::memory:?_pragma="+pragma, driver.Config{Recorder: l, Logger: slog.New(l)})
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			l.want(t, driver.ReasonPragma, pragma[:strings.Index(pragma, "(")])
		})
	}
}

// Every pragma that can be set accepts each of its values, which is then in force.
func TestPragmaValues(t *testing.T) {
	for _, tc := range []struct{ pragma, read string }{
		{"analysis_limit(7)", "7"},
		{"application_id(0x10)", "16"},
		{"auto_vacuum(full)", "1"},
		{"auto_vacuum=2", "2"},
		{"automatic_index(off)", "0"},
		{"busy_timeout(-5)", "0"},
		{"cache_size(-4000)", "-4000"},
		{"cache_spill(off)", "0"},
		{"cell_size_check(TRUE)", "1"},
		{"checkpoint_fullfsync(2)", "1"},
		{"encoding('UTF-16')", "UTF-16le"},
		{"foreign_keys(no)", "0"},
		{"fullfsync(yes)", "1"},
		{"ignore_check_constraints(1)", "1"},
		{"journal_mode(Persist)", "persist"},
		{"journal_size_limit(-9)", "-1"},
		{"legacy_alter_table(on)", "1"},
		{"locking_mode(exclusive)", "exclusive"},
		{"max_page_count(99)", "99"},
		{"page_size(16384)", "16384"},
		{"read_uncommitted(1)", "1"},
		{"recursive_triggers(1)", "1"},
		{"reverse_unordered_selects(1)", "1"},
		{"secure_delete(fast)", "2"},
		{"synchronous(extra)", "3"},
		{"temp_store(memory)", "2"},
		{"trusted_schema(1)", "1"},
		{"user_version(77)", "77"},
		{"wal_autocheckpoint(-1)", "0"},
		{"writable_schema(on)", "1"},
		{"query_only(1)", "1"},
		{`synchronous("off")`, "0"},
		{"main.cache_size( 12 )", "12"},
	} {
		t.Run(tc.pragma, func(t *testing.T) {
			db := open(t, file(t, "_pragma="+tc.pragma), driver.Config{})
			name := tc.pragma[:strings.IndexAny(tc.pragma, "=(")]
			if got := value[string](t, db, "PRAGMA "+name); got != tc.read {
				t.Errorf("reads %q, want %q", got, tc.read)
			}
		})
	}

	db := open(t, file(t, "_pragma=case_sensitive_like(1)"), driver.Config{})
	if value[bool](t, db, "SELECT 'a' LIKE 'A'") {
		t.Error("case_sensitive_like is not in force")
	}
}

// With journal_mode before busy_timeout, most of these would fail.
func TestPragmasAreOrdered(t *testing.T) {
	dsn := file(t, "_pragma=journal_mode(wal)", "_pragma=synchronous(normal)", "_pragma=busy_timeout(120000)")
	var wg sync.WaitGroup
	errs := make(chan error, 40)
	for range cap(errs) {
		wg.Go(func() {
			db, err := sql.Open(driver.Name, dsn)
			if err == nil {
				err = db.Ping()
				db.Close()
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// The plain driver keeps the DSN's order, and the page size stays 4096.
func TestPragmasThatShapeTheFileComeFirst(t *testing.T) {
	db := open(t, file(t, "_pragma=journal_mode(wal)", "_pragma=auto_vacuum(full)", "_pragma=page_size(8192)"), driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	if n := value[int](t, db, "PRAGMA page_size"); n != 8192 {
		t.Errorf("page_size is %d", n)
	}
	if n := value[int](t, db, "PRAGMA auto_vacuum"); n != 1 {
		t.Errorf("auto_vacuum is %d", n)
	}
}

// query_only is set last. The plain driver knows it, so it survives a read-only
// transaction.
func TestQueryOnlyLastsAndIsLast(t *testing.T) {
	dsn := file(t)
	exec(t, open(t, dsn, driver.Config{}), "CREATE TABLE t(a)")
	for _, cfg := range []driver.Config{
		{},
		{Pragmas: []driver.Pragma{{Name: "query_only", Value: "on"}}},
	} {
		name := dsn
		if cfg.Pragmas == nil {
			name += "?_pragma=query_only(on)&_pragma=user_version(9)&_pragma=journal_mode(wal)"
		}
		db := open(t, name, cfg)
		db.SetMaxOpenConns(1)
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
			t.Errorf("after a read-only transaction, a write says %v", err)
		}
	}
}

// For the same pragma, the DSN takes precedence over Config, and the last one in the DSN
// over earlier ones. Pragmas in Config do not turn off the plain driver's busy timeout.
func TestPragmaPrecedence(t *testing.T) {
	cfg := driver.Config{Pragmas: []driver.Pragma{{Name: "cache_size", Value: "1"}, {Name: "FOREIGN_KEYS", Value: "off"}}}
	db := open(t, file(t), cfg)
	if n := value[int](t, db, "PRAGMA busy_timeout"); n != 60000 {
		t.Errorf("busy_timeout is %d", n)
	}
	if n := value[int](t, db, "PRAGMA foreign_keys"); n != 0 {
		t.Errorf("foreign_keys is %d", n)
	}
	db = open(t, file(t, "_pragma=cache_size(2)", "_pragma=Cache_Size(3)"), cfg)
	if n := value[int](t, db, "PRAGMA cache_size"); n != 3 {
		t.Errorf("cache_size is %d", n)
	}
	if n := value[int](t, db, "PRAGMA busy_timeout"); n != 0 {
		t.Errorf("busy_timeout is %d, and the plain driver's would be 0", n)
	}

	for _, p := range []driver.Pragma{{Name: "foreign_keys", Value: "maybe"}, {Name: "a b", Value: "1"}, {Name: "x;y", Value: ""}, {Name: "", Value: "1"}, {Name: "cache_size", Value: "1;2"}} {
		if _, err := driver.NewConnector("a.db", driver.Config{Pragmas: []driver.Pragma{p}}); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

// A value is never executed, whatever it looks like.
func TestPragmaValueIsNeverExecuted(t *testing.T) {
	dsn := file(t)
	db := open(t, dsn, driver.Config{Pragmas: []driver.Pragma{
		{Name: "optimize", Value: "1); CREATE TABLE pwn(a); --"},
		{Name: "quick_check", Value: "'); CREATE TABLE pwn(a); --"},
	}})
	db.Ping() // may fail
	db = open(t, dsn, driver.Config{})
	if n := value[int](t, db, "SELECT count(*) FROM sqlite_schema"); n != 0 {
		t.Error("a pragma's value was executed")
	}
}

// A VFS gets the key from the DSN or Config before anything is read. Its error for a wrong
// key is returned, and shows no key.
func TestKey(t *testing.T) {
	vfs.Register("locked", lockedVFS{vfs.Find("")})
	t.Cleanup(func() { vfs.Unregister("locked") })

	dsn := file(t, "vfs=locked")
	key := driver.Config{Pragmas: []driver.Pragma{{Name: "textkey", Value: "correct horse"}, {Name: "journal_mode", Value: "delete"}}}
	exec(t, open(t, dsn, key), "CREATE TABLE t(a)")
	exec(t, open(t, dsn+"&_pragma=cache_size(5)&_pragma=textkey('correct horse')", driver.Config{}), "INSERT INTO t VALUES (1)")

	db := open(t, dsn+"&_pragma=textkey('battery staple')&_pragma=journal_mode(delete)", driver.Config{})
	err := db.Ping()
	if !errors.Is(err, sqlite3.IOERR_BADKEY) {
		t.Errorf("a wrong key says %v", err)
	}
	if strings.Contains(err.Error(), "battery") {
		t.Errorf("%q shows the key", err)
	}
}

// lockedVFS requires a key for its files.
type lockedVFS struct{ vfs.VFS }

func (v lockedVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(v.VFS, name, flags)
	if err != nil || flags&vfs.OPEN_MAIN_DB == 0 {
		return f, flags, err
	}
	return &lockedFile{File: f}, flags, nil
}

type lockedFile struct {
	vfs.File
	open bool
}

func (f *lockedFile) Pragma(name, value string) (string, error) {
	if name != "textkey" {
		return "", sqlite3.NOTFOUND
	}
	f.open = value == "correct horse"
	if !f.open {
		return "", sqlite3.IOERR_BADKEY
	}
	return "ok", nil
}

func (f *lockedFile) ReadAt(p []byte, off int64) (int, error) {
	if !f.open {
		if off == 0 && len(p) == 100 {
			return 0, io.EOF // SQLite reads the header before there is a key
		}
		return 0, sqlite3.CANTOPEN
	}
	return f.File.ReadAt(p, off)
}

// Init runs on every connection, after the pragmas are set and before they are read back.
// Term runs before each connection is closed.
func TestInitAndTerm(t *testing.T) {
	var inits, terms int
	var mu sync.Mutex
	db := open(t, file(t, "_pragma=cache_size(77)"), driver.Config{
		Init: func(c *sqlite3.Conn) error {
			mu.Lock()
			defer mu.Unlock()
			inits++
			s, _, err := c.Prepare("PRAGMA cache_size")
			if err != nil {
				return err
			}
			defer s.Close()
			if !s.Step() || s.ColumnInt(0) != 77 {
				t.Error("Init runs before the pragmas")
			}
			return c.CreateFunction("twice", 1, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
				ctx.ResultInt64(2 * arg[0].Int64())
			})
		},
		Term: func(c *sqlite3.Conn) error {
			mu.Lock()
			defer mu.Unlock()
			terms++
			return c.Exec("PRAGMA optimize")
		},
	})
	var conns []*sql.Conn
	for range 3 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := conn.QueryRowContext(t.Context(), "SELECT twice(21)").Scan(&n); err != nil || n != 42 {
			t.Errorf("twice(21) = %d, %v", n, err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		conn.Close()
	}
	db.Close()
	if inits != 3 || terms != 3 {
		t.Errorf("%d inits, %d terms for 3 connections", inits, terms)
	}
}

// If Init breaks something or returns an error, the connection fails and leaves nothing
// open.
func TestInitFails(t *testing.T) {
	failure := errors.New("no such luck")
	for name, tc := range map[string]struct {
		init func(*sqlite3.Conn) error
		is   func(error) bool
	}{
		"error":       {func(*sqlite3.Conn) error { return failure }, func(err error) bool { return errors.Is(err, failure) }},
		"pragma":      {func(c *sqlite3.Conn) error { return c.Exec("PRAGMA cache_size=5") }, isPragma("cache_size")},
		"query_only":  {func(c *sqlite3.Conn) error { return c.Exec("PRAGMA query_only=1") }, isPragma("query_only")},
		"busyhandler": {func(c *sqlite3.Conn) error { return c.BusyHandler(func(context.Context, int) bool { return false }) }, isPragma("busy_timeout")},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := file(t, "_pragma=cache_size(77)", "_pragma=busy_timeout(99)")
			terms := 0
			db := open(t, dsn, driver.Config{
				Init: tc.init,
				Term: func(*sqlite3.Conn) error { terms++; return nil },
			})
			if err := db.Ping(); !tc.is(err) {
				t.Errorf("got %v", err)
			}
			if want := map[bool]int{true: 0, false: 1}[name == "error"]; terms != want {
				t.Errorf("Term was called %d times, want %d: once if Init returned nil", terms, want)
			}
			if files := openFiles(t, dsnDir(dsn)); len(files) > 0 {
				t.Errorf("left open: %v", files)
			}
		})
	}

	t.Run("panic", func(t *testing.T) {
		dsn := file(t)
		db := open(t, dsn, driver.Config{Init: func(*sqlite3.Conn) error { panic(failure) }})
		func() {
			defer func() {
				if r := recover(); r != failure {
					t.Errorf("recovered %v", r)
				}
			}()
			db.Ping()
		}()
		if files := openFiles(t, dsnDir(dsn)); len(files) > 0 {
			t.Errorf("left open: %v", files)
		}
	})
}

// The program gets a panic in Term, and the file is closed all the same.
func TestTermPanics(t *testing.T) {
	dsn := file(t)
	d := driver.Driver{Config: driver.Config{Term: func(*sqlite3.Conn) error { panic("boom") }}}
	conn, err := d.Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != "boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		conn.Close()
	}()
	if files := openFiles(t, dsnDir(dsn)); len(files) > 0 {
		t.Errorf("left open: %v", files)
	}
}

func isPragma(name string) func(error) bool {
	return func(err error) bool {
		var e *driver.PragmaError
		return errors.As(err, &e) && e.Name == name
	}
}
