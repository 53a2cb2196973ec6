package driver_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// compatNames maps a Compat to the names under which programs of that driver open a
// database.
var compatNames = map[driver.Compat][]string{
	driver.CompatMattn:   {driver.NameMattn, pool.NameMattn},
	driver.CompatModernc: {driver.NameModernc, pool.NameModernc},
}

// withCompat calls f with a database of each name, opened with params.
func withCompat(t *testing.T, compat driver.Compat, params string, f func(t *testing.T, db *sql.DB)) {
	for _, name := range compatNames[compat] {
		t.Run(name, func(t *testing.T) {
			db, err := sql.Open(name, filepath.ToSlash(t.TempDir())+"/a.db"+params)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			f(t, db)
		})
	}
}

func mustExec(t *testing.T, db *sql.DB, query string, args ...any) sql.Result {
	t.Helper()
	res, err := db.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

// scanned scans the result of a query with one value into an any.
func scanned(t *testing.T, db *sql.DB, query string, args ...any) (v any) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return v
}

// DSNs of other drivers' programs keep their meaning.
func TestCompatDSN(t *testing.T) {
	for _, tc := range []struct {
		compat        driver.Compat
		dsn           string
		query, answer string
		inPool        string // if the pool has another setting
	}{
		{driver.CompatMattn, "DIR/a.db", "PRAGMA busy_timeout", "5000", ""},
		{driver.CompatMattn, "DIR/a.db?_busy_timeout=700&_timeout=800", "PRAGMA busy_timeout", "800", ""},
		{driver.CompatMattn, "DIR/a.db?_journal=WAL&cache=shared&_fk=true", "PRAGMA journal_mode", "wal", ""},
		{driver.CompatMattn, "file:DIR/a.db?_fk=true&_rt=true&_sync=1", "PRAGMA synchronous", "1", ""},
		{driver.CompatMattn, "file:DIR/a.db?_fk=1", "PRAGMA foreign_keys", "1", ""},
		{driver.CompatMattn, "file:DIR/a.db", "PRAGMA foreign_keys", "0", ""},
		{driver.CompatMattn, "file:DIR/a.db", "PRAGMA synchronous", "1", "2"},
		{driver.CompatMattn, "file:DIR/a.db?cache=shared&mode=rwc&_cache_size=1000000000", "PRAGMA cache_size", "1000000000", ""},
		{driver.CompatMattn, "DIR/100%.db?_cslike=1", "SELECT 'a' LIKE 'A'", "0", ""},
		{driver.CompatMattn, ":memory:?_journal=WAL", "PRAGMA journal_mode", "memory", ""},
		{driver.CompatMattn, "file:abc?mode=memory&cache=shared", "PRAGMA busy_timeout", "5000", ""},
		{driver.CompatMattn, "file:DIR/a.db?_auto_vacuum=2", "PRAGMA auto_vacuum", "2", ""},
		{driver.CompatModernc, "DIR/a.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_defensive=1", "PRAGMA busy_timeout", "10000", ""},
		{driver.CompatModernc, "DIR/a.db?_pragma=foreign_keys(0)&_pragma=mmap_size(0)", "PRAGMA foreign_keys", "0", ""},
		{driver.CompatModernc, "file:DIR/a.db?_txlock=immediate&_pragma=auto_vacuum=INCREMENTAL", "PRAGMA auto_vacuum", "2", ""},
		{driver.CompatModernc, "DIR/a.db", "PRAGMA busy_timeout", "0", "5000"},
		{driver.CompatModernc, "DIR/a.db", "PRAGMA foreign_keys", "0", ""},
		{driver.CompatModernc, ":memory:?_pragma=busy_timeout(5000)", "PRAGMA busy_timeout", "5000", ""},
		{driver.CompatModernc, "DIR/a.db?_pragma=foreign_keys", "PRAGMA foreign_keys", "0", ""},
		{driver.CompatModernc, "DIR/a.db?_journal=WAL", "PRAGMA synchronous", "2", ""},
		{driver.CompatMattn, "DIR/a.db?vfs=unix&_busy_timeout=99999999999", "PRAGMA busy_timeout", "0", ""},
		{driver.CompatModernc, "DIR/a.db?_fk=1&_pragma=foreign_keys(0)", "PRAGMA foreign_keys", "1", ""},
	} {
		for i, name := range compatNames[tc.compat] {
			dir := filepath.ToSlash(t.TempDir())
			db, err := sql.Open(name, strings.ReplaceAll(tc.dsn, "DIR", dir))
			if err != nil {
				t.Errorf("%s %s: %v", name, tc.dsn, err)
				continue
			}
			want := tc.answer
			if i == 1 && tc.inPool != "" {
				want = tc.inPool
			}
			var got string
			if err := db.QueryRow(tc.query).Scan(&got); err != nil || got != want {
				t.Errorf("%s %s: %s is %q, want %q: %v", name, tc.dsn, tc.query, got, want, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// _compat in a DSN works like the driver's name, and takes precedence over it.
func TestCompatByParameter(t *testing.T) {
	for _, name := range []string{driver.Name, driver.NameModernc, pool.Name} {
		db, err := sql.Open(name, filepath.ToSlash(t.TempDir())+"/a.db?_compat=mattn&_cslike=1")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if v := scanned(t, db, "SELECT 'a' LIKE 'A'"); v != int64(0) {
			t.Errorf("%s: %v", name, v)
		}
		if _, err := db.Exec("INSERT INTO missing VALUES (1)"); err == nil || err.Error() != "no such table: missing" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sql.Open(driver.Name, "file:a.db?_compat=mysql"); !errors.Is(err, driver.ErrDSN) || !strings.Contains(err.Error(), "mattn, modernc or none") {
		t.Error(err)
	}
}

// One error lists all problems of a DSN.
func TestCompatDSNRefused(t *testing.T) {
	for _, tc := range []struct {
		name, dsn string
		says      []string
	}{
		{driver.NameMattn, "a.db?_auth&_auth_user=u&_fk=maybe&_txlock=later&_loc=Nowhere/Land", []string{"_auth", "_fk", "maybe", "_txlock", "later", "_loc"}},
		{driver.NameModernc, "a.db?_dqs=maybe&_time_format=rfc&_pragma=foreign_keys(1);ATTACH 'x' AS y", []string{"semicolon"}},
		{driver.NameModernc, "a.db?_dqs=maybe&_time_format=rfc&_timezone=Nowhere&_inttotime=x", []string{"_dqs", "_time_format", "_timezone", "_inttotime"}},
		{driver.NameModernc, "a.db?_defensive=1&_journal=off", []string{"_journal", "_defensive"}},
		{driver.Name, "file:a.db?_nonsense=1&_fk=maybe&_pragma=foreign_keys(perhaps)", []string{"_fk", "foreign_keys", "_nonsense"}},
		{pool.NameMattn, "a.db?_fk=maybe&_txlock=later", []string{"_fk", "_txlock"}},
	} {
		_, err := sql.Open(tc.name, tc.dsn)
		if !errors.Is(err, driver.ErrDSN) {
			t.Errorf("%s %s: %v", tc.name, tc.dsn, err)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s %s: %q does not say %q", tc.name, tc.dsn, err, s)
			}
		}
	}
}

// Translating a translated DSN does not change it.
func TestTranslateTwice(t *testing.T) {
	for _, name := range []string{"a.db", "a b%?_fk=1&_loc=auto&_txlock=immediate&_defer_fk=1&nonsense=1", "file:x?mode=memory&cache=shared", "file:a%20b?vfs=memdb&_sync=off", ""} {
		for _, compat := range []driver.Compat{driver.CompatMattn, driver.CompatModernc} {
			once, err := driver.DSNReader{Compat: compat}.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := driver.ParseDSN(once.Text()); err != nil || twice.Text() != once.Text() {
				t.Errorf("%q becomes %q, and then %q, %v", name, once.Text(), twice.Text(), err)
			}
			if c := once.Compat(); c != compat {
				t.Errorf("%q has the behavior of %v", once.Text(), c)
			}
		}
	}
}

var zone = time.FixedZone("CEST", 2*60*60)

// Times are written in the other driver's form, and read in every known form.
func TestCompatTimes(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 120000000, zone)
	for _, tc := range []struct {
		compat driver.Compat
		params string
		stored string
	}{
		{driver.CompatMattn, "", "2026-05-01 12:00:00.12+02:00"},
		{driver.CompatModernc, "", "2026-05-01 12:00:00.12 +0200 CEST"},
		{driver.CompatModernc, "?_time_format=string_no_monotonic", "2026-05-01 12:00:00.12 +0200 CEST"},
		{driver.CompatModernc, "?_time_format=sqlite", "2026-05-01 12:00:00.12+02:00"},
		{driver.CompatModernc, "?_time_format=datetime&_timezone=UTC", "2026-05-01 10:00:00"},
		{driver.CompatModernc, "?_time_integer_format=unix_milli&_inttotime=1", "1777629600120"},
	} {
		withCompat(t, tc.compat, tc.params, func(t *testing.T, db *sql.DB) {
			mustExec(t, db, "CREATE TABLE t(at DATETIME, s TEXT, v VARCHAR(40), x)")
			mustExec(t, db, "INSERT INTO t(at) VALUES (?)", at)
			if s := scanned(t, db, "SELECT CAST(at AS TEXT) FROM t"); s != tc.stored {
				t.Errorf("stored as %v, want %v", s, tc.stored)
			}
			var back time.Time
			if err := db.QueryRow("SELECT at FROM t").Scan(&back); err != nil || back.Sub(at).Abs() >= time.Second {
				t.Errorf("read as %v: %v", back, err)
			}
			for _, text := range []string{
				"2026-05-01 10:00:00+00:00", "2026-05-01T10:00:00Z", "2026-05-01 10:00:00", "2026-05-01T12:00:00+02:00", "2026-05-01 10:00",
				"2026-05-01 12:00:00 +0200 CEST", "2026-05-01 10:00:00.000000000 +0000 UTC m=+0.001",
			} {
				mustExec(t, db, "UPDATE t SET at = ?, s = ?, v = ?, x = ?", text, text, text, text)
				if err := db.QueryRow("SELECT at FROM t").Scan(&back); err != nil || !back.Equal(time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)) {
					t.Errorf("%q reads as %v: %v", text, back, err)
				}
				for _, column := range []string{"s", "v", "x"} {
					if v := scanned(t, db, "SELECT "+column+" FROM t"); v != text {
						t.Errorf("%s %q reads as %T %v", column, text, v, v)
					}
				}
			}
		})
	}
}

// _time_format and _time_integer_format apply only to writing.
func TestTimeFormatIsForWriting(t *testing.T) {
	for _, params := range []string{"?_time_format=sqlite", "?_time_format=datetime", "?_time_integer_format=unix_milli"} {
		for _, name := range []string{driver.Name, pool.Name} {
			db, err := sql.Open(name, "file:"+filepath.ToSlash(t.TempDir())+"/a.db"+params)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			mustExec(t, db, "CREATE TABLE t(at DATETIME DEFAULT CURRENT_TIMESTAMP, day DATE, n TIMESTAMP, m DATETIME, k BLOB)")
			now := time.Now()
			mustExec(t, db, "INSERT INTO t(day, n, m, k) VALUES ('2026-01-02', '2026-01-02T03:04:05Z', ?, x'00')", now)
			mustExec(t, db, "INSERT INTO t(at, day, n, m) VALUES ('2026-05-01 12:00:00.5 +0200 CEST m=+0.1', '2026-01-02', '2026-01-02 03:04:05+00:00', ?)", now)
			rows, err := db.Query("SELECT at, day, n, m, k FROM t")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; rows.Next(); n++ {
				var at, day, stamp, m time.Time
				if err := rows.Scan(&at, &day, &stamp, &m, new(any)); err != nil {
					t.Errorf("%s%s: %v", name, params, err)
				}
				if day.Year() != 2026 || stamp.Hour() != 3 || m.Sub(now).Abs() >= time.Second {
					t.Errorf("%s%s: %v %v %v", name, params, day, stamp, m)
				}
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 2 {
				t.Errorf("%d rows, %v", n, err)
			}
		}
	}
}

// Values and their types are those of the other driver.
func TestCompatTypes(t *testing.T) {
	for compat, want := range map[driver.Compat]string{
		driver.CompatMattn: "bool=true sql.NullBool BOOLEAN; int64=7 sql.NullInt64 INTEGER; string=2026-05-01T12:00:00Z sql.NullString VARCHAR(64); " +
			"time.Time=1970-01-01 00:00:00 +0000 UTC sql.NullTime timestamp; []uint8=[] sql.RawBytes BLOB; <nil>=<nil> *interface {} ; ",
		driver.CompatModernc: "int64=1 bool BOOLEAN; int64=7 int64 INTEGER; string=2026-05-01T12:00:00Z string VARCHAR(64); " +
			"int64=0 time.Time TIMESTAMP; []uint8=[] []uint8 BLOB; <nil>=<nil> <nil> ; ",
	} {
		withCompat(t, compat, "", func(t *testing.T, db *sql.DB) {
			mustExec(t, db, "CREATE TABLE t(b BOOLEAN, i INTEGER, v VARCHAR(64), n timestamp DEFAULT 0, k BLOB)")
			mustExec(t, db, "INSERT INTO t(b, i, v, k) VALUES (?, 7, '2026-05-01T12:00:00Z', ?)", true, []byte{})
			rows, err := db.Query("SELECT b, i, v, n, k, NULL FROM t")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			types, err := rows.ColumnTypes()
			if err != nil || !rows.Next() {
				t.Fatal(err, rows.Err())
			}
			values := make([]any, len(types))
			dest := make([]any, len(types))
			for i := range values {
				dest[i] = &values[i]
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for i, c := range types {
				typ := "<nil>"
				if c.ScanType() != nil && c.ScanType() != reflect.TypeFor[any]() {
					typ = c.ScanType().String()
				}
				fmt.Fprintf(&got, "%T=%v %s %s; ", values[i], values[i], typ, c.DatabaseTypeName())
			}
			if got.String() != want {
				t.Errorf("got  %s\nwant %s", got.String(), want)
			}
		})
	}
}

// Every isolation level is accepted; ReadOnly is honored.
func TestCompatTransactions(t *testing.T) {
	for compat := range compatNames {
		withCompat(t, compat, "", func(t *testing.T, db *sql.DB) {
			mustExec(t, db, "CREATE TABLE t(a)")
			for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Errorf("%v: %v", level, err)
					continue
				}
				if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
					t.Errorf("%v: %v", level, err)
				}
				if err := tx.Commit(); err != nil {
					t.Errorf("%v: %v", level, err)
				}
			}
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := tx.Exec("INSERT INTO t VALUES (2)"); err == nil {
				t.Error("a read-only transaction wrote")
			}
		})
	}
}

// Queries of several statements distribute their arguments (mattn), or give all to each
// (modernc).
func TestCompatSeveralStatements(t *testing.T) {
	withCompat(t, driver.CompatMattn, "", func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (?), (?); INSERT INTO t VALUES (?);", 1, 2, 3)
		if v := scanned(t, db, "SELECT group_concat(a) FROM t"); v != "1,2,3" {
			t.Error(v)
		}
		if v := scanned(t, db, "INSERT INTO t VALUES (?); SELECT count(*) + ? FROM t; -- end", 4, 10); v != int64(14) {
			t.Error(v)
		}
		if _, err := db.Exec("UPDATE t SET a = ? WHERE a = ?", 1); err == nil || err.Error() != "not enough args to execute query: want 2 got 1" {
			t.Error(err)
		}
		mustExec(t, db, "INSERT INTO t VALUES (?)", 5, 6)                 // the surplus argument is ignored
		st, err := db.Prepare("DELETE FROM t WHERE a = ?; DELETE FROM t") // only the first statement is prepared
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := st.Exec(5); err != nil {
			t.Error(err)
		}
		if v := scanned(t, db, "SELECT count(*) FROM t"); v != int64(4) {
			t.Error(v)
		}
		if n, err := mustExec(t, db, "").RowsAffected(); n != 0 || err != nil {
			t.Error(n, err)
		}
	})
	withCompat(t, driver.CompatModernc, "", func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t(a, b); INSERT INTO t VALUES (?, ?); INSERT INTO t VALUES ($2, $1)", 1, 2)
		if v := scanned(t, db, "SELECT group_concat(a) FROM t"); v != "1,2" {
			t.Error(v)
		}
		if _, err := db.Exec("INSERT INTO t VALUES (?, :x)", 1); err == nil || err.Error() != `missing named argument "x"` {
			t.Error(err)
		}
		if v := scanned(t, db, `SELECT "no such column"`); v != "no such column" {
			t.Error(v)
		}
		st, err := db.Prepare("INSERT INTO t VALUES (?, 0); DELETE FROM t WHERE a = ?")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := st.Exec(7); err != nil {
			t.Error(err)
		}
		if v := scanned(t, db, "SELECT count(*) FROM t"); v != int64(2) {
			t.Error(v)
		}
	})
}

