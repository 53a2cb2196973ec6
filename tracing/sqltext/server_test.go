package sqltext_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

func TestDialectOf(t *testing.T) {
	for system, want := range map[string]string{
		"sqlite": "SQLite", "postgresql": "PostgreSQL", "cockroachdb": "PostgreSQL", "mysql": "MySQL", "mariadb": "MySQL",
		"": "", "other_sql": "", "oracle.db": "", "PostgreSQL": "", "aws.redshift": "",
	} {
		d, ok := sqltext.DialectOf(system)
		if ok != (want != "") || ok && d.String() != want {
			t.Errorf("%q: %v, %t", system, d, ok)
		}
	}
}

func TestLexerOfPostgreSQL(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"names", `a _b c1 d$e é "a" "b""c" "d\" U&"\0061"`, `n:a n:_b n:c1 n:d$e n:é q:"a" q:"b""c" q:"d\" q:U&"\0061"`},
		{"strings", `'' 'a''b' '"' 'a\b' 'c\\' N'x' n'y' U&'\0061'`, `s:'' s:'a''b' s:'"' s:'a\b' s:'c\\' s:N'x' s:n'y' s:U&'\0061'`},
		{"strings with escapes", `E'it\'s' e'\\' E'a''b' E'\\''c'`, `s:E'it\'s' s:e'\\' s:E'a''b' s:E'\\''c'`},
		{"strings whose end depends on a setting", `'a\' , 'b'`, `!:'a\' , 'b'`},
		{"strings whose end depends on a setting, doubled", `'a\'' , 'b'`, `!:'a\'' , 'b'`},
		{"continued string with escapes", "E'a'\n'b\\' , 'c'", "s:E'a' !:'b\\' , 'c'"},
		{"dollar quotes", "$$a$$ $$'$$ $t$ $$ $u$ $t$ $é1$x$é1$ $$$$", "s:$$a$$ s:$$'$$ s:$t$ $$ $u$ $t$ s:$é1$x$é1$ s:$$$$"},
		{"dollars that quote nothing", "a$$ b$c$ $ $1$ x", "n:a$$ n:b$c$ !:$ ?:$1 !:$ n:x"},
		{"dollar quotes that do not end", "$t$ a $T$", "!:$t$ a $T$"},
		{"dollar quotes behind a parameter and a number", "$1$$a$$ 1$$b$$", "?:$1 s:$$a$$ 1:1 s:$$b$$"},
		{"bits", "B'01' b'' X'1f' x'zz'", "b:B'01' b:b'' b:X'1f' b:x'zz'"},
		{"numbers", "1 1.5 .5 1. 1e3 1.5E-3 1_000 0xFF 0o17 0b1 1..2", "1:1 1:1.5 1:.5 1:1. 1:1e3 1:1.5E-3 1:1_000 1:0xFF 1:0o17 1:0b1 1:1 .:. 1:.2"},
		{"malformed numbers", "1a 1e 0xg 1.5x 1é 1e'a'", "!:1a !:1e !:0xg !:1.5x !:1é !:1e s:'a'"},
		{"parameters", "$1 $23::int", "?:$1 ?:$23 o::: n:int"},
		{"operators", "a[1] b::c @> ->> ?| := {", "n:a o:[ 1:1 o:] n:b o::: n:c o:@ o:> o:- o:> o:> o:? o:| o::= o:{"},
		{"comments", "a--b\nc/* d /* 'e' */ f */g -- \r\nh", "n:a #:--b n:c #:/* d /* 'e' */ f */ n:g #:--  n:h"},
		{"comment within operators", "1 +--a\n<=/*b*/2", "1:1 o:+ #:--a o:< o:= #:/*b*/ 1:2"},
		{"comment that ends for PostgreSQL alone", "a --b\rc\nd", "n:a !:--b\rc\nd"},
		{"comment that does not end", "a /* /* */", "n:a !:/* /* */"},
		{"quotes that do not end", "'a\"", "!:'a\""},
		{"name that does not end", "\"a'", "!:\"a'"},
		{"no comment", "a#b", "n:a o:# n:b"},
		{"illegal", "\\ \x01", "!:\\ !:\x01"},
		{"NUL", "a\x00'b'", "n:a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lexed(sqltext.PostgreSQL, tt.text); got != tt.want {
				t.Errorf("tokens of %q\n got %s\nwant %s", tt.text, got, tt.want)
			}
		})
	}
}

