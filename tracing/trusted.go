package tracing

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A remainder says what follows the trusted part of a query.
type remainder uint8

const (
	restNone    remainder = iota
	restComment           // a comment that does not end, which SQLite accepts
	restBroken            // SQLite's tokenizer refuses it, or it is hardly what was meant
)

// trusted returns the part of a query up to where its quotes stop making sense, and says why
// it ends there.
//
// An apostrophe that was not doubled ('O'Brien') turns the rest of a query inside out: what
// was within quotes is read as SQL. It shows in a quote without an end, in a character that
// SQLite refuses, or in a quoted token that touches a name. Which of the quotes is to blame
// is unknown, so nothing is trusted from the first literal on, or from the first quote like
// the one in doubt.
func trusted(query string) (string, remainder) {
	l := sqltext.SQLite.Lexer(query)
	first := [len(delimiters)]int{len(query), len(query), len(query), len(query)}
	doubt := func(t sqltext.Token) (string, remainder) {
		end := min(t.Start, first[0])
		if i := strings.IndexByte(delimiters, query[t.Start]); i >= 0 {
			end = min(end, first[i])
		}
		return query[:end], restBroken
	}
	var last sqltext.Token
	for {
		t := l.Next()
		switch t.Kind {
		case sqltext.EOF:
			return query, restNone
		case sqltext.Comment:
			if s := t.Text(query); s[0] == '/' && (len(s) < 4 || !strings.HasSuffix(s, "*/")) {
				return query[:t.Start], restComment
			}
		case sqltext.Quoted:
			i := strings.IndexByte(delimiters, query[t.Start])
			first[i] = min(first[i], t.Start)
		case sqltext.String, sqltext.Blob:
			first[0] = min(first[0], t.Start)
		case sqltext.Parameter:
			if query[t.Start] == '#' { // undocumented in SQLite, and a comment elsewhere
				return doubt(t)
			}
		case sqltext.Illegal:
			// Of a malformed number or blob, at least the end is known.
			switch c := query[t.Start]; {
			case '0' <= c && c <= '9' || c == '.':
			case c|0x20 == 'x' && t.End-t.Start > 2 && quoted(query, t):
				first[0] = min(first[0], t.Start)
			default:
				return doubt(t)
			}
		}
		if last.End == t.Start && (quoted(query, last) && solid(query, t) || quoted(query, t) && solid(query, last)) {
			if !quoted(query, last) {
				last = t
			}
			return doubt(last)
		}
		last = t
	}
}

// delimiters opens quoted tokens: literals first, then names.
const delimiters = "'\"`["

// quoted reports whether t is within quotes. Brackets do not count: float[8] is what some
// virtual tables call a type.
func quoted(query string, t sqltext.Token) bool {
	if t.End == t.Start || t.Kind == sqltext.Comment {
		return false
	}
	c := query[t.End-1]
	return c == '\'' || c == '"' || c == '`'
}

// solid reports whether t may not touch a quoted token. An operator may, and so may a
// keyword, as in LIKE'x%'.
func solid(query string, t sqltext.Token) bool {
	switch t.Kind {
	case sqltext.Word:
		return sqltext.KeywordOf(query, t).Word == ""
	case sqltext.Quoted, sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Parameter, sqltext.Illegal:
		return true
	}
	return false
}
