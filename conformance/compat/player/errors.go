package player

import (
	"fmt"
	"os"
)

// failures are queries that fail, each with its setup.
var failures = []struct {
	name  string
	setup []string
	text  string
	args  []any
}{
	{"unique", []string{"CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (1)"}, "INSERT INTO t VALUES (1)", nil},
	{"unique, two columns", []string{"CREATE TABLE t(a, b, UNIQUE(a, b))", "INSERT INTO t VALUES (1, 2)"}, "INSERT INTO t VALUES (?, ?)", []any{1, 2}},
	{"unique index", []string{"CREATE TABLE t(a)", "CREATE UNIQUE INDEX i ON t(a)", "INSERT INTO t VALUES (1)"}, "INSERT INTO t VALUES (1)", nil},
	{"unique index on an expression", []string{"CREATE TABLE t(a)", "CREATE UNIQUE INDEX i ON t(lower(a))", "INSERT INTO t VALUES ('a')"}, "INSERT INTO t VALUES ('A')", nil},
	{"unique, named in quotes", []string{"CREATE TABLE \"my t\"(\"a b\" UNIQUE)", "INSERT INTO \"my t\" VALUES (1)"}, "INSERT INTO \"my t\" VALUES (1)", nil},
	{"unique, by update", []string{"CREATE TABLE t(a UNIQUE)", "INSERT INTO t VALUES (1), (2)"}, "UPDATE t SET a = 1", nil},
	{"primary key", []string{"CREATE TABLE t(a TEXT PRIMARY KEY)", "INSERT INTO t VALUES (1)"}, "INSERT INTO t VALUES (1)", nil},
	{"integer primary key", []string{"CREATE TABLE t(a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)"}, "INSERT INTO t VALUES (1)", nil},
	{"primary key without rowid", []string{"CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES (1)"}, "INSERT INTO t VALUES (1)", nil},
	{"rowid", []string{"CREATE TABLE t(a)", "INSERT INTO t(rowid) VALUES (1)"}, "INSERT INTO t(rowid) VALUES (1)", nil},
	{"not null", []string{"CREATE TABLE t(a NOT NULL)"}, "INSERT INTO t VALUES (NULL)", nil},
	{"not null, argument", []string{"CREATE TABLE t(a NOT NULL)"}, "INSERT INTO t VALUES (?)", []any{nil}},
	{"check", []string{"CREATE TABLE t(a CHECK (a > 0))"}, "INSERT INTO t VALUES (0)", nil},
	{"check, named", []string{"CREATE TABLE t(a, CONSTRAINT positive CHECK (a > 0))"}, "INSERT INTO t VALUES (0)", nil},
	{"foreign key", []string{"PRAGMA foreign_keys = ON", "CREATE TABLE p(id INTEGER PRIMARY KEY)", "CREATE TABLE t(p REFERENCES p(id))"}, "INSERT INTO t VALUES (1)", nil},
	{"foreign key, by delete", []string{"PRAGMA foreign_keys = ON", "CREATE TABLE p(id INTEGER PRIMARY KEY)", "CREATE TABLE t(p REFERENCES p(id))", "INSERT INTO p VALUES (1)", "INSERT INTO t VALUES (1)"}, "DELETE FROM p", nil},
	{"foreign key, restrict", []string{"PRAGMA foreign_keys = ON", "CREATE TABLE p(id INTEGER PRIMARY KEY)", "CREATE TABLE t(p REFERENCES p(id) ON DELETE RESTRICT)", "INSERT INTO p VALUES (1)", "INSERT INTO t VALUES (1)"}, "DELETE FROM p", nil},
	{"foreign key mismatch", []string{"PRAGMA foreign_keys = ON", "CREATE TABLE p(id)", "CREATE TABLE t(p REFERENCES p(id))"}, "INSERT INTO t VALUES (1)", nil},
	{"foreign key without a table", []string{"PRAGMA foreign_keys = ON", "CREATE TABLE t(p REFERENCES nowhere(id))"}, "INSERT INTO t VALUES (1)", nil},
	{"trigger", []string{"CREATE TABLE t(a)", "CREATE TRIGGER r BEFORE INSERT ON t BEGIN SELECT raise(ABORT, 'my text'); END"}, "INSERT INTO t VALUES (1)", nil},
	{"trigger, fail", []string{"CREATE TABLE t(a)", "CREATE TRIGGER r BEFORE INSERT ON t BEGIN SELECT raise(FAIL, 'my text: with more'); END"}, "INSERT INTO t VALUES (1)", nil},
	{"trigger, rollback", []string{"CREATE TABLE t(a)", "CREATE TRIGGER r BEFORE INSERT ON t BEGIN SELECT raise(ROLLBACK, ''); END"}, "INSERT INTO t VALUES (1)", nil},
	{"datatype", []string{"CREATE TABLE t(a INTEGER PRIMARY KEY)"}, "INSERT INTO t VALUES ('x')", nil},
	{"strict", []string{"CREATE TABLE t(a INT) STRICT"}, "INSERT INTO t VALUES ('x')", nil},
	{"strict, argument", []string{"CREATE TABLE t(a BLOB) STRICT"}, "INSERT INTO t VALUES (?)", []any{1}},
	{"datatype of a limit", nil, "SELECT 1 LIMIT 'x'", nil},
	{"integer overflow", nil, "SELECT abs(-9223372036854775808)", nil},
	{"sum overflows", nil, "SELECT sum(a) FROM (SELECT 9223372036854775807 AS a UNION ALL SELECT 1)", nil},
	{"malformed JSON", nil, "SELECT json('{')", nil},
	{"bad JSON path", nil, "SELECT json_extract('{}', 'x')", nil},
	{"too big", nil, "SELECT zeroblob(2147483647)", nil},
	{"like pattern", nil, "SELECT 'a' LIKE zeroblob(100000)", nil},
	{"syntax", nil, "SELEC 1", nil},
	{"syntax in a long text", nil, "SELECT\n1,\n2,,\n3", nil},
	{"incomplete", nil, "SELECT 1 +", nil},
	{"unrecognized token", nil, "SELECT #", nil},
	{"open string", nil, "SELECT 'x", nil},
	{"no such table", nil, "SELECT * FROM t", nil},
	{"no such table in a schema", nil, "SELECT * FROM main.t", nil},
	{"no such database", nil, "SELECT * FROM other.t", nil},
	{"no such column", []string{"CREATE TABLE t(a)"}, "SELECT b FROM t", nil},
	{"no such column to insert", []string{"CREATE TABLE t(a)"}, "INSERT INTO t(b) VALUES (1)", nil},
	{"ambiguous column", []string{"CREATE TABLE t(a)"}, "SELECT a FROM t, t AS u", nil},
	{"no such function", nil, "SELECT nothing(1)", nil},
	{"arguments of a function", nil, "SELECT abs()", nil},
	{"misused aggregate", []string{"CREATE TABLE t(a)"}, "SELECT a FROM t WHERE count(*)", nil},
	{"no such collation", []string{"CREATE TABLE t(a)"}, "SELECT a FROM t ORDER BY a COLLATE nothing", nil},
	{"no such module", nil, "CREATE VIRTUAL TABLE v USING nothing(a)", nil},
	{"no such savepoint", nil, "RELEASE nothing", nil},
	{"no such index", nil, "DROP INDEX nothing", nil},
	{"table exists", []string{"CREATE TABLE t(a)"}, "CREATE TABLE t(a)", nil},
	{"index exists", []string{"CREATE TABLE t(a)", "CREATE INDEX i ON t(a)"}, "CREATE INDEX i ON t(a)", nil},
	{"column count", []string{"CREATE TABLE t(a, b)"}, "INSERT INTO t VALUES (1)", nil},
	{"duplicate column", []string{"CREATE TABLE t(a)"}, "ALTER TABLE t ADD COLUMN a", nil},
	{"not null without a default", []string{"CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"}, "ALTER TABLE t ADD COLUMN b NOT NULL", nil},
	{"a view is written", []string{"CREATE TABLE t(a)", "CREATE VIEW v AS SELECT a FROM t"}, "INSERT INTO v VALUES (1)", nil},
	{"the schema is written", nil, "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)", nil},
	{"a reserved name", nil, "CREATE TABLE sqlite_x(a)", nil},
	{"parameters in DDL", nil, "CREATE TABLE t(a DEFAULT (?))", []any{1}},
	{"commit without a transaction", nil, "COMMIT", nil},
	{"begin in a transaction", []string{"BEGIN"}, "BEGIN", nil},
	{"query_only", []string{"CREATE TABLE t(a)", "PRAGMA query_only = ON"}, "INSERT INTO t VALUES (1)", nil},
	{"detach what is not attached", nil, "DETACH x", nil},
	{"attach what cannot be opened", nil, "ATTACH 'nowhere/x.db' AS x", nil},
	{"vacuum into a file that exists", []string{"CREATE TABLE t(a)", "VACUUM INTO 'v.db'"}, "VACUUM INTO 'v.db'", nil},
	{"pragma without a name", nil, "PRAGMA", nil},
	{"an unsupported encoding", nil, "PRAGMA encoding = 'x'", nil},
	{"max page count", []string{"CREATE TABLE t(a)", "PRAGMA max_page_count = 3"}, "INSERT INTO t VALUES (randomblob(100000))", nil},
	{"recursion in a view", []string{"CREATE VIEW v AS SELECT * FROM v"}, "SELECT * FROM v", nil},
	{"too many columns", nil, "SELECT " + commas(2001), nil},
	{"too many terms", nil, "SELECT 1 WHERE " + "(" + repeated("1 AND (", 1200) + "1" + repeated(")", 1201), nil},
	{"generated column", []string{"CREATE TABLE t(a, b AS (a + 1))"}, "INSERT INTO t(b) VALUES (1)", nil},
	{"upsert without an index", []string{"CREATE TABLE t(a)"}, "INSERT INTO t VALUES (1) ON CONFLICT(a) DO NOTHING", nil},
	{"raise outside a trigger", nil, "SELECT raise(ABORT, 'x')", nil},
	{"fts5 query", []string{"CREATE VIRTUAL TABLE f USING fts5(a)"}, `SELECT * FROM f WHERE f MATCH '"'`, nil},
	{"an argument that no column takes", nil, "SELECT ?", []any{struct{}{}}},
}

