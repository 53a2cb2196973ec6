package player

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// A call is a query with arguments, for Exec and for Query.
type call struct {
	text string
	args []any
}

// calls are queries with one or more statements, with all kinds of arguments.
var calls = []call{
	// One statement.
	{"SELECT 1", nil},
	{"SELECT 1;", nil},
	{"SELECT 1 ; ", nil},
	{"SELECT 1 -- comment", nil},
	{"SELECT 1; -- comment", nil},
	{"SELECT 1; /* comment */ ;;", nil},
	{"/* comment */ SELECT 1", nil},
	{"-- comment\nSELECT 1", nil},
	{"  \n\t SELECT 1", nil},
	{";SELECT 1", nil},
	{";;; SELECT 1 ;;;", nil},
	{"SELECT a FROM t", nil},
	{"SELECT a FROM t WHERE 0", nil},
	{"INSERT INTO t VALUES (10)", nil},
	{"INSERT INTO t VALUES (10), (11), (12)", nil},
	{"INSERT INTO t SELECT a + 10 FROM t", nil},
	{"INSERT INTO t DEFAULT VALUES", nil},
	{"UPDATE t SET a = a + 1", nil},
	{"UPDATE t SET a = 0 WHERE 0", nil},
	{"DELETE FROM t", nil},
	{"DELETE FROM t WHERE a = 1", nil},
	{"REPLACE INTO u VALUES (1, 'new')", nil},
	{"INSERT OR IGNORE INTO u VALUES (1, 'new')", nil},
	{"INSERT INTO u VALUES (1, 'new') ON CONFLICT DO UPDATE SET b = excluded.b", nil},
	{"INSERT INTO u(b) VALUES ('auto')", nil},
	{"CREATE TABLE v(a)", nil},
	{"DROP TABLE t", nil},
	{"PRAGMA user_version", nil},
	{"PRAGMA user_version = 5", nil},
	{"PRAGMA table_info(t)", nil},
	{"PRAGMA foreign_keys = maybe", nil},
	{"PRAGMA no_such_pragma", nil},
	{"EXPLAIN SELECT 1", nil},
	{"VALUES (1), (2)", nil},
	{"WITH x AS (SELECT 7 AS n) SELECT n FROM x", nil},
	{"WITH x AS (SELECT 7 AS n) INSERT INTO t SELECT n FROM x", nil},
	{"ANALYZE", nil},
	{"REINDEX", nil},
	{"VACUUM", nil},
	// No statement.
	{"", nil},
	{" ", nil},
	{";", nil},
	{";;", nil},
	{"-- comment", nil},
	{"-- comment\n", nil},
	{"/* comment */", nil},
	{"/* open comment", nil},
	{"", []any{1}},
	{"-- comment", []any{1}},
	{"\x00", nil},
	{"SELECT 1\x00 FROM nowhere", nil},
	{"SELECT 1; \x00 SELECT 2", nil},
	// Returning.
	{"INSERT INTO t VALUES (10) RETURNING a", nil},
	{"INSERT INTO t VALUES (10), (11) RETURNING a, a + 1", nil},
	{"UPDATE t SET a = a + 1 RETURNING a", nil},
	{"DELETE FROM t RETURNING a", nil},
	{"INSERT OR IGNORE INTO u VALUES (1, 'new') RETURNING id", nil},
	{"INSERT INTO u VALUES (2, 'b') RETURNING id", nil},
	// Several statements.
	{"SELECT 1; SELECT 2", nil},
	{"SELECT 1; SELECT 2; SELECT 3;", nil},
	{"SELECT 1, 2; SELECT 3", nil},
	{"SELECT a FROM t; SELECT b FROM u", nil},
	{"SELECT 1; SELECT a FROM t WHERE 0", nil},
	{"SELECT a FROM t WHERE 0; SELECT 1", nil},
	{"INSERT INTO t VALUES (10); SELECT a FROM t", nil},
	{"INSERT INTO t VALUES (10); INSERT INTO t VALUES (11)", nil},
	{"INSERT INTO t VALUES (10); INSERT INTO u(b) VALUES ('x'); UPDATE t SET a = 0", nil},
	{"SELECT a FROM t; INSERT INTO t VALUES (10)", nil},
	{"SELECT 1; INSERT INTO t VALUES (10); SELECT 2", nil},
	{"CREATE TABLE v(a); INSERT INTO v VALUES (1); SELECT * FROM v", nil},
	{"BEGIN; INSERT INTO t VALUES (10); COMMIT", nil},
	{"BEGIN; INSERT INTO t VALUES (10); ROLLBACK; SELECT count(*) FROM t", nil},
	{"INSERT INTO t VALUES (10); no SQL", nil},
	{"INSERT INTO t VALUES (10); SELECT * FROM nowhere", nil},
	{"INSERT INTO t VALUES (10); INSERT INTO u VALUES (1, 'conflict'); INSERT INTO t VALUES (11)", nil},
	{"SELECT 1; no SQL", nil},
	{"no SQL; INSERT INTO t VALUES (10)", nil},
	{"INSERT INTO t VALUES (10) RETURNING a; INSERT INTO t VALUES (11) RETURNING a", nil},
	{"INSERT INTO t VALUES (10) RETURNING a; SELECT count(*) FROM t", nil},
	{"SELECT 1; -- comment\n SELECT 2 -- comment", nil},
	{"SELECT 1; ; SELECT 2", nil},
	{"CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM u; SELECT 1; END; INSERT INTO t VALUES (10); SELECT count(*) FROM u", nil},
	{"SELECT ';'; SELECT \"a;b\" FROM t; SELECT 3", nil},
	// Arguments without names.
	{"SELECT ?", []any{1}},
	{"SELECT ?, ?", []any{1, "a"}},
	{"SELECT ?", nil},
	{"SELECT ?, ?", []any{1}},
	{"SELECT ?", []any{1, 2}},
	{"SELECT 1", []any{1}},
	{"SELECT ?1, ?2", []any{1, 2}},
	{"SELECT ?2, ?1", []any{1, 2}},
	{"SELECT ?1, ?1", []any{1}},
	{"SELECT ?1, ?1", []any{1, 2}},
	{"SELECT ?2", []any{1, 2}},
	{"SELECT ?2", []any{1}},
	{"SELECT ?3, ?", []any{1, 2, 3, 4}},
	{"SELECT ?01", []any{1}},
	{"SELECT ?0", []any{1}},
	{"SELECT ?40000", []any{1}},
	{"SELECT $1, $2", []any{1, 2}},
	{"SELECT $2, $1", []any{1, 2}},
	{"SELECT $1, $1", []any{1}},
	{"SELECT $1, $1", []any{1, 2}},
	{"SELECT :1, @1, $1", []any{1, 2, 3}},
	{"SELECT :a", []any{1}},
	{"SELECT @a, :b, $c", []any{1, 2, 3}},
	{"SELECT :a, :a", []any{1}},
	{"SELECT :a, ?", []any{1, 2}},
	{"SELECT ?, :a, ?", []any{1, 2, 3}},
	{"SELECT :a, ?1", []any{1}},
	// Arguments with names.
	{"SELECT :a", []any{sql.Named("a", 1)}},
	{"SELECT @a", []any{sql.Named("a", 1)}},
	{"SELECT $a", []any{sql.Named("a", 1)}},
	{"SELECT :a, @a, $a", []any{sql.Named("a", 1)}},
	{"SELECT :a, :b", []any{sql.Named("b", 2), sql.Named("a", 1)}},
	{"SELECT :a, :b", []any{sql.Named("a", 1)}},
	{"SELECT :a", []any{sql.Named("a", 1), sql.Named("b", 2)}},
	{"SELECT :a", []any{sql.Named("b", 2)}},
	{"SELECT :a", []any{sql.Named("A", 2)}},
	{"SELECT :a", []any{sql.Named("a", 1), sql.Named("a", 2)}},
	{"SELECT :a, ?", []any{sql.Named("a", 1), 2}},
	{"SELECT ?, :a", []any{1, sql.Named("a", 2)}},
	{"SELECT ?, :a", []any{sql.Named("a", 2), 1}},
	{"SELECT :a, :b, :a", []any{sql.Named("a", 1), sql.Named("b", 2)}},
	{"SELECT $a::b", []any{sql.Named("a", 1)}},
	{"SELECT $a::b", []any{sql.Named("a::b", 1)}},
	{"SELECT ?", []any{sql.Named("a", 1)}},
	{"SELECT :ä", []any{sql.Named("ä", 1)}},
	// Arguments of several statements.
	{"INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)", []any{10, 11}},
	{"INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)", []any{10}},
	{"INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)", []any{10, 11, 12}},
	{"INSERT INTO t VALUES (?); SELECT a FROM t", []any{10}},
	{"SELECT ?; SELECT ?", []any{1, 2}},
	{"SELECT ?; SELECT ?, ?", []any{1, 2, 3}},
	{"SELECT ?, ?; SELECT ?", []any{1, 2}},
	{"SELECT ?; SELECT 2", []any{1}},
	{"SELECT 2; SELECT ?", []any{1}},
	{"SELECT 2; SELECT ?", nil},
	{"SELECT ?1; SELECT ?2", []any{1, 2}},
	{"SELECT ?1; SELECT ?1", []any{1}},
	{"SELECT ?1; SELECT ?1", []any{1, 2}},
	{"SELECT :a; SELECT :b", []any{sql.Named("a", 1), sql.Named("b", 2)}},
	{"SELECT :a; SELECT :a", []any{sql.Named("a", 1)}},
	{"SELECT :b; SELECT :a", []any{sql.Named("a", 1), sql.Named("b", 2)}},
	{"INSERT INTO t VALUES (:a); INSERT INTO t VALUES (:a), (:b)", []any{sql.Named("a", 10), sql.Named("b", 11)}},
	{"INSERT INTO t VALUES (?); UPDATE t SET a = ? WHERE a = ?", []any{10, 20, 10}},
	{"INSERT INTO t VALUES ($1); UPDATE t SET a = $2 WHERE a = $1", []any{10, 20}},
	{"SELECT ?; -- comment ?", []any{1}},
	{"CREATE TABLE v(a); INSERT INTO v VALUES (?)", []any{1}},
	{"PRAGMA user_version = 3; SELECT ?", []any{1}},
	// Errors.
	{"no SQL", nil},
	{"SELECT", nil},
	{"SELECT * FROM nowhere", nil},
	{"SELECT nothing FROM t", nil},
	{"SELECT 'open", nil},
	{"SELECT 1 SELECT 2", nil},
	{"INSERT INTO u VALUES (1, 'conflict')", nil},
	{"INSERT INTO u VALUES (?, ?)", []any{1, "conflict"}},
	{"INSERT INTO u VALUES (1, 'conflict') RETURNING id", nil},
	{"SELECT abs(-9223372036854775808)", nil},
	{"SELECT abs(a) FROM (SELECT 1 AS a UNION ALL SELECT -9223372036854775808)", nil},
	{"SELECT json('{')", nil},
	{"SELECT no_such_function(1)", nil},
	{"SELECT a FROM t LIMIT 'x'", nil},
	{"INSERT INTO t VALUES (1, 2)", nil},
	{"UPDATE t SET a = 1 LIMIT 1", nil},
	{"DELETE FROM t ORDER BY a LIMIT 1", nil},
	{"ATTACH 'nowhere/x.db' AS x", nil},
	{"DETACH x", nil},
	{"COMMIT", nil},
	{"SELECT raise(ABORT, 'no')", nil},
	{"SELECT load_extension('x')", nil},
	{"SELECT sqlite_version() > '3.40', sqlite_source_id() <> ''", nil},
}

