package sqltext_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// letters has one letter for each kind of token, in the order of the kinds.
const letters = "$_#nqsb1?;(),.o!"

// lexed returns the tokens of text as kind:text, without white space.
func lexed(d sqltext.Dialect, text string) string {
	var b strings.Builder
	l := d.Lexer(text)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		if t.Kind == sqltext.Space {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(letters[t.Kind])
		b.WriteByte(':')
		b.WriteString(t.Text(text))
	}
	return b.String()
}

func TestLexer(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", ""},
		{"names", "a _b c1 d$e é_ü \xff", "n:a n:_b n:c1 n:d$e n:é_ü n:\xff"},
		{"name that starts like a blob", "x X1 xa'b'", "n:x n:X1 n:xa s:'b'"},
		{"quoted names", "\"a\"\"b\" `c``d` [e f]", "q:\"a\"\"b\" q:`c``d` q:[e f]"},
		{"bracket has no escape", "[a]]b]", "q:[a] !:] n:b !:]"},
		{"strings", "'' 'a''b' 'c\\' '\"' '''' ''''''", "s:'' s:'a''b' s:'c\\' s:'\"' s:'''' s:''''''"},
		{"blobs", "x'' X'0aF1'", "b:x'' b:X'0aF1'"},
		{"malformed blobs", "x'0' x'zz' x'12", "!:x'0' !:x'zz' !:x'12"},
		{"integers", "0 12 1_000 0xFf 0X1_0", "1:0 1:12 1:1_000 1:0xFf 1:0X1_0"},
		{"floats", "1.5 .5 1. 1e3 1E-3 1.e+5 .5e1_0", "1:1.5 1:.5 1:1. 1:1e3 1:1E-3 1:1.e+5 1:.5e1_0"},
		{"malformed numbers", "1a 1e 0x 0xg 1_a 1.5x 1é 1$", "!:1a !:1e !:0x !:0xg !:1_a !:1.5x !:1é !:1$"},
		{"sign is no part of a number", "-1 1-1 1e-", "o:- 1:1 1:1 o:- 1:1 !:1e o:-"},
		{"numbers end at a dot", "1.2.3 a.b 1..2", "1:1.2 1:.3 n:a .:. n:b 1:1. 1:.2"},
		{"parameters", "? ?12 ?a :a @b $c #d :1", "?:? ?:?12 ?:? n:a ?::a ?:@b ?:$c ?:#d ?::1"},
		{"variables of Tcl", "$a::b $a(b) $a::b(c) $::a @x(1,2)y $a(')", "?:$a::b ?:$a(b) ?:$a::b(c) ?:$::a ?:@x(1,2) n:y ?:$a(')"},
		{"malformed parameters", ": @ $ # $(a) $a(b c) $a(\v $a(b", "!:: !:@ !:$ !:# !:$ (:( n:a ):) !:$a(b n:c ):) !:$a( !:\v !:$a(b"},
		{"parameter ends at one colon", ":a:b", "?::a ?::b"},
		{"operators", "-> ->> || | << <= <> < >> >= > == = != - + * / % & ~ ( ) , ; .",
			"o:-> o:->> o:|| o:| o:<< o:<= o:<> o:< o:>> o:>= o:> o:== o:= o:!= o:- o:+ o:* o:/ o:% o:& o:~ (:( ):) ,:, ;:; .:."},
		{"operators without spaces", "a->>'x'||b<=1", "n:a o:->> s:'x' o:|| n:b o:<= 1:1"},
		{"illegal", "\v! ^ { } \\ ] \x01 \x7f", "!:\v !:! !:^ !:{ !:} !:\\ !:] !:\x01 !:\x7f"},
		{"line comment", "a -- b 'c\nd", "n:a #:-- b 'c n:d"},
		{"line comment at the end", "a --", "n:a #:--"},
		{"block comment", "a/* 'b' */c /**/ /***/ /*/*/", "n:a #:/* 'b' */ n:c #:/**/ #:/***/ #:/*/*/"},
		{"block comment that does not end", "a /* b", "n:a #:/* b"},
		{"operators that open nothing", "a /*", "n:a o:/ o:*"},
		{"operators that open nothing before a NUL", "a /*\x00*/", "n:a o:/ o:*"},
		{"string that does not end", "'a", "!:'a"},
		{"string that does not end behind a doubled quote", "'a''", "!:'a''"},
		{"name that does not end", "\"a `b", "!:\"a `b"},
		{"bracket that does not end", "[a", "!:[a"},
		{"byte order marks", "\ufeffa\ufeff \ufeffb", "n:a\ufeff n:b"},
		{"half a byte order mark", "\xef\xbb", "n:\xef\xbb"},
		{"all white space", " \t\n\f\r\va", "n:a"},
		{"NUL", "a\x00b", "n:a"},
		{"NUL in a string", "'a\x00'", "!:'a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lexed(sqltext.SQLite, tt.text); got != tt.want {
				t.Errorf("tokens of %q\n got %s\nwant %s", tt.text, got, tt.want)
			}
		})
	}
}