func commas(n int) string { return "1" + repeated(",1", n-1) }

func repeated(s string, n int) string {
	var b []byte
	for range n {
		b = append(b, s...)
	}
	return string(b)
}

func errorPrograms() []Program {
	var programs []Program
	for _, f := range failures {
		programs = append(programs, Program{"errors/" + f.name, both, func(e *env) {
			play := func(key string, call func(execer) error) {
				db := e.memory("")
				conn := e.conn(db)
				exec(conn, f.setup...)
				e.err(key, call(conn))
				conn.ExecContext(ctx, "ROLLBACK") // in case a transaction is open
				must(conn.Close())
				must(db.Close())
				os.Remove("v.db")
			}
			play("exec", func(db execer) error {
				_, err := db.ExecContext(ctx, f.text, f.args...)
				return err
			})
			play("query", func(db execer) error {
				rows, err := db.QueryContext(ctx, f.text, f.args...)
				if err != nil {
					return fmt.Errorf("at query: %w", err)
				}
				defer rows.Close()
				for rows.Next() {
				}
				return rows.Err()
			})
		}})
	}
	for _, p := range []struct {
		name string
		play func(*env)
	}{
		{"not a database", notDatabase},
		{"a truncated database", truncated},
		{"a missing directory", missingDirectory},
		{"a directory", aDirectory},
		{"a file that may not be read", unreadable},
		{"a file that may not be written", unwritable},
		{"a read-only connection", readOnlyConnection},
		{"a missing file, read-only", missingReadOnly},
		{"with _error_rc", errorRC},
		{"unknown vfs", unknownVFS},
	} {
		programs = append(programs, Program{"errors/" + p.name, both, p.play})
	}
	return programs
}