// noStatement are the queries of calls that have no statement.
var noStatement = map[string]bool{
	"": true, " ": true, ";": true, ";;": true, "-- comment": true, "-- comment\n": true,
	"/* comment */": true, "/* open comment": true, "\x00": true,
}

// prepareCalls creates the tables that the calls use.
func prepareCalls(db execer) {
	exec(db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2)", "CREATE TABLE u(id INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO u VALUES (1, 'b')")
}

func statementPrograms() []Program {
	var programs []Program
	for _, c := range calls {
		programs = append(programs, Program{fmt.Sprintf("statements/%q %v", c.text, c.args), both, func(e *env) { playCall(e, c) }})
	}
	for _, p := range []struct {
		name string
		play func(*env)
	}{
		{"a prepared statement, used again", usedAgain},
		{"a prepared query, used again", queryUsedAgain},
		{"a prepared statement after the schema has changed", schemaChanges},
		{"a star after the schema has changed", starChanges},
		{"a prepared statement whose table is gone", tableGone},
		{"a prepared statement after an error", afterError},
		{"a prepared statement and its arguments", preparedArguments},
		{"a closed statement", closedStatement},
		{"a prepared text of several statements", preparedSeveral},
		{"rows that are not read", unread},
		{"rows that are read in part", partlyRead},
		{"returning, not read", returningUnread},
		{"returning, read in part", returningPartlyRead},
		{"returning, by Exec", returningExec},
		{"results", results},
		{"results after others", resultsAfter},
		{"last insert id without a rowid", withoutRowid},
		{"results of triggers", triggers},
		{"an error after rows", errorAfterRows},
		{"an error at the first row", errorAtFirstRow},
		{"QueryRow", queryRow},
		{"attached to a database in memory", attachedToMemory},
		{"strings and blobs compared", comparisons},
		{"functions of this SQLite", functions},
		{"temporary tables", temporary},
		{"attached databases", attached},
		{"rows while others are written", rowsAndWrites},
		{"two rows at a time", twoRows},
		{"scan errors", scanErrors},
		{"result sets", resultSets},
		{"column names of no rows", columnNames},
		{"connection after an error", connectionAfterError},
		{"closed database", closedDatabase},
		{"closed connection", closedConnection},
	} {
		programs = append(programs, Program{"statements/" + p.name, both, p.play})
	}
	return append(programs, sizePrograms()...)
}

// playCall plays a call with Exec, Query and Prepare, each on a new database.
func playCall(e *env, c call) {
	after := func(key string, db *sql.DB) {
		e.rows(key+", t then", db, "SELECT group_concat(a) FROM t")
		e.rows(key+", u then", db, "SELECT group_concat(id || b) FROM u")
		must(db.Close())
	}
	fresh := func() *sql.DB {
		db := e.memory("")
		prepareCalls(db)
		return db
	}
	db := fresh()
	res, err := db.Exec(c.text, c.args...)
	e.result("exec", res, err)
	after("exec", db)

	db = fresh()
	e.rows("query", db, c.text, c.args...)
	after("query", db)

	if e.Dialect == Mattn && noStatement[c.text] {
		return // it crashes the process
	}
	db = fresh()
	stmt, err := db.Prepare(c.text)
	e.err("prepare", err)
	if err == nil {
		res, err = stmt.Exec(c.args...)
		e.result("exec prepared", res, err)
		rows, err := stmt.Query(c.args...)
		if err != nil {
			e.err("query prepared", err)
		} else {
			e.record("query prepared", "%v", e.read(rows))
		}
		e.err("close", stmt.Close())
	}
	after("prepared", db)
}

func usedAgain(e *env) {
	db := e.memory("")
	prepareCalls(db)
	stmt, err := db.Prepare("INSERT INTO u(b) VALUES (?)")
	must(err)
	for _, v := range []any{"x", nil, 1, []byte("y"), "z"} {
		res, err := stmt.Exec(v)
		e.result(fmt.Sprint(v), res, err)
	}
	e.err("close", stmt.Close())
	e.rows("rows", db, "SELECT * FROM u")
}

func queryUsedAgain(e *env) {
	db := e.memory("")
	prepareCalls(db)
	stmt, err := db.Prepare("SELECT a, ? FROM t WHERE a >= ?")
	must(err)
	for _, v := range []any{1, 2, 3, "x", nil, 0} {
		rows, err := stmt.Query(v, v)
		must(err)
		e.record(fmt.Sprint(v), "%v", e.read(rows))
	}
	must(stmt.Close())
}

func schemaChanges(e *env) {
	db := e.memory("")
	prepareCalls(db)
	stmt, err := db.Prepare("INSERT INTO t(a) VALUES (?)")
	must(err)
	exec(db, "ALTER TABLE t ADD COLUMN b DEFAULT 'new'")
	_, err = stmt.Exec(5)
	e.err("exec", err)
	e.rows("rows", db, "SELECT * FROM t")
	exec(db, "CREATE INDEX i ON t(a)", "DROP INDEX i")
	_, err = stmt.Exec(6)
	e.err("exec again", err)
	must(stmt.Close())
}

func starChanges(e *env) {
	db := e.memory("")
	prepareCalls(db)
	stmt, err := db.Prepare("SELECT * FROM t")
	must(err)
	read := func(key string) {
		rows, err := stmt.Query()
		if err != nil {
			e.err(key, err)
			return
		}
		columns, err := rows.Columns()
		e.record(key, "%v %s %v", columns, e.errText(err), e.read(rows))
	}
	read("before")
	exec(db, "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 7")
	read("after")
	exec(db, "ALTER TABLE t RENAME COLUMN b TO c")
	read("renamed")
	exec(db, "ALTER TABLE t DROP COLUMN c")
	read("dropped")
	must(stmt.Close())
}

func tableGone(e *env) {
	db := e.memory("")
	prepareCalls(db)
	insert, err := db.Prepare("INSERT INTO t VALUES (1)")
	must(err)
	query, err := db.Prepare("SELECT * FROM t")
	must(err)
	exec(db, "DROP TABLE t")
	_, err = insert.Exec()
	e.err("exec", err)
	rows, err := query.Query()
	e.err("query", err)
	if err == nil {
		e.record("rows", "%v", e.read(rows))
	}
	exec(db, "CREATE TABLE t(a, b)")
	_, err = insert.Exec()
	e.err("exec after", err)
	must(insert.Close())
	must(query.Close())
}

func afterError(e *env) {
	db := e.memory("")
	prepareCalls(db)
	stmt, err := db.Prepare("INSERT INTO u VALUES (?, ?)")
	must(err)
	for _, id := range []int{1, 2, 1, 3} {
		res, err := stmt.Exec(id, "x")
		e.result(fmt.Sprint("exec ", id), res, err)
	}
	query, err := db.Prepare("SELECT json(?)")
	must(err)
	for _, text := range []string{"[1]", "{", "[2]"} {
		rows, err := query.Query(text)
		e.err("query "+text, err)
		if err == nil {
			e.record("rows "+text, "%v", e.read(rows))
		}
	}
	must(stmt.Close())
	must(query.Close())
	e.rows("rows", db, "SELECT * FROM u")
}

func preparedArguments(e *env) {
	db := e.memory("")
	for _, c := range []call{
		{"SELECT ?, ?", nil}, {"SELECT ?, ?", []any{1}}, {"SELECT ?, ?", []any{1, 2}}, {"SELECT ?, ?", []any{1, 2, 3}},
		{"SELECT :a", []any{sql.Named("a", 1)}}, {"SELECT :a", []any{1}}, {"SELECT :a, :b", []any{sql.Named("a", 1)}}, {"SELECT :a", []any{sql.Named("b", 1)}}, {"SELECT 1", []any{1}},
	} {
		stmt, err := db.Prepare(c.text)
		must(err)
		key := fmt.Sprint(c.text, c.args)
		_, err = stmt.Exec(c.args...)
		e.err("exec "+key, err)
		rows, err := stmt.Query(c.args...)
		e.err("query "+key, err)
		if err == nil {
			e.record("rows "+key, "%v", e.read(rows))
		}
		must(stmt.Close())
	}
}

func closedStatement(e *env) {
	db := e.memory("")
	stmt, err := db.Prepare("SELECT 1")
	must(err)
	rows, err := stmt.Query()
	must(err)
	e.err("close", stmt.Close())
	e.err("close again", stmt.Close())
	e.record("rows", "%v", e.read(rows))
	_, err = stmt.Exec()
	e.err("exec", err)
	_, err = stmt.Query()
	e.err("query", err)
}

func preparedSeveral(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"SELECT 1; SELECT 2", "INSERT INTO t VALUES (10); INSERT INTO t VALUES (11)", "SELECT 1;", "SELECT 1; -- comment", "INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)"} {
		stmt, err := db.Prepare(text)
		e.err("prepare "+text, err)
		if err != nil {
			continue
		}
		_, err = stmt.Exec()
		e.err("exec "+text, err)
		_, err = stmt.Exec(1, 2)
		e.err("exec with arguments "+text, err)
		rows, err := stmt.Query()
		e.err("query "+text, err)
		if err == nil {
			e.record("rows "+text, "%v", e.read(rows))
		}
		must(stmt.Close())
		e.rows("t", db, "SELECT group_concat(a) FROM t")
	}
}