// checkCovered checks that every byte of text is in exactly one token, and that no token is
// empty.
func checkCovered(t *testing.T, d sqltext.Dialect, text string) {
	t.Helper()
	l := d.Lexer(text)
	end := 0
	for tok := l.Next(); ; tok = l.Next() {
		if tok.Start != end || tok.Kind != sqltext.EOF && tok.End <= tok.Start {
			t.Fatalf("%q: token %+v behind offset %d", text, tok, end)
		}
		if tok.Kind == sqltext.EOF {
			break
		}
		end = tok.End
	}
	if n, _, _ := strings.Cut(text, "\x00"); end != len(n) || l.Text() != n {
		t.Errorf("%q: the tokens end at %d", text, end)
	}
	if again := l.Next(); again.Kind != sqltext.EOF || again.Start != end {
		t.Errorf("%q: %+v behind the end", text, again)
	}
}

func TestTokensCoverTheText(t *testing.T) {
	for _, text := range sqltexttest.Seeds {
		checkCovered(t, sqltext.SQLite, text)
	}
}

func TestCursor(t *testing.T) {
	c := sqltext.SQLite.Cursor("SELECT /* x */ \"a\" . b")
	if c.Advance(); c.Key.Word != "SELECT" || c.Name() || c.Before.Kind != sqltext.EOF {
		t.Errorf("at the first token: %+v", c)
	}
	if next, key := c.Peek(); next.Kind != sqltext.Quoted || key.Word != "" {
		t.Errorf("behind the first token: %+v %+v", next, key)
	}
	if c.Advance(); c.Written() != `"a"` || !c.Name() || !c.ObjectName() || c.BeforeKey.Word != "SELECT" {
		t.Errorf("at the second token: %+v", c)
	}
	c.Advance()
	if c.Advance(); c.Written() != "b" || c.Before.Kind != sqltext.Dot {
		t.Errorf("at the fourth token: %+v", c)
	}
	if c.Advance(); c.Token.Kind != sqltext.EOF {
		t.Errorf("at the end: %+v", c)
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	const text = "EXPLAIN SELECT a, 'b', x'00', 1.5e3, [c] FROM \"d\" WHERE e = :f -- g\n; CREATE TRIGGER a BEGIN SELECT 1; END"
	if n := testing.AllocsPerRun(100, func() {
		statements := sqltext.SQLite.Statements(text)
		for st, ok := statements.Next(); ok; st, ok = statements.Next() {
			var roles sqltext.Roles
			c := sqltext.SQLite.CursorOf(text, st)
			for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
				roles.Of(&c)
				_ = sqltext.EqualFold(sqltext.Unquote(c.Written()), "main")
			}
		}
		sqltext.SQLite.Head(text)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLexer(b *testing.B) {
	const text = "INSERT INTO orders (id, customer, total) VALUES (1, 'O''Brien', 12.50) ON CONFLICT (id) DO UPDATE SET total = excluded.total"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		l := sqltext.SQLite.Lexer(text)
		for l.Next().Kind != sqltext.EOF {
		}
	}
}

func BenchmarkStatements(b *testing.B) {
	const text = "INSERT INTO orders (id, customer, total) VALUES (1, 'O''Brien', 12.50) ON CONFLICT (id) DO UPDATE SET total = excluded.total"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		statements := sqltext.SQLite.Statements(text)
		statements.Next()
	}
}
