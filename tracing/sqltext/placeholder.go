package sqltext

import "strings"

// Binds reports whether text is one statement that reads or writes rows and has a placeholder
// for an argument. system is the db.system.name of the engine.
//
// It knows enough of PostgreSQL's and MySQL's SQL for this: quotes, comments and
// placeholders. It returns false for any other system. It also returns false for SQL that a
// setting of the server could give another reading.
func Binds(system, text string) bool {
	var next func(string) (foreignKind, int)
	switch system {
	case "postgresql", "cockroachdb":
		next = postgresToken
	case "mysql", "mariadb":
		next = mysqlToken
	default:
		return false
	}
	if strings.IndexByte(text, 0) >= 0 {
		return false
	}
	verb, found, ended := "", false, false
	for text != "" {
		kind, n := next(text)
		if kind != foreignSpace {
			if ended || kind == foreignDoubt {
				return false
			}
			if verb == "" && kind != foreignWord && text[0] != '(' {
				return false
			}
		}
		switch kind {
		case foreignWord:
			if verb == "" {
				if verb = strings.ToUpper(text[:n]); !foreignVerbs[verb] {
					return false
				}
			}
		case foreignPlaceholder:
			found = true
		case foreignEnd:
			ended = true
		}
		text = text[n:]
	}
	return found
}

// foreignVerbs are the verbs of statements that read or write rows. Any other statement may
// contain a password.
var foreignVerbs = map[string]bool{
	"SELECT": true, "VALUES": true, "TABLE": true, "WITH": true, "INSERT": true, "REPLACE": true, "UPDATE": true, "DELETE": true,
	"MERGE": true, "CALL": true,
}

// A foreignKind is the kind of a token in another system's SQL.
type foreignKind uint8

const (
	foreignOther foreignKind = iota
	foreignSpace             // white space or a comment
	foreignWord              // a keyword or a name without quotes
	foreignPlaceholder
	foreignEnd   // the end of a statement
	foreignDoubt // unterminated, or its end depends on a setting
)

// postgresToken returns the kind and the length of the first token of s. s must not be empty.
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html
func postgresToken(s string) (foreignKind, int) {
	switch c := s[0]; {
	case is(c, isSpace):
		return foreignSpace, run(s, 1, isSpace)
	case c == ';':
		return foreignEnd, 1
	case strings.HasPrefix(s, "--"):
		return foreignSpace, foreignLine(s, "\n\r")
	case strings.HasPrefix(s, "/*"):
		return nestedComment(s)
	case c == '\'' || c == '"':
		return foreignQuoted(s)
	case c == '$' && is(at(s, 1), isDigit):
		return foreignPlaceholder, run(s, 1, isDigit)
	case c == '$':
		return dollarQuoted(s)
	case is(c, isDigit): // with a name after it, or a placeholder, which PostgreSQL refuses
		return foreignOther, run(s, 1, isWord)
	case is(c, isWord):
		n := run(s, 1, isWord)
		if n == 1 && c|0x20 == 'e' && at(s, 1) == '\'' { // it has backslash escapes, whatever the setting
			return escapedString(s)
		}
		return foreignWord, n
	}
	return foreignOther, 1
}

// mysqlToken is postgresToken for MySQL and MariaDB.
// https://dev.mysql.com/doc/refman/8.4/en/language-structure.html
func mysqlToken(s string) (foreignKind, int) {
	switch c := s[0]; {
	case is(c, isSpace):
		return foreignSpace, run(s, 1, isSpace)
	case c == ';':
		return foreignEnd, 1
	case c == '#':
		return foreignSpace, foreignLine(s, "\n")
	case strings.HasPrefix(s, "--") && (len(s) == 2 || at(s, 2) <= ' '):
		return foreignSpace, foreignLine(s, "\n")
	case strings.HasPrefix(s, "/*"):
		// Some versions execute the content of such a comment.
		if at(s, 2) == '!' || at(s, 2) == 'M' && at(s, 3) == '!' {
			return foreignDoubt, len(s)
		}
		if i := strings.Index(s[2:], "*/"); i >= 0 {
			return foreignSpace, 2 + i + 2
		}
		return foreignDoubt, len(s)
	case c == '\'' || c == '"' || c == '`': // double quotes enclose names or strings
		return foreignQuoted(s)
	case c == '?':
		return foreignPlaceholder, 1
	case is(c, isWord):
		return foreignWord, run(s, 1, isWord)
	}
	return foreignOther, 1
}

// foreignQuoted reads a quoted token at the start of s, in which a doubled quote is one
// quote. It returns foreignDoubt for a backslash before a quote: a setting decides whether it
// escapes the quote.
func foreignQuoted(s string) (foreignKind, int) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote != '`' && (at(s, i+1) == quote || at(s, i+1) == '\\'):
			return foreignDoubt, len(s)
		case s[i] == quote && at(s, i+1) == quote:
			i++
		case s[i] == quote:
			return foreignOther, i + 1
		}
	}
	return foreignDoubt, len(s)
}

// escapedString reads PostgreSQL's string with backslash escapes: e'it\'s'.
func escapedString(s string) (foreignKind, int) {
	for i := len("e'"); i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && at(s, i+1) == '\'':
			i++
		case s[i] == '\'':
			return foreignOther, i + 1
		}
	}
	return foreignDoubt, len(s)
}

// dollarQuoted reads $$...$$ or $tag$...$tag$.
func dollarQuoted(s string) (foreignKind, int) {
	end := 1
	for end < len(s) && s[end] != '$' && is(s[end], isWord) {
		end++
	}
	if at(s, end) != '$' {
		return foreignOther, 1
	}
	tag := s[:end+1]
	if i := strings.Index(s[len(tag):], tag); i >= 0 {
		return foreignOther, len(tag) + i + len(tag)
	}
	return foreignDoubt, len(s)
}

// nestedComment reads a comment that may contain others.
func nestedComment(s string) (foreignKind, int) {
	depth := 0
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			i += 2
			if depth--; depth == 0 {
				return foreignSpace, i
			}
		default:
			i++
		}
	}
	return foreignDoubt, len(s)
}

// foreignLine returns the length of s up to its first line break, which is any byte of
// breaks.
func foreignLine(s, breaks string) int {
	if i := strings.IndexAny(s, breaks); i >= 0 {
		return i
	}
	return len(s)
}
