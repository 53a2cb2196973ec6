package summary

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A reading is how a server reads SQL in one of its modes. It is written for these tests alone,
// as a machine that reads one character after another, without tokens. So it shares no mistake
// with package sqltext.
type reading struct {
	dialect sqltext.Dialect

	escapes  bool // a backslash escapes a character in a string: standard_conforming_strings=off, or not NO_BACKSLASH_ESCAPES
	ansi     bool // double quotes enclose a name: ANSI_QUOTES
	executes bool // the server executes the content of /*! */
}

// readings returns all readings of a dialect.
func readings(d sqltext.Dialect) (list []reading) {
	for _, escapes := range []bool{false, true} {
		if d == sqltext.PostgreSQL {
			list = append(list, reading{dialect: d, escapes: escapes, ansi: true})
			continue
		}
		for _, ansi := range []bool{false, true} {
			list = append(list, reading{d, escapes, ansi, false}, reading{d, escapes, ansi, true})
		}
	}
	return list
}

// literal reports whether the server takes the byte at offset at as part of a literal in
// quotes.
func (r reading) literal(text string, at int) bool {
	postgres := r.dialect == sqltext.PostgreSQL
	word := false // the character before belongs to a name or a number
	from := 0     // where it starts
	for i := 0; i <= at; {
		rest := text[i:]
		start, quoted := i, false
		switch c := text[i]; {
		case postgres && strings.HasPrefix(rest, "--"):
			i = after(text, i, "\n", "\r")
		case !postgres && (c == '#' || strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' ' || rest[2] == 0x7f)):
			i = after(text, i, "\n")
		case postgres && strings.HasPrefix(rest, "/*"):
			i = afterNested(text, i)
		case r.executes && (strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!")):
			i += strings.IndexByte(rest, '!') + 1
		case !postgres && strings.HasPrefix(rest, "/*"):
			i = after(text, i+2, "*/")
		case c == '\'' || c == '"' && !r.ansi:
			escapes := r.escapes
			if prefix := text[from:i]; postgres && word {
				escapes = escapes || prefix == "e" || prefix == "E"
			}
			i, quoted = afterQuote(text, i, escapes), true
		case c == '"' || c == '`' && !postgres:
			i = afterQuote(text, i, false)
		case postgres && c == '$' && !word:
			if end := strings.IndexByte(rest[1:], '$'); end >= 0 && isTag(rest[1:1+end]) {
				i, quoted = after(text, i+end+2, rest[:end+2]), true
			} else {
				i++
			}
		default:
			i++
			isWord := c >= 0x80 || c == '_' || c == '$' && word || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
			if isWord && !word {
				from = start
			}
			word = isWord
			continue
		}
		if at < i {
			return quoted
		}
		word = false
	}
	return false
}

// after returns the offset after the first of ends from i on, or the length of text.
func after(text string, i int, ends ...string) int {
	first := len(text)
	for _, end := range ends {
		if n := strings.Index(text[min(i, len(text)):], end); n >= 0 {
			first = min(first, i+n+len(end))
		}
	}
	return first
}

func afterNested(text string, i int) int {
	for depth := 0; i < len(text); i++ {
		if strings.HasPrefix(text[i:], "/*") {
			depth, i = depth+1, i+1
		} else if strings.HasPrefix(text[i:], "*/") {
			i++
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

func afterQuote(text string, i int, escapes bool) int {
	quote := text[i]
	for i++; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] != quote:
		case i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(text)
}

func isTag(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < 0x80 && c != '_' && !('a' <= c|0x20 && c|0x20 <= 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
