package summary

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

func TestSummary(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		// The examples of the convention.
		{"single operation", "SELECT *\nFROM   wuser_table\nWHERE  username = ?", "SELECT wuser_table"},
		{"two operations", "INSERT INTO shipping_details (order_id, address)\nSELECT order_id, address FROM orders WHERE order_id = ?", "INSERT shipping_details SELECT orders"},
		{"two targets", "SELECT * FROM songs, artists WHERE songs.artist_id == artists.id", "SELECT songs artists"},
		{"anonymous table", "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)", "SELECT SELECT orders customers"},
		{"quoted targets", "SELECT * FROM \"song list\", 'artists'", "SELECT \"song list\" 'artists'"},
		{"DDL", "CREATE TABLE MyTable (id INTEGER)", "CREATE TABLE MyTable"},

		// Names and operations as written.
		{"case", "select * from Users", "select Users"},
		{"every quote", "SELECT * FROM \"a \"\"b\", `c d`, [e f]", "SELECT \"a \"\"b\" `c d` [e f]"},
		{"schema", "SELECT * FROM main.t", "SELECT main.t"},
		{"schema, quoted and spaced", "SELECT * FROM \"main\" . /* x */ [my t] AS m", "SELECT \"main\".[my t]"},
		{"schema of a keyword's name", "SELECT * FROM temp.\"order\"", "SELECT temp.\"order\""},
		{"digits stay", "SELECT * FROM events_2024_01", "SELECT events_2024_01"},
		{"letters of any script", "SELECT * FROM données, 表", "SELECT données 表"},
		{"keyword in quotes", "SELECT \"from\", \"x\" FROM \"select\"", "SELECT \"select\""},
		{"keyword that may be a name", "SELECT * FROM replace JOIN view USING (id)", "SELECT replace view"},

		// SELECT.
		{"no table", "SELECT 1", "SELECT"},
		{"comments around", "/* a */ -- b\nSELECT /* FROM x */ * -- FROM y\nFROM t", "SELECT t"},
		{"aliases", "SELECT a.x AS y, z FROM t1 AS a, t2 b", "SELECT t1 t2"},
		{"joins", "SELECT * FROM a LEFT OUTER JOIN b ON a.x = b.x, c NATURAL JOIN d CROSS JOIN e USING (x, y)", "SELECT a b c d e"},
		{"joins in parentheses", "SELECT * FROM (a, b JOIN (c CROSS JOIN d) ON 1), e", "SELECT a b c d e"},
		{"subquery in parentheses twice", "SELECT * FROM ((SELECT * FROM a)), b", "SELECT SELECT a b"},
		{"table in parentheses", "SELECT * FROM (a)", "SELECT a"},
		{"subquery among columns", "SELECT x, (SELECT max(y) FROM b) FROM a", "SELECT SELECT b a"},
		{"subquery in WHERE", "SELECT * FROM a WHERE x IN (SELECT y FROM b) AND EXISTS (SELECT 1 FROM c)", "SELECT a SELECT b SELECT c"},
		{"subquery in ON", "SELECT * FROM a JOIN b ON a.x = (SELECT max(x) FROM c), d", "SELECT a b SELECT c d"},
		{"subquery in LIMIT", "SELECT * FROM a LIMIT (SELECT n FROM b)", "SELECT a SELECT b"},
		{"IN a table", "SELECT * FROM a WHERE x IN b AND y NOT IN main.c", "SELECT a b main.c"},
		{"IN a literal", "SELECT * FROM a WHERE x IN 'b'", "SELECT a"},
		{"IN a list", "SELECT * FROM a WHERE x IN (y, z)", "SELECT a"},
		{"compound", "SELECT x FROM a UNION ALL SELECT x FROM b EXCEPT SELECT x FROM c", "SELECT a SELECT b SELECT c"},
		{"compound with VALUES", "SELECT x FROM a UNION VALUES (1), (2)", "SELECT a VALUES"},
		{"IS DISTINCT FROM", "SELECT * FROM a WHERE x IS DISTINCT FROM y AND z IS NOT DISTINCT FROM w", "SELECT a"},
		{"DISTINCT", "SELECT DISTINCT x FROM a", "SELECT a"},
		{"commas after FROM", "SELECT * FROM a WHERE x = 1 GROUP BY x, y ORDER BY x, y LIMIT 1, 2", "SELECT a"},
		{"window", "SELECT sum(x) OVER w, row_number() OVER (ORDER BY y, z) FROM a WINDOW w AS (PARTITION BY x), v AS (ORDER BY y)", "SELECT a"},
		{"index hint", "SELECT * FROM a INDEXED BY i, b NOT INDEXED", "SELECT a b"},
		{"table-valued function", "SELECT * FROM json_each(?, '$.a'), t, pragma_table_info('t')", "SELECT json_each t pragma_table_info"},
		{"FROM within a function of another system", "SELECT substring(x FROM y) FROM a", "SELECT a"},
		{"FROM a parameter", "SELECT * FROM ? JOIN a", "SELECT a"},
		{"CASE", "SELECT CASE x WHEN 'a' THEN (SELECT y FROM b) END FROM a", "SELECT SELECT b a"},
		{"replace function", "SELECT replace(x, 'a', 'b') FROM t WHERE (replace(x, 'a', 'b')) = 'c'", "SELECT t"},
		{"VALUES", "VALUES (1, 2), (3, (SELECT x FROM a))", "VALUES SELECT a"},
		{"parentheses around", "(SELECT * FROM a) UNION (SELECT * FROM b)", "SELECT a SELECT b"},

		// WITH.
		{"CTE", "WITH x AS (SELECT * FROM a) SELECT * FROM x", "SELECT a SELECT"},
		{"CTE and a table", "WITH x AS (SELECT * FROM a) SELECT * FROM x JOIN b", "SELECT a SELECT b"},
		{"CTEs", "WITH x(i, j) AS (SELECT * FROM a), y AS NOT MATERIALIZED (SELECT * FROM x, b) SELECT * FROM y", "SELECT a SELECT b SELECT"},
		{"CTE that is used before", "WITH x AS (SELECT * FROM y), y AS (SELECT * FROM a) SELECT * FROM x", "SELECT SELECT a SELECT"},
		{"recursive CTE", "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n", "VALUES SELECT SELECT"},
		{"CTE in other case and quotes", "WITH \"my X\" AS (SELECT 1) SELECT * FROM [MY x], 'my x'", "SELECT SELECT"},
		{"CTE without a name", "WITH \"\" AS (SELECT * FROM a) SELECT * FROM \"\", b", "SELECT a SELECT b"},
		{"CTE called recursive", "WITH recursive AS (SELECT * FROM a) SELECT * FROM recursive", "SELECT a SELECT"},
		{"CTE hides no table of a schema", "WITH x AS (SELECT 1) SELECT * FROM main.x", "SELECT SELECT main.x"},
		{"CTE hides no table beyond its scope", "SELECT * FROM (WITH x AS (SELECT * FROM a) SELECT * FROM x) JOIN x", "SELECT SELECT a SELECT x"},
		{"CTE hides no table of the next statement", "WITH x AS (SELECT 1) SELECT * FROM x; SELECT * FROM x", "SELECT SELECT SELECT x"},
		{"CTE in a list", "WITH x AS (SELECT 1) SELECT * FROM a WHERE b IN x", "SELECT SELECT a"},
		{"CTE before INSERT", "WITH x AS (SELECT * FROM a) INSERT INTO x SELECT * FROM x", "SELECT a INSERT x SELECT"},
		{"CTE in INSERT", "INSERT INTO t (i) WITH x AS (SELECT * FROM a), y AS (SELECT 1) SELECT * FROM x, y", "INSERT t SELECT a SELECT SELECT"},
		{"CTE that hides a table only later", "WITH x AS (SELECT * FROM y) INSERT INTO t WITH y AS (SELECT * FROM a) SELECT * FROM x, y", "SELECT y INSERT t SELECT a SELECT"},
		{"CTE before REPLACE", "WITH x AS (SELECT 1) REPLACE INTO t SELECT * FROM x", "SELECT REPLACE t SELECT"},
		{"CTE before UPDATE", "WITH x AS (SELECT 1) UPDATE t SET a = (SELECT * FROM x)", "SELECT UPDATE t SELECT"},
		{"CTE before DELETE", "WITH x AS (SELECT * FROM a) DELETE FROM t WHERE i IN (SELECT * FROM x)", "SELECT a DELETE t SELECT"},

		// INSERT, UPDATE, DELETE.
		{"INSERT", "INSERT INTO t (a, b) VALUES (?, ?), (3, 4)", "INSERT t"},
		{"INSERT OR", "INSERT OR REPLACE INTO main.t VALUES (1)", "INSERT main.t"},
		{"INSERT defaults", "INSERT INTO t DEFAULT VALUES", "INSERT t"},
		{"INSERT with subquery", "INSERT INTO t VALUES ((SELECT max(x) FROM a), 2)", "INSERT t SELECT a"},
		{"INSERT a string's table", "INSERT INTO 't' VALUES ('x')", "INSERT 't'"},
		{"REPLACE", "REPLACE INTO t VALUES (1)", "REPLACE t"},
		{"UPSERT", "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) WHERE a > 0 DO UPDATE SET a = excluded.a, b = 2 WHERE a < 9", "INSERT t"},
		{"UPSERT from SELECT", "INSERT INTO t SELECT * FROM a WHERE true ON CONFLICT DO UPDATE SET b = 1, c = 2", "INSERT t SELECT a"},
		{"RETURNING", "INSERT INTO t SELECT * FROM a, b RETURNING x, y, (SELECT z FROM c)", "INSERT t SELECT a b SELECT c"},
		{"UPDATE", "UPDATE t SET a = 1, b = 2 WHERE c = 3", "UPDATE t"},
		{"UPDATE OR", "UPDATE OR IGNORE t SET a = 1", "UPDATE t"},
		{"UPDATE FROM", "UPDATE t AS x SET a = b, c = d FROM t2, t3 JOIN t4 USING (i) WHERE t.i = t2.i", "UPDATE t t2 t3 t4"},
		{"UPDATE with subquery", "UPDATE t SET (a, b) = (SELECT c, d FROM s)", "UPDATE t SELECT s"},
		{"DELETE", "DELETE FROM main.t AS x WHERE a = 1", "DELETE main.t"},
		{"DELETE with subquery", "DELETE FROM t WHERE a IN (SELECT b FROM s)", "DELETE t SELECT s"},

		// Definitions.
		{"CREATE TABLE", "create temp table if not exists main.t (a)", "create table main.t"},
		{"CREATE TABLE with constraints", "CREATE TABLE t (a INTEGER REFERENCES other (b) ON DELETE CASCADE ON UPDATE SET NULL, CHECK (a IN (1)), FOREIGN KEY (a) REFERENCES x)", "CREATE TABLE t"},
		{"CREATE TABLE AS", "CREATE TABLE t AS WITH x AS (SELECT * FROM a) SELECT * FROM x, b", "CREATE TABLE t SELECT a SELECT b"},
		{"CREATE a string's table", "CREATE TABLE 'my table' (a)", "CREATE TABLE 'my table'"},
		{"CREATE INDEX", "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a, b) WHERE a IN (1)", "CREATE INDEX i"},
		{"CREATE VIEW", "CREATE VIEW v (a, b) AS SELECT * FROM t", "CREATE VIEW v SELECT t"},
		{"CREATE TRIGGER", "CREATE TRIGGER g AFTER UPDATE OF a ON t WHEN (SELECT 1 FROM s) BEGIN UPDATE u SET a = CASE WHEN 1 THEN 2 END; DELETE FROM w; END; SELECT * FROM x", "CREATE TRIGGER g SELECT x"},
		{"CREATE VIRTUAL TABLE", "CREATE VIRTUAL TABLE f USING fts5(a, b, content='c')", "CREATE TABLE f"},
		{"ALTER", "ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t"},
		{"DROP", "DROP TABLE IF EXISTS temp.t", "DROP TABLE temp.t"},
		{"DROP others", "drop index i; drop view v; drop trigger g", "drop index i drop view v drop trigger g"},
		{"unknown object", "CREATE USER bob IDENTIFIED BY hunter2", "CREATE"},

		// The rest.
		{"PRAGMA", "PRAGMA foreign_keys", "PRAGMA foreign_keys"},
		{"PRAGMA with value", "PRAGMA main.journal_mode = WAL", "PRAGMA main.journal_mode"},
		{"PRAGMA with argument", "PRAGMA table_info(users)", "PRAGMA table_info"},
		{"ATTACH", "ATTACH DATABASE 'f.db' AS aux", "ATTACH aux"},
		{"ATTACH quoted", "attach ? as \"my aux\" key 'k'", "attach \"my aux\""},
		{"ATTACH as a string", "ATTACH 'f.db' AS 'aux'", "ATTACH"},
		{"DETACH", "DETACH DATABASE aux", "DETACH aux"},
		{"BEGIN", "BEGIN IMMEDIATE TRANSACTION", "BEGIN"},
		{"end of a transaction", "COMMIT; END TRANSACTION; rollback", "COMMIT END rollback"},
		{"savepoints", "SAVEPOINT sp_17; ROLLBACK TRANSACTION TO SAVEPOINT sp_17; RELEASE sp_17", "SAVEPOINT ROLLBACK RELEASE"},
		{"maintenance", "VACUUM; VACUUM main INTO 'f'; ANALYZE; ANALYZE main.t; REINDEX i", "VACUUM VACUUM main ANALYZE ANALYZE main.t REINDEX i"},
		{"EXPLAIN", "EXPLAIN SELECT * FROM t", "EXPLAIN SELECT t"},
		{"EXPLAIN QUERY PLAN", "explain query plan DELETE FROM t", "explain DELETE t"},
		{"statements", ";; INSERT INTO a VALUES (1); DELETE FROM b;", "INSERT a DELETE b"},

		// No summary.
		{"empty", "", ""},
		{"white space", " \n\ufeff\t", ""},
		{"semicolons", ";;", ""},
		{"comment", "-- SELECT 1", ""},
		{"byte order mark", "\ufeffSELECT * FROM t", "SELECT t"},
		{"NUL", "SELECT * FROM a\x00, secret", "SELECT a"},
		{"no SQL", "hunter2 secret", ""},
		{"SQL, then no SQL", "SELECT * FROM t; hunter2", "SELECT t"},
		{"a URL", "postgres://bob:hunter2@host/db", ""},
		{"apostrophe", "SELECT * FROM t WHERE a = 'O'Brien' FROM secret", "SELECT t"},
		{"name without an end", "SELECT * FROM \"secret", "SELECT"},
		{"half a schema", "SELECT * FROM main. = x", "SELECT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Describe(sqltext.SQLite, tt.sql, false).Summary; got != tt.want {
				t.Errorf("summary of %q\n got %s\nwant %s", tt.sql, got, tt.want)
			}
		})
	}
}

