package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
)

// columns reads a query to its end and describes the result.
func columns(db interface {
	Query(string, ...any) (*sql.Rows, error)
}, query string, args ...any) string {
	var l transcript
	rows, err := db.Query(query, args...)
	l.rows(query, rows, err)
	return l.String()
}

// schemaChanges runs every query before and after a change of its meaning, on one
// connection. It is a case of TestSameAsThePlainDriver.
func schemaChanges(t *testing.T, db *sql.DB, l *transcript) {
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2); CREATE VIEW v AS SELECT a FROM t")
	texts := []string{"SELECT * FROM t", "SELECT * FROM v", "SELECT t.* FROM t WHERE a = ?1 OR 1", "SELECT * FROM aux.t", "SELECT * FROM u", "SELECT b FROM t"}
	run := func(what string) {
		l.see(what)
		for range 2 {
			for _, text := range texts {
				var args []any
				if strings.Contains(text, "?1") {
					args = []any{1}
				}
				l.WriteString(columns(db, text, args...))
				_, err := db.Exec(text, args...)
				l.see("exec", err)
				_, err = db.Exec("INSERT INTO t(b) SELECT ? WHERE 0", 1)
				l.see("insert", err)
			}
		}
	}
	run("at first")
	for _, change := range []string{
		"ALTER TABLE t ADD COLUMN c DEFAULT 3",
		"DROP VIEW v; CREATE VIEW v AS SELECT b, a FROM t",
		"ALTER TABLE t RENAME COLUMN c TO d",
		"ALTER TABLE t DROP COLUMN d",
		"ATTACH ':memory:' AS aux; CREATE TABLE aux.t(x); INSERT INTO aux.t VALUES (7)",
		"DETACH aux",
		"CREATE TEMP TABLE t(z); INSERT INTO temp.t VALUES (9)",
		"DROP TABLE temp.t",
		"CREATE TABLE u(x INTEGER, y DATETIME); INSERT INTO u VALUES (1, '2026-01-02')",
		"DROP TABLE u; CREATE TABLE u(y BOOLEAN); INSERT INTO u VALUES (1)",
		"PRAGMA short_column_names = 0; PRAGMA full_column_names = 1",
		"PRAGMA short_column_names = 1; PRAGMA full_column_names = 0",
		"ANALYZE", "REINDEX", "VACUUM",
		"DROP TABLE u",
		"BEGIN; ALTER TABLE t ADD COLUMN e; COMMIT",
	} {
		_, err := db.Exec(change)
		l.see(change, err)
		run("then")
	}

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "ALTER TABLE t ADD COLUMN f")
	l.WriteString(columns(tx, "SELECT * FROM t"))
	exec(t, tx, "SAVEPOINT s")
	exec(t, tx, "ALTER TABLE t RENAME COLUMN f TO g")
	l.WriteString(columns(tx, "SELECT * FROM t"))
	exec(t, tx, "ROLLBACK TO s")
	l.WriteString(columns(tx, "SELECT * FROM t"))
	l.see("rollback", tx.Rollback())
	run("after a rollback")

	exec(t, db, "DROP TABLE t; CREATE TABLE t(b, a)")
	run("another table of that name")
}

// bindings makes a query fail while its arguments are bound, and then uses it again.
func bindings(t *testing.T, db *sql.DB, l *transcript) {
	db.SetMaxOpenConns(1)
	bad := sqlite3.JSON(func() {})
	for range 2 {
		l.WriteString(columns(db, "SELECT :a, :b", sql.Named("a", "kept"), sql.Named("b", bad)))
		l.WriteString(columns(db, "SELECT :a, :b", sql.Named("b", 1)))
		_, err := db.Exec("SELECT :a, :b", sql.Named("a", "kept"), sql.Named("b", bad))
		l.see("exec", err)
		l.WriteString(columns(db, "SELECT :a, :b", sql.Named("b", 1)))
		l.WriteString(columns(db, "SELECT ?, ?", 1))
		l.WriteString(columns(db, "SELECT ?, ?", 1, 2))
	}
}

