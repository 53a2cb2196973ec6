package driver_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Without settings in DSN and Config, the driver changes nothing: all settings of a
// connection are those of the plain driver, which also accepts and refuses the same DSNs.
func TestDSNMeansWhatThePlainDriverMeans(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dsn := range []string{
		"plain.db",
		"./dir with space.db",
		"per%cent.db",
		":memory:",
		"",
		"file:",
		"file:uri.db",
		"file:uri%20space.db",
		"file::memory:",
		"file:x?mode=memory",
		"file:/shared?vfs=memdb",
		"file:a.db?_pragma=foreign_keys(0)",
		"file:b.db?_pragma=foreign_keys=off&_pragma=busy_timeout(77)",
		"file:c.db?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-4000)",
		"file:d.db?mode=rwc&_txlock=immediate&_timefmt=sqlite",
		"file:e.db?_pragma=page_size(8192)&_pragma=auto_vacuum(incremental)&_pragma=journal_mode('WAL')",
		"file:f.db?_pragma=query_only(1)",
		"file:g.db?_pragma=main.cache_size(-77)&psow=0#fragment",
		"file:h.db?_txlock=&_timefmt=",
		"file:i.db?_timefmt=unixepoch_milli",
		"file:j.db?_timefmt=15:04",
		"file:k.db?_pragma=optimize&_pragma=synchronous",
		"file:l.db?_txlock=deferred",
		"file:m.db?_txlock=exclusive&_pragma=busy_timeout(5)",
		"file:n.db?_txlock=deferred&_pragma=query_only(1)",
		"file:o.db?_pragma=query_only(1)&_pragma=query_only(0)",
	} {
		t.Run(dsn, func(t *testing.T) {
			plain := settingsOf(t, "sqlite3", dsn)
			ours := settingsOf(t, driver.Name, dsn)
			if plain != ours {
				t.Errorf("settings differ\nplain: %s\nours:  %s", plain, ours)
			}
		})
	}
}

// settingsOf opens a DSN in a new directory. It returns all readable settings of the
// connection, and how it handles times and locks.
func settingsOf(t *testing.T, name, dsn string) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	db, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var b strings.Builder
	for _, pragma := range strings.Fields(`analysis_limit application_id auto_vacuum automatic_index
		busy_timeout cache_size cache_spill cell_size_check checkpoint_fullfsync encoding foreign_keys
		fullfsync ignore_check_constraints journal_mode journal_size_limit legacy_alter_table locking_mode
		max_page_count page_size query_only read_uncommitted recursive_triggers reverse_unordered_selects
		secure_delete synchronous temp_store trusted_schema user_version wal_autocheckpoint writable_schema`) {
		fmt.Fprintf(&b, "%s=%v ", pragma, value[any](t, db, "PRAGMA "+pragma))
	}
	fmt.Fprintf(&b, "wrote=%v ", value[string](t, db, "SELECT CAST(? AS TEXT)", time.Unix(1e9, 5e6).UTC()))
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS t(a)")
	fmt.Fprintf(&b, "create=%v ", err)
	fmt.Fprintf(&b, "begin=%v ", lockOfBegin(t, db))
	files, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "files=%v", files)
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

// lockOfBegin returns the lock that Begin takes.
func lockOfBegin(t *testing.T, db *sql.DB) (state sqlite3.TxnState) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	raw(t, conn, func(c *sqlite3.Conn) { state = c.TxnState("main") })
	return state
}

// Begin takes the write lock, unless the DSN says otherwise or the connection is read-only,
// however it became that.
func TestBeginByDefault(t *testing.T) {
	queryOnly := driver.Config{Pragmas: []driver.Pragma{{Name: "query_only", Value: "on"}}}
	for _, tc := range []struct {
		params string
		cfg    driver.Config
		want   sqlite3.TxnState
	}{
		{"", driver.Config{}, sqlite3.TXN_WRITE},
		{"_txlock=", driver.Config{}, sqlite3.TXN_WRITE},
		{"_txlock=deferred", driver.Config{}, sqlite3.TXN_NONE},
		{"_fk=1", driver.Config{}, sqlite3.TXN_WRITE},
		{"_pragma=busy_timeout(5)", driver.Config{}, sqlite3.TXN_WRITE},
		{"_pragma=query_only(1)", driver.Config{}, sqlite3.TXN_NONE},
		{"_query_only=1", driver.Config{}, sqlite3.TXN_NONE},
		{"", queryOnly, sqlite3.TXN_NONE},
		{"_pragma=query_only(0)", queryOnly, sqlite3.TXN_WRITE},
	} {
		if state := lockOfBegin(t, open(t, file(t, tc.params), tc.cfg)); state != tc.want {
			t.Errorf("%q and pragmas %v: begins with %v, want %v", tc.params, tc.cfg.Pragmas, state, tc.want)
		}
	}
}