// Errors have the other driver's text and codes, and wrap the plain driver's error.
func TestCompatErrors(t *testing.T) {
	for compat, texts := range map[driver.Compat][]string{
		driver.CompatMattn:   {"UNIQUE constraint failed: t.a", "no such table: missing", `near "SELEC": syntax error`},
		driver.CompatModernc: {"constraint failed: UNIQUE constraint failed: t.a (2067)", "SQL logic error: no such table: missing (1)", `SQL logic error: near "SELEC": syntax error (1)`},
	} {
		withCompat(t, compat, "", func(t *testing.T, db *sql.DB) {
			mustExec(t, db, "CREATE TABLE t(a UNIQUE)")
			mustExec(t, db, "INSERT INTO t VALUES (1)")
			for i, query := range []string{"INSERT INTO t VALUES (1)", "INSERT INTO missing VALUES (1)", "SELEC"} {
				_, err := db.Exec(query)
				if err == nil || err.Error() != texts[i] {
					t.Errorf("%v, want %s", err, texts[i])
				}
			}
			_, err := db.Query("INSERT INTO t VALUES (?) RETURNING a", 1) // Query takes the first step
			if !errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) || err.Error() != texts[0] {
				t.Error(err)
			}
			if code, extended, ok := driver.Code(err); code != 19 || extended != 2067 || !ok {
				t.Error(code, extended, ok)
			}
			switch compat {
			case driver.CompatMattn:
				if b, _ := json.Marshal(err); string(b) != `{"Code":19,"ExtendedCode":2067,"SystemErrno":0}` {
					t.Errorf("%s", b)
				}
			case driver.CompatModernc:
				var coder interface{ Code() int }
				if !errors.As(err, &coder) || coder.Code() != 2067 {
					t.Errorf("%#v", err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err = db.ExecContext(ctx, "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM c) SELECT count(*) FROM c")
			if !errors.Is(err, context.DeadlineExceeded) || err.Error() != context.DeadlineExceeded.Error() {
				t.Errorf("%v", err)
			}
		})
	}
}

// MapError gets every error for database/sql once, and the program gets its result.
func TestMapError(t *testing.T) {
	errMine := errors.New("mine")
	var seen []error
	mapError := func(err error) error {
		seen = append(seen, err)
		if errors.Is(err, sqlite3.CONSTRAINT) {
			return errMine
		}
		return nil // keeps the error
	}
	sql.Register("sqlitemw-map-error", &driver.Driver{Config: driver.Config{MapError: mapError}})
	sql.Register("sqlitemw-pool-map-error", &pool.Driver{Config: pool.Config{MapError: mapError}})
	for _, name := range []string{"sqlitemw-map-error", "sqlitemw-pool-map-error"} {
		db, err := sql.Open(name, filepath.ToSlash(t.TempDir())+"/a.db")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		mustExec(t, db, "CREATE TABLE t(a PRIMARY KEY, b REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
		mustExec(t, db, "PRAGMA foreign_keys=on")
		db.SetMaxOpenConns(1)
		st, err := db.Prepare("INSERT INTO t(a) VALUES (?)")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for i, f := range []func() error{
			func() error { _, err := db.Exec("INSERT INTO t(a) VALUES (1)"); return err },
			func() error { _, err := st.Exec(1); return err },
			func() error { return db.QueryRow("INSERT INTO t(a) VALUES (1) RETURNING a").Scan(new(int)) },
			func() error { return st.QueryRow(1).Scan(new(int)) },
			func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				if _, err := tx.Exec("INSERT INTO t VALUES (2, 3)"); err != nil {
					return err
				}
				return tx.Commit()
			},
		} {
			seen = nil
			err := f()
			if i == 0 {
				if err != nil || len(seen) != 0 {
					t.Fatal(err, seen)
				}
				continue
			}
			if err != errMine || len(seen) != 1 {
				t.Errorf("%s %d: %v, after %v", name, i, err, seen)
			}
		}
		if _, err := db.Exec("nonsense"); err == nil || !errors.Is(err, sqlite3.ERROR) {
			t.Error(err)
		}
		var rows int
		if err := db.QueryRow("SELECT count(*) FROM t WHERE a = 9").Scan(&rows); err != nil || rows != 0 {
			t.Error(rows, err)
		}
		if err := db.QueryRow("SELECT a FROM t WHERE a = 9").Scan(&rows); err != sql.ErrNoRows {
			t.Error(err)
		}
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec("SELECT 1") }); err != nil {
			t.Error(err)
		}
		c.Close()
	}
}