func unread(e *env) {
	db := e.memory("")
	prepareCalls(db)
	rows, err := db.Query("SELECT a FROM t")
	must(err)
	e.err("close", rows.Close())
	e.err("close again", rows.Close())
	e.record("next", "%v", rows.Next())
	e.err("err", rows.Err())
	e.err("scan", rows.Scan(new(any)))
	_, err = db.Exec("DROP TABLE t")
	e.err("drop", err)
}

func partlyRead(e *env) {
	db := e.memory("")
	prepareCalls(db)
	rows, err := db.Query("SELECT a FROM t")
	must(err)
	e.err("scan before next", rows.Scan(new(any)))
	e.record("next", "%v", rows.Next())
	e.err("scan of too many", rows.Scan(new(any), new(any)))
	e.err("close", rows.Close())
	e.err("err", rows.Err())
	e.err("scan after close", rows.Scan(new(any)))
	e.rows("again", db, "SELECT a FROM t")
}

func returningUnread(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"INSERT INTO t VALUES (10), (11) RETURNING a", "UPDATE t SET a = a + 1 RETURNING a", "DELETE FROM t WHERE a > 5 RETURNING a", "INSERT INTO t VALUES (20)", "INSERT INTO u VALUES (1, 'conflict') RETURNING id"} {
		rows, err := db.Query(text)
		e.err(text, err)
		if err == nil {
			e.err("close", rows.Close())
			e.err("err", rows.Err())
		}
		e.rows("then", db, "SELECT group_concat(a) FROM t")
		e.rows("changes", db, "SELECT changes(), total_changes(), last_insert_rowid()")
	}
}

