package sqltext

import "strings"

// postgresToken returns the kind and the length of the first token of s. s must not be empty.
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html
//
// An operator of several characters is several tokens, one for each character, but for the
// two that contain a colon. Comments and literals start at the same places either way.
func postgresToken(s string) (Kind, int) {
	switch c := s[0]; c {
	case ' ', '\t', '\n', '\v', '\f', '\r':
		return Space, run(s, 1, isSpace)
	case '(':
		return LeftParen, 1
	case ')':
		return RightParen, 1
	case ',':
		return Comma, 1
	case ';':
		return Semicolon, 1
	case '.':
		if is(at(s, 1), isDigit) {
			return postgresNumber(s)
		}
		return Dot, 1
	case '-':
		if at(s, 1) == '-' {
			return postgresComment(s)
		}
		return Operator, 1
	case '/':
		if at(s, 1) == '*' {
			return nestedComment(s)
		}
		return Operator, 1
	case ':':
		return Operator, operatorLength(s, ":=")
	case '+', '*', '<', '>', '=', '~', '!', '@', '#', '%', '^', '&', '|', '`', '?', '[', ']', '{', '}':
		return Operator, 1
	case '\'':
		return modalString(s, 1)
	case '"':
		return doubledQuoted(s, 1)
	case '$':
		if is(at(s, 1), isDigit) {
			return Parameter, run(s, 1, isDigit)
		}
		return dollarQuoted(s)
	case 'e', 'E':
		if at(s, 1) == '\'' {
			return escapedString(s)
		}
	case 'b', 'B', 'x', 'X':
		if at(s, 1) == '\'' {
			kind, n := modalString(s, 2)
			if kind == String {
				kind = Blob
			}
			return kind, n
		}
	case 'n', 'N':
		if at(s, 1) == '\'' {
			return modalString(s, 2)
		}
	case 'u', 'U':
		if at(s, 1) == '&' && at(s, 2) == '\'' {
			return modalString(s, 3)
		}
		if at(s, 1) == '&' && at(s, 2) == '"' {
			return doubledQuoted(s, 3)
		}
	}
	switch {
	case is(s[0], isDigit):
		return postgresNumber(s)
	case is(s[0], isWord):
		return Word, run(s, 1, isWord)
	}
	return Illegal, 1
}

// postgresComment reads a comment up to the end of its line. To PostgreSQL, a carriage return
// ends the line. It does not in CockroachDB, so one in the middle of a line is illegal.
func postgresComment(s string) (Kind, int) {
	n := strings.IndexAny(s, "\n\r")
	switch {
	case n < 0:
		return Comment, len(s)
	case s[n] == '\r' && at(s, n+1) != '\n' && n+1 < len(s):
		return Illegal, len(s)
	}
	return Comment, n
}

// nestedComment reads a comment that may contain others.
func nestedComment(s string) (Kind, int) {
	depth := 0
	for i := 0; i < len(s); {
		switch {
		case s[i] == '/' && at(s, i+1) == '*':
			depth++
			i += 2
		case s[i] == '*' && at(s, i+1) == '/':
			i += 2
			if depth--; depth == 0 {
				return Comment, i
			}
		default:
			i++
		}
	}
	return Illegal, len(s)
}

// postgresNumber reads a number. A name directly after it makes both illegal. Versions before
// 15 read that name as an alias: SELECT 1a.
func postgresNumber(s string) (Kind, int) {
	var i int
	base := class(0)
	if s[0] == '0' {
		switch at(s, 1) | 0x20 {
		case 'x':
			base = isHex
		case 'o', 'b':
			base = isDigit
		}
	}
	if base != 0 && is(at(s, 2), base|isUnderscore) {
		i = run(s, 2, base|isUnderscore)
	} else {
		i = run(s, 0, isDigit|isUnderscore)
		if at(s, i) == '.' && at(s, i+1) != '.' { // 1..2 is a range of PL/pgSQL
			i = run(s, i+1, isDigit|isUnderscore)
		}
		i = exponent(s, i, isDigit|isUnderscore)
	}
	if c := at(s, i); is(c, isWord) && c != '$' {
		return Illegal, run(s, i, isWord)
	}
	return Number, i
}

// exponent returns the end of the exponent that may start at s[i]. digits may stand in it after
// the first digit.
func exponent(s string, i int, digits class) int {
	if at(s, i)|0x20 != 'e' {
		return i
	}
	j := i + 1
	if c := at(s, j); c == '+' || c == '-' {
		j++
	}
	if !is(at(s, j), isDigit) {
		return i
	}
	return run(s, j, digits)
}

// escapedString reads a string with backslash escapes, whatever the settings are: e'it\'s'.
func escapedString(s string) (Kind, int) {
	for i := len("e'"); i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && at(s, i+1) == '\'':
			i++
		case s[i] == '\'':
			return String, i + 1
		}
	}
	return Illegal, len(s)
}

// dollarQuoted reads $$...$$ or $tag$...$tag$.
func dollarQuoted(s string) (Kind, int) {
	end := dollarTag(s)
	if end == 0 {
		return Illegal, 1
	}
	if i := strings.Index(s[end:], s[:end]); i >= 0 {
		return String, end + i + end
	}
	return Illegal, len(s)
}

// dollarTag returns the length of the $$ or $tag$ at the start of s, or 0.
func dollarTag(s string) int {
	i := 1
	if !is(at(s, i), isDigit) {
		for i < len(s) && s[i] != '$' && is(s[i], isWord) {
			i++
		}
	}
	if at(s, i) != '$' {
		return 0
	}
	return i + 1
}

// modalString reads a string whose content starts at s[i]. A setting of the server decides
// whether a backslash escapes the character after it. The string is illegal if that changes
// where it ends.
func modalString(s string, i int) (Kind, int) {
	for quote := s[i-1]; i < len(s); i++ {
		switch {
		case s[i] == '\\' && at(s, i+1) == quote:
			return Illegal, len(s)
		case s[i] == '\\' && at(s, i+1) == '\\':
			i++ // two characters, or an escaped one
		case s[i] == quote && at(s, i+1) == quote:
			i++
		case s[i] == quote:
			return String, i + 1
		}
	}
	return Illegal, len(s)
}

// doubledQuoted reads a name whose content starts at s[i]. A doubled quote is one quote. A
// backslash has no meaning.
func doubledQuoted(s string, i int) (Kind, int) {
	for quote := s[i-1]; i < len(s); i++ {
		if s[i] == quote {
			if at(s, i+1) != quote {
				return Quoted, i + 1
			}
			i++
		}
	}
	return Illegal, len(s)
}