func TestLexerOfMySQL(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"names", "a _b c$d $e é 2fa `a` `b``c` `d\\` 1e 0xg", "n:a n:_b n:c$d n:$e n:é n:2fa q:`a` q:`b``c` q:`d\\` n:1e n:0xg"},
		{"names behind a dot", "a.1 a.1e5 `a`.1b a .5 1.5.2", "n:a .:. n:1 n:a .:. n:1e5 q:`a` .:. n:1b n:a 1:.5 1:1.5 1:.2"},
		{"number before a word", ".5AND 1.5AND", "1:.5 n:AND 1:1.5 n:AND"},
		{"strings", `'' 'a''b' "c" "d""e" "'" 'f\n' 'g\\'`, `s:'' s:'a''b' s:"c" s:"d""e" s:"'" s:'f\n' s:'g\\'`},
		{"strings with a character set", `_utf8'a' _latin1"b" _x 'c' N'd' n'e'`, `s:_utf8'a' s:_latin1"b" n:_x s:'c' s:N'd' s:n'e'`},
		{"strings whose end depends on the mode", `'it\'s'`, `!:'it\'s'`},
		{"strings in double quotes whose end depends on the mode", `"a\" , "b"`, `!:"a\" , "b"`},
		{"bits", "x'41' X'' b'01' B'' x'zz' b'2' x'\\' , ' '", "b:x'41' b:X'' b:b'01' b:B'' s:x'zz' b:b'2' !:x'\\' , ' '"},
		{"numbers", "1 1.5 .5 1. 1e3 1.5E-3 1e+5 0x1F 0X1f 0b01", "1:1 1:1.5 1:.5 1:1. 1:1e3 1:1.5E-3 1:1e+5 1:0x1F 1:0X1f 1:0b01"},
		{"parameters", "? ?1 :a @b @'c' @`d`", "?:? ?:? 1:1 o:: n:a o:@ n:b o:@ s:'c' o:@ q:`d`"},
		{"operators", "a->>'b' <=> := || [ {", "n:a o:- o:> o:> s:'b' o:< o:= o:> o::= o:| o:| o:[ o:{"},
		{"comments", "a#b'\nc-- d\re\nf/* /* g */h --", "n:a #:#b' n:c #:-- d\re n:f #:/* /* g */ n:h #:--"},
		{"no comment", "1--1 a--b", "1:1 o:- o:- 1:1 n:a o:- o:- n:b"},
		{"comments that are executed", "/*! a */ /*!50000 b, */ /*M! c */ /*+ d(1) */ e", "#:/*! a */ #:/*!50000 b, */ #:/*M! c */ #:/*+ d(1) */ n:e"},
		{"comments that are executed, with quotes", "/*! 'a' */ b", "!:/*! 'a' */ b"},
		{"comments that are executed, with a comment", "/*! a -- */ b", "!:/*! a -- */ b"},
		{"comment that is not executed", "/*My 'a' */ b", "#:/*My 'a' */ n:b"},
		{"comment that does not end", "a /*", "n:a !:/*"},
		{"dollar quotes of MySQL 9", "a$$ $$'$$", "n:a$$ !:$$'$$"},
		{"quotes that do not end", "'a\"", "!:'a\""},
		{"name that does not end", "`a'", "!:`a'"},
		{"illegal", "\\N \x01", "!:\\ n:N !:\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lexed(sqltext.MySQL, tt.text); got != tt.want {
				t.Errorf("tokens of %q\n got %s\nwant %s", tt.text, got, tt.want)
			}
		})
	}
}

func TestStatementsOfServers(t *testing.T) {
	for _, tt := range []struct {
		dialect    sqltext.Dialect
		text, want string
	}{
		{sqltext.PostgreSQL, "SELECT $$;$$, E'\\';' ; SELECT 2", "SELECT $$;$$, E'\\';' |;  SELECT 2|"},
		{sqltext.PostgreSQL, "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; END; SELECT 1", "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; END|;  SELECT 1|"},
		{sqltext.PostgreSQL, "CREATE FUNCTION f() AS $$ ; $$; SELECT 1", "CREATE FUNCTION f() AS $$ ; $$|;  SELECT 1|"},
		{sqltext.PostgreSQL, "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)|;  SELECT 3|"},
		{sqltext.PostgreSQL, "BEGIN; SELECT 1; END", "BEGIN|;  SELECT 1|;  END|"},
		{sqltext.MySQL, "SELECT \";\", `;` # ;\n; SELECT 2", "SELECT \";\", `;` # ;\n|;  SELECT 2|"},
		{sqltext.MySQL, "CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN SELECT 1; SELECT 2; END|"},
		{sqltext.MySQL, "CREATE TABLE t (a int); SELECT 1", "CREATE TABLE t (a int)|;  SELECT 1|"},
	} {
		if got := cut(tt.dialect, tt.text); got != tt.want {
			t.Errorf("%v: %q\n got %s\nwant %s", tt.dialect, tt.text, got, tt.want)
		}
	}
}

