package sqltext_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// FuzzStatements compares the ends of statements with the places where SQLite's prepare
// stops. It compares illegal tokens with those that SQLite refuses. It checks the fuzzer's
// own SQL, and SQL that Weave makes of its data.
func FuzzStatements(f *testing.F) {
	for _, text := range sqltexttest.Seeds {
		f.Add(text, []byte(text))
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		checkStatements(t, e, text)
		checkStatements(t, e, sqltexttest.Weave(data))
	})
}

func checkStatements(t *testing.T, e engine, text string) {
	t.Helper()
	checkCovered(t, sqltext.SQLite, text)
	statements := sqltext.SQLite.Statements(text)
	for start, n := 0, 0; n < 100; n++ { // a hundred statements of one text are enough
		st, ok := statements.Next()
		rest := text[start:]
		end, found, err := e.tail(rest)
		if err != nil {
			checkRefused(t, rest, err)
			return
		}
		if found != ok {
			t.Fatalf("%q: SQLite finds a statement: %t; Statements: %t", rest, found, ok)
		}
		if !found {
			return
		}
		if st.Tail != start+end {
			t.Fatalf("%q: SQLite's prepare stops before %q, Statements before %q", rest, rest[end:], text[st.Tail:])
		}
		if illegal, ok := firstIllegal(text[start:st.End]); ok {
			t.Errorf("%q is prepared, though %q is illegal", rest[:end], illegal.Text(text[start:]))
		}
		if st.Verb <= sqltext.With {
			t.Errorf("%q is prepared, though its verb is %d", rest[:end], st.Verb)
		}
		if head := sqltext.SQLite.Head(rest); head.Verb != st.Verb && !(head.Verb == sqltext.With && st.With) || head.Explain != st.Explain || head.Start != st.Start-start || head.VerbStart != st.VerbStart-start || head.Body != st.Body-start {
			t.Errorf("%q: Head is %+v, Statements has %+v", rest, head, st)
		}
		start = st.Tail
	}
}

// checkRefused compares the token that SQLite's error calls unrecognized with the first
// illegal token.
func checkRefused(t *testing.T, text string, err error) {
	t.Helper()
	_, refused, ok := strings.Cut(err.Error(), `unrecognized token: "`)
	if !ok {
		return
	}
	// A "_" in the wrong place of a number is refused by SQLite's parser, not by its
	// tokenizer.
	if strings.IndexByte("0123456789.", refused[0]) >= 0 && strings.Contains(refused, "_") {
		return
	}
	illegal, ok := firstIllegal(text)
	if want := illegal.Text(text) + `"`; !ok || !strings.HasPrefix(refused, want) {
		t.Errorf("%q: SQLite says %v, but the first illegal token is %q", text, err, want)
	}
}

// firstIllegal returns the first illegal token of text.
func firstIllegal(text string) (sqltext.Token, bool) {
	l := sqltext.SQLite.Lexer(text)
	for {
		switch t := l.Next(); t.Kind {
		case sqltext.Illegal:
			return t, true
		case sqltext.EOF:
			return t, false
		}
	}
}

// FuzzRewrite rewrites each statement that SQLite prepares, in three ways: with other white
// space and comments, with as little white space as possible, and with its names in other
// quotes. SQLite must compile the same program from each.
func FuzzRewrite(f *testing.F) {
	for _, text := range sqltexttest.Seeds {
		f.Add(text, []byte(text), []byte{1, 2, 3, 4, 5, 6})
	}
	e := newEngine(f)
	f.Fuzz(func(t *testing.T, text string, data, choices []byte) {
		c := sqltexttest.NewChooser(choices)
		checkRewrite(t, e, text, c)
		checkRewrite(t, e, sqltexttest.Weave(data), c)
	})
}

