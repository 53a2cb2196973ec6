package dbtest

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// TB is what the checks need of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(f func())
}

// An Option changes a check.
type Option func(*options)

type options struct {
	limit  int
	tables map[string]bool // by their folded names
	texts  map[string]bool // by their normal forms
}

// Allow exempts tables and statements from a check. A name is the name of a table that is
// scanned on purpose, for example because it is small; only [NoFullScans] looks at it. Anything
// with a space is the text of a statement that the check ignores. White space, literals and
// the lengths of lists do not matter in it.
func Allow(namesOrTexts ...string) Option {
	return func(o *options) {
		for _, s := range namesOrTexts {
			if s = strings.TrimSpace(s); strings.ContainsAny(s, " \t\r\n") {
				o.texts[normal(s)] = true
			} else {
				o.tables[sqltext.Fold(s)] = true
			}
		}
	}
}

// UpTo changes the limit of a check. [NoFullScans] lets n full-scan steps of a call pass; the
// default is 0. [NoRepeats] lets a statement be called n times; the default is
// [DefaultRepeats]. [AtMost] has its limit as an argument.
func UpTo(n int) Option { return func(o *options) { o.limit = n } }

func newOptions(limit int, opts []Option) options {
	o := options{limit: limit, tables: make(map[string]bool), texts: make(map[string]bool)}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// normal returns the text of a statement without comments, with "?" for its literals and for
// lists of values, and with single spaces. Two calls are of the same statement if their normal
// forms are the same, because some programs write values into their SQL.
func normal(text string) string {
	var words []string
	l := sqltext.SQLite.Lexer(text)
	for t := l.NextSignificant(); t.Kind != sqltext.EOF; t = l.NextSignificant() {
		word := t.Text(text)
		switch t.Kind {
		case sqltext.String, sqltext.Number, sqltext.Blob:
			word = "?"
		case sqltext.Word:
			word = sqltext.Fold(word)
		}
		if n := len(words); word == "?" && n >= 2 && words[n-1] == "," && words[n-2] == "?" {
			words = words[:n-1]
			continue
		}
		words = append(words, word)
	}
	if n := len(words); n > 0 && words[n-1] == ";" {
		words = words[:n-1]
	}
	return strings.Join(words, " ")
}

// allows reports whether a table may be scanned.
func (o *options) allows(table string) bool { return o.tables[sqltext.Fold(table)] }
