package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestE4ChangedReaderIsClosed checks that a reader is closed at its release if a query has
// changed it or may have.
func TestE4ChangedReaderIsClosed(t *testing.T) {
	for _, text := range []string{
		"PRAGMA case_sensitive_like=1", "PRAGMA recursive_triggers=1", "PRAGMA cache_size=9", "SELECT 1; PRAGMA foreign_keys=0",
		"BEGIN", "BEGIN; SELECT * FROM t", "SAVEPOINT s",
	} {
		t.Run(text, func(t *testing.T) {
			eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE t (a)")
				mustScan[int](t, d.db, "SELECT 1")
				mustExec(t, d.pool.Reader(), text)
				mustScan[int](t, d.db, "SELECT 1")
				if n := d.pool.Stats().ClosedFor[driver.ReasonDirty]; n != 1 {
					t.Errorf("%d readers were closed, want 1", n)
				}
			})
		})
	}
}

// TestE4UnchangedReaderIsKept checks that a reader that only ran queries is used again.
func TestE4UnchangedReaderIsKept(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)")
		mustScan[int](t, d.db, "SELECT 1")
		for _, query := range []string{
			"PRAGMA foreign_keys", "PRAGMA table_info(t)", "PRAGMA quick_check(1)", "SELECT * FROM pragma_table_info('t')",
			"SELECT last_insert_rowid()", "SELECT * FROM sqlite_temp_schema", "EXPLAIN QUERY PLAN SELECT * FROM t", "BEGIN; COMMIT",
		} {
			if err := drain(d.pool.Reader().Query(query)); err != nil && query != "BEGIN; COMMIT" {
				t.Errorf("%s: %v", query, err)
			}
			mustExec(t, d.pool.Reader(), query)
		}
		if n := d.pool.Stats().ClosedFor[driver.ReasonDirty]; n != 0 {
			t.Errorf("%d readers were closed", n)
		}
	})
}

// TestE4ReaderDoesNotWriteToAttachedFiles checks that a reader does not write to a file that
// Init attaches. mode=ro applies only to the main database.
func TestE4ReaderDoesNotWriteToAttachedFiles(t *testing.T) {
	other := filepath.ToSlash(filepath.Join(t.TempDir(), "other.db"))
	p, _ := pooled(t, pool.Config{Init: func(raw *sqlite3.Conn) error {
		return raw.Exec("ATTACH '" + other + "' AS other; CREATE TABLE IF NOT EXISTS other.u (a)")
	}})
	mustScan[int](t, p.DB(), "SELECT count(*) FROM other.u")
	_, err := p.Reader().Exec("PRAGMA query_only=0; INSERT INTO other.u VALUES (1)")
	if !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write: %v", err)
	}
	tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, _ = tx.Exec("PRAGMA query_only=0")
	if _, err := tx.Exec("INSERT INTO other.u VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write in a transaction: %v", err)
	}
	if n := mustScan[int](t, tx, "SELECT count(*) FROM other.u"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestE4LongNamesOnReaders checks that a name of more than a million bytes fails on a reader
// with the same error as on the writer. SQLite's authorizer does not accept such a name.
func TestE4LongNamesOnReaders(t *testing.T) {
	p, _ := pooled(t, pool.Config{MaxConns: 2})
	long := strings.Repeat("x", 1_000_001)
	for _, query := range []string{
		"PRAGMA nonsense = '" + long + "'", "PRAGMA " + long + " = 1", "SAVEPOINT " + long, "DETACH " + long, "SELECT 1; SAVEPOINT " + long,
		"WITH " + long + " AS (SELECT 1 AS a) SELECT a FROM " + long, "SELECT length('" + long + "') AS n", "SELECT " + long + "() AS a",
	} {
		want := errorOf(drain(p.Writer().Query(query)))
		if got := errorOf(drain(p.Reader().Query(query))); got != want {
			t.Errorf("Query of %.20s: %.80s, want %.80s", query, got, want)
		}
		if got := errorOf(drain(p.DB().Query(query))); got != want {
			t.Errorf("Query of %.20s by DB: %.80s, want %.80s", query, got, want)
		}
		_, err := p.Writer().Exec(query)
		want = errorOf(err)
		_, err = p.Reader().Exec(query)
		if got := errorOf(err); got != want {
			t.Errorf("Exec of %.20s: %.80s, want %.80s", query, got, want)
		}
	}
	if _, err := p.Reader().Exec("VACUUM INTO hex(zeroblob(600000))"); err == nil || errors.Is(err, driver.ErrPanicked) {
		t.Errorf("VACUUM INTO a long name: %v", err)
	}
	if like := mustScan[int](t, p.Reader(), "SELECT 'a' LIKE 'A'"); like != 1 {
		t.Error("LIKE is case-sensitive for the next caller")
	}
	if err := p.Writer().Ping(); err != nil {
		t.Error(err)
	}
}

// TestAuthorizerOfTheProgram checks that an authorizer of the program stays in place on
// readers. The pool still keeps the readers unchanged.
func TestAuthorizerOfTheProgram(t *testing.T) {
	set := func(raw *sqlite3.Conn) error {
		return raw.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, name, _, _, _ string) sqlite3.AuthorizerReturnCode {
			if action == sqlite3.AUTH_READ && name == "secret" {
				return sqlite3.AUTH_DENY
			}
			return sqlite3.AUTH_OK
		})
	}
	for where, cfg := range map[string]pool.Config{
		"Init":         {Init: set},
		"AfterConnect": {Hooks: pool.Hooks{AfterConnect: func(_ context.Context, raw *sqlite3.Conn) error { return set(raw) }}},
	} {
		t.Run(where, func(t *testing.T) {
			p, _ := pooled(t, cfg)
			mustExec(t, p.DB(), "CREATE TABLE secret (a)", "CREATE TABLE t (a)", "CREATE VIEW v AS SELECT last_insert_rowid() AS id", "INSERT INTO t VALUES (1), (2)")
			if err := drain(p.DB().Query("SELECT a FROM secret")); !errors.Is(err, sqlite3.AUTH) {
				t.Errorf("a query that the authorizer denies: %v", err)
			}
			mustScan[int](t, p.DB(), "SELECT count(*) FROM t")
			if n := p.Stats().ClosedFor[driver.ReasonDirty]; n != 0 {
				t.Errorf("%d readers were closed", n)
			}
			if id := mustScan[int](t, p.DB(), "SELECT id FROM v"); id != 2 {
				t.Errorf("a view over last_insert_rowid() returns %d, want 2", id)
			}
			mustExec(t, p.Reader(), "SELECT 1; PRAGMA case_sensitive_like=1")
			if n := p.Stats().ClosedFor[driver.ReasonDirty]; n != 1 {
				t.Errorf("%d readers were closed after a change, want 1", n)
			}
			if like := mustScan[int](t, p.Reader(), "SELECT 'a' LIKE 'A'"); like != 1 {
				t.Error("LIKE is case-sensitive for the next caller")
			}
		})
	}
}

// BenchmarkPointQuery measures a query of one row by its key on a reader.
func BenchmarkPointQuery(b *testing.B) {
	p, err := pool.Open(b.Context(), pool.Config{Path: filepath.Join(b.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	db := p.DB()
	mustExec(b, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)",
		"INSERT INTO t SELECT value, value, 'b', 'c' FROM generate_series(1, 1000)")
	for i := 0; b.Loop(); i++ {
		var a, x, y any
		if err := db.QueryRow("SELECT a, b, c FROM t WHERE id = ?", i%1000+1).Scan(&a, &x, &y); err != nil {
			b.Fatal(err)
		}
	}
}
