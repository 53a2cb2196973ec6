package driver

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A textKind is what a query may do to the statements that a connection keeps, as far as
// the verb of its first statement says.
type queryKind uint8

const (
	queryOther    queryKind = iota // may change the schema or the connection
	queryEmpty                     // no statement
	queryData                      // reads or writes rows
	queryRollback                  // undoes what a transaction, or part of it, has done
	queryNeutral                   // changes nothing of what is kept: transactions and EXPLAIN
)

func queryKindOf(query string) queryKind {
	head := sqltext.SQLite.Head(query)
	switch {
	case head.Verb == sqltext.Empty:
		return queryEmpty
	case head.Explain && head.Verb != sqltext.Pragma: // to explain a PRAGMA is to execute it
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

// severalStatements reports whether anything stands behind the first statement of a query
// that SQLite would have to read: another statement, or what is none.
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
			// The plain driver takes a byte order mark for another statement where it prepares,
			// and SQLite does not where it executes.
			if query[st.Tail+t.Start] > ' ' {
				return true
			}
		default:
			return true
		}
	}
}

// namesBusyTimeout reports whether a query may read or set the busy timeout: whether it names
// the pragma, or the table-valued function of the pragma.
func namesBusyTimeout(query string) bool {
	const pragma, table = "busy_timeout", "pragma_busy_timeout"
	// Of most queries, it is enough to look for what stands around an underscore.
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