// overlaps uses one query twice at the same time.
func overlaps(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for range 2 {
		outer, err := tx.Query("SELECT a FROM t WHERE a < ?", 3)
		if err != nil {
			t.Fatal(err)
		}
		for outer.Next() {
			var a int
			l.see("outer", outer.Scan(&a), a)
			l.WriteString(columns(tx, "SELECT a FROM t WHERE a < ?", 4))
		}
		l.see("end", outer.Err(), outer.Close())
	}

	// A statement is closed while its rows are open.
	stmt, err := tx.Prepare("SELECT a FROM t WHERE a < ?")
	if err != nil {
		t.Fatal(err)
	}
	first, err := stmt.Query(4)
	if err != nil {
		t.Fatal(err)
	}
	l.see("first", first.Next())
	second, err := stmt.Query(2)
	l.see("second", err)
	if err == nil {
		second.Close()
	}
	l.see("close", first.Close(), stmt.Close())
	l.WriteString(columns(tx, "SELECT a FROM t WHERE a < ?", 4))
}

// sameRows checks that the first row, which this package reads, has the same values as the
// second, which the plain driver reads.
func sameRows(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, `CREATE TABLE t(i INTEGER, r REAL, s TEXT, b BLOB, o BOOLEAN, d DATETIME, e DATE, m TIMESTAMP, h TIME, v VARCHAR(10), x, n NUMERIC, tt "TEXT(5)")`)
	for _, v := range []any{
		nil, 0, 1, 2, -1, int64(1 << 40), 1.5, 1e300, 0.0, "", "text", "1", "2026-01-02", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+01:00",
		"2026-01-02T03:04:05.50Z", "03:04:05", "1700000000", "not a time", "true", "\x00a\x00", []byte{}, []byte("2026-01-02T03:04:05Z"), []byte{0, 255}, true, false,
	} {
		exec(t, db, "DELETE FROM t")
		for range 2 {
			exec(t, db, "INSERT INTO t VALUES (?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1,?1)", v)
		}
		for range 2 {
			rows, err := db.Query("SELECT *, d + 0, d AS d2 FROM t")
			l.rows(fmt.Sprint(v), rows, err)
		}
	}
}

// A connection's own statements do not disturb a program: they are not in Stmts, and cause
// no errors on Close or through Raw.
func TestCacheIsOutOfTheWayOfRaw(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	conn.ExecContext(ctx, "CREATE TABLE t(a)")
	for range 2 {
		if _, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (?)", 1); err != nil {
			t.Fatal(err)
		}
	}
	held, err := conn.QueryContext(ctx, "SELECT a FROM t WHERE a = ?", 1)
	if err != nil {
		t.Fatal(err)
	}
	held.Next()
	raw(t, conn, func(c *sqlite3.Conn) {
		n := 0
		for range c.Stmts() {
			n++
		}
		if n != 1 { // the statement whose rows are open
			t.Errorf("%d statements are listed", n)
		}
		if err := c.Exec("ALTER TABLE t RENAME TO u; CREATE TABLE t(b, c)"); err != nil {
			t.Error(err)
		}
	})
	held.Close()
	rows, err := conn.QueryContext(ctx, "SELECT * FROM t WHERE ? = 1", 1)
	if err != nil {
		t.Fatal(err)
	}
	if names, _ := rows.Columns(); !slices.Equal(names, []string{"b", "c"}) {
		t.Errorf("columns %v", names)
	}
	rows.Close()
	raw(t, conn, func(c *sqlite3.Conn) {
		if n := len(slices.Collect(c.Stmts())); n != 0 {
			t.Errorf("%d statements are left", n)
		}
	})
}

// The methods of *sqlite3.Conn, and a savepoint that is rolled back to, leave no stale
// statement: errors come from the same call as on the plain driver.
func TestCacheIsOutOfTheWayOfMethods(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	query := func() error {
		rows, err := conn.QueryContext(ctx, "SELECT a FROM t WHERE ? = 1", 1)
		if err != nil {
			return err
		}
		return rows.Close()
	}
	do := func(f func(dc any) error) {
		t.Helper()
		if err := conn.Raw(f); err != nil {
			t.Fatal(err)
		}
	}
	type execer interface{ Exec(string) error }
	do(func(dc any) error { return dc.(execer).Exec("CREATE TABLE t(a)") })
	for range 2 {
		if err := query(); err != nil {
			t.Error(err)
		}
	}
	do(func(dc any) error {
		if n := len(slices.Collect(dc.(interface {
			Stmts() iter.Seq[*sqlite3.Stmt]
		}).Stmts())); n != 0 {
			t.Errorf("%d statements are listed", n)
		}
		return dc.(execer).Exec("DROP TABLE t")
	})
	if err := query(); err == nil {
		t.Error("a query of a table that is gone succeeds")
	}

	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	sp := sqlite3driver.Savepoint(tx)
	exec(t, tx, "CREATE TABLE t(a)")
	for range 2 {
		value[int](t, tx, "SELECT count(a) FROM t WHERE ? = 1", 1)
	}
	if err := sp.Rollback(); err != nil {
		t.Fatal(err)
	}
	if rows, err := tx.Query("SELECT count(a) FROM t WHERE ? = 1", 1); err == nil {
		rows.Close()
		t.Error("a query of a table that was rolled back succeeds")
	}
}

