package sqltext

import "strings"

// A Dialect is a dialect of SQL. The zero Dialect is SQLite's.
//
// Every function that depends on the dialect is a method of Dialect, or of a value made by a
// Dialect. A new dialect needs a function like sqliteToken, which finds the end of a token,
// and a table of keywords. It also needs rules for [Statements] about semicolons that do not
// end a statement.
type Dialect uint8

// SQLite is the exact dialect of SQLite 3.54: see the package documentation.
const SQLite Dialect = 0

// Lexer returns a Lexer at the start of text.
func (d Dialect) Lexer(text string) Lexer {
	if i := strings.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return Lexer{text: text}
}

// Cursor returns a Cursor before the first token of text: call [Cursor.Advance] first.
func (d Dialect) Cursor(text string) Cursor { return Cursor{Lexer: d.Lexer(text)} }

// CursorOf returns a Cursor before the verb of a statement of text. It reads up to the end of
// the statement, before its semicolon.
func (d Dialect) CursorOf(text string, st Statement) Cursor {
	return Cursor{Lexer: Lexer{text: text[:st.End], pos: st.VerbStart}}
}

// Statements returns a Statements at the start of text.
func (d Dialect) Statements(text string) Statements { return Statements{lex: d.Lexer(text)} }

// Head reads only the first words of text, up to the verb of its first statement.
func (d Dialect) Head(text string) Head {
	l := d.Lexer(text)
	return l.head()
}
