package summary

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// servers are the dialects of servers with their corpora.
var servers = []struct {
	dialect sqltext.Dialect
	texts   []sqltexttest.Text
}{
	{sqltext.PostgreSQL, sqltexttest.PostgreSQL},
	{sqltext.MySQL, sqltexttest.MySQL},
}

// literals returns the forms of a dialect's literals, in every mode of the server. %s is the
// secret.
func literals(d sqltext.Dialect) []string {
	forms := []string{
		"'%s'", "'a''%s'", "'%s''--'", "'/* %s'", "'\"%s'", "'`%s'", "'$$%s'", "'#%s'", "';%s'", "'\n%s'", "'é%s'", "'a\\\\%s'", "'%s\\\\'", "'\\%s'",
		`'it\'%s'`, `'%s\''`, // with escapes
		`'%s\'`, `'\''%s'`, `'%s\\\'`, // without
		"N'%s'", "x'%s'", "X'%s0'", "b'%s'", "%s", "-%s", "%s.5", ".5%s", "%s.", "1e%s", "1.5E-%s", "0x%s", "0xAB%s",
	}
	if d == sqltext.PostgreSQL {
		return append(forms, `E'\'%s'`, `e'%s\''`, `E'\\''%s'`, `E'a\\%s\\'`, "$$%s$$", "$$'%s$$", "$t$ $$ %s $t$", "$a_1$%s$a$$a_1$", "U&'\\0061%s'", "u&'%s'",
			"0o%s", "1_%s", "B'%s'", "'a'\n'%s'", "E'a'\n'\\'%s'")
	}
	return append(forms, `"%s"`, `"a""%s"`, `"'%s"`, `"it\"%s"`, `"%s\"`, `"%s\\"`, "_utf8mb4'%s'", `_latin1"%s"`, "_binary 'a''%s'", "n'%s'", "\"-- %s\"", "'/*!%s'", "'a' '%s'")
}

// planted returns a text of the corpus with secrets in place of its literals, and with fragments
// among its tokens if mutate is true.
func planted(d sqltext.Dialect, texts []sqltexttest.Text, c *sqltexttest.Chooser, mutate bool) (text string, secrets []string) {
	row := texts[c.N(len(texts))]
	forms := literals(d)
	var b strings.Builder
	l := d.Lexer(row.SQL)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		switch t.Kind {
		case sqltext.String, sqltext.Blob, sqltext.Number:
			secret := fmt.Sprintf("7390%05d", len(secrets))
			secrets = append(secrets, secret)
			form := forms[c.N(len(forms))]
			if !strings.ContainsAny(form, "'\"") {
				form = " " + form + " " // or it becomes part of the word beside it
			}
			fmt.Fprintf(&b, form, secret)
		case sqltext.Comment:
			b.WriteByte(' ')
		default:
			b.WriteString(t.Text(row.SQL))
		}
		if mutate && c.N(8) == 1 {
			b.WriteString(" " + c.Of(";", "(", ")", ",", ".", "-", "::", "=", "t", "SELECT", "FROM", "IN", "VALUES", "SET", "AS", "UPDATE", "INTO", "USING", "/* x */", "\n", "?", "[", "]", "@", "TABLE") + " ")
		}
	}
	return b.String(), secrets
}

// TestNoServerLiteralIsSeen plants secrets in each text of the corpora.
func TestNoServerLiteralIsSeen(t *testing.T) {
	for _, s := range servers {
		for row := range s.texts {
			for form := range len(literals(s.dialect)) {
				data := []byte{byte(row)}
				for n := range 32 {
					data = append(data, byte(form+n*7))
				}
				checkPlanted(t, s.dialect, s.texts, data, false)
			}
		}
	}
}

func checkPlanted(t *testing.T, d sqltext.Dialect, texts []sqltexttest.Text, data []byte, mutate bool) {
	t.Helper()
	text, secrets := planted(d, texts, sqltexttest.NewChooser(data), mutate)
	info := checkServer(t, d, text)
	for _, secret := range secrets {
		if strings.Contains(info.Summary, secret) || strings.Contains(info.Sanitized, secret) {
			t.Fatalf("%v: %s of\n%s\nis in the summary\n%s\nor in the sanitized query\n%s", d, secret, text, info.Summary, info.Sanitized)
		}
	}
}

