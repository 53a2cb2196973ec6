package driver

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A queryKind says how a query may affect the cached statements, as far as the verb of its
// first statement shows.
type queryKind uint8

const (
	queryOther    queryKind = iota // may change the schema or the connection
	queryEmpty                     // no statement
	queryData                      // reads or writes rows
	queryRollback                  // undoes a transaction or a part of one
	queryNeutral                   // affects no cached statement: transactions and EXPLAIN
)

func queryKindOf(query string) queryKind {
	head := sqltext.SQLite.Head(query)
	switch {
	case head.Verb == sqltext.Empty:
		return queryEmpty
	case head.Explain && head.Verb != sqltext.Pragma: // EXPLAIN of a PRAGMA executes it
		return queryNeutral
	case head.Verb.Rows():
		return queryData
	}
	switch head.Verb {
	case sqltext.Begin, sqltext.Commit, sqltext.Savepoint, sqltext.Release:
		return queryNeutral
	case sqltext.Rollback:
		return queryRollback
	}
	return queryOther
}

// severalStatements reports whether SQLite would have to read more after the first
// statement of a query: another statement, or invalid SQL.
func severalStatements(query string) bool {
	if strings.IndexByte(query, ';') < 0 {
		return false
	}
	statements := sqltext.SQLite.Statements(query)
	st, _ := statements.Next()
	l := sqltext.SQLite.Lexer(query[st.Tail:])
	for {
		switch t := l.Next(); t.Kind {
		case sqltext.EOF:
			return false
		case sqltext.Comment, sqltext.Semicolon:
		case sqltext.Space:
			// At a byte order mark, the plain driver sees another statement when it
			// prepares. SQLite does not when it executes.
			if query[st.Tail+t.Start] > ' ' {
				return true
			}
		default:
			return true
		}
	}
}

// namesBusyTimeout reports whether a query may read or set the busy timeout: it names the
// pragma, or the pragma's table-valued function.
func namesBusyTimeout(query string) bool {
	const pragma, table = "busy_timeout", "pragma_busy_timeout"
	// For most queries, it is enough to look at the words around underscores.
	for i := 0; ; i++ {
		n := strings.IndexByte(query[i:], '_')
		if n < 0 {
			return false
		}
		i += n
		if start := i - len("busy"); start >= 0 && sqltext.HasPrefixFold(query[start:], pragma) {
			break
		}
	}
	l := sqltext.SQLite.Lexer(query)
	for {
		switch t := l.Next(); t.Kind {
		case sqltext.EOF:
			return false
		case sqltext.Word, sqltext.Quoted, sqltext.String:
			name := sqltext.Unquote(t.Text(query))
			if sqltext.EqualFold(name, pragma) || sqltext.EqualFold(name, table) {
				return true
			}
		}
	}
}