func TestSummaryIsCutBetweenParts(t *testing.T) {
	long := strings.Repeat("é", 100)
	quoted := "\"a " + strings.Repeat("b", 300) + "\""
	tests := []struct{ name, sql, want string }{
		{"fits", "SELECT * FROM " + long + ", " + long + ", " + strings.Repeat("x", 46), "SELECT " + long + " " + long + " " + strings.Repeat("x", 46)},
		{"one too many", "SELECT * FROM " + long + ", " + long + ", " + strings.Repeat("x", 47) + ", y", "SELECT " + long + " " + long},
		{"a target alone too long", "SELECT * FROM " + quoted, "SELECT"},
		{"operation of two words", "SELECT * FROM " + strings.Repeat("x", 242) + "; CREATE TABLE y (z)", "SELECT " + strings.Repeat("x", 242)},
		{"many", strings.Repeat("SELECT 1;", 999), strings.TrimSpace(strings.Repeat("SELECT ", 36))},
		{"many common table expressions", "WITH a AS (SELECT 1) SELECT * FROM a" + strings.Repeat(", a", 300) + ", b", "SELECT SELECT b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Describe(sqltext.SQLite, tt.sql, false).Summary
			if got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if n := utf8.RuneCountInString(got); n > 255 {
				t.Errorf("%d characters", n)
			}
		})
	}
}