func returningPartlyRead(e *env) {
	db := e.memory("")
	prepareCalls(db)
	rows, err := db.Query("INSERT INTO t VALUES (10), (11), (12) RETURNING a")
	must(err)
	e.record("next", "%v", rows.Next())
	var a int
	e.err("scan", rows.Scan(&a))
	e.err("close", rows.Close())
	e.rows("then", db, "SELECT group_concat(a) FROM t")
	var id int
	e.err("QueryRow", db.QueryRow("INSERT INTO u(b) VALUES ('x') RETURNING id").Scan(&id))
	e.record("id", "%d", id)
	e.rows("u", db, "SELECT * FROM u")
	tx, err := db.Begin()
	must(err)
	rows, err = tx.Query("INSERT INTO t VALUES (20), (21) RETURNING a")
	must(err)
	rows.Next()
	e.err("commit", tx.Commit())
	e.rows("then", db, "SELECT group_concat(a) FROM t")
}

func returningExec(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"INSERT INTO t VALUES (10), (11) RETURNING a", "UPDATE t SET a = a + 1 RETURNING a", "DELETE FROM t WHERE a > 5 RETURNING a", "SELECT a FROM t"} {
		res, err := db.Exec(text)
		e.result(text, res, err)
		stmt, err := db.Prepare(text)
		must(err)
		res, err = stmt.Exec()
		e.result("prepared "+text, res, err)
		must(stmt.Close())
	}
	e.rows("then", db, "SELECT group_concat(a) FROM t")
}

