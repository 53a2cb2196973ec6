package summary

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

func TestTrusted(t *testing.T) {
	tests := []struct {
		name, sql, want string
		rest            remainder
	}{
		{"well-formed", "SELECT 'a', \"b\" -- c", "SELECT 'a', \"b\" -- c", restNone},
		{"comment without an end", "SELECT 'a' /* b", "SELECT 'a' ", restComment},
		{"comment that is all slash and star", "SELECT /*/", "SELECT ", restComment},
		{"string without an end", "SELECT 1, 'a", "SELECT 1, ", restBroken},
		{"second string without an end", "SELECT 1, 'a', 'b", "SELECT 1, ", restBroken},
		{"name without an end", "SELECT \"a\", 'b', \"c", "SELECT ", restBroken},
		{"bracket without an end", "SELECT \"a\", [b", "SELECT \"a\", ", restBroken},
		{"blob without an end", "SELECT x'12", "SELECT ", restBroken},
		{"apostrophe", "SELECT 'O'Brien'", "SELECT ", restBroken},
		{"two apostrophes", "SELECT 'O'Brien and O'Neil'", "SELECT ", restBroken},
		{"apostrophe and space", "SELECT 'the boys' secret'", "SELECT ", restBroken},
		{"backslash", `SELECT 'it\'s me\'', 1`, "SELECT ", restBroken},
		{"string touches a name on its left", "SELECT N'a'", "SELECT N", restBroken},
		{"string touches a number", "SELECT 'a'1", "SELECT ", restBroken},
		{"string touches a quoted name", "SELECT 'a'\"b\"", "SELECT ", restBroken},
		{"name touches a number", "SELECT \"a\"1", "SELECT ", restBroken},
		{"name touches a keyword", "SELECT\"a\"FROM[b]AS`c`", "SELECT\"a\"FROM[b]AS`c`", restNone},
		{"bracket touches a name", "SELECT a[1]b", "SELECT a[1]b", restNone},
		{"string touches a keyword", "SELECT 'a'AS b,a LIKE'c'", "SELECT 'a'AS b,a LIKE'c'", restNone},
		{"string touches operators", "SELECT('a'||'b'),-'c'", "SELECT('a'||'b'),-'c'", restNone},
		{"comment in between", "SELECT 'a'/*'*/b", "SELECT 'a'/*'*/b", restNone},
		{"malformed number", "SELECT 1a, 'b'", "SELECT 1a, 'b'", restNone},
		{"malformed blob", "SELECT x'1', 'b'", "SELECT x'1', 'b'", restNone},
		{"illegal character", "SELECT 'a', {b", "SELECT ", restBroken},
		{"comment of another system", "SELECT 1 #a", "SELECT 1 ", restBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, rest := trusted(sqltext.SQLite, tt.sql); got != tt.want || rest != tt.rest {
				t.Errorf("trusted(%q) = %q, %d; want %q, %d", tt.sql, got, rest, tt.want, tt.rest)
			}
		})
	}
}

// hostile returns SQL that might make a reader recurse, or read the same part again and
// again.
func hostile() map[string]string {
	texts := map[string]string{}
	for _, s := range []string{"(", "'", "SELECT ((", "SELECT '", "SELECT * FROM (SELECT (", "a."} {
		texts[s] = strings.Repeat(s, (1<<20)/len(s))
	}
	for _, s := range []string{
		")", "\"", "[", "`", "''", "x'", "/*", "/**/", "--", "--\n", ";", ",", ".", "1.", "?", "$", ":", "$a(", "::", "(SELECT ", "FROM(",
		"WITH a AS(", "WITH RECURSIVE ", "INSERT INTO a WITH b AS (SELECT * FROM b),", "(WITH a AS (SELECT * FROM a) SELECT * FROM a),",
		"PRAGMA ", "ATTACH ", "ATTACH(", "IN a ", "a,", "SELECT 1;", "SELECT * FROM a UNION ", "CREATE TRIGGER a BEGIN ",
		"CREATE VIRTUAL TABLE a USING b(", "CREATE TABLE a(b DEFAULT c,", "\ufeff", "\xff", "é",
	} {
		for _, start := range []string{"", "SELECT * FROM ", "WITH a AS (SELECT ", "PRAGMA a="} {
			texts[start+s] = start + strings.Repeat(s, (1<<16)/len(s))
		}
	}
	return texts
}

func TestHostileTextsTakeLinearTime(t *testing.T) {
	for name, sql := range hostile() {
		start := time.Now()
		info := Describe(sqltext.SQLite, sql, false)
		// A few milliseconds, if each byte is read a fixed number of times.
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%q repeated took %v", name, d)
		}
		if n := utf8.RuneCountInString(info.Summary); n > maxSummary {
			t.Errorf("%q repeated: summary of %d characters", name, n)
		}
	}
}
