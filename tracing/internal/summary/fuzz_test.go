package summary

import (
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// FuzzDescribe checks the rules for any query. Its sanitized form contains no literal and
// does not depend on literals. It contains no double-quoted name that SQLite takes as a
// string.
func FuzzDescribe(f *testing.F) {
	for _, query := range append([]string{
		"SELECT a, 'b''c', x'00', 1.5e3, 0xFF, 1_000 FROM \"d\", [e] -- f\nWHERE g = :h AND i IN (SELECT j FROM `k`) /* l */",
		"WITH RECURSIVE a(b) AS (VALUES (1) UNION ALL SELECT b + 1 FROM a), c AS MATERIALIZED (SELECT 2) INSERT OR REPLACE INTO main.d SELECT * FROM a, c",
		"INSERT INTO a (b) VALUES (?) ON CONFLICT (b) DO UPDATE SET c = excluded.c RETURNING *; UPDATE a SET b = 1 FROM c JOIN d USING (e)",
		"CREATE TABLE IF NOT EXISTS a (b TEXT DEFAULT c CHECK (d), e REFERENCES f ON DELETE CASCADE); CREATE TABLE a AS SELECT 1",
		"CREATE TRIGGER a AFTER UPDATE ON b BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM c; END; DROP VIEW IF EXISTS d",
		"CREATE VIRTUAL TABLE a USING fts5(b, c='d', e=f); CREATE VIEW g(h) AS SELECT i FROM j",
		"PRAGMA main.key = 'a'; pragma rekey(b); PRAGMA hexkey=c d; ATTACH 'e' AS f KEY g; DETACH f; VACUUM INTO 'h'",
		"EXPLAIN QUERY PLAN DELETE FROM a WHERE b IS NOT DISTINCT FROM c; BEGIN; SAVEPOINT d; ROLLBACK TO d; COMMIT",
		"SELECT $a::b(c), @d(e), 'it's', N'f', \"g", "\ufeffSELECT\x00'a'", "SELECT 1 PRAGMA key = a", "/*", "\xff\xfe'\xff",
		`SELECT "x" FROM t WHERE b = "y" AND c IN ("z", 1) OR "w" LIKE b LIMIT "1"`, `UPDATE t SET b = "x", (c, temp) = ("y", "z") WHERE changes BETWEEN "1" AND "2"`,
		`SELECT a << "b", "c" >> 1, a -> "d" FROM t`, `INSERT INTO u("a", "b") VALUES ("x", lower("y")) ON CONFLICT DO NOTHING RETURNING "z" AS "r"`, `SELECT "t"."b", "f", count("g") FROM "t" GROUP BY "h" ORDER BY "i"`,
	}, sqltexttest.Seeds...) {
		f.Add(query, []byte(query))
	}
	raw := newQuoter(f)
	f.Fuzz(func(t *testing.T, query string, data []byte) {
		for _, query := range []string{query, sqltexttest.Weave(data)} {
			check(t, query)
			checkLiterals(t, query, sqltexttest.NewChooser(data))
			checkDoubleQuoted(t, raw, query)
		}
	})
}

// checkLiterals replaces the literals and comments of a query, and checks that its sanitized
// form stays the same.
func checkLiterals(t *testing.T, query string, c *sqltexttest.Chooser) {
	t.Helper()
	var b strings.Builder
	l := sqltext.SQLite.Lexer(query)
	for tok := l.Next(); tok.Kind != sqltext.EOF; tok = l.Next() {
		text := tok.Text(query)
		switch tok.Kind {
		case sqltext.String:
			text = c.Of("''", "'other'", "'--'", "'/*'", "'it''s; \" [ `'", "'\xff'")
		case sqltext.Blob:
			text = c.Of("x''", "X'0123'")
		case sqltext.Number:
			if text[0] == '.' { // otherwise it could become part of the word before it
				text = c.Of(".7", ".5e9")
			} else {
				text = c.Of("7", "0.5", "1e9", "0xAB", "1_0")
			}
		case sqltext.Comment:
			if strings.HasPrefix(text, "--") {
				text = c.Of("--", "-- other ' \" [ ` ; */")
			} else if len(text) > 3 && strings.HasSuffix(text, "*/") {
				text = c.Of("/**/", "/* other ' \" [ ` ; -- \n */")
			}
		}
		b.WriteString(text)
	}
	b.WriteString(query[len(l.Text()):])
	if kinds(query) != kinds(b.String()) {
		return // a number has become part of the word beside it
	}
	for _, doubleQuoted := range []bool{false, true} {
		want, got := Describe(sqltext.SQLite, query, doubleQuoted), Describe(sqltext.SQLite, b.String(), doubleQuoted)
		if got.Sanitized != want.Sanitized || got.Sensitive != want.Sensitive || got.Parameters != want.Parameters || got.Statements != want.Statements {
			t.Errorf("%q is %+v,\nand %q is %+v", query, want, b.String(), got)
		}
	}
}

// kinds returns the kinds of a query's tokens, one letter each.
func kinds(query string) string {
	var b strings.Builder
	l := sqltext.SQLite.Lexer(query)
	for tok := l.Next(); tok.Kind != sqltext.EOF; tok = l.Next() {
		b.WriteByte('A' + byte(tok.Kind))
	}
	return b.String()
}

// newQuoter opens a connection that accepts double-quoted strings.
func newQuoter(f *testing.F) *sqlite3.Conn {
	raw, err := sqlite3.Open(":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { raw.Close() })
	for _, option := range []sqlite3.DBConfig{sqlite3.DBCONFIG_DQS_DML, sqlite3.DBCONFIG_DQS_DDL} {
		if _, err := raw.Config(option, true); err != nil {
			f.Fatal(err)
		}
	}
	if err := raw.Exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, temp, changes); CREATE TABLE u(a, b, c)"); err != nil {
		f.Fatal(err)
	}
	return raw
}