func results(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE)")
	for _, text := range []string{
		"SELECT 1", "INSERT INTO t(a) VALUES (1)", "INSERT INTO t(a) VALUES (2), (3)", "SELECT 1", "UPDATE t SET a = a + 10", "UPDATE t SET a = 1 WHERE 0", "INSERT INTO t VALUES (100, 100)",
		"REPLACE INTO t(a) VALUES (11)", "INSERT OR IGNORE INTO t(a) VALUES (11)", "INSERT INTO t(a) VALUES (12) ON CONFLICT DO NOTHING", "INSERT INTO t(a) VALUES (12) ON CONFLICT(a) DO UPDATE SET a = 99",
		"INSERT INTO t VALUES (-5, -5)", "DELETE FROM t WHERE id > 50", "DELETE FROM t", "CREATE TABLE u(a)", "INSERT INTO u VALUES (1)", "DROP TABLE u", "PRAGMA user_version = 1", "BEGIN", "INSERT INTO t(a) VALUES (1)", "COMMIT", "SAVEPOINT s", "RELEASE s", "ANALYZE", "VACUUM", "",
	} {
		res, err := db.Exec(text)
		e.result(text, res, err)
	}
}

func resultsAfter(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	first, err := db.Exec("INSERT INTO t(a) VALUES (1)")
	must(err)
	second, err := db.Exec("INSERT INTO t(a) VALUES (2), (3)")
	must(err)
	exec(db, "DELETE FROM t")
	e.result("first", first, nil)
	e.result("second", second, nil)
}

func withoutRowid(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(id TEXT PRIMARY KEY) WITHOUT ROWID", "CREATE TABLE u(a)", "CREATE VIEW v AS SELECT a FROM u", "CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO u VALUES (new.a); END")
	for _, text := range []string{"INSERT INTO t VALUES ('a')", "INSERT INTO u VALUES (1)", "INSERT INTO t VALUES ('b')", "INSERT INTO v VALUES (5)", "INSERT INTO u VALUES (2)"} {
		res, err := db.Exec(text)
		e.result(text, res, err)
	}
}

