package driver_test

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// After a connection has seen that another one dropped a table, its cached statements for
// that table are gone. The same call returns the same error as on the plain driver.
func TestKeptStatementOfDroppedTable(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	var conns [2]*sql.Conn
	for i := range conns {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	const insert, query = "INSERT INTO t VALUES (?)", "SELECT * FROM t"
	for range 2 {
		if _, err := conns[0].ExecContext(t.Context(), insert, 1); err != nil {
			t.Fatal(err)
		}
		if err := conns[0].QueryRowContext(t.Context(), query).Scan(new(int)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conns[1].ExecContext(t.Context(), "DROP TABLE t"); err != nil {
		t.Fatal(err)
	}
	// Any statement sees the change.
	conns[0].QueryRowContext(t.Context(), "SELECT 1 FROM sqlite_schema").Scan(new(int))

	if rows, err := conns[0].QueryContext(t.Context(), query); err == nil {
		rows.Close()
		t.Error("a query of a table that is gone fails only for a row")
	}
	if _, err := conns[0].PrepareContext(t.Context(), query); err == nil {
		t.Error("a query of a table that is gone can be prepared")
	}
	_, err := conns[0].ExecContext(t.Context(), insert, 1)
	if full, ok := err.(*sqlite3.Error); !ok || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("an insert fails with %T %v, not as the plain driver's (%v)", err, err, full)
	}
}

// A statement that finds its table gone in its first step is not used again.
func TestStatementThatFindsItsTableGone(t *testing.T) {
	dsn := file(t)
	db := open(t, dsn, driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	exec(t, db, "INSERT INTO t VALUES (?)", 1)
	exec(t, open(t, dsn, driver.Config{}), "DROP TABLE t")
	for i := range 2 {
		_, err := db.Exec("INSERT INTO t VALUES (?)", 1)
		var full *sqlite3.Error
		if !errors.As(err, &full) {
			t.Fatalf("insert: %v", err)
		}
		if _, ok := err.(*sqlite3.Error); ok != (i == 1) {
			t.Errorf("insert %d fails with a %T", i, err)
		}
	}
}

// A prepared statement that writes and returns rows reports its current columns. As on the
// plain driver, its first use after a change fails.
func TestPreparedReturningAfterAChange(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a)")
	stmt, err := db.Prepare("INSERT INTO t(a) VALUES (1) RETURNING *")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	read := func() ([]string, error) {
		rows, err := stmt.Query()
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		names, err := rows.Columns()
		rows.Next()
		return names, errors.Join(err, rows.Err())
	}
	if names, err := read(); !slices.Equal(names, []string{"a"}) || err != nil {
		t.Fatal(names, err)
	}
	exec(t, db, "ALTER TABLE t ADD COLUMN b")
	read()
	if names, err := read(); !slices.Equal(names, []string{"a", "b"}) || err != nil {
		t.Errorf("columns %q, %v", names, err)
	}
}

// A query without arguments that cannot be prepared clears the last inserted row ID.
func TestLastInsertRowIDAfterAText(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a)")
	for _, text := range []string{"INSERT INTO missing VALUES (1)", "SELEC 1"} {
		exec(t, db, "INSERT INTO t VALUES (1)")
		if _, err := db.Exec(text); err == nil {
			t.Errorf("%s: succeeds", text)
		}
		if id := value[int](t, db, "SELECT last_insert_rowid()"); id != 0 {
			t.Errorf("%s: the last row ID is %d", text, id)
		}
	}
}

// Until the program asks for a row, a column has its declared type, even if the first step
// has failed.
func TestColumnTypesOfALockedDatabase(t *testing.T) {
	db := open(t, file(t, "_pragma=busy_timeout(0)"), driver.Config{})
	exec(t, db, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')")
	reader, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.QueryRowContext(t.Context(), "SELECT a FROM t").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "BEGIN EXCLUSIVE")
	defer exec(t, db, "ROLLBACK")
	rows, err := reader.QueryContext(t.Context(), "SELECT a, b FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := types[0].ScanType().String(), types[1].ScanType().String(); a != "int64" || b != "string" {
		t.Errorf("scan types %s and %s", a, b)
	}
	if rows.Next() || !errors.Is(rows.Err(), sqlite3.BUSY) {
		t.Errorf("a row of a locked database: %v", rows.Err())
	}
}

// A transaction that changed the schema is undone in any of several ways. A query prepared
// in it then fails in the same call as on the plain driver, in Query and in Prepare.
func TestKeptStatementOfUndoneTable(t *testing.T) {
	for name, undo := range map[string][]string{
		"rollback behind a released savepoint": {"BEGIN", "SAVEPOINT a", "CREATE TABLE t(a)", "RELEASE a", "use", "ROLLBACK"},
		"commit that fails":                    {"BEGIN", "CREATE TABLE t(a)", "INSERT INTO f VALUES (7)", "use", "COMMIT", "ROLLBACK"},
		"insert or rollback":                   {"BEGIN", "CREATE TABLE t(a)", "use", "INSERT OR ROLLBACK INTO u VALUES (1)"},
		"raise(rollback)":                      {"BEGIN", "CREATE TABLE t(a)", "use", "INSERT INTO r VALUES (1)"},
		"rollback to":                          {"BEGIN", "SAVEPOINT a", "CREATE TABLE t(a)", "use", "ROLLBACK TO a", "COMMIT"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, file(t, "_pragma=foreign_keys(1)"), driver.Config{})
			db.SetMaxOpenConns(1)
			exec(t, db, `CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES (1); CREATE TABLE r(a);
				CREATE TRIGGER g BEFORE INSERT ON r BEGIN SELECT RAISE(ROLLBACK, 'no'); END;
				CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE f(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)`)
			const insert, query = "INSERT INTO t VALUES (?)", "SELECT * FROM t WHERE ? = 1"
			for _, text := range undo {
				if text == "use" {
					for range 2 {
						exec(t, db, insert, 1)
						value[int](t, db, query, 1)
					}
					continue
				}
				db.Exec(text)
			}
			if rows, err := db.Query(query, 1); err == nil {
				rows.Close()
				t.Error("a query of a table that is gone succeeds")
			}
			for _, text := range []string{insert, query} {
				if stmt, err := db.Prepare(text); err == nil {
					stmt.Close()
					t.Errorf("%s can be prepared", text)
				}
			}
		})
	}
}

