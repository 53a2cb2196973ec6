package driver

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// An authorizer records what SQLite is about to do whenever it prepares a statement on the
// connection. Such a statement may belong to a query, to a function of the program, or to a
// virtual table. The authorizer sees all of them, and costs nothing when a statement is
// executed. https://sqlite.org/c3ref/set_authorizer.html
//
// It allows everything except setting query_only; SQLite then leaves that pragma as it is.
type authorizer struct {
	called  bool // SQLite has called authorize
	changes bool // a statement may have changed the connection
	session bool // a statement reads state of its own connection; see Answer.Session
}

// authorize is the callback that SQLite calls. Preparing a PRAGMA may already execute it,
// so a PRAGMA counts as a change even if it is never stepped.
func (a *authorizer) authorize(action sqlite3.AuthorizerActionCode, name, detail, schema, _ string) sqlite3.AuthorizerReturnCode {
	a.called = true
	switch action {
	case sqlite3.AUTH_READ:
		a.session = a.session || sqltext.IsSessionTable(name)
	case sqlite3.AUTH_FUNCTION:
		a.session = a.session || sqltext.IsSessionFunction(detail)
		a.changes = a.changes || sqltext.EqualFold(detail, "load_extension") || sqltext.EqualFold(detail, "fts3_tokenizer")
	case sqlite3.AUTH_PRAGMA:
		if detail == "" || sqltext.PragmaAsks(name) {
			break
		}
		if sqltext.EqualFold(name, "query_only") {
			return sqlite3.AUTH_IGNORE
		}
		a.changes = true
	case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH,
		sqlite3.AUTH_CREATE_TEMP_INDEX, sqlite3.AUTH_CREATE_TEMP_TABLE, sqlite3.AUTH_CREATE_TEMP_TRIGGER, sqlite3.AUTH_CREATE_TEMP_VIEW,
		sqlite3.AUTH_DROP_TEMP_INDEX, sqlite3.AUTH_DROP_TEMP_TABLE, sqlite3.AUTH_DROP_TEMP_TRIGGER, sqlite3.AUTH_DROP_TEMP_VIEW:
		a.changes = true
	case sqlite3.AUTH_INSERT, sqlite3.AUTH_UPDATE, sqlite3.AUTH_DELETE, sqlite3.AUTH_CREATE_VTABLE, sqlite3.AUTH_DROP_VTABLE:
		if schema == "temp" {
			a.changes = true
		}
	case sqlite3.AUTH_ALTER_TABLE:
		if name == "temp" {
			a.changes = true
		}
	}
	return sqlite3.AUTH_OK
}

// maxAuthorizerName is the length in bytes of the longest name that ncruces passes to an
// authorizer. ncruces panics on a longer one.
const maxAuthorizerName = 1_000_000

// guardAuthorizer removes the authorizer before SQLite prepares a query for which ncruces
// might panic in it. It also marks the connection as changed, because later changes go
// unseen. Such queries hold a very long name, or are VACUUM INTO, which makes up its name
// when it is executed.
func (s *session) guardAuthorizer(query string) error {
	if s.authorizer == nil || sqltext.SQLite.Head(query).Verb != sqltext.Vacuum && (len(query) <= maxAuthorizerName || !hasLongToken(query)) {
		return nil
	}
	s.authorizer.changes = true
	return s.baseConn.Raw().SetAuthorizer(nil)
}

func hasLongToken(query string) bool {
	l := sqltext.SQLite.Lexer(query)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		if t.End-t.Start >= maxAuthorizerName {
			return true
		}
	}
	return false
}

// An Answer is what SQLite reports about a prepared statement.
type Answer struct {
	// ReadOnly reports whether executing the statement changes nothing.
	// https://sqlite.org/c3ref/stmt_readonly.html
	ReadOnly bool

	// Session reports whether the statement, or a view that it reads, depends on its own
	// connection. It may read what the last write did, or how the connection is set. It is
	// known only on watched connections; see [Connector.Watch].
	Session bool
}