func triggers(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)", "CREATE TABLE log(a)", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a), (new.a); END", "INSERT INTO log VALUES (0), (0), (0)")
	res, err := db.Exec("INSERT INTO t VALUES (1)")
	e.result("insert", res, err)
	e.rows("counts", db, "SELECT changes(), total_changes(), last_insert_rowid()")
	exec(db, "CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT raise(ABORT, 'not this'); END")
	res, err = db.Exec("DELETE FROM t")
	e.result("delete", res, err)
	exec(db, "DROP TRIGGER no", "CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT raise(IGNORE); END")
	res, err = db.Exec("DELETE FROM t")
	e.result("ignored", res, err)
}

// failing is a query whose third row fails.
const failing = "SELECT json(a) FROM (SELECT '1' AS a UNION ALL SELECT '2' UNION ALL SELECT '{' UNION ALL SELECT '4')"

func errorAfterRows(e *env) {
	db := e.memory("")
	e.rows("query", db, failing)
	_, err := db.Exec(failing)
	e.err("exec", err)
	stmt, err := db.Prepare(failing)
	must(err)
	for range 2 {
		_, err = stmt.Exec()
		e.err("exec prepared", err)
		rows, err := stmt.Query()
		e.err("query prepared", err)
		if err == nil {
			e.record("rows", "%v", e.read(rows))
		}
	}
	must(stmt.Close())
	e.rows("after", db, "SELECT 1")
	rows, err := db.Query(failing)
	must(err)
	rows.Next()
	rows.Next()
	e.err("close before the error", rows.Close())
	e.err("err", rows.Err())
}

func errorAtFirstRow(e *env) {
	db := e.memory("")
	e.rows("query", db, "SELECT json('{')")
	e.rows("with an argument", db, "SELECT json(?)", "{")
	rows, err := db.Query("SELECT json('{')")
	e.err("query unread", err)
	if err == nil {
		e.err("close", rows.Close())
		e.err("err", rows.Err())
	}
	e.err("QueryRow", db.QueryRow("SELECT json('{')").Scan(new(any)))
}

func queryRow(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"SELECT 1", "SELECT 1, 2", "SELECT a FROM t", "SELECT a FROM t WHERE 0", "SELECT NULL", "", "-- comment", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING a", "no SQL", "SELECT 1; SELECT 2", "PRAGMA user_version", "PRAGMA user_version = 3"} {
		var n int
		e.record(text, "%d %s", n, e.errText(db.QueryRow(text).Scan(&n)))
	}
	row := db.QueryRow("SELECT 1")
	e.err("err", row.Err())
	must(row.Scan(new(any)))
	e.err("err of an error", db.QueryRow("no SQL").Err())
}

// sizePrograms reach limits. Each is a separate program, because a driver that panics loses the
// connection.
func sizePrograms() []Program {
	var programs []Program
	add := func(name, query string, args ...any) {
		programs = append(programs, Program{"statements/size/" + name, both, func(e *env) {
			e.rows("query", e.memory(""), query, args...)
		}})
	}
	for _, n := range []int{99, 999, 1000, 32766, 32767} {
		args := make([]any, n)
		for i := range args {
			args[i] = 1
		}
		add(fmt.Sprint("a sum of ", n), "SELECT 0"+strings.Repeat("+?", n), args...)
		add(fmt.Sprint("values ", n), "SELECT count(*) FROM (VALUES (?)"+strings.Repeat(",(?)", n-1)+")", args...)
	}
	for _, n := range []int{1000, 999_000, 2_000_000} {
		add(fmt.Sprint("a literal of ", n), "SELECT length('"+strings.Repeat("x", n)+"')")
		add(fmt.Sprint("a named literal of ", n), "SELECT length('"+strings.Repeat("x", n)+"') AS n")
		add(fmt.Sprint("an argument of ", n), "SELECT length(?), length(?)", strings.Repeat("x", n), []byte(strings.Repeat("x", n)))
	}
	add("a name of 5000", "SELECT 1 AS "+strings.Repeat("x", 5000))
	add("a blob of 900000000", "SELECT length(zeroblob(900000000))")
	add("a blob of 2500000000", "SELECT length(zeroblob(2500000000))")
	return programs
}

func comparisons(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(i INTEGER, s TEXT, b BLOB, n)", "INSERT INTO t VALUES (1, '1', x'31', 1)")
	for _, arg := range []any{1, "1", []byte("1"), 1.0, true, nil} {
		for _, column := range []string{"i", "s", "b", "n"} {
			e.rows(fmt.Sprintf("%s = %s", column, value(arg)), db, "SELECT "+column+" = ?, "+column+" < ? FROM t", arg, arg)
		}
	}
}

