package sqltext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// cut returns the statements of text: each in parentheses, then the bytes that its tail
// skips.
func cut(d sqltext.Dialect, text string) string {
	var list []string
	statements := d.Statements(text)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		list = append(list, text[st.Start:st.End]+"|"+text[st.End:st.Tail])
	}
	return strings.Join(list, "  ")
}

func TestStatements(t *testing.T) {
	const trigger = "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 2; END"
	for text, want := range map[string]string{
		"":                             "",
		" ;; -- a":                     "",
		"/* a":                         "",
		"SELECT 1":                     "SELECT 1|",
		" ;SELECT 1 ;":                 "SELECT 1 |;",
		"SELECT 1;;SELECT 2":           "SELECT 1|;  SELECT 2|",
		"SELECT ';' /* ; */; -- ;":     "SELECT ';' /* ; */|;",
		"SELECT $a(;);SELECT 2":        "SELECT $a(;)|;  SELECT 2|",
		"SELECT $a('); SELECT 2; --')": "SELECT $a(')|;  SELECT 2|;",
		"SELECT 1\x00; SELECT 2":       "SELECT 1|",
		"/*":                           "/*|",
		"\v":                           "\v|",
		"SELECT 1;\v":                  "SELECT 1|;",
		"SELECT 1; \v\n\vSELECT 2":     "SELECT 1|;  SELECT 2|",
		"SELECT 1;/**/\vSELECT 2":      "SELECT 1|;  \vSELECT 2|",
		"SELECT 1;;\vSELECT 2":         "SELECT 1|;  \vSELECT 2|",
		trigger + "; SELECT 1":         trigger + "|;  SELECT 1|",
		"EXPLAIN QUERY PLAN " + trigger + " ; SELECT 1":                   "EXPLAIN QUERY PLAN " + trigger + " |;  SELECT 1|",
		strings.Replace(trigger, "TRIGGER", "temporary trigger", 1) + ";": strings.Replace(trigger, "TRIGGER", "temporary trigger", 1) + "|;",
		"CREATE TRIGGER x; SELECT 1":                                      "CREATE TRIGGER x|;  SELECT 1|",
		"CREATE TABLE begin(a); SELECT 1":                                 "CREATE TABLE begin(a)|;  SELECT 1|",
		"CREATE VIRTUAL TABLE x USING m(a;(b;c);'d');SELECT 1":            "CREATE VIRTUAL TABLE x USING m(a;(b;c);'d')|;  SELECT 1|",
		"CREATE VIRTUAL TABLE x USING m; SELECT 1":                        "CREATE VIRTUAL TABLE x USING m|;  SELECT 1|",
		"CREATE VIRTUAL TABLE x USING m(a; SELECT 1":                      "CREATE VIRTUAL TABLE x USING m(a; SELECT 1|",
		"CREATE TABLE x(a;b); SELECT 1":                                   "CREATE TABLE x(a|;  b)|;  SELECT 1|",
		"EXPLAIN; SELECT 1":                                               "EXPLAIN|;  SELECT 1|",
		"BEGIN; SELECT 1; END; SELECT 2":                                  "BEGIN|;  SELECT 1|;  END|;  SELECT 2|",
	} {
		if got := cut(sqltext.SQLite, text); got != want {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestVerbs(t *testing.T) {
	for text, want := range map[string]sqltext.Verb{
		"SELECT 1": sqltext.Select, "values(1)": sqltext.Select, "insert into t": sqltext.Insert, "Replace into t": sqltext.Insert, "UPDATE t": sqltext.Update, "DELETE FROM t": sqltext.Delete,
		"CREATE": sqltext.Create, "ALTER": sqltext.Alter, "DROP": sqltext.Drop, "PRAGMA x": sqltext.Pragma, "ATTACH": sqltext.Attach, "DETACH": sqltext.Detach, "BEGIN": sqltext.Begin,
		"COMMIT": sqltext.Commit, "END": sqltext.Commit, "ROLLBACK": sqltext.Rollback, "ROLLBACK TO a": sqltext.Rollback, "SAVEPOINT a": sqltext.Savepoint, "RELEASE a": sqltext.Release,
		"VACUUM": sqltext.Vacuum, "ANALYZE": sqltext.Analyze, "REINDEX": sqltext.Reindex,
		"selects": sqltext.Unknown, "(SELECT 1)": sqltext.Unknown, "\"select\" 1": sqltext.Unknown, "\v": sqltext.Unknown, "EXPLAIN": sqltext.Unknown, "explain \"query\" plan select 1": sqltext.Unknown, "TABLE t": sqltext.Unknown,
		"EXPLAIN SELECT 1": sqltext.Select, "explain query plan with x as (select 1) delete from t": sqltext.Delete,
		"WITH x AS (SELECT 1) SELECT * FROM x":                           sqltext.Select,
		"WITH x(a) AS (SELECT 1), y AS (DELETE) VALUES(1)":               sqltext.Select,
		"WITH replace AS (SELECT 1) INSERT INTO t SELECT 1":              sqltext.Insert,
		"WITH x AS (SELECT 1), replace AS (SELECT 1) UPDATE t SET a = 1": sqltext.Update,
		"WITH x AS (SELECT 1)":                                           sqltext.With, "WITH": sqltext.With,
	} {
		statements := sqltext.SQLite.Statements(text)
		if st, ok := statements.Next(); !ok || st.Verb != want {
			t.Errorf("%q: verb %d, want %d", text, st.Verb, want)
		}
	}
	for _, text := range []string{"", ";", "-- a", "\x00SELECT 1"} {
		if head := sqltext.SQLite.Head(text); head.Verb != sqltext.Empty {
			t.Errorf("%q: verb %d", text, head.Verb)
		}
	}
	head := sqltext.SQLite.Head(";EXPLAIN QUERY PLAN\nDELETE FROM t")
	if want := (sqltext.Head{Verb: sqltext.Delete, Explain: true, Start: 1, VerbStart: 20, Body: 26}); head != want {
		t.Errorf("%+v, want %+v", head, want)
	}
}

// rolesOf returns the roles of a statement's names.
func rolesOf(text string) string {
	names := map[sqltext.Role]string{
		sqltext.Operation: "operation", sqltext.CommonList: "with", sqltext.Common: "common", sqltext.Source: "source", sqltext.Member: "member", sqltext.Target: "target",
	}
	statements := sqltext.SQLite.Statements(text)
	st, _ := statements.Next()
	var list []string
	var roles sqltext.Roles
	c := sqltext.SQLite.CursorOf(text, st)
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		if role := roles.Of(&c); role != sqltext.OtherRole {
			list = append(list, fmt.Sprint(names[role], ":", c.Written()))
		}
	}
	return strings.Join(list, " ")
}

func TestRoles(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT a, b AS c FROM t AS x, main.u y JOIN \"v\" ON x.a = y.a, 'w' WHERE a IN z AND b IN (c, d)":                    "operation:SELECT source:t source:main source:u source:\"v\" source:'w' member:z",
		"EXPLAIN QUERY PLAN SELECT * FROM (t, u) LEFT JOIN ((v)) USING (a, b)":                                                "operation:SELECT source:t source:u source:v",
		"SELECT f(a, (SELECT b FROM t, u)), c FROM v ORDER BY a, b":                                                           "operation:SELECT operation:SELECT source:t source:u source:v",
		"SELECT a IS DISTINCT FROM b, c FROM t":                                                                               "operation:SELECT source:t",
		"WITH RECURSIVE a(x) AS (SELECT 1), b AS (VALUES (1)) SELECT * FROM a, b":                                             "with:WITH common:a operation:SELECT common:b operation:VALUES operation:SELECT source:a source:b",
		"WITH recursive AS (SELECT 1) SELECT 1":                                                                               "with:WITH common:recursive operation:SELECT operation:SELECT",
		"INSERT OR REPLACE INTO main.t(a, b) VALUES (1, replace(a, b, c)) ON CONFLICT (a) DO UPDATE SET b = 2 RETURNING a, b": "operation:INSERT target:main target:t",
		"WITH x AS (SELECT 1) REPLACE INTO t WITH y AS (SELECT 2) SELECT * FROM x, y":                                         "with:WITH common:x operation:SELECT operation:REPLACE target:t with:WITH common:y operation:SELECT operation:SELECT source:x source:y",
		"UPDATE OR IGNORE t SET a = 1, b = 2 FROM u, v WHERE a IN main.w":                                                     "operation:UPDATE target:t source:u source:v member:main member:w",
		"DELETE FROM t WHERE a = 1":                                                                                           "operation:DELETE target:t",
		"SELECT * FROM json_each('x', 1), t":                                                                                  "operation:SELECT source:json_each source:t",
		"SELECT t.a, temp.b FROM t":                                                                                           "operation:SELECT source:t",
	} {
		if got := rolesOf(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestRolesStopTooDeep(t *testing.T) {
	open := strings.Repeat("(", sqltext.MaxDepth)
	text := "SELECT a FROM t WHERE " + open + "SELECT b FROM u" + strings.Repeat(")", sqltext.MaxDepth) + " AND c IN (SELECT d FROM v)"
	if got, want := rolesOf(text), "operation:SELECT source:t operation:SELECT source:v"; got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
	var roles sqltext.Roles
	c := sqltext.SQLite.Cursor("SELECT " + open)
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		roles.Of(&c)
	}
	if !roles.Beyond() || roles.Depth() != sqltext.MaxDepth-1 {
		t.Errorf("beyond: %t, depth %d", roles.Beyond(), roles.Depth())
	}
}
