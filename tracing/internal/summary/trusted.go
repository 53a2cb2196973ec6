package summary

import (
	"strings"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A remainder describes what follows the trusted part of a query.
type remainder uint8

const (
	restNone    remainder = iota
	restComment           // an unterminated comment, which SQLite accepts
	restBroken            // SQLite's tokenizer refuses it, or it is unlikely to be intended
)

// trusted returns the part of a query before its quotes become unreliable, and what follows.
//
// An apostrophe that is not doubled ('O'Brien') turns the rest of a query inside out: quoted
// text is read as SQL. The signs are an unterminated quote, a character that the engine refuses,
// and a quoted token that touches a name. The wrong quote itself is unknown. So the trusted
// part ends before the first literal, or before the first quote of the same kind as the
// suspicious one, whichever comes first.
//
// To PostgreSQL and MySQL, bytes that are not UTF-8 may be characters that contain a quote or a
// backslash. So the trusted part of such a query ends before the first byte that is not ASCII.
func trusted(d sqltext.Dialect, query string) (string, remainder) {
	if d != sqltext.SQLite && !utf8.ValidString(query) {
		i := strings.IndexFunc(query, func(r rune) bool { return r >= utf8.RuneSelf })
		text, _ := trusted(d, query[:i])
		return text, restBroken
	}
	l := d.Lexer(query)
	first := [len(delimiters)]int{len(query), len(query), len(query), len(query)}
	doubt := func(t sqltext.Token) (string, remainder) {
		end := min(t.Start, first[0])
		if i := delimiter(query, t); i >= 0 {
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
			i := delimiter(query, t)
			first[i] = min(first[i], t.Start)
		case sqltext.String, sqltext.Blob:
			first[0] = min(first[0], t.Start)
		case sqltext.Parameter:
			if d == sqltext.SQLite && query[t.Start] == '#' { // undocumented in SQLite, and a comment elsewhere
				return doubt(t)
			}
		case sqltext.Illegal:
			// The end of a malformed number or blob is at least known.
			switch c := query[t.Start]; {
			case '0' <= c && c <= '9' || c == '.':
			case c|0x20 == 'x' && t.End-t.Start > 2 && quoted(query, t):
				first[0] = min(first[0], t.Start)
			default:
				return doubt(t)
			}
		}
		if last.End == t.Start && (quoted(query, last) && solid(d, query, t) || quoted(query, t) && solid(d, query, last)) {
			if !quoted(query, last) {
				last = t
			}
			return doubt(last)
		}
		last = t
	}
}

// delimiters are the characters that open quoted tokens: first of literals, then of names.
const delimiters = "'\"`["

// delimiter returns the index among the delimiters of the one that opens t, or -1.
func delimiter(query string, t sqltext.Token) int {
	if t.Kind == sqltext.Quoted && query[t.Start]|0x20 == 'u' { // U&"x"
		return strings.IndexByte(delimiters, '"')
	}
	return strings.IndexByte(delimiters, query[t.Start])
}

// quoted reports whether t ends with a quote. Brackets do not count, because some virtual
// tables have types such as float[8].
func quoted(query string, t sqltext.Token) bool {
	if t.End == t.Start || t.Kind == sqltext.Comment {
		return false
	}
	c := query[t.End-1]
	return c == '\'' || c == '"' || c == '`' || c == '$' && t.Kind == sqltext.String // $$x$$
}

// solid reports whether t must not touch a quoted token. Operators may touch one, and so may
// keywords, as in LIKE'x%'.
func solid(d sqltext.Dialect, query string, t sqltext.Token) bool {
	switch t.Kind {
	case sqltext.Word:
		return d.KeywordOf(query, t).Word == ""
	case sqltext.Quoted, sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Parameter, sqltext.Illegal:
		return true
	}
	return false
}