func checkRewrite(t *testing.T, e engine, text string, c *sqltexttest.Chooser) {
	t.Helper()
	statements := sqltext.SQLite.Statements(text)
	for n := 0; n < 100; n++ {
		st, ok := statements.Next()
		if !ok || st.Verb <= sqltext.With {
			return
		}
		source := text[st.VerbStart:st.End] // without EXPLAIN
		definition := st.Verb == sqltext.Create || st.Verb == sqltext.Alter
		want, err := e.program(source, !definition)
		if err != nil {
			return // the rest is not executed
		}
		if virtualTable(source) {
			continue // white space and comments are part of the module's arguments
		}
		for _, rewritten := range []string{spaced(source, c), tight(source), requoted(source, st, c)} {
			got, err := e.program(rewritten, !definition)
			if err != nil && namedByText(source) && strings.Contains(err.Error(), "no such column") {
				continue
			}
			if err != nil && strings.Contains(err.Error(), "no such window") {
				continue // SQLite keeps the quotes of a window's name if another window extends it
			}
			if err != nil {
				t.Errorf("%q, rewritten as %q: %v", source, rewritten, err)
			} else if got != want {
				t.Errorf("%q, rewritten as %q, is another program:\n%s\n%s", source, rewritten, want, got)
			}
		}
	}
}

func virtualTable(text string) bool {
	c := sqltext.SQLite.Cursor(text)
	c.Advance()
	c.Advance()
	return c.BeforeKey.Word == "CREATE" && c.Key.Word == "VIRTUAL"
}

// namedByText reports whether a statement may name a column of a subquery by the column's
// SQL, including white space: SELECT "1 + 1" FROM (SELECT 1 + 1).
func namedByText(text string) bool { return strings.Count(strings.ToUpper(text), "SELECT") > 1 }

// spaced writes the tokens of text with other gaps between them.
func spaced(text string, c *sqltexttest.Chooser) string {
	var b strings.Builder
	l := sqltext.SQLite.Lexer(text)
	for t := l.NextSignificant(); t.Kind != sqltext.EOF; t = l.NextSignificant() {
		b.WriteString(t.Text(text))
		if t.Kind == sqltext.Operator {
			b.WriteByte(' ') // otherwise "-" before a comment would become part of it
		}
		b.WriteString(c.Of(" ", "\n", "\t\f\r ", " \v", "/**/", "/* ; ' */", "-- \" [\n", " \uFEFF", "/*/ x /*/ ", " -- */\r\n /***/"))
	}
	return b.String()
}

// upper returns s with its ASCII letters in upper case.
func upper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, s)
}

// tight writes the tokens of text without white space between them. It keeps a space only
// where two tokens would otherwise be read as other tokens.
func tight(text string) string {
	out, last := "", ""
	l := sqltext.SQLite.Lexer(text)
	for t := l.NextSignificant(); t.Kind != sqltext.EOF; t = l.NextSignificant() {
		word := t.Text(text)
		if both := sqltext.SQLite.Lexer(last + word); last != "" {
			if first := both.Next(); first.End != len(last) || both.Next().End != len(last+word) {
				out += " "
			}
		}
		out += word
		last = word
	}
	return out
}

// requoted writes a statement that reads or writes rows, with its names in other quotes.
func requoted(text string, st sqltext.Statement, c *sqltexttest.Chooser) string {
	// CAST names a type, whose words are not names.
	if !st.Verb.Rows() || strings.Contains(strings.ToUpper(text), "CAST") {
		return text
	}
	var b strings.Builder
	cur := sqltext.SQLite.Cursor(text)
	for cur.Advance(); cur.Token.Kind != sqltext.EOF; cur.Advance() {
		word := cur.Written()
		name := sqltext.Unquote(word)
		switch {
		case cur.Token.Kind == sqltext.Word && cur.Key.Word == "" && !sqltext.EqualFold(word, "true") && !sqltext.EqualFold(word, "false"),
			cur.Token.Kind == sqltext.Quoted && name != "":
			quotes := []string{`"` + strings.ReplaceAll(name, `"`, `""`) + `"`, "`" + strings.ReplaceAll(name, "`", "``") + "`"}
			if !strings.Contains(name, "]") {
				quotes = append(quotes, "["+name+"]")
			}
			if cur.Token.Kind == sqltext.Word {
				quotes = append(quotes, upper(name))
			}
			word = c.Of(quotes...)
		}
		b.WriteString(word)
		b.WriteByte(' ')
	}
	return b.String()
}