func TestSummaryStopsLookingTooDeep(t *testing.T) {
	nest := func(n int) string {
		return "SELECT * FROM a WHERE " + strings.Repeat("(", n) + "SELECT 'x' FROM b" + strings.Repeat(")", n) + " AND c IN (SELECT d FROM e)"
	}
	if got, want := Describe(sqltext.SQLite, nest(sqltext.MaxDepth-1), false).Summary, "SELECT a SELECT b SELECT e"; got != want {
		t.Errorf("at the limit: got %s, want %s", got, want)
	}
	info := Describe(sqltext.SQLite, nest(sqltext.MaxDepth), false)
	if want := "SELECT a SELECT e"; info.Summary != want {
		t.Errorf("beyond: got %s, want %s", info.Summary, want)
	}
	if want := strings.ReplaceAll(nest(sqltext.MaxDepth), "'x'", "?"); info.Sanitized != want {
		t.Errorf("beyond: sanitized to %s", info.Sanitized)
	}
}

func TestSanitized(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		// Literals.
		{"strings", "SELECT '', 'a', 'it''s', '--', '/*', \"b\" FROM t", "SELECT ?, ?, ?, ?, ?, \"b\" FROM t"},
		{"blobs", "SELECT x'', X'53ab', x'5', x'zz'", "SELECT ?, ?, ?, ?"},
		{"numbers", "SELECT 123, 1.5, .5, 1., 1e-3, 1E+3, 0xFF, 1_000, 12ab", "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"},
		{"signs", "SELECT -1, +2, 3-4", "SELECT -?, +?, ?-?"},
		{"no spaces", "SELECT'a'||'b',1+2 FROM t WHERE a LIKE'x%'AND b=3", "SELECT?||?,?+? FROM t WHERE a LIKE?AND b=?"},
		{"list", "SELECT * FROM t WHERE a IN (1, 'b', x'00')", "SELECT * FROM t WHERE a IN (?, ?, ?)"},
		{"limit", "SELECT * FROM t LIMIT 10 OFFSET 20", "SELECT * FROM t LIMIT ? OFFSET ?"},
		{"type", "CREATE TABLE t (a VARCHAR(255) DEFAULT 'x')", "CREATE TABLE t (a VARCHAR(?) DEFAULT ?)"},
		{"JSON", "SELECT a ->> '$.b', c -> 1 FROM t", "SELECT a ->> ?, c -> ? FROM t"},
		{"strings for names", "SELECT 'a' AS 'b' FROM 'c' JOIN main.'d'", "SELECT ? AS ? FROM ? JOIN main.?"},
		{"function", "SELECT * FROM pragma_table_info('t', 1)", "SELECT * FROM pragma_table_info(?, ?)"},
		{"UPSERT", "INSERT INTO t VALUES (1, 'a') ON CONFLICT DO UPDATE SET b = 'c'", "INSERT INTO t VALUES (?, ?) ON CONFLICT DO UPDATE SET b = ?"},

		// Parts that stay.
		{"nothing to hide", "SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = ?"},
		{"constants", "SELECT TRUE, false, NULL, CURRENT_TIMESTAMP", "SELECT TRUE, false, NULL, CURRENT_TIMESTAMP"},
		{"names", "SELECT \"a b\", `c`, [d], e1.f2 FROM g3", "SELECT \"a b\", `c`, [d], e1.f2 FROM g3"},
		{"parameters", "SELECT ?, ?1, :a, @b, $c, $a::b(c), $d(1)", "SELECT ?, ?1, :a, @b, $c, $a::b(c), $d(1)"},
		{"parameter with a literal in its name", "SELECT $a('x'), :b(\"y\")", "SELECT ?, ?"},
		{"layout", "\n\tSELECT a,\r\n\t       b\n\t  FROM t\n", "\n\tSELECT a,\r\n\t       b\n\t  FROM t\n"},
		{"savepoint", "SAVEPOINT sp_1", "SAVEPOINT sp_1"},

		// Comments.
		{"comment", "SELECT/* a */b--c", "SELECT b"},
		{"comment and white space", "SELECT a -- b\n  , /* c */ /* d */ e", "SELECT a , e"},
		{"comment in front", "/* a */ SELECT 1 /* b */ ;", "SELECT ? ;"},
		{"comment alone", " -- a", ""},
		{"comment without an end", "SELECT a /* b", "SELECT a ?"},
		{"comment keeps operators apart", "SELECT 1 -/**/- 2 </**/> 3", "SELECT ? - - ? < > ?"},
		{"byte order marks", "\ufeffSELECT \ufeff a\ufeff", "SELECT a\ufeff"},

		// Pragmas.
		{"PRAGMA", "PRAGMA foreign_keys;", "PRAGMA foreign_keys;"},
		{"PRAGMA value", "PRAGMA journal_mode = WAL", "PRAGMA journal_mode = ?"},
		{"PRAGMA argument", "PRAGMA main.table_info(users)", "PRAGMA main.table_info(?)"},
		{"key", "PRAGMA key = 'secret'", "PRAGMA key = ?"},
		{"key as a name", "PRAGMA key=secret", "PRAGMA key=?"},
		{"key in double quotes", "pragma key(\"secret\");", "pragma key(?);"},
		{"key as a blob", "PRAGMA hexkey = x'00ff'", "PRAGMA hexkey = ?"},
		{"key as a parameter", "PRAGMA textkey = @secret", "PRAGMA textkey = ?"},
		{"key of several words", "PRAGMA rekey = my (secret) pass 'phrase' ; SELECT 1", "PRAGMA rekey = ? ; SELECT ?"},
		{"key in open parentheses", "PRAGMA key('secret'; SELECT 1", "PRAGMA key(?; SELECT ?"},
		{"key behind parentheses", "PRAGMA key(a) secret", "PRAGMA key(?) ?"},
		{"key without a sign", "PRAGMA key secret", "PRAGMA key ?"},
		{"key behind a comment", "/* x */ PRAGMA /* y */ main . key -- z\n = secret", "PRAGMA main . key = ?"},
		{"key of an illegal character", "PRAGMA key = sec\\ret", "PRAGMA key = ?"},
		{"key with an apostrophe", "PRAGMA key = 'it's secret'", "PRAGMA key = ?"},
		{"key with a semicolon", "PRAGMA key = sec;ret", "PRAGMA key = ?;?"},
		{"key without a semicolon before", "SELECT 1 PRAGMA key = secret", "SELECT ? ?"},
		{"key in a trigger", "CREATE TRIGGER a AFTER INSERT ON b BEGIN PRAGMA key = secret; END", "CREATE TRIGGER a AFTER INSERT ON b BEGIN ?"},
		{"pragma of a string", "PRAGMA 'key' = 'secret'", "PRAGMA ?"},
		{"a column called pragma", "SELECT pragma, attach AS x FROM t", "SELECT pragma, attach AS x FROM t"},
		{"EXPLAIN PRAGMA", "EXPLAIN PRAGMA key = secret", "EXPLAIN PRAGMA key = ?"},

		// ATTACH and others that take a file.
		{"ATTACH", "ATTACH DATABASE 'secret.db' AS aux", "ATTACH DATABASE ? AS aux"},
		{"ATTACH names for strings", "ATTACH \"secret.db\" AS aux KEY secret", "ATTACH ? AS aux KEY ?"},
		{"ATTACH a bare name", "attach secret as [aux] key \"secret\"", "attach ? as [aux] key ?"},
		{"ATTACH expressions", "ATTACH 'a' || CAST(secret AS TEXT) AS 'b' || x KEY 'k' || secret;", "ATTACH ? AS ? KEY ?;"},
		{"ATTACH parameters", "ATTACH ? AS :name KEY @key", "ATTACH ? AS :name KEY @key"},
		{"ATTACH parameters in expressions", "ATTACH ? || secret AS :name || secret KEY f(@key)", "ATTACH ? AS ? KEY ?"},
		{"ATTACH called database", "ATTACH database AS key KEY secret", "ATTACH ? AS key KEY ?"},
		{"ATTACH out of order", "ATTACH 'a' KEY secret AS aux", "ATTACH ? AS aux"},
		{"ATTACH with more behind", "ATTACH 'a' AS aux secret", "ATTACH ? AS ?"},
		{"ATTACH without AS", "ATTACH secret", "ATTACH ?"},
		{"ATTACH without a semicolon before", "SELECT a ATTACH 'b' AS c KEY secret", "SELECT a ?"},
		{"DETACH", "DETACH aux; DETACH DATABASE 'aux'; DETACH database", "DETACH aux; DETACH DATABASE ?; DETACH database"},
		{"VACUUM", "VACUUM main INTO 'secret.db'; VACUUM INTO \"secret.db\"; VACUUM INTO ?", "VACUUM main INTO ?; VACUUM INTO ?; VACUUM INTO ?"},

		// Values that need no quotes.
		{"default", "CREATE TABLE t (a DEFAULT secret, b DEFAULT \"secret\", c DEFAULT true, d DEFAULT NULL, e DEFAULT CURRENT_DATE, f DEFAULT (g))", "CREATE TABLE t (a DEFAULT ?, b DEFAULT ?, c DEFAULT true, d DEFAULT NULL, e DEFAULT CURRENT_DATE, f DEFAULT (g))"},
		{"action", "CREATE TABLE t (a REFERENCES b ON DELETE SET DEFAULT, c)", "CREATE TABLE t (a REFERENCES b ON DELETE SET DEFAULT, c)"},
		{"default of a new column", "ALTER TABLE t ADD COLUMN a DEFAULT secret", "ALTER TABLE t ADD COLUMN a DEFAULT ?"},
		{"statement in the arguments of a module", "CREATE VIRTUAL TABLE t USING m(a; PRAGMA key = secret, b='secret;', (c;d)); SELECT 1", "CREATE VIRTUAL TABLE t USING m(a?, b=?, ?); SELECT ?"},
		{"arguments of a module", "CREATE VIRTUAL TABLE t USING m(a, \"b\" UNINDEXED, c='x', d=secret, /secret/file, e float[8], f(g))", "CREATE VIRTUAL TABLE t USING m(a, \"b\" UNINDEXED, c=?, d=?, ?, e float[8], f?)"},

		// Not SQL, or SQL only at the start.
		{"string without an end", "SELECT * FROM t WHERE a = 'secret", "SELECT * FROM t WHERE a = ?"},
		{"name without an end", "SELECT * FROM \"secret", "SELECT * FROM ?"},
		{"bracket without an end", "SELECT * FROM [secret", "SELECT * FROM ?"},
		{"blob without an end", "SELECT x'00", "SELECT ?"},
		{"apostrophe", "UPDATE t SET a = 'O'Brien' WHERE b = 'secret'", "UPDATE t SET a = ?"},
		{"NUL", "SELECT 1\x00 secret", "SELECT ?"},
		{"other words", "hunter2 is secret", "?"},
		{"DSN", "file:a.db?_key=hunter2", "?"},
		{"JSON text", "{\"password\": \"hunter2\"}", "?"},
		{"other words behind SQL", "SELECT 1; secret; SELECT 2", "SELECT ?; ?"},
		{"unknown object", "CREATE USER bob IDENTIFIED BY secret", "CREATE ?"},
		{"EXPLAIN nothing", "EXPLAIN secret", "EXPLAIN ?"},
		{"invalid UTF-8", "SELECT '\xff', \"\xff\" FROM t", "SELECT ?, \"\ufffd\" FROM t"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			info := Describe(sqltext.SQLite, tt.sql, false)
			if info.Sanitized != tt.want {
				t.Errorf("%q sanitized\n got %s\nwant %s", tt.sql, info.Sanitized, tt.want)
			}
			for _, word := range []string{"secret", "hunter2"} {
				if strings.Contains(info.Summary, word) {
					t.Errorf("%q in summary %s", word, info.Summary)
				}
			}
		})
	}
}

