package driver

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// An authorizer notes what SQLite is about to do, whenever it prepares a statement on the
// connection: for a query, for a function of the program's that executes one, or for a
// virtual table. So it knows, whatever the query, at no cost when a statement is executed.
// https://sqlite.org/c3ref/set_authorizer.html
//
// It lets a statement do anything but switch query_only, which SQLite then leaves as it is.
type authorizer struct {
	called  bool // SQLite has asked it
	changes bool // a statement may have changed the connection
	session bool // a statement reads what only its own connection knows; see Answer
}

// authorize is what SQLite asks. To prepare a PRAGMA may be to execute it, so that none is
// taken for one that may never be.
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

// longestName is how long a name may be that ncruces passes to an authorizer, in bytes. At a
// longer one it panics.
const maxAuthorizerName = 1_000_000

// watchable removes the authorizer before a query is prepared by which ncruces might panic
// for it, and takes the connection for changed: from then on it would not be known. Beside a
// long name, VACUUM INTO is such a query, which makes up its name when it is executed.
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

// An Answer is what SQLite says of a statement that it has prepared.
type Answer struct {
	// ReadOnly is whether to execute the statement would change nothing.
	// https://sqlite.org/c3ref/stmt_readonly.html
	ReadOnly bool

	// Session is whether the statement, or a view that it reads, asks what only its own
	// connection knows: what the last write has done, or how the connection is set. It is
	// known on connections that are watched; see [Connector.Watch].
	Session bool
}