// After a function is redefined or removed through the connection's own methods, or a
// database is restored, no statement uses the old one.
func TestCacheIsOutOfTheWayOfDefinitions(t *testing.T) {
	backup := file(t)
	exec(t, open(t, backup, driver.Config{}), "CREATE TABLE other(a)")
	db := open(t, file(t), driver.Config{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	type definer interface {
		CreateFunction(string, int, sqlite3.FunctionFlag, sqlite3.ScalarFunction) error
		Restore(string, string) error
	}
	do := func(f func(definer) error) {
		t.Helper()
		if err := conn.Raw(func(dc any) error { return f(dc.(definer)) }); err != nil {
			t.Fatal(err)
		}
	}
	do(func(d definer) error {
		return d.CreateFunction("one", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(1) })
	})
	conn.ExecContext(t.Context(), "CREATE TABLE t(a)")
	texts := []string{"SELECT one() WHERE ? = 1", "SELECT count(*) FROM t WHERE ? = 1"}
	for _, text := range texts {
		for range 2 {
			if err := conn.QueryRowContext(t.Context(), text, 1).Scan(new(int)); err != nil {
				t.Fatal(err)
			}
		}
	}
	do(func(d definer) error { return d.CreateFunction("one", 0, 0, nil) })
	do(func(d definer) error { return d.Restore("main", backup) })
	for _, text := range texts {
		if rows, err := conn.QueryContext(t.Context(), text, 1); err == nil {
			rows.Close()
			t.Errorf("%s succeeds", text)
		}
	}
}

// An empty query may start a savepoint. It disables the cache only until the transaction
// ends.
func TestCacheAfterAnEmptyText(t *testing.T) {
	c, err := driver.NewConnector(file(t), driver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec(t, db, "")
	exec(t, db, "BEGIN")
	exec(t, db, "")
	exec(t, db, "COMMIT")
	for range 10 {
		value[int](t, db, "SELECT ?", 1)
	}
	if hits := c.CacheStats().Hits; hits != 9 {
		t.Errorf("%d hits", hits)
	}
}
