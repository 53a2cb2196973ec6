package sqltext

// A Lexer cuts a text into tokens. It is a value: a copy of it reads on from the same
// place, independently, which is how to look ahead.
//
// Every byte of the text is in exactly one token.
type Lexer struct {
	text string // up to where it ends for the engine
	pos  int
}

// Next returns the next token. At the end of the text, it returns [EOF] again and again.
func (l *Lexer) Next() Token {
	start := l.pos
	if start >= len(l.text) {
		return Token{EOF, start, start}
	}
	kind, n := sqliteToken(l.text[start:])
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

// Text returns the text that is read: up to the first NUL byte.
func (l *Lexer) Text() string { return l.text }

// A Cursor stands at a token that is neither white space nor a comment, and knows what
// stands before it and after it.
type Cursor struct {
	Lexer

	// Token is the token at the cursor, and Key is the keyword that it is.
	Token Token
	Key   Keyword

	// Before is the significant token before it, and BeforeKey is the keyword that it is.
	// At the first token, Before is the zero Token: an empty EOF at offset 0.
	Before    Token
	BeforeKey Keyword
}

// Advance moves to the next significant token.
func (c *Cursor) Advance() {
	c.Before, c.BeforeKey = c.Token, c.Key
	c.Token = c.NextSignificant()
	c.Key = KeywordOf(c.text, c.Token)
}

// Peek returns the significant token after the one at the cursor.
func (c *Cursor) Peek() (Token, Keyword) {
	ahead := c.Lexer
	t := ahead.NextSignificant()
	return t, KeywordOf(c.text, t)
}

// Written returns the token at the cursor as it is written.
func (c *Cursor) Written() string { return c.text[c.Token.Start:c.Token.End] }

// Name reports whether the token at the cursor can be a name in an expression: a word
// that is not reserved, or a quoted name.
func (c *Cursor) Name() bool {
	return c.Token.Kind == Word && !c.Key.Reserved || c.Token.Kind == Quoted
}

// ObjectName reports whether the token at the cursor can name a table or a schema.
// Where only that can stand, SQLite also takes a string for a name.
func (c *Cursor) ObjectName() bool { return c.Name() || c.Token.Kind == String }
