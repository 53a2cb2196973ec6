package tracing

import "strings"

// tokenKind says what a token of a SQL text is.
type tokenKind uint8

const (
	tokEOF        tokenKind = iota
	tokSpace                // white space, or a byte order mark
	tokComment              // "-- ..." or "/* ... */"; an unterminated block comment runs to the end
	tokIdentifier           // a keyword or an unquoted name
	tokQuotedName           // "x", `x` or [x]
	tokString               // 'x'
	tokBlob                 // x'53'
	tokNumber               // 1, 1.5, .5, 1., 1e-3, 0xFF, 1_000
	tokParam                // ?, ?1, :a, @a, $a, #a, $a::b(c)
	tokPunct                // an operator, a parenthesis, a comma, a dot, a semicolon
	tokIllegal              // what SQLite calls an unrecognized token
)

// token is the part [start, end) of a text.
type token struct {
	kind       tokenKind
	start, end int
}

// lexer cuts a SQL text into tokens where SQLite would cut it: it follows
// sqlite3GetToken in SQLite's src/tokenize.c, because a literal that the two
// of us see differently is a literal that leaks. It allocates nothing.
//
// SQLite reads up to the first NUL; the caller cuts the text there.
type lexer struct {
	sql string
	pos int
}

// next returns the token at hand and steps over it. At the end of the text it
// keeps returning tokEOF.
func (l *lexer) next() token {
	t := token{kind: tokEOF, start: l.pos, end: l.pos}
	if l.pos < len(l.sql) {
		n := 0
		t.kind, n = scan(l.sql[l.pos:])
		l.pos += n
		t.end = l.pos
	}
	return t
}

// scan returns the kind and the length of the token that s starts with.
// s is not empty.
func scan(s string) (tokenKind, int) {
	switch c := s[0]; c {
	case ' ', '\t', '\n', '\f', '\r':
		// A vertical tab goes on white space but does not start it.
		return tokSpace, run(s, 1, func(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' })
	case '-':
		switch {
		case at(s, 1) == '-':
			if i := strings.IndexByte(s, '\n'); i >= 0 {
				return tokComment, i
			}
			return tokComment, len(s)
		case at(s, 1) == '>' && at(s, 2) == '>':
			return tokPunct, 3
		}
		return tokPunct, operator(s, ">")
	case '/':
		// A "/*" with nothing after it is two operators.
		if at(s, 1) != '*' || len(s) == 2 {
			return tokPunct, 1
		}
		if i := strings.Index(s[2:], "*/"); i >= 0 {
			return tokComment, 2 + i + 2
		}
		return tokComment, len(s)
	case '(', ')', ';', ',', '+', '*', '%', '&', '~':
		return tokPunct, 1
	case '=':
		return tokPunct, operator(s, "=")
	case '<':
		return tokPunct, operator(s, "=><")
	case '>':
		return tokPunct, operator(s, "=>")
	case '|':
		return tokPunct, operator(s, "|")
	case '!':
		if at(s, 1) == '=' {
			return tokPunct, 2
		}
		return tokIllegal, 1
	case '\'', '"', '`':
		return scanQuoted(s)
	case '[':
		if i := strings.IndexByte(s, ']'); i >= 0 {
			return tokQuotedName, i + 1
		}
		return tokIllegal, len(s)
	case '?':
		return tokParam, run(s, 1, isDigit)
	case '$', '@', '#', ':':
		return scanParam(s)
	case '.':
		if isDigit(at(s, 1)) {
			return scanNumber(s)
		}
		return tokPunct, 1
	case 'x', 'X':
		if at(s, 1) == '\'' {
			return scanBlob(s)
		}
		return tokIdentifier, run(s, 1, isIdent)
	default:
		switch {
		case isDigit(c):
			return scanNumber(s)
		case strings.HasPrefix(s, byteOrderMark):
			return tokSpace, len(byteOrderMark)
		case isIdent(c):
			return tokIdentifier, run(s, 1, isIdent)
		}
		return tokIllegal, 1
	}
}

// byteOrderMark is white space to SQLite wherever a token may start.
const byteOrderMark = "\xef\xbb\xbf"

// scanQuoted scans what an apostrophe, a double quote or a backtick opens. The
// delimiter is doubled to stand for itself; a backslash means nothing.
func scanQuoted(s string) (tokenKind, int) {
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			continue
		}
		if at(s, i+1) == s[0] {
			i++
			continue
		}
		if s[0] == '\'' {
			return tokString, i + 1
		}
		return tokQuotedName, i + 1
	}
	return tokIllegal, len(s)
}

// scanBlob scans x'...'. What is not an even number of hexadecimal digits is
// illegal up to the next quote, that quote included.
func scanBlob(s string) (tokenKind, int) {
	i := run(s, 2, isHex)
	if at(s, i) == '\'' && i%2 == 0 {
		return tokBlob, i + 1
	}
	if j := strings.IndexByte(s[i:], '\''); j >= 0 {
		return tokIllegal, i + j + 1
	}
	return tokIllegal, len(s)
}