func TestVerbsOfServers(t *testing.T) {
	for _, tt := range []struct {
		text            string
		postgres, mysql sqltext.Verb
		explain         bool
	}{
		{"SELECT 1", sqltext.Select, sqltext.Select, false},
		{"((SELECT 1))", sqltext.Select, sqltext.Select, false},
		{"TABLE t", sqltext.Select, sqltext.Select, false},
		{"WITH a AS (SELECT 1) DELETE FROM t", sqltext.Delete, sqltext.Delete, false},
		{"WITH a AS (SELECT 1) MERGE INTO t USING a ON true", sqltext.Merge, sqltext.With, false},
		{"MERGE INTO t USING u ON true", sqltext.Merge, sqltext.Unknown, false},
		{"REPLACE t VALUES (1)", sqltext.Unknown, sqltext.Insert, false},
		{"UPSERT INTO t VALUES (1)", sqltext.Insert, sqltext.Unknown, false},
		{"EXPLAIN SELECT 1", sqltext.Select, sqltext.Select, true},
		{"EXPLAIN ANALYZE UPDATE t SET a = 1", sqltext.Update, sqltext.Update, true},
		{"EXPLAIN (ANALYZE, FORMAT JSON) (SELECT 1)", sqltext.Select, sqltext.Unknown, true},
		{"EXPLAIN FORMAT=JSON DELETE FROM t", sqltext.Unknown, sqltext.Delete, true},
		{"DESC t", sqltext.Unknown, sqltext.Unknown, false},
		{"START TRANSACTION", sqltext.Begin, sqltext.Begin, false},
		{"START SLAVE", sqltext.Other, sqltext.Other, false},
		{"ABORT", sqltext.Rollback, sqltext.Unknown, false},
		{"END", sqltext.Commit, sqltext.Unknown, false},
		{"COPY t FROM STDIN", sqltext.Other, sqltext.Unknown, false},
		{"SHOW x", sqltext.Other, sqltext.Other, false},
		{"USE x", sqltext.Unknown, sqltext.Other, false},
		{"PRAGMA x", sqltext.Unknown, sqltext.Unknown, false},
		{"ATTACH x", sqltext.Unknown, sqltext.Unknown, false},
		{"", sqltext.Empty, sqltext.Empty, false},
	} {
		for d, want := range map[sqltext.Dialect]sqltext.Verb{sqltext.PostgreSQL: tt.postgres, sqltext.MySQL: tt.mysql} {
			statements := d.Statements(tt.text)
			st, _ := statements.Next()
			if explain := tt.explain || d == sqltext.MySQL && tt.text == "DESC t"; st.Verb != want || st.Explain != explain {
				t.Errorf("%v: %q: the verb is %d, want %d; EXPLAIN: %t", d, tt.text, st.Verb, want, st.Explain)
			}
			if head := d.Head(tt.text); !st.With && head.Verb != st.Verb {
				t.Errorf("%v: %q: Head has the verb %d", d, tt.text, head.Verb)
			}
		}
	}
}

// FuzzServers reads any SQL as that of each server. Its tokens must cover it, and its statements
// must follow each other.
func FuzzServers(f *testing.F) {
	for _, texts := range [][]sqltexttest.Text{sqltexttest.PostgreSQL, sqltexttest.MySQL} {
		for _, text := range texts {
			f.Add(text.SQL)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.MySQL} {
			checkCovered(t, d, text)
			statements, end := d.Statements(text), 0
			for st, ok := statements.Next(); ok; st, ok = statements.Next() {
				if st.Start < end || st.VerbStart < st.Start || st.Body < st.VerbStart || st.End < st.Start || st.Tail < st.End || st.Verb == sqltext.Empty {
					t.Fatalf("%v: %q: %+v behind offset %d", d, text, st, end)
				}
				end = st.Tail
				c := d.CursorOf(text, st)
				var roles sqltext.Roles
				for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
					roles.Of(&c)
				}
			}
		}
	})
}

func TestReadingServersAllocatesNothing(t *testing.T) {
	text := strings.Repeat("EXPLAIN SELECT a, 'b', $$c$$, 1.5e3 FROM ONLY t WHERE e = $1 -- g\n; ", 3)
	for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.MySQL} {
		if n := testing.AllocsPerRun(100, func() {
			statements := d.Statements(text)
			for st, ok := statements.Next(); ok; st, ok = statements.Next() {
				var roles sqltext.Roles
				c := d.CursorOf(text, st)
				for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
					roles.Of(&c)
				}
			}
			d.Head(text)
		}); n != 0 {
			t.Errorf("%v: %v allocations", d, n)
		}
	}
}
