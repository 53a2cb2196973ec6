package sqltexttest

// Seeds is SQL to start from. It has examples of each statement in the style of SQLite's
// documentation. It also has special cases of the tokenizer, and SQL that was once read
// wrongly.
var Seeds = []string{
	// Queries.
	"SELECT 1", "select 1;", "SELECT 1;;SELECT 2", "SELECT * FROM t", "SELECT t.* , u.b FROM t, u WHERE t.a = u.a;",
	"SELECT DISTINCT a, b AS x, c y, \"d e\" FROM t AS tt NATURAL LEFT OUTER JOIN u ORDER BY 1 DESC NULLS LAST, x COLLATE nocase LIMIT 1 OFFSET 2",
	"SELECT count(*), sum(a) FILTER (WHERE a > 1) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t",
	"SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b), w2 AS (w GROUPS UNBOUNDED PRECEDING)",
	"SELECT a FROM t INDEXED BY i WHERE b = 'x' UNION ALL SELECT a FROM u NOT INDEXED EXCEPT SELECT 3 INTERSECT VALUES (1),(2)",
	"SELECT CASE a WHEN 1 THEN 'x' ELSE CASE WHEN b THEN 2 END END FROM t GROUP BY a, b HAVING count(*) > 1",
	"SELECT CAST(a AS VARCHAR(10)), a IS NOT NULL, a ISNULL, b NOTNULL, a NOT BETWEEN 1 AND 2, a IN (1,2), a IN u, a NOT IN (SELECT a FROM u) FROM t",
	"SELECT b LIKE 'x%' ESCAPE '\\', b GLOB '*', b NOT LIKE 'y', a IS DISTINCT FROM b, EXISTS (SELECT 1), (a,b) = (1,2), +a, -a, ~a, NOT a FROM t",
	"SELECT a->'$.x', a->>'$.y', a<<1|2&3, a||b, a!=b, a<>b, a==b, a<=b, a>=b, a%2, a/2*3 FROM t",
	"WITH x AS (SELECT 1) SELECT * FROM x;", "WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c WHERE n<10) SELECT n FROM c",
	"WITH x AS MATERIALIZED (SELECT 1), y AS NOT MATERIALIZED (SELECT 2) INSERT INTO u SELECT *, 1, 2 FROM x",
	"WITH replace AS (SELECT 1), select_ AS (SELECT 2) REPLACE INTO u(a) SELECT * FROM replace",
	"VALUES (1, 'a'), (2, NULL)", "SELECT * FROM json_each('[1,2]'), (t JOIN u USING (a, b)), (SELECT 1) AS s, main.t AS m",
	"SELECT 0x1F, 1_000, 1.5e-3, .5, 1., 0xAB_CD, 9223372036854775807, 1e400", "SELECT x'', X'53ab', '', 'it''s', \"a\", `b`, [c] FROM t",
	"SELECT ?, ?1, ?2, :a, @b, $c, $d::e, $f::g(h), $::i, :j(k)", "SELECT TRUE, false, NULL, CURRENT_TIMESTAMP, current_date",
	"SELECT temp, changes, pragma_note FROM t AS temp", "SELECT changes(), last_insert_rowid(), total_changes()",

	// Changes of rows.
	"INSERT INTO t(a, b) VALUES (1, 'x'), (2, ?) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE a > 1 ON CONFLICT DO NOTHING RETURNING a, b AS c",
	"INSERT OR IGNORE INTO main.t DEFAULT VALUES", "INSERT INTO u SELECT * FROM u WHERE true ON CONFLICT DO NOTHING", "REPLACE INTO u VALUES (1,2,3);",
	"UPDATE OR ROLLBACK t AS x SET a = 1, (b, c) = (SELECT 1, 2) FROM u WHERE x.a = u.a RETURNING *", "DELETE FROM t WHERE a IN (SELECT a FROM u) RETURNING a",

	// Definitions.
	"CREATE TABLE IF NOT EXISTS x(a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT NOT NULL DEFAULT 'x' CHECK (b <> ''), c DEFAULT (1+1), d DEFAULT -1, e DEFAULT abc, f GENERATED ALWAYS AS (a+1) STORED, CONSTRAINT k UNIQUE (a, b) ON CONFLICT REPLACE, FOREIGN KEY (b) REFERENCES t(b) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED) STRICT",
	"CREATE TEMP TABLE x AS SELECT 1 AS a; SELECT 2", "CREATE TEMPORARY VIEW IF NOT EXISTS x(a) AS SELECT 1", "CREATE UNIQUE INDEX x ON t(a, b COLLATE nocase DESC) WHERE a > 1",
	"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; SELECT 2", "CREATE TEMP TRIGGER IF NOT EXISTS x BEFORE UPDATE OF a, b ON t FOR EACH ROW WHEN new.a > 1 BEGIN UPDATE u SET a = CASE WHEN b THEN 1 ELSE 2 END; INSERT INTO u VALUES (1,2,3); DELETE FROM u; SELECT RAISE(ABORT, 'no; END'); END",
	"CREATE TRIGGER begin AFTER DELETE ON t BEGIN SELECT 1; END ; SELECT 1", "CREATE TRIGGER x INSTEAD OF INSERT ON v BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; /* ; */ END -- x\n; SELECT 3",
	"EXPLAIN CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3", "EXPLAIN QUERY PLAN SELECT * FROM t; SELECT 1", "EXPLAIN explain", "EXPLAIN; SELECT 1",
	"CREATE TRIGGER x; SELECT 1", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; SELECT 2", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1;; END; SELECT 2",
	"CREATE VIRTUAL TABLE x USING m(a; b, (c; d), 'e;'); SELECT 1", "CREATE VIRTUAL TABLE x USING m; SELECT 1", "CREATE VIRTUAL TABLE IF NOT EXISTS main.x USING fts5(a, content=''); SELECT 1", "CREATE VIRTUAL TABLE x USING m(a; SELECT 1",
	"ALTER TABLE t RENAME TO x", "ALTER TABLE t RENAME COLUMN b TO bb", "ALTER TABLE u ADD COLUMN d DEFAULT 1", "ALTER TABLE u DROP c",
	"DROP TABLE IF EXISTS x; DROP VIEW v; DROP INDEX i; DROP TRIGGER g",

	// The rest.
	"BEGIN; COMMIT; END TRANSACTION; ROLLBACK", "BEGIN IMMEDIATE TRANSACTION x", "SAVEPOINT a; RELEASE SAVEPOINT a; ROLLBACK TO a",
	"PRAGMA foreign_keys = ON; SELECT 1", "PRAGMA main.table_info('t')", "PRAGMA cache_size = -2000", "EXPLAIN PRAGMA user_version", "PRAGMA x = delete",
	"ATTACH DATABASE ':memory:' AS x KEY 'k'; DETACH x", "VACUUM; VACUUM main INTO 'f'", "ANALYZE; ANALYZE main.t; REINDEX; REINDEX nocase",

	// White space, comments and ends.
	"", ";", " ;; ", "-- a", "/* a */", "/* a", "/*", "/**", "/*/", "/**/", "--", "\v", "\v;", "SELECT\v1", "SELECT 1;\v", "SELECT 1\x00; SELECT 2", "\x00SELECT 1", "SELECT 'a\x00'; SELECT 1", "/*\x00*/",
	"SELECT \f1", "\uFEFFSELECT\uFEFF1\uFEFF;\uFEFF", "SELECT a\uFEFF FROM t", "\xef\xbb", "SELECT 1 -- a;b\n; SELECT 2", "SELECT 1 /* ; */; SELECT 2", "SELECT /*/ ; */ 1", "SELECT 1 - - 1, 1--1\n+2", "SELECT 1 /* a", "SELECT 1; /*", "SELECT 1; --",
	"SELECT ';', \";\", `;`, [;] FROM (SELECT 1 AS \";\"); SELECT 2", "SELECT $a(;), 1; SELECT 2", "SELECT $a('); SELECT 2; --')", "SELECT $a(\v", "SELECT :a:b, $a::, $::", "SELECT #1", "SELECT @(a)", "SELECT a FROM t WHERE b=':x;'",
	"SELECT x'1", "SELECT x'1'; SELECT 2", "SELECT x'zz';", "SELECT 'a", "SELECT \"a", "SELECT [a", "SELECT `a", "SELECT 1a", "SELECT 0x", "SELECT 0xg", "SELECT 1__0", "SELECT 1_", "SELECT 1e", "SELECT 1e+", "SELECT 1.e5, 1._5", "SELECT {", "SELECT !a", "SELECT a ! = b", "SELECT ]",
	"SELECT é, \"ü\" FROM (SELECT 1 AS é, 2 AS ü)", "SELECT a$b, _c FROM (SELECT 1 AS a$b, 2 AS _c)", "SELECT\xff1", "ſelect 1", "SELECT 1 AS \xc0\x80", "SELECT(1)", "SELECT'a'AS'b'", "(SELECT 1)", "'SELECT' 1", "\"SELECT\" 1", "explain \"query\" plan select 1",
}
