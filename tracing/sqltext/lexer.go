package sqltext

// A Lexer splits SQL into tokens. It is a value: a copy continues independently from the same
// place, so copy a Lexer to look ahead.
//
// Every byte of the SQL is in exactly one token.
type Lexer struct {
	text    string // up to its end for the engine
	pos     int
	dialect Dialect
	last    Kind // of the token before, if it is part of a qualified name of MySQL; or EOF
}

// Next returns the next token. At the end it returns [EOF], however often it is called.
func (l *Lexer) Next() Token {
	start := l.pos
	if start >= len(l.text) {
		return Token{EOF, start, start}
	}
	if l.dialect != SQLite {
		return l.serverToken(start)
	}
	kind, n := sqliteToken(l.text[start:])
	l.pos = start + n
	return Token{kind, start, l.pos}
}

// serverToken returns the token of PostgreSQL or MySQL that starts at offset start.
func (l *Lexer) serverToken(start int) Token {
	var kind Kind
	var n int
	if l.dialect == PostgreSQL {
		kind, n = postgresToken(l.text[start:])
	} else {
		kind, n = mysqlToken(l.text[start:], l.last)
		switch {
		case kind == Word, kind == Quoted, kind == Dot && (l.last == Word || l.last == Quoted):
			l.last = kind
		default:
			l.last = EOF
		}
	}
	l.pos = start + n
	return Token{kind, start, l.pos}
}

// NextSignificant returns the next token that is neither white space nor a comment.
func (l *Lexer) NextSignificant() Token {
	for {
		if t := l.Next(); t.Kind.Significant() {
			return t
		}
	}
}

// Text returns the SQL that the Lexer reads: up to the first NUL byte.
func (l *Lexer) Text() string { return l.text }

// Dialect returns the dialect that the Lexer reads.
func (l *Lexer) Dialect() Dialect { return l.dialect }

// A Cursor is at a token that is neither white space nor a comment. It knows the tokens
// before and after it.
type Cursor struct {
	Lexer

	// Token is the current token. Key is its keyword, if it is one.
	Token Token
	Key   Keyword

	// Before is the significant token before Token. BeforeKey is its keyword, if it is one.
	// At the first token, Before is the zero Token: an empty EOF at offset 0.
	Before    Token
	BeforeKey Keyword
}

// Advance moves to the next significant token.
func (c *Cursor) Advance() {
	c.Before, c.BeforeKey = c.Token, c.Key
	c.Token = c.NextSignificant()
	c.Key = c.dialect.KeywordOf(c.text, c.Token)
}

// Peek returns the next significant token without advancing.
func (c *Cursor) Peek() (Token, Keyword) {
	ahead := c.Lexer
	t := ahead.NextSignificant()
	return t, c.dialect.KeywordOf(c.text, t)
}

// Written returns the current token as written.
func (c *Cursor) Written() string { return c.text[c.Token.Start:c.Token.End] }

// Name reports whether the current token can be a name in an expression: a word that is not
// reserved, or a quoted name.
func (c *Cursor) Name() bool {
	return c.Token.Kind == Word && !c.Key.Reserved || c.Token.Kind == Quoted
}

// beginsWindow reports whether the current token, WINDOW, begins a WINDOW clause. Otherwise it is a
// name, as for SQLite: it is a keyword only before a name and AS.
func (c *Cursor) beginsWindow() bool {
	next := *c
	if next.Advance(); !next.Name() {
		return false
	}
	next.Advance()
	return next.Key.Word == "AS"
}

// ObjectName reports whether the current token can name a table or a schema. Where only such
// a name can stand, SQLite also accepts a string. To PostgreSQL and MySQL, a string is never a
// name. There, a word that cannot be a table is one, too, unless it begins a clause that may
// stand in its place: FROM user.
func (c *Cursor) ObjectName() bool {
	if c.dialect == SQLite {
		return c.Name() || c.Token.Kind == String
	}
	return c.Token.Kind == Word && !beginsClause(c.Key.Word) || c.Token.Kind == Quoted
}

// beginsClause reports whether a word begins a clause, or changes how the name after it is
// used. Such a word is never the name of a table to PostgreSQL and MySQL.
func beginsClause(word string) bool {
	switch word {
	case "AND", "AS", "CROSS", "EXCEPT", "FOR", "FROM", "GROUP", "HAVING", "IN", "INNER", "INTERSECT", "INTO", "IS", "JOIN", "LATERAL", "LEFT", "LIKE",
		"LIMIT", "NATURAL", "NOT", "OFFSET", "ON", "ONLY", "OR", "ORDER", "RETURNING", "RIGHT", "SELECT", "SET", "STRAIGHT_JOIN", "UNION",
		"USING", "VALUES", "WHEN", "WHERE", "WITH":
		return true
	}
	return false
}