// openErr records whether opening a DSN fails, and then whether a read and a write fail.
func openErr(e *env, dsn string) {
	db, err := e.tryOpen(dsn)
	e.err("open", err)
	if err != nil {
		return
	}
	e.rows("read", db, "SELECT count(*) FROM sqlite_schema")
	_, err = db.Exec("CREATE TABLE t(a)")
	e.err("write", err)
	_, err = db.Exec("INSERT INTO old VALUES (3)")
	e.err("insert", err)
}

func notDatabase(e *env) {
	e.write("g.db", garbage)
	openErr(e, "file:DIR/g.db")
}

func truncated(e *env) {
	content := e.template()
	e.write("g.db", content[:len(content)/2+100])
	openErr(e, "file:DIR/g.db")
}

func missingDirectory(e *env) { openErr(e, "file:DIR/nowhere/a.db") }

func aDirectory(e *env) { openErr(e, "file:DIR") }

// permissions writes a database file with the given mode. Root can read and write it
// nevertheless.
func (e *env) permissions(mode os.FileMode) {
	e.write("a.db", e.template())
	must(os.Chmod("a.db", mode))
}

func unreadable(e *env) {
	e.permissions(0)
	openErr(e, "file:DIR/a.db")
}

func unwritable(e *env) {
	e.permissions(0o444)
	openErr(e, "file:DIR/a.db")
}

func readOnlyConnection(e *env) {
	e.write("a.db", e.template())
	openErr(e, "file:DIR/a.db?mode=ro")
}

func missingReadOnly(e *env) { openErr(e, "file:DIR/a.db?mode=ro") }

func errorRC(e *env) { openErr(e, "file:DIR/nowhere/a.db?_error_rc=1") }

func unknownVFS(e *env) { openErr(e, "file:DIR/a.db?vfs=nothing") }