// A double-quoted name that stands for a value is hidden everywhere.
func TestSanitizedDoubleQuotes(t *testing.T) {
	tests := []struct {
		name, sql string
		want      string // with SQLite as it is built here
		strings   string // with double-quoted strings; empty means the same as want
	}{
		{"assignment", `UPDATE "users" SET "password" = "hunter2", "a" = 1 WHERE "name" = "bob"`,
			`UPDATE "users" SET "password" = ?, "a" = ? WHERE "name" = ?`, `UPDATE "users" SET "password" = ?, "a" = ? WHERE ? = ?`},
		{"assignment to a row", `UPDATE t SET ("a", "b") = ("x", "y"), "c" = 1`, `UPDATE t SET ("a", "b") = (?, ?), "c" = ?`, `UPDATE t SET (?, ?) = (?, ?), "c" = ?`},
		{"comparisons", `SELECT 1 FROM t WHERE a <> "x" AND b<="x" OR c IS NOT "x" AND d LIKE "x" ESCAPE "y"`, `SELECT ? FROM t WHERE a <> ? AND b<=? OR c IS NOT ? AND d LIKE ? ESCAPE ?`, ""},
		{"BETWEEN", `SELECT 1 FROM t WHERE a BETWEEN "x" AND "y" AND "b" = 1`, `SELECT ? FROM t WHERE a BETWEEN ? AND ? AND "b" = ?`, `SELECT ? FROM t WHERE a BETWEEN ? AND ? AND ? = ?`},
		{"IN", `SELECT 1 FROM t WHERE a IN ("x", "y") AND b NOT IN ("z")`, `SELECT ? FROM t WHERE a IN (?, ?) AND b NOT IN (?)`, ""},
		{"IS DISTINCT FROM", `SELECT 1 FROM t WHERE a IS DISTINCT FROM "x"`, `SELECT ? FROM t WHERE a IS DISTINCT FROM ?`, ""},
		{"VALUES", `INSERT INTO "t" ("a", "b") VALUES ("x", f("y")), (NULL, "z") ON CONFLICT ("a") DO UPDATE SET "b" = "w" RETURNING "a"`,
			`INSERT INTO "t" ("a", "b") VALUES (?, f(?)), (NULL, ?) ON CONFLICT ("a") DO UPDATE SET "b" = ? RETURNING "a"`,
			`INSERT INTO "t" ("a", "b") VALUES (?, f(?)), (NULL, ?) ON CONFLICT (?) DO UPDATE SET "b" = ? RETURNING ?`},
		{"function", `SELECT 1 FROM t WHERE lower("a") = lower("x")`, `SELECT ? FROM t WHERE lower("a") = lower(?)`, `SELECT ? FROM t WHERE lower(?) = lower(?)`},
		{"CASE", `UPDATE t SET a = CASE WHEN b THEN "x" ELSE "y" END`, `UPDATE t SET a = CASE WHEN b THEN ? ELSE ? END`, ""},
		{"concatenation", `SELECT 1 FROM t WHERE a = "x" || "y"`, `SELECT ? FROM t WHERE a = ? || ?`, ""},
		{"JSON", `SELECT a ->> "x" FROM t`, `SELECT a ->> ? FROM t`, ""},
		{"LIMIT", `SELECT a FROM t LIMIT "5" OFFSET "6"`, `SELECT a FROM t LIMIT ? OFFSET ?`, ""},
		{"CHECK", `CREATE TABLE t (a CHECK (a IN ("x", "y") AND a <> "z"))`, `CREATE TABLE t (a CHECK (a IN (?, ?) AND a <> ?))`, ""},
		{"definition of columns", `CREATE TABLE "t" ("a" INTEGER DEFAULT "x" CHECK ("b" = "y"), "b", CONSTRAINT "c" FOREIGN KEY ("b") REFERENCES "u" ("d"))`,
			`CREATE TABLE "t" ("a" INTEGER DEFAULT ? CHECK ("b" = ?), "b", CONSTRAINT "c" FOREIGN KEY ("b") REFERENCES "u" ("d"))`,
			`CREATE TABLE "t" ("a" INTEGER DEFAULT ? CHECK (? = ?), "b", CONSTRAINT "c" FOREIGN KEY (?) REFERENCES "u" (?))`},
		{"trigger", `CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = "x"; DELETE FROM t WHERE a = "y"; END`, `CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = ?; DELETE FROM t WHERE a = ?; END`, ""},
		{"names of tables", `SELECT "a"."b" FROM "m"."t" AS "a" JOIN "u" ON "a"."b" = "u"."c" AND "f"(1) = "f"(2)`, `SELECT "a"."b" FROM "m"."t" AS "a" JOIN "u" ON "a"."b" = "u"."c" AND "f"(?) = "f"(?)`, ""},
		{"columns", `SELECT "a", "b" AS "c", count("d") FROM "t" GROUP BY "a" ORDER BY "b"`, `SELECT "a", "b" AS "c", count("d") FROM "t" GROUP BY "a" ORDER BY "b"`, `SELECT ?, ? AS "c", count(?) FROM "t" GROUP BY ? ORDER BY ?`},
		{"subquery", `SELECT 1 FROM t WHERE a = (SELECT "b" FROM "u" WHERE "c" = "x")`, `SELECT ? FROM t WHERE a = (SELECT "b" FROM "u" WHERE "c" = ?)`, `SELECT ? FROM t WHERE a = (SELECT ? FROM "u" WHERE ? = ?)`},
		{"common table expression", `WITH "w"("a") AS (SELECT 1) SELECT * FROM "w"`, `WITH "w"("a") AS (SELECT ?) SELECT * FROM "w"`, `WITH "w"(?) AS (SELECT ?) SELECT * FROM "w"`},
		{"collation", `SELECT 1 FROM t WHERE a = "x" COLLATE "nocase"`, `SELECT ? FROM t WHERE a = ? COLLATE "nocase"`, ""},
		{"savepoint", `SAVEPOINT "s"`, `SAVEPOINT "s"`, ""},
		{"other quotes", "SELECT 1 FROM t WHERE a = `b` AND c = [d]", "SELECT ? FROM t WHERE a = `b` AND c = [d]", ""},
		{"too deep", "SELECT " + strings.Repeat("(", 70) + `"x"` + strings.Repeat(")", 70), "SELECT " + strings.Repeat("(", 70) + `?` + strings.Repeat(")", 70), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Describe(sqltext.SQLite, tt.sql, false).Sanitized; got != tt.want {
				t.Errorf("%s sanitized\n got %s\nwant %s", tt.sql, got, tt.want)
			}
			if got, want := Describe(sqltext.SQLite, tt.sql, true).Sanitized, cmp.Or(tt.strings, tt.want); got != want {
				t.Errorf("%s sanitized, with double-quoted strings\n got %s\nwant %s", tt.sql, got, want)
			}
		})
	}
}

