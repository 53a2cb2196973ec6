package sqltext

import "strings"

// mysqlToken returns the kind and the length of the first token of s. s must not be empty. last
// is the kind of the token before, if that is a name or the dot directly after one, or else EOF.
// https://dev.mysql.com/doc/refman/9.4/en/language-structure.html
//
// Double quotes enclose a string, or a name if the server's mode has ANSI_QUOTES. They are
// read as a string in any case, because a string must not be shown.
func mysqlToken(s string, last Kind) (Kind, int) {
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
	case '?':
		return Parameter, 1
	case '.':
		if is(at(s, 1), isDigit) && last == EOF {
			return mysqlNumber(s)
		}
		return Dot, 1
	case '#':
		return Comment, lineLength(s)
	case '-':
		if at(s, 1) == '-' && (len(s) == 2 || s[2] <= ' ' || s[2] == 0x7f) {
			return Comment, lineLength(s)
		}
		return Operator, 1
	case '/':
		if at(s, 1) == '*' {
			return mysqlComment(s)
		}
		return Operator, 1
	case ':':
		return Operator, operatorLength(s, "=")
	case '+', '*', '<', '>', '=', '~', '!', '@', '%', '^', '&', '|', '[', ']', '{', '}':
		return Operator, 1
	case '\'', '"':
		return modalString(s, 1)
	case '`':
		return doubledQuoted(s, 1)
	case '$':
		// MySQL 9 quotes the bodies of stored programs with dollars. Elsewhere this is a name.
		if dollarTag(s) > 0 {
			return Illegal, len(s)
		}
	case 'n', 'N':
		if at(s, 1) == '\'' {
			return modalString(s, 2)
		}
	case 'x', 'X':
		if at(s, 1) == '\'' {
			return quotedDigits(s, isHex)
		}
	case 'b', 'B':
		if at(s, 1) == '\'' {
			return quotedDigits(s, isDigit)
		}
	case '_': // with the name of a character set: _utf8mb4'x'
		n := run(s, 1, isWord)
		if c := at(s, n); c == '\'' || c == '"' {
			return modalString(s, n+1)
		}
		return Word, n
	}
	switch {
	case is(s[0], isDigit) && last != Dot: // a name after a dot may start with digits: t.1e5
		return mysqlNumber(s)
	case is(s[0], isWord):
		return Word, run(s, 1, isWord)
	}
	return Illegal, 1
}

// mysqlComment reads a comment in /* and */. Some versions execute the content of /*! and
// /*M!, and some read hints in /*+. To them, an end in quotes or in an inner comment is none. So
// a comment of these kinds that contains such is illegal.
func mysqlComment(s string) (Kind, int) {
	i := strings.Index(s[2:], "*/")
	if i < 0 {
		return Illegal, len(s)
	}
	content := s[2 : 2+i]
	read := at(content, 0) == '!' || at(content, 0) == '+' || strings.HasPrefix(content, "M!")
	if read && (strings.ContainsAny(content, "'\"`#/\\$") || strings.Contains(content, "--")) {
		return Illegal, len(s)
	}
	return Comment, 2 + i + 2
}

// mysqlNumber reads a number, or a name that starts with digits: 2fa_codes.
func mysqlNumber(s string) (Kind, int) {
	if s[0] == '0' {
		base := class(0)
		switch at(s, 1) | 0x20 { // MySQL takes 0X1F as a name
		case 'x':
			base = isHex
		case 'b':
			base = isDigit
		}
		if i := run(s, 2, base); base != 0 && i > 2 && !is(at(s, i), isWord) {
			return Number, i
		}
	}
	i := run(s, 0, isDigit)
	if at(s, i) == '.' {
		return Number, exponent(s, run(s, i+1, isDigit), isDigit)
	}
	if end := exponent(s, i, isDigit); end > i {
		return Number, end
	}
	if is(at(s, i), isWord) {
		return Word, run(s, i, isWord)
	}
	return Number, i
}

// quotedDigits reads x'...' or b'...'. With anything but digits, it is no such literal, and the
// server refuses it.
func quotedDigits(s string, digits class) (Kind, int) {
	if i := run(s, 2, digits); at(s, i) == '\'' {
		return Blob, i + 1
	}
	return modalString(s, 2)
}
