package driver

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// quotes caches whether SQLite may read a name in double quotes as a string. Spans that
// show queries depend on it. https://sqlite.org/quirks.html#dblquote
type quotes struct {
	strings  bool // names in double quotes may be strings
	known    bool // the field strings is up to date
	rawInUse bool // the program has SQLite's connection, and may change the setting at any time
}

var _ instrument.DoubleQuoter = &session{}

// DoubleQuotedStrings implements [instrument.DoubleQuoter]. Asking SQLite takes about 80 ns,
// so it asks only if the answer may have changed. That is after Config.Init or a hook of a
// pool, and while the program has SQLite's connection.
func (s *session) DoubleQuotedStrings() bool {
	if q := &s.quotes; !q.known || q.rawInUse {
		raw := s.baseConn.Raw()
		queries, err := raw.Config(sqlite3.DBCONFIG_DQS_DML)
		definitions, err2 := raw.Config(sqlite3.DBCONFIG_DQS_DDL)
		// If the setting is unknown, assume strings, so that no literal is shown.
		q.strings = queries || definitions || err != nil || err2 != nil
		q.known = true
	}
	return s.quotes.strings
}