func TestDescribeFacts(t *testing.T) {
	tests := []struct {
		sql        string
		operation  string
		statements int
		sensitive  bool
	}{
		{"", "", 0, false},
		{" ; -- a", "", 0, false},
		{"select 1", "SELECT", 1, false},
		{"WITH a AS (SELECT 1) SELECT * FROM a", "WITH", 1, false},
		{"-- a\nbegin; commit;", "BEGIN", 2, false},
		{";;replace into t values (1)", "REPLACE", 1, false},
		{"explain select 1", "EXPLAIN", 1, false},
		{"SELECT 'a', :b /* c", "SELECT", 1, false},
		{"CREATE TRIGGER a INSERT ON b BEGIN SELECT 1; SELECT 2; END; SELECT 3", "CREATE", 2, false},
		{"PRAGMA user_version", "PRAGMA", 1, true},
		{"SELECT ?; PRAGMA key = a", "SELECT", 2, true},
		{"EXPLAIN PRAGMA key = a", "EXPLAIN", 1, true},
		{"ATTACH ? AS a", "ATTACH", 1, true},
		{"DETACH a", "DETACH", 1, true},
		{"VACUUM", "VACUUM", 1, false},
		{"VACUUM INTO ?", "VACUUM", 1, true},
		{"SELECT ? PRAGMA key = a", "SELECT", 1, true},
		{"SELECT ?, 'a", "SELECT", 1, true},
		{"SELECT ?, 'O'Brien'", "SELECT", 1, true},
		{"SELECT ?\x00 a", "SELECT", 1, true},
		{"hunter2 ?", "", 1, true},
		{"SELECT ?; hunter2", "SELECT", 2, true},
		{"table ?", "", 1, true},
	}
	for _, tt := range tests {
		info := Describe(sqltext.SQLite, tt.sql, false)
		if info.Operation != tt.operation || info.Statements != tt.statements || info.Sensitive != tt.sensitive {
			t.Errorf("%q: operation %q, %d statements, sensitive %t; want %q, %d, %t", tt.sql,
				info.Operation, info.Statements, info.Sensitive, tt.operation, tt.statements, tt.sensitive)
		}
	}
}