// scanNumber scans a number, with the digit separators of SQLite 3.46. The
// grammar checks later where a separator may stand; a name that follows without
// a space makes the whole illegal.
func scanNumber(s string) (tokenKind, int) {
	digits := func(c byte) bool { return isDigit(c) || c == '_' }
	i := 0
	if s[0] == '0' && at(s, 1)|0x20 == 'x' && isHex(at(s, 2)) {
		i = run(s, 3, func(c byte) bool { return isHex(c) || c == '_' })
	} else {
		i = run(s, 0, digits)
		if at(s, i) == '.' {
			i = run(s, i+1, digits)
		}
		if at(s, i)|0x20 == 'e' {
			j := i + 1
			if c := at(s, j); c == '+' || c == '-' {
				j++
			}
			if isDigit(at(s, j)) {
				i = run(s, j, digits)
			}
		}
	}
	if j := run(s, i, isIdent); j > i {
		return tokIllegal, j
	}
	return tokNumber, i
}

// scanParam scans a named parameter, in the form of a Tcl variable too:
// "::" may stand inside the name and "(...)" without white space after it.
func scanParam(s string) (tokenKind, int) {
	named := false
	i := 1
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case isIdent(c):
			named = true
			continue
		case c == ':' && at(s, i+1) == ':':
			i++
			continue
		case c == '(' && named:
			for i++; i < len(s) && s[i] != ')'; i++ {
				if s[i] == ' ' || '\t' <= s[i] && s[i] <= '\r' {
					return tokIllegal, i
				}
			}
			if i == len(s) {
				return tokIllegal, i
			}
			return tokParam, i + 1
		}
		break
	}
	if !named {
		return tokIllegal, i
	}
	return tokParam, i
}

// at is s[i], or 0 past the end, as it would be in SQLite's C string.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// run returns where the run of bytes that satisfy ok ends, starting at i.
func run(s string, i int, ok func(byte) bool) int {
	for i < len(s) && ok(s[i]) {
		i++
	}
	return i
}