// A schema migration with open connections: the plain driver fails once on every other
// connection, or returns old column names. This driver does neither, in one process and
// across processes, with prepared statements and without.
func TestStaleStatement(t *testing.T) {
	if dsn := os.Getenv("SQLITEMW_TEST_MIGRATE"); dsn != "" {
		db := open(t, dsn, driver.Config{})
		exec(t, db, os.Getenv("SQLITEMW_TEST_SQL"))
		return
	}
	migrate := map[string]func(t *testing.T, dsn, change string){
		"same process": func(t *testing.T, dsn, change string) {
			exec(t, open(t, dsn, driver.Config{}), change)
		},
		"another process": func(t *testing.T, dsn, change string) {
			cmd := osexec.Command(must(t, os.Executable), "-test.run=^TestStaleStatement$")
			cmd.Env = append(os.Environ(), "SQLITEMW_TEST_MIGRATE="+dsn, "SQLITEMW_TEST_SQL="+change)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		},
	}
	for name, migrate := range migrate {
		t.Run(name, func(t *testing.T) {
			dsn := file(t, "_pragma=busy_timeout(120000)", "_pragma=journal_mode(wal)")
			db := open(t, dsn, driver.Config{})
			exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			stmt, err := db.Prepare("SELECT * FROM t")
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			var conns []*sql.Conn
			for range 3 {
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conns = append(conns, conn)
			}
			check := func(want ...string) {
				t.Helper()
				see := func(what string, rows *sql.Rows, err error) {
					t.Helper()
					if err != nil {
						t.Errorf("%s: %v", what, err)
						return
					}
					defer rows.Close()
					names, err := rows.Columns()
					if err != nil || !slices.Equal(names, want) {
						t.Errorf("%s: columns %v, %v, want %v", what, names, err, want)
					}
					n := 0
					for rows.Next() {
						dest := make([]any, len(names))
						for i := range dest {
							dest[i] = new(any)
						}
						if err := rows.Scan(dest...); err != nil {
							t.Errorf("%s: %v", what, err)
						}
						n++
					}
					if n != 1 || rows.Err() != nil {
						t.Errorf("%s: %d rows, %v", what, n, rows.Err())
					}
				}
				for i, conn := range conns {
					for range 2 {
						rows, err := conn.QueryContext(t.Context(), "SELECT * FROM t")
						see(fmt.Sprint("connection ", i), rows, err)
					}
				}
				rows, err := stmt.Query()
				see("prepared", rows, err)
			}
			check("a")
			migrate(t, dsn, "ALTER TABLE t ADD COLUMN b")
			check("a", "b")
			migrate(t, dsn, "ALTER TABLE t RENAME COLUMN b TO c")
			check("a", "c")
			migrate(t, dsn, "ALTER TABLE t DROP COLUMN c")
			check("a")
			migrate(t, dsn, "DROP TABLE t; CREATE TABLE t(x, y, z); INSERT INTO t VALUES (1, 2, 3)")
			check("x", "y", "z")

			// An open transaction changes nothing for other connections.
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, tx, "ALTER TABLE t RENAME COLUMN x TO w")
			check("x", "y", "z")
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			check("w", "y", "z")
			migrate(t, dsn, "DROP TABLE t")
			if _, err := conns[0].ExecContext(t.Context(), "SELECT * FROM t"); err == nil {
				t.Error("a table that is gone is read")
			}
			if s := columns(db, "SELECT * FROM t"); !strings.Contains(s, "no such table") {
				t.Error(s)
			}
		})
	}
}