// check checks the result of Describe for sql against the rules that hold for any query.
func check(t *testing.T, sql string) Info {
	t.Helper()
	info := Describe(sqltext.SQLite, sql, false)
	if n := utf8.RuneCountInString(info.Summary); n > 255 {
		t.Errorf("%q: summary of %d characters", sql, n)
	}
	if !utf8.ValidString(info.Summary) || !utf8.ValidString(info.Sanitized) {
		t.Errorf("%q: invalid UTF-8 in %q, %q", sql, info.Summary, info.Sanitized)
	}
	if info.Statements == 0 && info.Summary != "" || info.Operation != strings.ToUpper(info.Operation) {
		t.Errorf("%q: %+v", sql, info)
	}
	for _, text := range []string{info.Sanitized, Describe(sqltext.SQLite, info.Sanitized, false).Sanitized} {
		l := sqltext.SQLite.Lexer(text)
		for tok := l.Next(); tok.Kind != sqltext.EOF; tok = l.Next() {
			switch tok.Kind {
			case sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Illegal, sqltext.Comment:
				t.Errorf("%q sanitized to %q: %q is left", sql, text, tok.Text(text))
			}
		}
	}
	return info
}

// marker makes literals that no template contains, so that any trace of one is a leak.
type marker struct {
	r *rand.Rand
	n int
	// secrets are the literals made so far. No result may contain one.
	secrets []string
}