func functions(e *env) {
	db := e.memory("")
	for _, expr := range []string{
		"json_extract('{\"a\":[1,2]}', '$.a[1]')", "json('{a:1}')", "'{\"a\":1}' ->> 'a'", "jsonb('[1]') IS NOT NULL", "abs(-1)", "sqrt(2)", "pi()", "pow(2, 10)", "ln(1)", "log(10)", "mod(7, 3)", "ceil(1.2)", "trunc(-1.7)",
		"printf('%05d %.2f %s', 7, 1.5, 'x')", "format('%,d', 1234567)", "iif(1, 2, 3)", "if(1, 2)", "concat('a', NULL, 'b')", "concat_ws('-', 1, 2)", "string_agg('x', ',')", "group_concat('x')", "median(1)", "percentile(1, 50)",
		"unhex('41')", "hex('a')", "octet_length('ä')", "unistr('\\00e4')", "soundex('Robert')", "upper('ä')", "lower('Ä')", "'ä' LIKE 'Ä'", "'a' GLOB 'A'", "'abc' REGEXP 'b'", "'abc' MATCH 'b'", "instr('abc', 'c')", "likelihood(1, 0.5)",
		"random() <> random()", "randomblob(4) IS NOT NULL", "timediff('2026-01-02', '2026-01-01')", "unixepoch('1970-01-02')", "date('2026-01-31', '+1 month')", "strftime('%J', '2026-01-01')", "generate_series", "(SELECT count(*) FROM generate_series(1, 5))", "(SELECT count(*) FROM json_each('[1,2]'))",
		"sqlite_compileoption_used('ENABLE_FTS5')", "last_insert_rowid()", "changes()", "typeof(1e999)", "1e999", "9223372036854775807 + 1", "1/0", "1%0", "0x10", "1_000", "'a' || 1", "NULL IS NOT DISTINCT FROM NULL", "row_number() OVER ()", "sqlite_offset(1)", "base64('abc')", "decimal('1.5')", "sha3('a')", "edit('x')", "fts3_tokenizer('simple')", "acos(1)", "soundex('x')", "readfile('x')", "toreal('1')", "dbstat",
	} {
		e.record(expr, "%s", e.one(db, "SELECT "+expr))
	}
	for _, module := range []string{"fts5(a)", "fts4(a)", "fts3(a)", "rtree(id, a, b)", "geopoly(a)", "dbstat", "csv(filename='x')"} {
		_, err := db.Exec("CREATE VIRTUAL TABLE temp.m USING " + module)
		e.err("module "+module, err)
		if err == nil {
			exec(db, "DROP TABLE temp.m")
		}
	}
	for _, text := range []string{"CREATE TABLE s(a INT) STRICT", "CREATE TABLE g(a, b AS (a + 1) STORED)", "SELECT 1 FROM (SELECT 1) RIGHT JOIN (SELECT 2)", "SELECT * FROM sqlite_dbpage", "SELECT * FROM bytecode('SELECT 1') LIMIT 0", "SELECT * FROM sqlite_stmt LIMIT 0", "EXPLAIN QUERY PLAN SELECT 1", "ALTER TABLE s RENAME a TO b", "UPDATE s SET b = 1 FROM g", "SELECT count(*) FILTER (WHERE 1)", "VACUUM INTO 'copy.db'", "SELECT 1 ORDER BY 1 NULLS LAST"} {
		_, err := db.Exec(text)
		e.err(text, err)
	}
}

func temporary(e *env) {
	db := e.file("")
	conn := e.conn(db)
	exec(conn, "CREATE TABLE t(a)", "CREATE TEMP TABLE mine(a)", "INSERT INTO mine VALUES (1)", "INSERT INTO t SELECT a FROM mine")
	e.rows("mine", conn, "SELECT * FROM temp.mine")
	e.rows("schema", conn, "SELECT name FROM sqlite_temp_schema")
	exec(conn, "CREATE TEMP TABLE t(b)", "INSERT INTO t VALUES ('temp')")
	e.rows("shadow", conn, "SELECT * FROM t")
	e.rows("main", conn, "SELECT * FROM main.t")
	exec(conn, "DROP TABLE temp.t", "DROP TABLE temp.mine")
	e.rows("after", conn, "SELECT * FROM t")
	must(conn.Close())
}

func attached(e *env) {
	db := e.file("")
	conn := e.conn(db)
	exec(conn, "CREATE TABLE t(a)", "ATTACH 'b.db' AS b", "CREATE TABLE b.u(a)", "INSERT INTO t VALUES (1)", "INSERT INTO u VALUES (2)")
	e.rows("both", conn, "SELECT t.a, u.a FROM t, b.u")
	tx, err := conn.BeginTx(ctx, nil)
	must(err)
	exec(tx, "INSERT INTO t VALUES (3)", "INSERT INTO u VALUES (4)")
	must(tx.Rollback())
	e.rows("after", conn, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)")
	_, err = conn.ExecContext(ctx, "ATTACH 'b.db' AS b")
	e.err("twice", err)
	_, err = conn.ExecContext(ctx, "ATTACH ':memory:' AS m")
	e.err("memory", err)
	exec(conn, "CREATE TABLE m.x(a)", "DETACH m", "DETACH b")
	e.rows("gone", conn, "SELECT * FROM u")
	must(conn.Close())
}

