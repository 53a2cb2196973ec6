package tracing

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// kinds spells token kinds in tests: one letter each.
const kinds = "$_#nqsb1?.!"

// lexed renders the tokens of sql as kind:text, white space left out.
func lexed(sql string) string {
	var b strings.Builder
	l := lexer{sql: sql}
	for t := l.next(); t.kind != tokEOF; t = l.next() {
		if t.kind == tokSpace {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(kinds[t.kind])
		b.WriteByte(':')
		b.WriteString(sql[t.start:t.end])
	}
	return b.String()
}

func TestLexer(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"empty", "", ""},
		{"names", "a _b c1 d$e é_ü", "n:a n:_b n:c1 n:d$e n:é_ü"},
		{"name that starts like a blob", "x X1 xa'b'", "n:x n:X1 n:xa s:'b'"},
		{"quoted names", "\"a\"\"b\" `c``d` [e f]", "q:\"a\"\"b\" q:`c``d` q:[e f]"},
		{"bracket has no escape", "[a]]b]", "q:[a] !:] n:b !:]"},
		{"strings", "'' 'a''b' 'c\\' '\"'", "s:'' s:'a''b' s:'c\\' s:'\"'"},
		{"blobs", "x'' X'0aF1'", "b:x'' b:X'0aF1'"},
		{"malformed blobs", "x'0' x'zz' x'12", "!:x'0' !:x'zz' !:x'12"},
		{"integers", "0 12 1_000 0xFf 0X1_0", "1:0 1:12 1:1_000 1:0xFf 1:0X1_0"},
		{"floats", "1.5 .5 1. 1e3 1E-3 1.e+5 .5e1_0", "1:1.5 1:.5 1:1. 1:1e3 1:1E-3 1:1.e+5 1:.5e1_0"},
		{"malformed numbers", "1a 1e 0x 0xg 1_a 1.5x 1é", "!:1a !:1e !:0x !:0xg !:1_a !:1.5x !:1é"},
		{"sign is no part of a number", "-1 1-1 1e-", ".:- 1:1 1:1 .:- 1:1 !:1e .:-"},
		{"numbers end at a dot", "1.2.3 a.b 1..2", "1:1.2 1:.3 n:a .:. n:b 1:1. 1:.2"},
		{"parameters", "? ?12 :a @b $c #d :1", "?:? ?:?12 ?::a ?:@b ?:$c ?:#d ?::1"},
		{"Tcl parameters", "$a::b $a(b) $a::b(c) $::a @x(1,2)y", "?:$a::b ?:$a(b) ?:$a::b(c) ?:$::a ?:@x(1,2) n:y"},
		{"malformed parameters", ": @ $ # $(a) $a(b c) $a(b", "!:: !:@ !:$ !:# !:$ .:( n:a .:) !:$a(b n:c .:) !:$a(b"},
		{"parameter ends at one colon", ":a:b", "?::a ?::b"},
		{"operators", "-> ->> || | << <= <> < >> >= > == = != - + * / % & ~ ( ) , ; .",
			".:-> .:->> .:|| .:| .:<< .:<= .:<> .:< .:>> .:>= .:> .:== .:= .:!= .:- .:+ .:* .:/ .:% .:& .:~ .:( .:) .:, .:; .:."},
		{"operators without spaces", "a->>'x'||b<=1", "n:a .:->> s:'x' .:|| n:b .:<= 1:1"},
		{"illegal", "\v! ^ { } \\ ] \x01", "!:\v !:! !:^ !:{ !:} !:\\ !:] !:\x01"},
		{"line comment", "a -- b 'c\nd", "n:a #:-- b 'c n:d"},
		{"line comment at the end", "a --", "n:a #:--"},
		{"block comment", "a/* 'b' */c /**/ /***/ /*/*/", "n:a #:/* 'b' */ n:c #:/**/ #:/***/ #:/*/*/"},
		{"unterminated block comment", "a /* b", "n:a #:/* b"},
		{"operators that open nothing", "a /*", "n:a .:/ .:*"},
		{"unterminated", "'a", "!:'a"},
		{"unterminated after a doubled quote", "'a''", "!:'a''"},
		{"unterminated name", "\"a", "!:\"a"},
		{"unterminated bracket", "[a", "!:[a"},
		{"byte order marks", "\ufeffa\ufeff \ufeffb", "n:a\ufeff n:b"},
		{"all white space", " \t\n\f\r\va", "n:a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lexed(tt.sql); got != tt.want {
				t.Errorf("tokens of %q\n got %s\nwant %s", tt.sql, got, tt.want)
			}
		})
	}
}

func TestKeywordOf(t *testing.T) {
	if n := len(keywords); n != 147 {
		t.Errorf("%d keywords, SQLite has 147", n)
	}
	tests := []struct {
		sql      string
		word     string
		reserved bool
	}{
		{"select", "SELECT", true},
		{"Current_Timestamp", "CURRENT_TIMESTAMP", false},
		{"replace", "REPLACE", false},
		{"selects", "", false},
		{"current_timestamps", "", false},
		{"\"select\"", "", false},
		{"ſelect", "", false},
	}
	for _, tt := range tests {
		l := lexer{sql: tt.sql}
		if got := keywordOf(tt.sql, l.next()); got.word != tt.word || got.reserved != tt.reserved {
			t.Errorf("keywordOf(%s) = %+v, want %s, reserved %t", tt.sql, got, tt.word, tt.reserved)
		}
	}
}

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
			if got, rest := trusted(tt.sql); got != tt.want || rest != tt.rest {
				t.Errorf("trusted(%q) = %q, %d; want %q, %d", tt.sql, got, rest, tt.want, tt.rest)
			}
		})
	}
}

func TestLexerAllocatesNothing(t *testing.T) {
	const sql = "SELECT a, 'b', x'00', 1.5e3, [c] FROM \"d\" WHERE e = :f -- g"
	if n := testing.AllocsPerRun(100, func() {
		for l := (lexer{sql: sql}); ; {
			if t := l.next(); t.kind == tokEOF {
				return
			} else if keywordOf(sql, t).reserved {
				continue
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// hostile holds what might make a reader recurse, or go over a text again and again.
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
		info := describe(sql)
		// Some milliseconds, if each byte is read a fixed number of times.
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%q repeated took %v", name, d)
		}
		if n := utf8.RuneCountInString(info.summary); n > maxSummary {
			t.Errorf("%q repeated: summary of %d characters", name, n)
		}
	}
}