func (m *marker) mark(format string) string {
	m.n++
	s := fmt.Sprintf("7%06d", m.n)
	m.secrets = append(m.secrets, s)
	return fmt.Sprintf(format, s)
}

func (m *marker) pick(s ...string) string { return s[m.r.IntN(len(s))] }

// fill replaces the placeholders between « and ».
func (m *marker) fill(template string) string {
	for {
		before, rest, ok := strings.Cut(template, "«")
		if !ok {
			return template
		}
		what, after, _ := strings.Cut(rest, "»")
		var s string
		switch what {
		case "lit":
			s = m.mark(m.pick("'%s'", "'a''%s--'", "'/* %s'", "'\"%s'", "'[%s'", "'%s\\'", "'x;%s'", "x'%s0'", "X'AB%s1'",
				"%s", "-%s", "%s.5", ".5%s", "%s.", "1e%s", "1.5E-%s", "0x%s", "1_%s", "'$%s'", "'é%s'", "'?%s'"))
		case "word": // a value that may be a bare word
			s = m.mark(m.pick("'%s'", "\"%s\"", "s%s", "[%s]", "`%s`", "x'%s0'", "%s", "'a;%s'"))
		case "bare":
			s = m.mark("s%s")
		case "gap":
			s = m.pick(" ", "  ", "\n\t", m.mark("/* %s */"), m.mark(" -- '%s\n"), m.mark("/*\"%s*/"), m.mark(" --%s/*\n"))
		case "name":
			s = m.pick("t", "\"a b\"", "[c'd]", "`e\"f`", "é", "main.t", "\"it's\"", "temp . [u]")
		case "arg":
			s = m.pick("?", ":a", "@b", "$c", "?1")
		case "expr":
			s = m.pick("a = «lit»", "«lit» < b", "a IN («lit», «lit»)", "a BETWEEN «lit» AND «lit»", "f(«lit», «gap»«lit») = «arg»",
				"CASE a WHEN «lit» THEN «lit» END", "a LIKE«gap»«lit»ESCAPE «lit»", "EXISTS (SELECT «lit» FROM «name»)", "a->>«lit» IS DISTINCT FROM b",
				"CAST(«lit» AS TEXT) || «lit»", "(a, b) = («lit», «lit»)", "a IN (VALUES («lit»))", "NOT a == «lit» COLLATE nocase")
		default:
			panic("no such placeholder: " + what)
		}
		template = before + s + after
	}
}

