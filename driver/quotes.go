package driver

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// quotes is how SQLite takes a name in double quotes, for the queries that spans show.
// https://sqlite.org/quirks.html#dblquote
type quotes struct {
	strings  bool // it may take it for a string
	known    bool // strings is right
	rawInUse bool // the program has SQLite's connection, and may change it at any time
}

var _ tracing.DoubleQuoter = &session{}

// DoubleQuotedStrings implements [tracing.DoubleQuoter]. To ask SQLite takes about 80 ns, so
// it asks only where the answer may have changed: after Config.Init or a hook of a pool, and
// while the program has SQLite's connection.
func (s *session) DoubleQuotedStrings() bool {
	if q := &s.quotes; !q.known || q.rawInUse {
		raw := s.baseConn.Raw()
		queries, err := raw.Config(sqlite3.DBCONFIG_DQS_DML)
		definitions, err2 := raw.Config(sqlite3.DBCONFIG_DQS_DDL)
		// Where it cannot be known, a literal must not be shown.
		q.strings = queries || definitions || err != nil || err2 != nil
		q.known = true
	}
	return s.quotes.strings
}
