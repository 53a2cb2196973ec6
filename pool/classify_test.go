package pool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// What a text is taken for.
const (
	reads  = "reads"        // on a reader, for good
	asks   = "asks"         // on a reader, if SQLite says that it only reads
	writes = "writes"       // on the writer, but may be prepared on a reader
	alone  = "writer alone" // not even prepared elsewhere
)

func takenFor(query string) string {
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

// Which lane a text is for is read from it, without preparing it.
func TestClassify(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                           reads,
		"select 1;":                                          reads,
		"SELECT 1;;":                                         reads,
		"SELECT 1; ; -- nothing":                             reads,
		"VALUES (1), (2)":                                    reads,
		"\uFEFFSELECT 1":                                     reads,
		" \t\r\n\f;;; SELECT 1":                              reads,
		"/* PRAGMA */ -- DELETE\n SELECT 1":                  reads,
		"/*/ still a comment */ SELECT 1":                    reads,
		"/**/SELECT 1":                                       reads,
		"SeLeCt/**/1":                                        reads,
		"EXPLAIN SELECT 1":                                   reads,
		"explain /*x*/ query plan SELECT 1":                  reads,
		"SELECT '; PRAGMA foreign_keys=0'":                   reads,
		`SELECT "a;b", [c;d], ` + "`e;f`" + ` FROM t`:        reads,
		"SELECT 'it''s; changes()'":                          reads,
		"SELECT 1 /* ; ATTACH":                               reads,
		"SELECT 'temp', 'changes' FROM t":                    reads,
		"SELECT changed, tempo FROM t":                       reads,
		"SELECT x'41', 1.5e3, 0x1f, ?1, :a, @b, $c":          reads,
		"SELECT 1 -- changes()":                              reads,
		"WITH x AS (SELECT 1) SELECT * FROM x":               asks,
		"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x": asks,
		"EXPLAIN WITH x AS (SELECT 1) SELECT * FROM x":       asks,

		"INSERT INTO t VALUES (1)":             writes,
		"REPLACE INTO t VALUES (1)":            writes,
		"update t SET a = 1":                   writes,
		"DELETE FROM t":                        writes,
		";;DELETE FROM t":                      writes,
		"INSERT INTO t VALUES (1) RETURNING a": writes,
		"EXPLAIN DELETE FROM t":                writes,

		"SELECT last_insert_rowid()":             alone,
		"SELECT CHANGES()":                       alone,
		`SELECT "total_changes"()`:               alone,
		"SELECT [Last_Insert_Rowid]()":           alone,
		"SELECT `changes`()":                     alone,
		"SELECT * FROM temp.t":                   alone,
		`SELECT * FROM "TEMP" . t`:               alone,
		"SELECT * FROM 'temp'.t":                 alone,
		"SELECT * FROM sqlite_temp_schema":       alone,
		"SELECT * FROM sqlite_temp_master":       alone,
		"SELECT * FROM pragma_foreign_keys":      alone,
		"SELECT * FROM pragma_table_info('t')":   alone,
		"SELECT * FROM 'pragma_foreign_keys'":    alone,
		"SELECT 1; SELECT 2":                     alone,
		"SELECT 1; PRAGMA foreign_keys=0":        alone,
		"SELECT 1;;PRAGMA foreign_keys=0":        alone,
		"SELECT 1; /* x */ ; ; ATTACH 'a' AS b":  alone,
		"INSERT INTO t VALUES (1); SELECT 1":     alone,
		"PRAGMA foreign_keys":                    alone,
		"EXPLAIN PRAGMA query_only=1":            alone,
		"EXPLAIN QUERY PLAN PRAGMA query_only=1": alone,
		"/*x*/ ;PRAGMA recursive_triggers=1":     alone,
		"\uFEFF--\n;PRAGMA x":                    alone,
		"BEGIN":                                  alone,
		"COMMIT":                                 alone,
		"END":                                    alone,
		"ROLLBACK TO x":                          alone,
		"SAVEPOINT x":                            alone,
		"RELEASE x":                              alone,
		"ATTACH 'a' AS b":                        alone,
		"DETACH b":                               alone,
		"CREATE TABLE t (a)":                     alone,
		"VACUUM":                                 alone,
		"ANALYZE":                                alone,
		"nonsense":                               alone,
		"":                                       alone,
		" -- nothing":                            alone,
		"\x00SELECT 1":                           alone,
		"/* SELECT 1":                            alone,
		"'SELECT' 1":                             alone,
		"(SELECT 1)":                             alone,
	} {
		if got := takenFor(query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

// What a text may leave behind is read from it, wherever in it that stands.
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

// hazardousTexts are what the classification must not be wrong about.
var hazardousTexts = []string{
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
	"SELECT $a(;PRAGMA foreign_keys=0)", "SELECT $a::b(--\n)", "SELECT #1", "SELECT \v1", "\vPRAGMA foreign_keys=0",
	"SELECT x'", "SELECT [", `SELECT "`, "SELECT `", "SELECT /*", "SELECT --",
	"explain", "explain query", "explain query plan", "with", "select", "pragma", "create", "pragma main.", "create temp",
}

// Whatever the text, nothing panics; and no text is a reader's that SQLite says
// writes, or that changes a connection when it is only prepared.
func FuzzClassify(f *testing.F) {
	for _, query := range hazardousTexts {
		f.Add(query)
	}
	raw, err := sqlite3.Open(":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { raw.Close() })
	if err := raw.Exec("CREATE TABLE t (a)"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		runs, asked := pool.ReaderRuns(query)
		if runs && !pool.ReaderPrepares(query) {
			t.Fatalf("%q is a reader's, but not to be prepared there", query)
		}
		if !pool.ReaderPrepares(query) {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		defer raw.SetInterrupt(raw.SetInterrupt(ctx))
		before := sessionOf(raw)
		stmt, _, err := raw.Prepare(query)
		if after := sessionOf(raw); after != before {
			t.Fatalf("to prepare %q changes the connection:\n%s\n%s", query, before, after)
		}
		if err != nil || stmt == nil {
			return
		}
		defer stmt.Close()
		if runs && !asked && !stmt.ReadOnly() {
			t.Errorf("%q is a reader's, but SQLite says that it writes", query)
		}
	})
}

// sessionOf describes what a text can change of a connection.
func sessionOf(raw *sqlite3.Conn) string {
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
		fmt.Fprintf(&b, ", %s %s", pragma, textOf(raw, "PRAGMA "+pragma))
	}
	fmt.Fprintf(&b, ", databases %s", textOf(raw, "SELECT group_concat(name || '=' || file) FROM pragma_database_list WHERE name <> 'temp'"))
	fmt.Fprintf(&b, ", temporary %s", textOf(raw, "SELECT group_concat(name) FROM sqlite_temp_schema"))
	return b.String()
}

// textOf returns the value of a query, or its error.
func textOf(raw *sqlite3.Conn, query string) string {
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