var templates = []string{
	"SELECT «lit» AS x, a«gap»FROM «name», «name» JOIN «name» ON «expr» WHERE «expr» ORDER BY «lit» LIMIT «lit»",
	"SELECT (SELECT «lit» FROM «name») FROM (SELECT * FROM «name» WHERE «expr») GROUP BY a HAVING «expr»",
	"SELECT a FROM «name» UNION ALL SELECT «lit»«gap»EXCEPT VALUES («lit», «lit»)",
	"«gap»WITH RECURSIVE c(x) AS (VALUES («lit») UNION SELECT x + «lit» FROM c) SELECT * FROM c, «name» WHERE «expr»",
	"INSERT INTO «name» (a, b) VALUES («lit», «lit»), («arg»,«gap»«lit») ON CONFLICT DO UPDATE SET a = «lit» RETURNING a",
	"INSERT OR REPLACE INTO «name» SELECT «lit», a FROM «name» WHERE «expr»",
	"UPDATE «name» SET a = «lit», b = «lit» FROM «name» WHERE «expr»",
	"DELETE FROM «name»«gap»WHERE «expr» AND «expr»",
	"REPLACE INTO «name» VALUES (replace(a, «lit», «lit»))",
	"CREATE TABLE «name» (a VARCHAR(«lit») DEFAULT «lit» CHECK («expr»), b DEFAULT «word», c AS (a || «lit»))",
	"CREATE TABLE «name» AS SELECT «lit» FROM «name»",
	"CREATE INDEX «name» ON t (a) WHERE «expr»",
	"CREATE VIEW «name» (a) AS SELECT «lit» FROM «name»",
	"CREATE TRIGGER «name» AFTER UPDATE ON t WHEN «expr» BEGIN UPDATE t SET a = «lit»; SELECT CASE WHEN «expr» THEN RAISE(ABORT, «lit») END; END",
	"CREATE VIRTUAL TABLE «name» USING m(a, b=«word», c = «word»«gap», «lit»)",
	"ALTER TABLE «name» ADD COLUMN a DEFAULT «word»",
	"PRAGMA«gap»key«gap»=«gap»«word»", "PRAGMA main.rekey(«word»)", "pragma hexkey=«word» «word»", "PRAGMA textkey «word»", "EXPLAIN PRAGMA a = -«word»",
	"SELECT a FROM t PRAGMA key = «word»", "PRAGMA cache_size(«lit»)", "PRAGMA key = «word», «word»(«word»)",
	"ATTACH«gap»DATABASE «word» AS«gap»aux KEY«gap»«word»", "ATTACH «word» || «word» AS aux", "attach «word» as «arg» key («word»)", "ATTACH «arg» AS aux KEY «word»",
	"ATTACH «word» AS aux KEY f(«word») || «word»", "SELECT a ATTACH «word» AS aux KEY «word»",
	"VACUUM INTO «word»", "EXPLAIN QUERY PLAN SELECT «lit» FROM «name»",
}

// malformed templates can only end a query: an open quote turns the next statement's literals
// into names, for SQLite, too.
var malformed = []string{
	"SELECT «lit», 'it's «bare»' FROM t", "SELECT «lit» FROM t WHERE a = 'the boys' «bare»'", "SELECT «lit» FROM t /* «word»",
	"SELECT a, [«bare»", "SELECT «lit», \"«bare»", "SELECT «lit», `«bare» + «bare»", "SELECT x'«bare»", "SELECT «lit», '«bare» «bare»", "SELECT a\x00 «word»",
	"s«bare» «word»", "{«word»}", "SELECT \\ «bare»", "SELECT a # «bare»", "SELECT a; s«bare»; SELECT b", "CREATE USER «word»",
	"SELECT 'it\\'s «bare»', «lit»", "SELECT N'«bare»', «lit»", "SELECT 'say \\'«bare»\\'', «lit»", "PRAGMA key = '«bare»'«bare»", "PRAGMA key = «bare»\\«bare»",
	"ATTACH 'a'«bare»' AS b", "ATTACH 'a' AS b KEY «bare»'«bare»", "PRAGMA key = \"«bare»\"«bare»", "PRAGMA key = #«bare»",
}

func TestNoLiteralIsSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		m := marker{r: r}
		var sql strings.Builder
		for i := range 1 + r.IntN(3) {
			if i > 0 {
				sql.WriteString(m.pick(";", " ; ", ";\n"))
			}
			sql.WriteString(m.fill(m.pick(templates...)))
		}
		if r.IntN(4) == 0 {
			sql.WriteString("; " + m.fill(m.pick(malformed...)))
		}
		info := check(t, sql.String())
		for _, secret := range m.secrets {
			if strings.Contains(info.Summary, secret) || strings.Contains(info.Sanitized, secret) {
				t.Fatalf("%s of\n%s\nis in the summary\n%s\nor in the sanitized query\n%s", secret, sql.String(), info.Summary, info.Sanitized)
			}
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	for _, sql := range []string{
		"SELECT id, name FROM users WHERE id = ?",
		"INSERT INTO orders (id, customer, total) VALUES (1, 'O''Brien', 12.50) ON CONFLICT (id) DO UPDATE SET total = excluded.total",
	} {
		b.Run(Describe(sqltext.SQLite, sql, false).Summary, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Describe(sqltext.SQLite, sql, false)
			}
		})
	}
}
