package pool_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestOrdinaryNamesGoToReaders checks columns and tables with the names of functions and pragmas
// that only the writer knows. Queries of them go to a reader, also during a write transaction.
func TestOrdinaryNamesGoToReaders(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE changes(temp, changes, total_changes, pragma_note)", "INSERT INTO changes VALUES (1, 2, 3, 4)",
			"CREATE TABLE temp(last_insert_rowid)", "INSERT INTO temp VALUES (5)")
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		mustExec(t, tx, "DELETE FROM changes")
		for query, want := range map[string]int{
			"SELECT temp FROM changes":                                1,
			"SELECT changes FROM changes WHERE changes IN (2)":        2,
			"SELECT total_changes AS temp FROM changes":               3,
			"SELECT pragma_note FROM changes ORDER BY pragma_note":    4,
			"SELECT last_insert_rowid FROM temp":                      5,
			`SELECT "last_insert_rowid" FROM "temp" AS total_changes`: 5,
			"SELECT 6 WHERE ';' = ';' -- changes();":                  6,
		} {
			if got := mustScan[int](t, d.db, query); got != want {
				t.Errorf("%s: %d", query, got)
			}
		}
	})
}

// TestStatementAfterParameterIsRecognized checks a parameter in Tcl's syntax that contains a
// quote. The statement after it is executed, and the pool recognizes it.
func TestStatementAfterParameterIsRecognized(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2, MinConns: 2}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (7)")
		for _, query := range []string{
			"SELECT $a('); PRAGMA query_only=0; --')",
			"SELECT $a('); ATTACH ':memory:' AS other; --')",
			"SELECT 1;\vPRAGMA recursive_triggers=1",
		} {
			if _, err := d.pool.Reader().Exec(query); err != nil && !strings.Contains(query, "ATTACH") { // ATTACH is refused
				t.Fatalf("%s: %v", query, err)
			}
			if _, err := d.pool.Reader().Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
				t.Errorf("%s: the next caller of a reader can write: %v", query, err)
			}
			conn, err := d.pool.Reader().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := mustScan[string](t, conn, "SELECT group_concat(name) FROM pragma_database_list WHERE name <> 'temp'"); got != "main" {
				t.Errorf("%s: the next caller of a reader has %s", query, got)
			}
			if on := mustScan[int](t, conn, "PRAGMA recursive_triggers"); on != 0 {
				t.Errorf("%s: the next caller of a reader has the pragma", query)
			}
			conn.Close()
		}
		mustExec(t, d.db, "INSERT INTO t VALUES (8)")
		var x any
		var id int64
		if err := d.db.QueryRow("SELECT $a('), last_insert_rowid() --')").Scan(&x, &id); err != nil || id != 2 {
			t.Errorf("last_insert_rowid() is %d, %v", id, err)
		}
		mustExec(t, d.db, "SELECT $a('); CREATE TEMP TABLE hidden(a); --')")
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM hidden"); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestEmptyQueriesFailLikePackageDriver checks a query without a statement, and one whose
// statement is followed by text that is no statement. They fail with the errors of package
// driver, which are those of the plain driver.
func TestEmptyQueriesFailLikePackageDriver(t *testing.T) {
	single, err := sql.Open(driver.Name, "file::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer single.Close()
	ways := map[string]func(db *sql.DB, query string) error{
		"Exec":  func(db *sql.DB, query string) error { _, err := db.Exec(query); return err },
		"Query": func(db *sql.DB, query string) error { return drain(db.Query(query)) },
		"Prepare": func(db *sql.DB, query string) error {
			stmt, err := db.Prepare(query)
			if err != nil {
				return err
			}
			return stmt.Close()
		},
		"Exec in a Tx": func(db *sql.DB, query string) error {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			_, err = tx.Exec(query)
			return err
		},
	}
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		for _, query := range []string{
			"/*", "\v", "\v;", ";\v", "/* a", "-- a", "--", ";", "/**/", " ", "/", "-", "\uFEFF", "\uFEFF;", "\x00", "\x00SELECT 1",
			"SELECT 1; /*", "SELECT 1;\v", "SELECT 1; \v;", "SELECT 1; /", "SELECT 1; --", "SELECT 1;\uFEFF", "SELECT 1\x00", "SELECT 1;\x00SELECT 2", "SELECT 1; SELECT 2",
		} {
			for name, do := range ways {
				want := errorOf(do(single, query))
				for lane, db := range map[string]*sql.DB{"DB": d.db, "Reader": d.pool.Reader(), "Writer": d.pool.Writer()} {
					if got := errorOf(do(db, query)); got != want {
						t.Errorf("%s of %q by %s: %q, want %q", name, query, lane, got, want)
					}
				}
			}
		}
	})
}