// Nothing in a DSN is silently ignored or treated as part of the file name. sql.Open
// returns an error that says what is wrong and what to write. It shows no secret.
func TestDSNRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, tc := range []struct {
		dsn  string
		says []string
	}{
		{"file:a.db?_PRAGMA=foreign_keys(1)", []string{"_PRAGMA"}},
		{"file:a.db?_txlock=bogus", []string{"_txlock", "bogus", "immediate"}},
		{"file:a.db?_timefmt=RFC3339", []string{"_timefmt", `"RFC3339"`}},
		{"file:a.db?_timefmt=rfc3339nano", []string{"_timefmt"}},
		{"file:a.db?_timefmt=iso8601", []string{"_timefmt"}},
		{"file:a.db?_timefmt=sqlite3", []string{"_timefmt"}},
		{"file:a.db?_pragma=foreign_keys('')", []string{"foreign_keys"}},
		{"file:a.db?_pragma=optimize()", []string{"optimize"}},
		{"file:a.db?_pragma=data_version(3)", []string{"data_version", "cannot be set"}},
		{"file:a.db?_pragma=busy_timeout(99999999999)", []string{"busy_timeout", "2147483647"}},
		{"file:a.db?_timefmt=unix", []string{"_timefmt", `"unix"`, "layout"}},
		{"file:a.db?_busy_timeout=soon", []string{"_busy_timeout", `"soon"`, "whole number"}},
		{"file:a.db?_fk=maybe", []string{"_fk", "foreign_keys", `"maybe"`, "on or off"}},
		{"file:a.db?_journal=", []string{"_journal", "_pragma=journal_mode(...)"}},
		{"file:a.db?_loc=auto", []string{"_loc", "auto", "time.Time.In"}},
		{"file:a.db?_timezone=Europe/Berlin", []string{"_timezone", "time.Time.In"}},
		{"file:a.db?_loc=UTC", []string{"_loc", "leave it out"}},
		{"file:a.db?_defensive=maybe", []string{"_defensive", "1 or 0"}},
		{"file:a.db?_defer_fk=1", []string{"_defer_fk", "within the transaction"}},
		{"file:a.db?_pragma=defer_foreign_keys(1)", []string{"within the transaction"}},
		{"file:a.db?journal_mode=WAL", []string{"journal_mode", "_pragma=journal_mode(...)"}},
		{"file:a.db?fk=0", []string{`"fk"`, "write _fk"}},
		{"file:a.db?moed=ro", []string{`"moed"`, "ignored"}},
		{"file:a.db?Mode=ro", []string{`"Mode"`, "lower case"}},
		{"file:a.db?nolock=bogus", []string{"nolock", `"bogus"`}},
		{"file:a.db?immutable=maybe", []string{"immutable"}},
		{"FILE:a.db", []string{"file:a.db"}},
		{"File:a.db?_fk=0", []string{"write file:a.db?_fk=0"}},
		{"sqlite:x.db", []string{"file:x.db"}},
		{"sqlite3://x.db", []string{"file:x.db"}},
		{"a.db?", []string{"file:a.db?"}},
		{"a.db?mode", []string{"file:a.db?"}},
		{"file:a.db?_time_format=rfc", []string{"_time_format", "sqlite, datetime", "_timefmt"}},
		{"file:a.db?_auth&_auth_user=admin", []string{"_auth", "adiantum"}},
		{"file:a.db?_dqs=maybe", []string{"_dqs", "1 or 0"}},
		{"file:a.db?_inttotime=0", []string{"_inttotime"}},
		{"file:a.db?_stmt_cache_size=many", []string{"_stmt_cache_size", "many"}},
		{"file:a.db?_mutex=maybe", []string{"_mutex"}},
		{"a.db?_pragma=busy_timeout(5)", []string{"file:a.db?", "URI"}},
		{":memory:?cache=shared", []string{"file::memory:?"}},
		{"file:a.db?cache=shared", []string{"cache=shared", "leave it out", "journal_mode(wal)"}},
		{"file:?cache=shared", []string{"cache=shared"}},
		{"file:a.db?cache=shared&mode=memory&vfs=os", []string{"cache=shared"}},
		{"./test.db?cache=shared&mode=rwc", []string{"file:./test.db?"}},
		{"file:a.db?_pragma=busy_timeout(5)%3BCREATE%20TABLE%20pwn(a)", []string{"busy_timeout", "_pragma=busy_timeout(value)"}},
		{"file:a.db?_pragma=busy_timeout(5));CREATE%20TABLE%20pwn(a)", []string{"semicolon", "%3B"}},
		{"file:a.db?_pragma=", []string{"letters, digits"}},
		{"file:a.db?_pragma=(1)", []string{"letters, digits"}},
		{"file:a.db?_pragma=foreign_keys(maybe)", []string{"foreign_keys", `"maybe"`, "on or off"}},
		{"file:a.db?_pragma=journal_mode(walx)", []string{"journal_mode", `"walx"`, "wal"}},
		{"file:a.db?_pragma=synchronous=7", []string{"synchronous", `"7"`, "full"}},
		{"file:a.db?_pragma=cache_size(many)", []string{"cache_size", `"many"`, "whole number"}},
		{"file:a.db?_pragma=cache_size(1 or 2)", []string{"cache_size"}},
		{"file:a.db?_pragma=hexkey(abc def)", []string{"hexkey"}},
		{"file:a.db?x=%zz", []string{`"x"`, "%25"}},
		{"file:a.db?%zz=1", []string{"%25"}},
		{"file:///%zz.db", []string{"%25"}},
		{"file://host/a.db", []string{`"host"`, "file:///"}},
		{"a\x00.db", []string{"NUL"}},
		{"file:a%00.db", []string{"NUL", "%00"}},
		{"file:a%00.db?mode=memory&cache=shared", []string{"NUL"}},
		{"file:a.db?_fk=1%00", []string{`"_fk"`, "NUL"}},
		{"file:a.db?x%00=1", []string{`"x..."`, "NUL"}},
		{"file:a.db\n", []string{"control character", `'\n'`, "%0a"}},
		{"file:a.db?mode=ro\x7f", []string{"control character"}},
		{"file:a.db#%zz", []string{"#", "%25"}},
		{"file://user:pwn@localhost/a.db", []string{`"...@localhost"`, "file:///"}},
		{"file:a.db?textkey=p&_wn=1", []string{`"..."`, "use _pragma"}},
		{"file:a.db?_fk=1&pwn", []string{`"..."`, "%26"}},
	} {
		t.Run(tc.dsn, func(t *testing.T) {
			db, err := sql.Open(driver.Name, tc.dsn)
			if err == nil {
				db.Close()
				t.Fatal("accepted")
			}
			if !errors.Is(err, driver.ErrDSN) {
				t.Errorf("%v is no ErrDSN", err)
			}
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			for _, s := range []string{"abc def", "pwn"} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%q says %q", err, s)
				}
			}
		})
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("files were made: %v", entries)
	}
}