// The cache is bounded and counted. A statement is evicted only for one that is used more
// recently.
func TestCacheStats(t *testing.T) {
	c, err := driver.NewConnector(file(t), driver.Config{StatementCache: 2})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	db.SetMaxOpenConns(1)
	want := func(what string, hits, misses, evictions, invalidations uint64) {
		t.Helper()
		if got, want := c.CacheStats(), (driver.CacheStats{Hits: hits, Misses: misses, Evictions: evictions, Invalidations: invalidations}); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	q := func(n int) { value[int](t, db, fmt.Sprintf("SELECT ? + %d", n), 1) }
	q(1)
	q(1)
	q(2)
	want("two texts", 1, 2, 0, 0)
	q(1)
	q(3)
	want("a third that may never come again", 2, 3, 0, 0)
	q(2)
	q(1)
	q(3)
	want("it does, but since it came last the others have, too", 4, 4, 0, 0)
	q(2)
	q(3) // replaces 1
	want("one has not", 5, 5, 1, 0)
	q(3)
	q(2)
	want("it has given way", 7, 5, 1, 0)
	q(1)
	want("and has to come twice", 7, 6, 1, 0)
	exec(t, db, "CREATE TABLE t(a)")
	want("a table is made", 7, 6, 1, 2)
	columns(db, "EXPLAIN SELECT 1")
	exec(t, db, "BEGIN")
	exec(t, db, "COMMIT")
	q(5)
	q(5)
	want("transactions and EXPLAIN let nothing go", 8, 7, 1, 2)

	off := open(t, file(t), driver.Config{StatementCache: -1})
	value[int](t, off, "SELECT ?", 1)
	if got := driver.ConnectorOf(off).CacheStats(); got != (driver.CacheStats{}) {
		t.Errorf("without a cache: %+v", got)
	}
}

// A cycle of more queries than fit still finds those that are cached.
func TestCacheInRotation(t *testing.T) {
	for _, tc := range []struct {
		texts int
		least float64 // fraction of the possible hits
	}{
		{texts: 100, least: 1},
		{texts: 150, least: 1},
		{texts: 1000, least: 0.08}, // too many to remember their last use: the first ones stay
	} {
		db := open(t, file(t), driver.Config{StatementCache: 100})
		db.SetMaxOpenConns(1)
		c := driver.ConnectorOf(db)
		round := func() {
			for i := range tc.texts {
				if got := value[int](t, db, fmt.Sprintf("SELECT ? + %d", i), 1); got != i+1 {
					t.Fatalf("text %d answers %d", i, got)
				}
			}
		}
		round()
		round()
		before := c.CacheStats()
		round()
		after := c.CacheStats()
		if hits, found := after.Hits-before.Hits, tc.least*float64(min(100, tc.texts)); float64(hits) < found {
			t.Errorf("of %d texts, %d were found in a round, want %.0f", tc.texts, hits, found)
		}
		if after.Evictions != 0 {
			t.Errorf("of %d texts that come in turn, %d gave way", tc.texts, after.Evictions)
		}
	}
}

// Queries that the program no longer uses are evicted for those that it uses now.
func TestCacheFollowsTheProgram(t *testing.T) {
	db := open(t, file(t), driver.Config{StatementCache: 20})
	db.SetMaxOpenConns(1)
	c := driver.ConnectorOf(db)
	var last uint64
	for _, phase := range []string{"first", "then", "at last"} {
		for range 5 {
			last = c.CacheStats().Hits
			for i := range 20 {
				value[int](t, db, fmt.Sprintf("SELECT ? + %d AS %q", i, phase), 1)
			}
		}
		if hits := c.CacheStats().Hits - last; hits != 20 {
			t.Errorf("%s: %d of 20 texts are found after four rounds", phase, hits)
		}
	}
}

// A query without a statement is harmless. The plain driver panics and loses the
// connection.
func TestEmptyText(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	db.SetMaxOpenConns(1)
	for _, text := range []string{"", " ", ";", "-- nothing", "/* nothing */ ;", "/* not closed", "\uFEFF", "\x00SELECT 1"} {
		if _, err := db.Exec(text); err != nil {
			t.Errorf("exec %q: %v", text, err)
		}
		rows, err := db.Query(text)
		if err != nil {
			t.Errorf("query %q: %v", text, err)
			continue
		}
		if names, err := rows.Columns(); len(names) != 0 || err != nil || rows.Next() || rows.Err() != nil {
			t.Errorf("query %q: columns %v, %v, %v", text, names, err, rows.Err())
		}
		rows.Close()
		stmt, err := db.Prepare(text)
		if err != nil {
			t.Errorf("prepare %q: %v", text, err)
			continue
		}
		if _, err := stmt.Exec(); err != nil {
			t.Errorf("prepared %q: %v", text, err)
		}
		stmt.Close()
		for _, err := range []error{
			func() error { _, err := db.Exec(text, 1); return err }(),
			db.QueryRow(text, 1).Scan(new(int)),
		} {
			if err == nil || !strings.Contains(err.Error(), "expected 0 arguments, got 1") {
				t.Errorf("%q with an argument: %v", text, err)
			}
		}
	}
	if err := db.QueryRowContext(context.Background(), "-- nothing").Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a row of nothing: %v", err)
	}
}
