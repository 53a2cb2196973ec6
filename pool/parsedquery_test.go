package pool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// The lane that a query is classified for.
const (
	reads  = "reads"        // on a reader, always
	asks   = "asks"         // on a reader, if SQLite reports that it only reads
	writes = "writes"       // on the writer, but may be prepared on a reader
	alone  = "writer alone" // on the writer, and not even prepared on a reader
)

func classifiedAs(query string) string {
	runs, asked := pool.ReaderRuns(query)
	switch {
	case asked:
		return asks
	case runs:
		return reads
	case pool.ReaderPrepares(query):
		return writes
	}
	return alone
}

// TestClassify checks the lane of each query. classify parses the query without preparing it.
func TestClassify(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                                   reads,
		"select 1;":                                                  reads,
		"SELECT 1;;":                                                 reads,
		"SELECT 1; ; -- nothing":                                     reads,
		"VALUES (1), (2)":                                            reads,
		"\uFEFFSELECT 1":                                             reads,
		" \t\r\n\f;;; SELECT 1":                                      reads,
		"/* PRAGMA */ -- DELETE\n SELECT 1":                          reads,
		"/*/ still a comment */ SELECT 1":                            reads,
		"/**/SELECT 1":                                               reads,
		"SeLeCt/**/1":                                                reads,
		"EXPLAIN SELECT 1":                                           reads,
		"explain /*x*/ query plan SELECT 1":                          reads,
		"SELECT '; PRAGMA foreign_keys=0'":                           reads,
		`SELECT "a;b", [c;d], ` + "`e;f`" + ` FROM t`:                reads,
		"SELECT 'it''s; changes()'":                                  reads,
		"SELECT 1 /* ; ATTACH":                                       reads,
		"SELECT 'temp', 'changes' FROM t":                            reads,
		"SELECT changed, tempo FROM t":                               reads,
		"SELECT x'41', 1.5e3, 0x1f, ?1, :a, @b, $c":                  reads,
		"SELECT 1 -- changes()":                                      reads,
		"SELECT 1;\v":                                                reads,
		"SELECT temp FROM readings":                                  reads,
		"SELECT temp, t.temp FROM readings AS t":                     reads,
		"SELECT * FROM temp WHERE temp > 1":                          reads,
		"SELECT changes, total_changes FROM t":                       reads,
		`SELECT "changes" FROM changes AS last_insert_rowid`:         reads,
		"SELECT changes AS total_changes, (a) FROM t":                reads,
		"SELECT a FROM t WHERE changes IN (1, 2)":                    reads,
		"SELECT pragma_note, pragma_x FROM t":                        reads,
		"SELECT f(a, pragma_note) FROM t, u ORDER BY a, pragma_note": reads,
		"SELECT sqlite_temp_schema FROM t":                           reads,
		"SELECT t.pragma_note FROM main.t":                           reads,
		"SELECT ':changes()', $a(changes()), 1":                      reads,
		"SELECT 1 /* changes() */ -- temp.t":                         reads,
		"SELECT ';' AS \";\" FROM t -- ;":                            reads,
		"SELECT $a(;PRAGMA_foreign_keys=0)":                          reads,
		"WITH changes(a) AS (SELECT 1) SELECT * FROM changes":        asks,
		"WITH x AS (SELECT 1) SELECT * FROM x":                       asks,
		"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x":         asks,
		"EXPLAIN WITH x AS (SELECT 1) SELECT * FROM x":               asks,

		"INSERT INTO t VALUES (1)":             writes,
		"REPLACE INTO t VALUES (1)":            writes,
		"update t SET a = 1":                   writes,
		"DELETE FROM t":                        writes,
		";;DELETE FROM t":                      writes,
		"INSERT INTO t VALUES (1) RETURNING a": writes,
		"EXPLAIN DELETE FROM t":                writes,

		"INSERT INTO changes(a, b) VALUES (1, 2)": writes,
		"INSERT INTO temp VALUES (1)":             writes,
		"UPDATE t SET temp = 1, changes = 2":      writes,

		"INSERT INTO t VALUES (changes())":                     alone,
		"UPDATE t SET a = last_insert_rowid()":                 alone,
		"INSERT INTO temp.t VALUES (1)":                        alone,
		"DELETE FROM t WHERE a IN temp.u":                      alone,
		"SELECT a FROM t JOIN temp /**/ . u":                   alone,
		"SELECT temp.a FROM t AS temp":                         alone, // it could be the schema
		"SELECT changes /**/ ( )":                              alone,
		"SELECT count(*) FROM t, (u JOIN pragma_user_version)": alone,
		"SELECT count(*) FROM main.pragma_user_version":        alone,
		"SELECT 1 WHERE 'a' IN pragma_table_list":              alone,
		"SELECT (SELECT * FROM \"Pragma_foreign_keys\")":       alone,
		"SELECT " + strings.Repeat("(", 70) + "SELECT * FROM pragma_user_version" + strings.Repeat(")", 70): alone,
		"SELECT $a('), last_insert_rowid() --')":                                                            alone,
		"SELECT $a('); PRAGMA query_only=0; --')":                                                           alone,
		"SELECT 1;\vPRAGMA foreign_keys=0":                                                                  alone,
		"SELECT 1; /*":                                                                                      alone,
		"\"SELECT\" 1":                                                                                      alone,
		"SELECT last_insert_rowid()":                                                                        alone,
		"SELECT CHANGES()":                                                                                  alone,
		`SELECT "total_changes"()`:                                                                          alone,
		"SELECT [Last_Insert_Rowid]()":                                                                      alone,
		"SELECT `changes`()":                                                                                alone,
		"SELECT * FROM temp.t":                                                                              alone,
		`SELECT * FROM "TEMP" . t`:                                                                          alone,
		"SELECT * FROM 'temp'.t":                                                                            alone,
		"SELECT * FROM sqlite_temp_schema":                                                                  alone,
		"SELECT * FROM sqlite_temp_master":                                                                  alone,
		"SELECT * FROM pragma_foreign_keys":                                                                 alone,
		"SELECT * FROM pragma_table_info('t')":                                                              alone,
		"SELECT * FROM 'pragma_foreign_keys'":                                                               alone,
		"SELECT 1; SELECT 2":                                                                                alone,
		"SELECT 1; PRAGMA foreign_keys=0":                                                                   alone,
		"SELECT 1;;PRAGMA foreign_keys=0":                                                                   alone,
		"SELECT 1; /* x */ ; ; ATTACH 'a' AS b":                                                             alone,
		"INSERT INTO t VALUES (1); SELECT 1":                                                                alone,
		"PRAGMA foreign_keys":                                                                               alone,
		"EXPLAIN PRAGMA query_only=1":                                                                       alone,
		"EXPLAIN QUERY PLAN PRAGMA query_only=1":                                                            alone,
		"/*x*/ ;PRAGMA recursive_triggers=1":                                                                alone,
		"\uFEFF--\n;PRAGMA x":                                                                               alone,
		"BEGIN":                                                                                             alone,
		"COMMIT":                                                                                            alone,
		"END":                                                                                               alone,
		"ROLLBACK TO x":                                                                                     alone,
		"SAVEPOINT x":                                                                                       alone,
		"RELEASE x":                                                                                         alone,
		"ATTACH 'a' AS b":                                                                                   alone,
		"DETACH b":                                                                                          alone,
		"CREATE TABLE t (a)":                                                                                alone,
		"VACUUM":                                                                                            alone,
		"ANALYZE":                                                                                           alone,
		"nonsense":                                                                                          alone,
		"":                                                                                                  alone,
		" -- nothing":                                                                                       alone,
		"\x00SELECT 1":                                                                                      alone,
		"/* SELECT 1":                                                                                       alone,
		"'SELECT' 1":                                                                                        alone,
		"(SELECT 1)":                                                                                        alone,
	} {
		if got := classifiedAs(query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

// TestClassifyMarks checks which marks a query leaves, wherever in the query the reason is.
func TestClassifyMarks(t *testing.T) {
	const none, pragma, objects, journal = "", "pragma", "objects", "journal"
	for query, want := range map[string]string{
		"SELECT 1":                                     none,
		"CREATE TABLE t (a)":                           none,
		"CREATE TABLE main.temp (a)":                   none,
		"CREATE TABLE t (temp, x)":                     none,
		"CREATE TABLE t (a DEFAULT (temp.x))":          none, // SQLite refuses it
		"DROP TABLE t":                                 none,
		"PRAGMA foreign_keys":                          none,
		"PRAGMA table_info(t)":                         none,
		"PRAGMA user_version = 7":                      none,
		"PRAGMA wal_checkpoint(TRUNCATE)":              none,
		"PRAGMA foreign_keys; SELECT 1":                none,
		"PRAGMA":                                       none,
		"PRAGMA foreign_keys = OFF":                    pragma,
		"PRAGMA foreign_keys(0)":                       pragma,
		"PRAGMA main.synchronous = 1":                  pragma,
		`PRAGMA "main" . "synchronous" = 1`:            pragma,
		"; pragma/**/foreign_keys=0":                   pragma,
		"SELECT 1; PRAGMA foreign_keys=0":              pragma,
		"SELECT 1;; PRAGMA foreign_keys=0":             pragma,
		"PRAGMA cache_size; PRAGMA cache_size=9":       pragma,
		"PRAGMA table_info(t); PRAGMA busy_timeout=1":  pragma,
		"BEGIN; PRAGMA foreign_keys=0; COMMIT":         pragma,
		"SELECT 1; EXPLAIN PRAGMA foreign_keys=0":      pragma,
		"EXPLAIN QUERY PLAN PRAGMA foreign_keys=0":     pragma,
		"PRAGMA journal_mode = delete":                 journal,
		"PRAGMA main.journal_mode(wal)":                journal,
		"PRAGMA cache_size; PRAGMA journal_mode=wal":   journal,
		"ATTACH 'a' AS b":                              objects,
		"DETACH DATABASE b":                            objects,
		"PRAGMA cache_size; ATTACH 'a' AS b":           objects,
		"SELECT 1;;;ATTACH 'a' AS b":                   objects,
		"CREATE TEMP TABLE t (a)":                      objects,
		"create temporary view v AS SELECT 1":          objects,
		"CREATE TABLE temp.t (a)":                      objects,
		"CREATE TABLE IF NOT EXISTS Temp . t (a)":      objects,
		`CREATE TABLE "temp".t (a)`:                    objects,
		"CREATE TABLE [temp].t (a)":                    objects,
		"CREATE TABLE 'temp'.t (a)":                    objects,
		"CREATE VIRTUAL TABLE temp.t USING fts5(a)":    objects,
		"CREATE UNIQUE INDEX temp.i ON t (a)":          objects,
		"CREATE TABLE t (a); CREATE TEMP TABLE u (a)":  objects,
		"CREATE TABLE t (a);; CREATE TEMP TABLE u (a)": objects,
		"CREATE TABLE t AS SELECT 1; ATTACH 'a' AS b":  objects,
		"CREATE; ATTACH 'a' AS b":                      objects,
	} {
		var got []string
		if pool.LeavesPragma(query) {
			got = append(got, pragma)
		}
		if pool.LeavesObjects(query) {
			got = append(got, objects)
		}
		if pool.LeavesJournal(query) {
			got = append(got, journal)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// hazardousQueries are queries that classify must not get wrong.
var hazardousQueries = []string{
	"SELECT 1", "VALUES (1)", "WITH x AS (SELECT 1) SELECT * FROM x",
	"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
	"INSERT INTO t VALUES (1) RETURNING a", "REPLACE INTO t VALUES (1)", "UPDATE t SET a=2", "DELETE FROM t",
	"PRAGMA foreign_keys=OFF", "PRAGMA synchronous=0", "/*x*/ ;PRAGMA recursive_triggers=1",
	"EXPLAIN PRAGMA query_only=1", "EXPLAIN QUERY PLAN PRAGMA query_only=0", "PRAGMA query_only(0)",
	"BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s", "COMMIT", "RELEASE s", "ROLLBACK",
	"ATTACH ':memory:' AS a", "DETACH a", "PRAGMA optimize", "PRAGMA journal_mode=delete",
	"CREATE TEMP TABLE x(a)", "CREATE TABLE 'temp'.x(a)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN z",
	"VACUUM", "ANALYZE", "REINDEX",
	"\uFEFFPRAGMA foreign_keys=0", ";;;PRAGMA foreign_keys=0", "--x\nPRAGMA foreign_keys=0", "/*/*/PRAGMA foreign_keys=0",
	"SELECT 1;PRAGMA foreign_keys=0", "SELECT 1;;PRAGMA foreign_keys=0", "SELECT 1;--\n;BEGIN",
	"SELECT 1\x00;PRAGMA foreign_keys=0", "\x00PRAGMA foreign_keys=0", "SELECT '\x00'; BEGIN",
	"SELECT * FROM pragma_foreign_keys", "SELECT * FROM 'pragma_foreign_keys'", "SELECT * FROM pragma_query_only(0)",
	`"select" 1`, "[select] 1", "`select` 1", "'select' 1", `explain "query" plan pragma foreign_keys=0`,
	"SELECT $a('); PRAGMA query_only=0; --')", "SELECT $a('); ATTACH ':memory:' AS other; --')", "SELECT $a('), last_insert_rowid() --')", "SELECT 1;\vPRAGMA foreign_keys=0",
	"CREATE VIRTUAL TABLE x USING m(a; PRAGMA foreign_keys=0); SELECT 1", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; PRAGMA foreign_keys=0",
	"SELECT $a(;PRAGMA foreign_keys=0)", "SELECT $a::b(--\n)", "SELECT #1", "SELECT \v1", "\vPRAGMA foreign_keys=0",
	"SELECT x'", "SELECT [", `SELECT "`, "SELECT `", "SELECT /*", "SELECT --",
	"explain", "explain query", "explain query plan", "with", "select", "pragma", "create", "pragma main.", "create temp",
}

// FuzzClassify checks these properties of every query: classify does not panic. It sends no
// query to a reader that, according to SQLite, writes or changes a connection when it is
// prepared. Nor does it send one that needs values that only the writer knows. Every other
// query goes to a reader.
func FuzzClassify(f *testing.F) {
	for _, query := range append(hazardousQueries, sqltexttest.Seeds...) {
		f.Add(query, []byte(query))
	}
	w := newWitness(f)
	f.Fuzz(func(t *testing.T, query string, data []byte) {
		w.check(t, query)
		w.check(t, sqltexttest.Weave(data))
	})
}

// A witness is a SQLite connection that reports what a query prepared on it would read.
type witness struct {
	raw     *sqlite3.Conn
	writers string // names in the last prepared query that only the writer knows
}

func newWitness(f *testing.F) *witness {
	raw, err := sqlite3.Open(":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { raw.Close() })
	err = raw.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c, "d e" REAL, temp, changes, pragma_note); CREATE TABLE u(a, b, c); CREATE INDEX i ON t(b);
		CREATE TABLE changes(a, b); CREATE VIEW v AS SELECT a, b FROM t`)
	if err != nil {
		f.Fatal(err)
	}
	w := &witness{raw: raw}
	err = raw.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, name, function, _, _ string) sqlite3.AuthorizerReturnCode {
		name = strings.ToLower(name)
		switch action {
		case sqlite3.AUTH_FUNCTION:
			switch strings.ToLower(function) {
			case "changes", "total_changes", "last_insert_rowid":
				w.writers = function
			}
		case sqlite3.AUTH_READ, sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE:
			if strings.HasPrefix(name, "pragma_") || strings.HasPrefix(name, "sqlite_temp_") {
				w.writers = name
			}
		}
		return sqlite3.AUTH_OK
	})
	if err != nil {
		f.Fatal(err)
	}
	return w
}

func (w *witness) check(t *testing.T, query string) {
	t.Helper()
	runs, asked := pool.ReaderRuns(query)
	prepares := pool.ReaderPrepares(query)
	if runs && !prepares {
		t.Fatalf("%q goes to a reader, but must not be prepared there", query)
	}
	statements := sqltext.SQLite.Statements(query)
	first, _ := statements.Next()
	if !prepares && !first.Verb.Rows() {
		return // preparing it may execute it
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer w.raw.SetInterrupt(w.raw.SetInterrupt(ctx))
	before := sessionState(w.raw)
	w.writers = ""
	stmt, tail, err := w.raw.Prepare(query)
	writers := w.writers
	if after := sessionState(w.raw); after != before {
		t.Fatalf("preparing %q changes the connection:\n%s\n%s", query, before, after)
	}
	if err != nil || stmt == nil {
		return
	}
	defer stmt.Close()
	if prepares && writers != "" {
		t.Errorf("%q goes to a reader, but %s belongs to the writer", query, writers)
	}
	if runs && !asked && !stmt.ReadOnly() {
		t.Errorf("%q goes to a reader, but SQLite reports that it writes", query)
	}
	if !prepares && writers == "" && !hasTempSchema(query) && sqltext.SQLite.Head(tail).Verb == sqltext.Empty {
		t.Errorf("%q goes to the writer, but it is one statement and names nothing of the writer", query)
	}
}

// hasTempSchema reports whether a query has temp before a dot. That may be an alias of a table,
// and is taken for the schema.
func hasTempSchema(query string) bool {
	c := sqltext.SQLite.Cursor(query)
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		if c.Token.Kind == sqltext.Dot && sqltext.EqualFold(sqltext.Unquote(c.Before.Text(query)), "temp") {
			return true
		}
	}
	return false
}

// sessionState describes the state of a connection that a query can change.
func sessionState(raw *sqlite3.Conn) string {
	var b strings.Builder
	fmt.Fprintf(&b, "autocommit %t", raw.GetAutocommit())
	for _, pragma := range []string{
		"query_only", "foreign_keys", "recursive_triggers", "synchronous", "busy_timeout", "cache_size", "cache_spill",
		"temp_store", "defer_foreign_keys", "ignore_check_constraints", "read_uncommitted", "reverse_unordered_selects",
		"journal_size_limit", "journal_mode", "locking_mode", "legacy_alter_table", "trusted_schema", "writable_schema",
		"cell_size_check", "checkpoint_fullfsync", "fullfsync", "automatic_index", "analysis_limit", "secure_delete",
		"wal_autocheckpoint", "hard_heap_limit", "soft_heap_limit", "threads", "count_changes", "full_column_names",
		"short_column_names", "empty_result_callbacks", "user_version", "application_id", "max_page_count",
	} {
		fmt.Fprintf(&b, ", %s %s", pragma, valueOf(raw, "PRAGMA "+pragma))
	}
	fmt.Fprintf(&b, ", databases %s", valueOf(raw, "SELECT group_concat(name || '=' || file) FROM pragma_database_list WHERE name <> 'temp'"))
	fmt.Fprintf(&b, ", LIKE %s", valueOf(raw, "SELECT 'a' LIKE 'A'"))
	fmt.Fprintf(&b, ", temporary %s", valueOf(raw, "SELECT group_concat(name) FROM sqlite_temp_schema"))
	return b.String()
}

// valueOf returns the value of a query, or its error.
func valueOf(raw *sqlite3.Conn, query string) string {
	stmt, _, err := raw.Prepare(query)
	if err != nil {
		return err.Error()
	}
	var text string
	if stmt.Step() {
		text = stmt.ColumnText(0)
	}
	return text + errorOf(errors.Join(stmt.Err(), stmt.Close()))
}

func errorOf(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
