package sqltext

import "strings"

// sqliteToken returns the kind and the length of the first token of s. s must not be empty.
// It follows sqlite3GetToken in SQLite's src/tokenize.c. The fuzz tests of this package
// compare it with SQLite itself.
func sqliteToken(s string) (Kind, int) {
	switch c := s[0]; c {
	case ' ', '\t', '\n', '\f', '\r':
		// A vertical tab continues white space, but does not start it.
		return Space, run(s, 1, isSpace)
	case '(':
		return LeftParen, 1
	case ')':
		return RightParen, 1
	case ',':
		return Comma, 1
	case ';':
		return Semicolon, 1
	case '+', '*', '%', '&', '~':
		return Operator, 1
	case '-':
		switch {
		case at(s, 1) == '-':
			return Comment, lineLength(s)
		case at(s, 1) == '>' && at(s, 2) == '>':
			return Operator, 3
		case at(s, 1) == '>':
			return Operator, 2
		}
		return Operator, 1
	case '/':
		// A "/*" at the very end of the SQL is two operators.
		if at(s, 1) != '*' || len(s) == 2 {
			return Operator, 1
		}
		if i := strings.Index(s[2:], "*/"); i >= 0 {
			return Comment, 2 + i + 2
		}
		return Comment, len(s)
	case '=':
		return Operator, operatorLength(s, "=")
	case '<':
		return Operator, operatorLength(s, "=><")
	case '>':
		return Operator, operatorLength(s, "=>")
	case '|':
		return Operator, operatorLength(s, "|")
	case '!':
		if at(s, 1) == '=' {
			return Operator, 2
		}
		return Illegal, 1
	case '\'', '"', '`':
		return sqliteQuoted(s)
	case '[':
		if i := strings.IndexByte(s, ']'); i >= 0 {
			return Quoted, i + 1
		}
		return Illegal, len(s)
	case '?':
		return Parameter, run(s, 1, isDigit)
	case '$', '@', '#', ':':
		return sqliteParameter(s)
	case '.':
		if is(at(s, 1), isDigit) {
			return sqliteNumber(s)
		}
		return Dot, 1
	case 'x', 'X':
		if at(s, 1) == '\'' {
			return sqliteBlob(s)
		}
		return Word, run(s, 1, isWord)
	default:
		switch {
		case is(c, isDigit):
			return sqliteNumber(s)
		case c == byteOrderMark[0] && strings.HasPrefix(s, byteOrderMark):
			return Space, len(byteOrderMark)
		case is(c, isWord):
			return Word, run(s, 1, isWord)
		}
		return Illegal, 1
	}
}

// byteOrderMark is white space to SQLite wherever a token may start.
const byteOrderMark = "\xef\xbb\xbf"

// sqliteQuoted reads a token that starts with an apostrophe, a double quote or a backquote. A
// doubled quote is one quote. A backslash has no meaning.
func sqliteQuoted(s string) (Kind, int) {
	quote := s[0]
	for i := 1; ; {
		n := strings.IndexByte(s[i:], quote)
		if n < 0 {
			return Illegal, len(s)
		}
		i += n + 1
		if at(s, i) != quote {
			if quote == '\'' {
				return String, i
			}
			return Quoted, i
		}
		i++
	}
}

// sqliteBlob reads x'...'. It must contain an even number of hexadecimal digits. Otherwise it
// is illegal up to and including the next quote.
func sqliteBlob(s string) (Kind, int) {
	i := run(s, 2, isHex)
	if at(s, i) == '\'' && i%2 == 0 {
		return Blob, i + 1
	}
	if n := strings.IndexByte(s[i:], '\''); n >= 0 {
		return Illegal, i + n + 1
	}
	return Illegal, len(s)
}

// sqliteNumber reads a number. "_" may stand anywhere after the first digit, because SQLite's
// parser checks later that it is between two digits. A name directly after the number makes
// the whole token illegal.
func sqliteNumber(s string) (Kind, int) {
	var i int
	if s[0] == '0' && at(s, 1)|0x20 == 'x' && is(at(s, 2), isHex) {
		i = run(s, 3, isHex|isUnderscore)
	} else {
		i = run(s, 0, isDigit|isUnderscore)
		if at(s, i) == '.' {
			i = run(s, i+1, isDigit|isUnderscore)
		}
		if at(s, i)|0x20 == 'e' {
			j := i + 1
			if c := at(s, j); c == '+' || c == '-' {
				j++
			}
			if is(at(s, j), isDigit) {
				i = run(s, j, isDigit|isUnderscore)
			}
		}
	}
	if j := run(s, i, isWord); j > i {
		return Illegal, j
	}
	return Number, i
}

// sqliteParameter reads a named parameter, which may be a Tcl variable: "::" may stand
// anywhere in the name, and "(...)" without white space may end it.
func sqliteParameter(s string) (Kind, int) {
	named := false
	i := 1
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case is(c, isWord):
			named = true
			continue
		case c == ':' && at(s, i+1) == ':':
			i++
			continue
		case c == '(' && named:
			for i++; i < len(s) && s[i] != ')' && !is(s[i], isSpace); i++ {
			}
			if at(s, i) != ')' {
				return Illegal, i
			}
			return Parameter, i + 1
		}
		break
	}
	if !named {
		return Illegal, i
	}
	return Parameter, i
}

// lineLength returns the length of s up to, but not including, its first newline.
func lineLength(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// operatorLength returns the length of the operator at the start of s: two if the second byte
// is in second, and one otherwise.
func operatorLength(s, second string) int {
	if c := at(s, 1); c != 0 && strings.IndexByte(second, c) >= 0 {
		return 2
	}
	return 1
}

// at returns s[i], or 0 past the end, like a C string.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// A class is a set of byte classes. A byte can be in several of them.
type class uint8

const (
	isSpace class = 1 << iota // SQLite's isspace, which includes the vertical tab
	isDigit
	isHex
	isUnderscore
	isWord // SQLite's IdChar: may stand in an unquoted name, and start one unless it is a digit or '$'
)

var classes = func() (table [256]class) {
	for i := range table {
		c := byte(i)
		lower := c | 0x20
		if c == ' ' || '\t' <= c && c <= '\r' {
			table[i] |= isSpace
		}
		if '0' <= c && c <= '9' {
			table[i] |= isDigit | isHex | isWord
		}
		if 'a' <= lower && lower <= 'f' {
			table[i] |= isHex
		}
		if 'a' <= lower && lower <= 'z' || c == '_' || c == '$' || c >= 0x80 {
			table[i] |= isWord
		}
	}
	table['_'] |= isUnderscore
	return table
}()

// is reports whether c is in one of the classes.
func is(c byte, sets class) bool { return classes[c]&sets != 0 }

// run returns the end of the bytes in the classes, starting at s[i].
func run(s string, i int, sets class) int {
	for i < len(s) && classes[s[i]]&sets != 0 {
		i++
	}
	return i
}
