package sqltext_test

import (
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

var readSystems = []string{"sqlite", "postgresql", "cockroachdb", "mysql", "mariadb"}

// provenReads are proven for every system.
var provenReads = []string{
	"SELECT 1",
	"select a, b from t where c = ? and d in (?, ?) order by a limit 10;",
	"SELECT count(*), max(a) FROM t GROUP BY b HAVING count(*) > 1",
	"SELECT a FROM t WHERE a = $1 AND b = :b AND c = @c",
	"WITH x AS (SELECT a FROM t) SELECT * FROM x JOIN (SELECT 1) AS y ON (x.a = 1)",
	"VALUES (1, 2), (3, 4)",
	"SELECT (a + (b)) * (c) FROM t",
	"SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u) AND NOT (b OR c)",
	"SELECT sum(a) OVER (PARTITION BY b) FROM t",
	"-- name: GetAuthor :one\nSELECT * FROM authors WHERE id = ?",
	"/* a comment */ SELECT lower(a) FROM t /* traceparent='00-1-2-01' */",
	"\n\t SELECT\n\ta\n FROM\r\n t \n;\n",
	"SELECT 'it''s', \"name\", `other` FROM t",
}

// unproven are proven for no system. Some do only read.
var unproven = []string{
	"", " ", ";", "-- only a comment", "/* only a comment */", "?", "1", "SELEC", "'SELECT 1'",
	"INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "REPLACE INTO t VALUES (1)", "MERGE INTO t USING u ON 1 = 1",
	"CREATE TABLE t (a)", "PRAGMA user_version", "BEGIN", "COMMIT", "CALL f()", "DO f()", "COPY t TO STDOUT", "SHOW TABLES", "SET a = 1",
	"EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN ANALYZE SELECT 1", "EXPLAIN SELECT 1",

	// A query that writes or locks.
	"SELECT 1; DELETE FROM t", "SELECT 1;;", "DELETE FROM t; SELECT 1", "SELECT 1; SELECT 2",
	"WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
	"WITH x AS (SELECT 1)DELETE FROM t", "WITH x AS (SELECT 1) UPDATE t SET a = 1", "WITH x AS (UPSERT INTO t VALUES (1)) SELECT 1",
	"SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR NO KEY UPDATE", "SELECT * FROM t FOR SHARE", "SELECT * FROM t LOCK IN SHARE MODE",
	"SELECT a INTO u FROM t", "SELECT a FROM t INTO OUTFILE '/tmp/x'", "SELECT a FROM t INTO @x", "SELECT @a := a FROM t",
	"SELECT * FROM t WHERE a = 1FOR UPDATE", "SELECT * FROM t WHERE a = $1FOR UPDATE", "SELECT * FROM t LIMIT 1e5FOR UPDATE",
	"SELECT s.nextval", "SELECT NEXT VALUE FOR s",
	"SELECT 1 /*!50000 INTO OUTFILE 'x' */", "/*!50000 DELETE FROM t */", "/*M! DELETE FROM t */",
	"SELECT * FROM t\u00a0FOR\u00a0UPDATE", "SELECT * FROM t\xa0FOR\xa0UPDATE",

	// A function may write.
	"SELECT f()", "SELECT nextval('s')", "SELECT setval('s', 1)", "SELECT pg_advisory_lock(1)", "SELECT get_lock('a', 1)",
	"SELECT load_extension('x')", "SELECT writefile('a', 'b')", "SELECT * FROM f(1)", "SELECT f (1)", "SELECT f\n(1)",
	"SELECT s.count(1)", "SELECT s . count (1)", "SELECT \"f\"(1)", "SELECT `f`(1)", "SELECT [f](1)", "SELECT \"s\".\"count\"(1)",
	"SELECT \"x\"count(1)", "SELECT U&\"\\0066\"(1)", "SELECT écount(1)", "SELECT counté(1)", "SELECT f/* count */(1)", "SELECT f/**/(1)", "SELECT f -- count\n(1)",
	"SELECT '/*', f() --*/", "SELECT '/*', f() /* */", "-- a\rSELECT f()\n SELECT 1", "--a\nSELECT 1",
	"SELECT $f$ ( $f$", "SELECT $a(1)", "SELECT $x$f$x$(1)",
	"SELECT 1\x00, f()", "-- a\x00\nSELECT 1", "/* \x00 */ SELECT 1", "/* a /* b */ SELECT f() */ SELECT 1", "/*/ SELECT f() /*/ SELECT 1",
}

func TestOnlyReads(t *testing.T) {
	for _, system := range readSystems {
		for _, text := range provenReads {
			if !sqltext.OnlyReads(system, text) {
				t.Errorf("%s: %q must be proven", system, text)
			}
		}
		for _, text := range unproven {
			if sqltext.OnlyReads(system, text) {
				t.Errorf("%s: %q must not be proven", system, text)
			}
		}
	}
	for _, system := range []string{"", "other_sql", "oracle.db", "microsoft.sql_server", "SQLite"} {
		if sqltext.OnlyReads(system, "SELECT 1") {
			t.Errorf("nothing must be proven for the system %q", system)
		}
	}
	for _, tc := range []struct {
		system, text string
		want         bool
	}{
		{"postgresql", "SELECT a #> b FROM t", true},
		{"mysql", "SELECT 1 # a\n, f\n(1)", false},
		{"mysql", "SELECT a #> b FROM t", false},
		{"postgresql", "SELECT a[1] FROM t", true},
		{"cockroachdb", "SELECT * FROM [SHOW TABLES]", false},
	} {
		if got := sqltext.OnlyReads(tc.system, tc.text); got != tc.want {
			t.Errorf("%s: OnlyReads(%q) = %t", tc.system, tc.text, got)
		}
	}
}

// What is proven, SQLite itself takes for a read, and for one statement. The functions that SQLite
// has may write only by what is not in the list.
func FuzzOnlyReads(f *testing.F) {
	for _, text := range provenReads {
		f.Add(text)
	}
	for _, text := range unproven {
		f.Add(text)
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, text string) {
		if !sqltext.OnlyReads("sqlite", text) {
			return
		}
		stmt, tail, err := e.raw.Prepare(text)
		if err != nil {
			return
		}
		if stmt == nil {
			t.Fatalf("%q is proven, but it has no statement", text)
		}
		defer stmt.Close()
		if !stmt.ReadOnly() {
			t.Fatalf("%q is proven, but SQLite says that it writes", text)
		}
		if next, _, err := e.raw.Prepare(tail); err != nil || next != nil {
			t.Fatalf("%q is proven, but %q follows (%v)", text, tail, err)
		}
	})
}