// A DSN of mattn/go-sqlite3 or modernc.org/sqlite has the same meaning here.
func TestDSNDialects(t *testing.T) {
	for _, tc := range []struct{ params, read, want string }{
		{"_busy_timeout=77", "PRAGMA busy_timeout", "77"},
		{"_timeout=78", "PRAGMA busy_timeout", "78"},
		{"_fk=0", "PRAGMA foreign_keys", "0"},
		{"_foreign_keys=TRUE", "PRAGMA foreign_keys", "1"},
		{"_journal=WAL", "PRAGMA journal_mode", "wal"},
		{"_journal_mode=Truncate&_sync=OFF", "PRAGMA synchronous", "0"},
		{"_synchronous=3", "PRAGMA synchronous", "3"},
		{"_vacuum=incremental", "PRAGMA auto_vacuum", "2"},
		{"_auto_vacuum=1&_journal_mode=wal", "PRAGMA auto_vacuum", "1"},
		{"_locking=exclusive", "PRAGMA locking_mode", "exclusive"},
		{"_cslike=1", "SELECT 'a' LIKE 'A'", "0"},
		{"_rt=yes", "PRAGMA recursive_triggers", "1"},
		{"_secure_delete=fast", "PRAGMA secure_delete", "2"},
		{"_secure_delete=default", "PRAGMA secure_delete", "0"},
		{"_query_only=1", "PRAGMA query_only", "1"},
		{"_cache_size=-123", "PRAGMA cache_size", "-123"},
		{"_writable_schema=1", "PRAGMA writable_schema", "1"},
		{"_ignore_check_constraints=1", "PRAGMA ignore_check_constraints", "1"},
		{"_defer_fk=0", "PRAGMA defer_foreign_keys", "0"},
		{"_busy_timeout=5&_pragma=busy_timeout(6)", "PRAGMA busy_timeout", "6"},
		{"_fk=1", "PRAGMA busy_timeout", "60000"},
		{"_time_format=sqlite", "SELECT CAST(? AS TEXT)", "2001-09-09 01:46:40.005+00:00"},
		{"_time_format=datetime", "SELECT CAST(? AS TEXT)", "2001-09-09 01:46:40"},
		{"_time_integer_format=unix_milli", "SELECT CAST(? AS TEXT)", "1000000000005"},
		{"_time_format=datetime&_timefmt=20060102", "SELECT CAST(? AS TEXT)", "20010909"},
		{"_timefmt=20060102&_timefmt=2006-01-02", "SELECT CAST(? AS TEXT)", "20010909"},
		{"_pragma=cache_spill(off)", "PRAGMA cache_spill", "0"},
		{"_pragma=cache_size(5)&_pragma=main.cache_size(6)", "PRAGMA cache_size", "6"},
		{"_inttotime=1&_texttotime=true&_mutex=FULL&_dqs=0&_error_rc=1&_stmt_cache_size=5", "SELECT 1", "1"},
	} {
		t.Run(tc.params, func(t *testing.T) {
			db := open(t, file(t, tc.params), driver.Config{})
			var args []any
			if strings.Contains(tc.read, "?") {
				args = append(args, time.Unix(1e9, 5e6).UTC())
			}
			if got := value[string](t, db, tc.read, args...); got != tc.want {
				t.Errorf("%s reads %q, want %q", tc.read, got, tc.want)
			}
		})
	}
	for _, lock := range []string{"immediate", "IMMEDIATE", "Exclusive"} {
		if state := lockOfBegin(t, open(t, file(t, "_txlock="+lock), driver.Config{})); state != sqlite3.TXN_WRITE {
			t.Errorf("_txlock=%s begins with %v", lock, state)
		}
	}
	db := open(t, file(t, "_stmt_cache_size=0"), driver.Config{})
	for range 2 {
		value[int](t, db, "SELECT ?", 1)
	}
	if hits := driver.ConnectorOf(db).CacheStats().Hits; hits != 0 {
		t.Errorf("_stmt_cache_size=0: %d hits", hits)
	}
}