// checkDoubleQuoted replaces each double-quoted name in turn by a marker. If SQLite then
// compiles the marker as a string, the sanitized query must not show it.
func checkDoubleQuoted(t *testing.T, raw *sqlite3.Conn, query string) {
	t.Helper()
	const marker = "hunter2" // no seed contains it
	if strings.Contains(query, marker) {
		return
	}
	statements := sqltext.SQLite.Statements(query)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		if !st.Verb.Rows() {
			return // preparing it may execute it
		}
		source := query[st.VerbStart:st.End]
		c := sqltext.SQLite.Cursor(source)
		for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
			if c.Token.Kind != sqltext.Quoted || source[c.Token.Start] != '"' {
				continue
			}
			marked := source[:c.Token.Start] + `"` + marker + `"` + source[c.Token.End:]
			if !hasString(raw, marked, marker) {
				continue
			}
			if got := Describe(sqltext.SQLite, marked, true).Sanitized; strings.Contains(got, marker) {
				t.Errorf("%q is sanitized to %q, but double quotes enclose strings", marked, got)
			}
			compared := c.Before.Kind == sqltext.Operator && slices.Contains([]string{"=", "==", "<", "<=", ">", ">=", "<>", "!=", "->", "->>"}, c.Before.Text(source))
			if got := Describe(sqltext.SQLite, marked, false).Sanitized; compared && strings.Contains(got, marker) {
				t.Errorf("%q is sanitized to %q, but the marker is compared as a value", marked, got)
			}
		}
	}
}

// hasString reports whether SQLite's program for a query contains this string.
func hasString(raw *sqlite3.Conn, query, want string) bool {
	stmt, _, err := raw.Prepare("EXPLAIN " + query)
	if err != nil || stmt == nil {
		return false
	}
	defer stmt.Close()
	for stmt.Step() {
		if stmt.ColumnText(1) == "String8" && stmt.ColumnText(5) == want {
			return true
		}
	}
	return false
}