// operator is the length of an operator whose second byte, if any, is one of second.
func operator(s, second string) int {
	if c := at(s, 1); c != 0 && strings.IndexByte(second, c) >= 0 {
		return 2
	}
	return 1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// isIdent is SQLite's IdChar: what may go on an unquoted name. It starts one
// too, except for digits and '$'.
func isIdent(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 || isDigit(c) || c == '$'
}

// keywords holds https://sqlite.org/lang_keywords.html, and whether a keyword is
// reserved. Another may be a name where the grammar leaves room for one (see
// %fallback in SQLite's src/parse.y).
var keywords = func() map[string]keyword {
	m := make(map[string]keyword, 147)
	for _, word := range strings.Fields(`
		ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMN CONFLICT
		CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFERRED DESC DETACH DO
		EACH END EXCLUDE EXCLUSIVE EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FULL GENERATED GLOB
		GROUPS IF IGNORE IMMEDIATE INDEXED INITIALLY INNER INSTEAD KEY LAST LEFT LIKE MATCH
		MATERIALIZED NATURAL NO NULLS OF OFFSET OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING
		QUERY RAISE RANGE RECURSIVE REGEXP REINDEX RELEASE RENAME REPLACE RESTRICT RIGHT ROLLBACK
		ROW ROWS SAVEPOINT TEMP TEMPORARY TIES TRIGGER UNBOUNDED VACUUM VIEW VIRTUAL WINDOW WITH
		WITHOUT`) {
		m[word] = keyword{word, false}
	}
	for _, word := range strings.Fields(`
		ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE
		DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FOREIGN FROM GROUP HAVING
		IN INDEX INSERT INTERSECT INTO IS ISNULL JOIN LIMIT NOT NOTHING NOTNULL NULL ON OR ORDER
		PRIMARY REFERENCES RETURNING SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING
		VALUES WHEN WHERE`) {
		m[word] = keyword{word, true}
	}
	return m
}()

// keyword is a keyword in upper case, or nothing.
type keyword struct {
	word     string
	reserved bool
}

// keywordOf returns the keyword that t is.
func keywordOf(sql string, t token) keyword {
	var upper [len("CURRENT_TIMESTAMP")]byte
	n := t.end - t.start
	if t.kind != tokIdentifier || n > len(upper) {
		return keyword{}
	}
	for i := range n {
		c := sql[t.start+i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return keywords[string(upper[:n])]
}

// remainder says what follows the trusted part of a text.
type remainder uint8

const (
	restNone    remainder = iota
	restComment           // a comment that does not end, which SQLite accepts
	restBroken            // what SQLite's tokenizer refuses, or hardly what was meant
)

// trusted cuts sql where its quotes stop making sense, and says why.
//
// An apostrophe that was not doubled ('O'Brien') turns the rest of a text inside
// out: what was within quotes is read as SQL. It shows in a quote without an end,
// in a character that SQLite refuses, or in a quoted token that touches a name.
// Which of the quotes is to blame is unknown, so nothing is trusted from the first
// literal on, or from the first quote like the one in doubt.
func trusted(sql string) (string, remainder) {
	l := lexer{sql: sql}
	first := [len(delimiters)]int{len(sql), len(sql), len(sql), len(sql)}
	doubt := func(t token) (string, remainder) {
		end := min(t.start, first[0])
		if i := strings.IndexByte(delimiters, sql[t.start]); i >= 0 {
			end = min(end, first[i])
		}
		return sql[:end], restBroken
	}
	var last token
	for {
		t := l.next()
		switch t.kind {
		case tokEOF:
			return sql, restNone
		case tokComment:
			if s := sql[t.start:t.end]; s[0] == '/' && (len(s) < 4 || !strings.HasSuffix(s, "*/")) {
				return sql[:t.start], restComment
			}
		case tokQuotedName:
			i := strings.IndexByte(delimiters, sql[t.start])
			first[i] = min(first[i], t.start)
		case tokString, tokBlob:
			first[0] = min(first[0], t.start)
		case tokParam:
			if sql[t.start] == '#' { // undocumented in SQLite, and a comment elsewhere
				return doubt(t)
			}
		case tokIllegal:
			// Of a malformed number or blob, at least the end is known.
			switch c := sql[t.start]; {
			case isDigit(c) || c == '.':
			case c|0x20 == 'x' && t.end-t.start > 2 && quoted(sql, t):
				first[0] = min(first[0], t.start)
			default:
				return doubt(t)
			}
		}
		if last.end == t.start && (quoted(sql, last) && solid(sql, t) || quoted(sql, t) && solid(sql, last)) {
			if !quoted(sql, last) {
				last = t
			}
			return doubt(last)
		}
		last = t
	}
}

// delimiters opens quoted tokens: literals first, then names.
const delimiters = "'\"`["

// quoted reports whether t is within quotes. Brackets are none here: float[8] is
// what some virtual tables call a type.
func quoted(sql string, t token) bool {
	return t.end > t.start && strings.IndexByte("'\"`", sql[t.end-1]) >= 0 && t.kind != tokComment
}

// solid reports whether t may not touch such a token. An operator may, and so
// may a keyword, as in LIKE'x%'.
func solid(sql string, t token) bool {
	switch t.kind {
	case tokIdentifier:
		return keywordOf(sql, t).word == ""
	case tokQuotedName, tokString, tokBlob, tokNumber, tokParam, tokIllegal:
		return true
	}
	return false
}

// cursor is at a token that is neither white space nor comment.
type cursor struct {
	lex       lexer
	tok       token
	key       keyword // what keyword tok is
	prev      string  // the keyword before it
	gap       int     // where the white space before it starts
	commented bool    // whether that holds a comment
	bound     bool    // there has been a parameter
}

// advance takes the next token.
func (c *cursor) advance() {
	c.prev, c.gap, c.commented = c.key.word, c.tok.end, false
	for {
		c.tok = c.lex.next()
		if c.tok.kind != tokSpace && c.tok.kind != tokComment {
			break
		}
		if c.tok.kind == tokComment || c.text() == byteOrderMark {
			c.commented = true
		}
	}
	c.bound = c.bound || c.tok.kind == tokParam
	c.key = keywordOf(c.lex.sql, c.tok)
}

// peek returns the token after the one at hand.
func (c *cursor) peek() (token, keyword) {
	for ahead := c.lex; ; {
		if t := ahead.next(); t.kind != tokSpace && t.kind != tokComment {
			return t, keywordOf(c.lex.sql, t)
		}
	}
}

func (c *cursor) text() string { return c.lex.sql[c.tok.start:c.tok.end] }

// is reports whether the token at hand is the punctuation mark b.
func (c *cursor) is(b byte) bool { return c.tok.kind == tokPunct && c.text() == string(b) }

// end reports whether the statement ends here.
func (c *cursor) end() bool { return c.tok.kind == tokEOF || c.is(';') }

// named reports whether the token at hand is a name.
func (c *cursor) named() bool {
	return c.tok.kind == tokIdentifier && !c.key.reserved || c.tok.kind == tokQuotedName
}

// table reports whether the token at hand can name a table, where nothing else
// can stand: there SQLite takes a string for a name.
func (c *cursor) table() bool { return c.named() || c.tok.kind == tokString }

// alone reports whether the token at hand is the last one before the keyword, or
// before the end of the statement.
func (c *cursor) alone(before string) bool {
	t, key := c.peek()
	return t.kind == tokEOF || t.kind == tokPunct && c.lex.sql[t.start] == ';' || key.word == before && before != ""
}