// attachedToMemory writes files from in-memory databases.
func attachedToMemory(e *env) {
	for _, dsn := range []string{":memory:", "file::memory:", "file::memory:?cache=shared", "file:abc?mode=memory&cache=shared"} {
		db := e.open(dsn)
		conn := e.conn(db)
		exec(conn, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "ATTACH 'b.db' AS b", "CREATE TABLE b.u(a)", "VACUUM INTO 'copy.db'")
		_, err := conn.ExecContext(ctx, "VACUUM INTO 'copy.db'")
		e.err(dsn+" again", err)
		for _, name := range []string{"b.db", "copy.db"} {
			content, err := os.ReadFile(name)
			e.record(dsn+" "+name, "%s, %d bytes", ok(err), len(content))
			os.Remove(name)
		}
		must(conn.Close())
		must(db.Close())
	}
}

func rowsAndWrites(e *env) {
	db := e.memory("")
	prepareCalls(db)
	conn := e.conn(db)
	rows, err := conn.QueryContext(ctx, "SELECT a FROM t WHERE a < 10 ORDER BY a")
	must(err)
	for n := 0; rows.Next() && n < 20; n++ {
		var a int
		must(rows.Scan(&a))
		_, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (?)", a+20)
		e.err(fmt.Sprint("write at ", a), err)
		_, err = conn.ExecContext(ctx, "UPDATE u SET b = ?", a)
		e.err(fmt.Sprint("update at ", a), err)
	}
	e.err("end", rows.Err())
	must(rows.Close())
	e.rows("rows", conn, "SELECT group_concat(a) FROM t")
	must(conn.Close())
}

func twoRows(e *env) {
	db := e.memory("")
	prepareCalls(db)
	conn := e.conn(db)
	text := "SELECT a FROM t ORDER BY a"
	first, err := conn.QueryContext(ctx, text)
	must(err)
	e.record("first", "%v", first.Next())
	second, err := conn.QueryContext(ctx, text)
	e.err("second", err)
	if err == nil {
		e.record("second rows", "%v", e.read(second))
	}
	e.record("first rows", "%v", e.read(first))
	stmt, err := conn.PrepareContext(ctx, text)
	must(err)
	first, err = stmt.Query()
	must(err)
	e.record("prepared first", "%v", first.Next())
	second, err = stmt.Query()
	e.err("prepared second", err)
	if err == nil {
		e.record("prepared second rows", "%v", e.read(second))
	}
	e.record("prepared first rows", "%v", e.read(first))
	must(stmt.Close())
	must(conn.Close())
}

func scanErrors(e *env) {
	db := e.memory("")
	for _, query := range []string{"SELECT 'x'", "SELECT NULL", "SELECT 300", "SELECT -1", "SELECT 1.5", "SELECT x'00'", "SELECT ''", "SELECT '12'", "SELECT 1e300"} {
		e.into(query, allTypes, db, query)
	}
}

func resultSets(e *env) {
	db := e.memory("")
	rows, err := db.Query("SELECT 1; SELECT 2")
	e.err("query", err)
	if err != nil {
		return
	}
	e.record("next", "%v", rows.Next())
	e.record("next result set", "%v", rows.NextResultSet())
	e.record("next again", "%v", rows.Next())
	e.err("err", rows.Err())
	e.err("close", rows.Close())
}

func columnNames(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"SELECT a, a AS b FROM t WHERE 0", "INSERT INTO t VALUES (1)", "", "-- comment", "CREATE TABLE v(a)", "INSERT INTO t VALUES (1); SELECT 2 AS two", "SELECT 1 AS one; INSERT INTO t VALUES (1)", "SELECT 1 AS one; SELECT 2 AS two WHERE 0", "PRAGMA user_version = 1"} {
		rows, err := db.Query(text)
		if err != nil {
			e.err(text, err)
			continue
		}
		columns, err := rows.Columns()
		e.record(text, "%q %s", columns, e.errText(err))
		must(rows.Close())
	}
}

func connectionAfterError(e *env) {
	db := e.memory("")
	prepareCalls(db)
	for _, text := range []string{"no SQL", "SELECT * FROM nowhere", "INSERT INTO u VALUES (1, 'x')", "SELECT json('{')"} {
		_, err := db.Exec(text)
		e.err(text, err)
		// An in-memory database is lost with its connection.
		e.rows("after "+text, db, "SELECT count(*) FROM t")
	}
	conn := e.conn(db)
	must(conn.Raw(func(any) error { return nil }))
	e.err("raw", conn.Raw(func(any) error { return errors.New("mine") }))
	must(conn.Close())
	e.rows("after raw", db, "SELECT count(*) FROM t")
}

func closedDatabase(e *env) {
	db := e.memory("")
	stmt, err := db.Prepare("SELECT 1")
	must(err)
	e.err("close", db.Close())
	e.err("close again", db.Close())
	_, err = db.Exec("SELECT 1")
	e.err("exec", err)
	e.err("ping", db.Ping())
	_, err = stmt.Exec()
	e.err("statement", err)
	_, err = db.Begin()
	e.err("begin", err)
}

func closedConnection(e *env) {
	db := e.memory("")
	conn := e.conn(db)
	rows, err := conn.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
	must(err)
	e.record("next", "%v", rows.Next())
	must(rows.Close())
	e.err("close", conn.Close())
	e.err("close again", conn.Close())
	_, err = conn.ExecContext(ctx, "SELECT 1")
	e.err("exec", err)
	e.err("ping", conn.PingContext(ctx))
	e.rows("after", db, "SELECT 1")
}