// checkServer checks the rules that hold for any query of a server.
func checkServer(t *testing.T, d sqltext.Dialect, text string) Info {
	t.Helper()
	info := Describe(d, text, false)
	if n := utf8.RuneCountInString(info.Summary); n > maxSummary {
		t.Errorf("%v: %q: summary of %d characters", d, text, n)
	}
	if !utf8.ValidString(info.Summary) || !utf8.ValidString(info.Sanitized) {
		t.Errorf("%v: %q: invalid UTF-8 in %q, %q", d, text, info.Summary, info.Sanitized)
	}
	if info.Statements == 0 && info.Summary != "" || info.Operation != strings.ToUpper(info.Operation) {
		t.Errorf("%v: %q: %+v", d, text, info)
	}
	for _, sanitized := range []string{info.Sanitized, Describe(d, info.Sanitized, false).Sanitized, Collapse(d, info.Sanitized)} {
		l := d.Lexer(sanitized)
		for tok := l.Next(); tok.Kind != sqltext.EOF; tok = l.Next() {
			switch tok.Kind {
			case sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Illegal, sqltext.Comment:
				t.Errorf("%v: %q sanitized to %q: %q is left", d, text, sanitized, tok.Text(sanitized))
			}
		}
	}
	return info
}

// FuzzServer checks that no literal of PostgreSQL and MySQL is shown. It puts a marker into any
// text: if a server in any mode reads it as part of a literal in quotes, it must not be seen.
// And it plants secrets in a text that it makes of the corpus.
func FuzzServer(f *testing.F) {
	for _, s := range servers {
		for i, row := range s.texts {
			f.Add(row.SQL, uint16(len(row.SQL)/2), []byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
		}
	}
	for _, text := range []string{
		`'a\' , 'b' -- '`, `"a\" , "b" -- "`, `'a\'' , ' b '`, "`a\\` ' b '", `E'a\' , ' b '`, `eE'a\' , ' b '`, `E'a' 'b\' , ' c '`, "E'a'\n'b\\' , ' c '", "/*! ' */ ' b '", "/*M! ' */ x ' b '",
		"/*! /* */ ' b '", "/* ' /* ' */ ' */ ' b '", "/*+ ' */ ' b '", "-- '\r ' b '", "--' \n ' b '", "# ' \n b ' c '", "a$$ ' b $$ ' c '", "1$$ ' b $$", "$1$$ ' b $$", "$a$ $b$ $a$ c $b$", "$1a$ ' b $1a$ '",
		"U&'a\\' , ' b '", "B'a\\' , ' b '", "1e'a\\' , ' b '", "x'a\\' , ' b '", "_utf8'a\\' , ' b '", "[ ' ] , ' b '", "a[' b ']", "\"a\\\" ' b '", "$a ' b $", "{ ' b ' }", "\x81\\' , ' b '", "'\x81\\', ' b '",
		"::' b '", ":=' b '", "a::\"b\"", "/*!99999 ' */ b ' c '", "/*/ ' */ b '", "\\N ' b '", "SELECT a USING \"b\"", "DELETE FROM a USING 'b'", "SET a = b, c = ' d '",
	} {
		for at := range len(text) + 1 {
			f.Add(text, uint16(at), []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string, at uint16, data []byte) {
		for _, s := range servers {
			checkMarked(t, s.dialect, text, int(at)%(len(text)+1))
			checkMarked(t, s.dialect, "SELECT "+text, len("SELECT ")+int(at)%(len(text)+1))
			checkPlanted(t, s.dialect, s.texts, data, true)
		}
	})
}

// checkMarked puts a marker into a text, at offset at.
func checkMarked(t *testing.T, d sqltext.Dialect, text string, at int) {
	t.Helper()
	const marker = "hunter2"
	if strings.Contains(text, marker) || strings.IndexByte(text, 0) >= 0 {
		return
	}
	text = text[:at] + marker + text[at:]
	info := checkServer(t, d, text)
	if !strings.Contains(info.Summary, marker) && !strings.Contains(info.Sanitized, marker) {
		return
	}
	for _, r := range readings(d) {
		if r.literal(text, at+len(marker)/2) {
			t.Fatalf("%+v: the marker in\n%q\nis part of a literal, but it is in the summary\n%q\nor in the sanitized query\n%q", r, text, info.Summary, info.Sanitized)
		}
	}
}
