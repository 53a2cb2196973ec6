package sqltext

import "strings"

// A Dialect is a dialect of SQL. The zero Dialect is SQLite's.
//
// Every function that depends on the dialect is a method of Dialect, or of a value made by a
// Dialect. The functions of this package about names and keywords are SQLite's.
type Dialect uint8

const (
	// SQLite is the exact dialect of SQLite 3.54.
	SQLite Dialect = iota

	// PostgreSQL is the dialect of PostgreSQL 18 and of CockroachDB. It reads the SQL of older
	// versions, too.
	PostgreSQL

	// MySQL is the dialect of MySQL 9 and of MariaDB 11. It reads the SQL of older versions, too.
	MySQL
)

// DialectOf returns the dialect of an engine. system is its db.system.name. It returns false
// for an engine whose SQL this package does not know.
func DialectOf(system string) (Dialect, bool) {
	switch system {
	case "sqlite":
		return SQLite, true
	case "postgresql", "cockroachdb":
		return PostgreSQL, true
	case "mysql", "mariadb":
		return MySQL, true
	}
	return SQLite, false
}

// String returns the name of the dialect.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	}
	return "SQLite"
}

// Lexer returns a Lexer at the start of text.
func (d Dialect) Lexer(text string) Lexer {
	if i := strings.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return Lexer{text: text, dialect: d}
}

// Cursor returns a Cursor before the first token of text: call [Cursor.Advance] first.
func (d Dialect) Cursor(text string) Cursor { return Cursor{Lexer: d.Lexer(text)} }

// CursorOf returns a Cursor before the verb of a statement of text. It reads up to the end of
// the statement, before its semicolon.
func (d Dialect) CursorOf(text string, st Statement) Cursor {
	return Cursor{Lexer: Lexer{text: text[:st.End], pos: st.VerbStart, dialect: d}}
}

// Statements returns a Statements at the start of text.
func (d Dialect) Statements(text string) Statements { return Statements{lex: d.Lexer(text)} }

// Head reads only the first words of text, up to the verb of its first statement.
func (d Dialect) Head(text string) Head {
	l := d.Lexer(text)
	return l.head()
}