// No error shows a secret of the DSN, wherever in the DSN it is.
func TestDSNSecretIsNotShown(t *testing.T) {
	const secret = "s3cr3t"
	for _, dsn := range []string{
		"file:a.db?_pragma=hexkey('" + secret + "')",
		"file:a.db?_pragma=key('" + secret + "')&_pragma=foreign_keys(maybe)",
		"file:a.db?_pragma=textkey(" + secret + "&x=1",
		"file:a.db?textkey=" + secret + "&_nope=1",
		"file:a.db?textkey=" + secret + "%zz",
		"file:a.db?_pragma=textkey('" + secret + "')&vfs=nope",
		"file:a.db?_key=" + secret,
		"file:a.db?_pragma=kye('" + secret + "')",
		"file:a.db?_pragma=passphrase=" + secret,
		"file:a.db?_pragma=key%20'" + secret + "'",
		"file:a.db?_pragma=key:" + secret,
		"file:a.db?_key('" + secret + "')",
		"file:a.db?_pragma('key','" + secret + "')=1",
		"postgres://user:" + secret + "@host/db",
		"postgres://user:" + secret + "@host/db?sslmode=disable",
		"file:postgres://user:" + secret + "@host/db",
		"file:a.db?_auth_user=x&_auth_crypt=" + secret,
		"file:a.db?_auth_pass=" + secret,
		"file:/nowhere/at/all/a.db?_pragma=textkey('" + secret + "')",
	} {
		t.Run(dsn, func(t *testing.T) {
			t.Chdir(t.TempDir())
			db, err := sql.Open(driver.Name, dsn)
			if err == nil {
				defer db.Close()
				err = db.Ping()
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if s := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(s, secret) {
					t.Errorf("the error shows the secret: %s", s)
				}
			}
		})
	}
}

// A megabyte of pragmas, all different or all the same, is parsed in linear time. Comparing
// each with each would take minutes.
func TestLongDSN(t *testing.T) {
	t.Chdir(t.TempDir())
	var others strings.Builder
	for i := range 40000 {
		fmt.Fprintf(&others, "_pragma=main.nope%d(1)&", i)
	}
	for dsn, ok := range map[string]bool{
		"file:a.db?" + others.String() + "_fk=0":                                                   false,
		"file:a.db?" + strings.Repeat("_pragma=cache_size(7)&", 50000) + "_pragma=cache_size(-77)": true,
		"file:a.db?" + strings.Repeat("_cache_size=-77&", 60000):                                   true,
		"file:a.db?_pragma=" + strings.Repeat("a", 1<<20):                                          false,
		"file:a.db?_cache_size=-77&_pragma=user_version(" + strings.Repeat("7", 1<<20) + ")":       false,
		"file:" + strings.Repeat("a", 1025):                                                        false,
		"file:" + strings.Repeat("%61", 1<<20):                                                     false,
		strings.Repeat("b", 1025):                                                                  false,
	} {
		db, err := sql.Open(driver.Name, dsn)
		if err == nil {
			err = db.Ping()
		}
		if (err == nil) != ok || err != nil && len(err.Error()) > 1000 {
			t.Errorf("%.30s...: %.1000v", dsn, err)
		}
		if err == nil {
			if n := value[int](t, db, "PRAGMA cache_size"); n != -77 {
				t.Errorf("%.30s...: cache_size %d", dsn, n)
			}
		}
		if db != nil {
			db.Close()
		}
	}
}

// A name without a scheme is a file name, even if a pragma turns the DSN into a URI for the
// plain driver.
func TestNameBecomesURI(t *testing.T) {
	for _, name := range []string{"a.db", "b%20c.db", "d#e.db", "f g.db", "what?.db", "new\nline.db", "\x7f.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			for _, name := range []string{name, filepath.Join(dir, "abs"+name), "//" + filepath.Join(dir, "two"+name)} {
				db := open(t, name, driver.Config{Pragmas: []driver.Pragma{{Name: "user_version", Value: "3"}}})
				exec(t, db, "CREATE TABLE t(a)")
				ro := open(t, name, driver.Config{Pragmas: []driver.Pragma{{Name: "query_only", Value: "on"}}})
				if n := value[int](t, ro, "SELECT count(*) FROM t"); n != 0 {
					t.Errorf("%d rows", n)
				}
				if _, err := os.Stat(name); err != nil {
					t.Error(err)
				}
			}
			if entries, _ := filepath.Glob("*"); len(entries) != 3 {
				t.Errorf("files: %v", entries)
			}
		})
	}
}

// Both this driver and the plain driver can be used in one program.
func TestBesideThePlainDriver(t *testing.T) {
	dsn := file(t)
	ours := open(t, dsn, driver.Config{})
	exec(t, ours, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	plain, err := sql.Open("sqlite3", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if n := value[int](t, plain, "SELECT a FROM t"); n != 1 {
		t.Errorf("the plain driver reads %d", n)
	}
	if _, ok := plain.Driver().(*sqlite3driver.SQLite); !ok {
		t.Errorf("the plain driver is %T", plain.Driver())
	}
	if c := driver.ConnectorOf(plain); c != nil {
		t.Error("the plain driver has a connector of ours")
	}
}
