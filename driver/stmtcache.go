package driver

import (
	"database/sql/driver"
	"strings"
	"sync/atomic"
)

// DefaultStatementCache is how many statements a connection keeps if it is not
// told.
const DefaultStatementCache = 100

// A text that is longer, in bytes, is not kept: it is likely to hold data.
const maxCachedText = 16 << 10

// eager is how many statements are kept of the texts that come first. Of any other,
// one is kept from its second use on.
const eager = 8

// CacheStats counts what became of statements, on all connections of a
// [Connector] together.
type CacheStats struct {
	Hits          uint64 // calls served by a statement that was kept
	Misses        uint64 // calls for which one had to be prepared, of a kind that may be kept
	Evictions     uint64 // statements let go for lack of room
	Invalidations uint64 // statements let go because the schema or the connection may have changed
}

// cacheCounters are CacheStats, being counted.
type cacheCounters struct {
	hits, misses, evictions, invalidations atomic.Uint64
}

func (c *cacheCounters) stats() CacheStats {
	return CacheStats{
		Hits:          c.hits.Load(),
		Misses:        c.misses.Load(),
		Evictions:     c.evictions.Load(),
		Invalidations: c.invalidations.Load(),
	}
}

// baseStmt is what a statement of the plain driver can do: it is a *sqlite3.Stmt.
type baseStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
	sqliteStmt
}

// A cachedStmt is a prepared statement, kept or not. Only one call uses it at
// a time: that of two calls with the same text at once, the second prepares
// one of its own.
type cachedStmt struct {
	base     baseStmt
	query    string
	readOnly bool
	kept     bool // it is in the cache
	unclean  bool // a failure may have left bindings
	inUse    bool
	closed   bool
	passing  bool   // it is not kept because its text may never come again
	stepping bool   // it is being stepped, or a panic passed while it was
	age      uint64 // the cache's, when it was taken
	used     uint64 // the cache's clock, when it was taken

	// What is known of its columns, and how often SQLite had prepared it again
	// when that was read.
	names      []string
	scans      []scanType
	reprepared int
	blobs      bool // it has had some

	values []any // room to read a row into

	rows rows // of a query that is not the program's own statement

	newer, older *cachedStmt // in order of use
}

// close finalises the statement. Rows that a program has left open know no
// columns then, as the plain driver's.
func (st *cachedStmt) close() error {
	st.closed = true
	st.names, st.scans = nil, nil
	return st.base.Close()
}

// A stmtCache keeps the statements of one connection, by their text. The zero
// stmtCache keeps none.
//
// One that is kept must not cost those that are not. So a text that may never come
// again is not kept, once there are a few; and where there is no room, one gives way
// only if it has not been used since the text that is to take its place was used
// last. Else a program that goes through more texts than are kept would find none of
// them, and pay for keeping each.
//
// A statement outlives the schema it was prepared for, and SQLite then prepares
// it again when it is stepped. The rows see to that, before they tell of
// columns. What is let go here when the program changes the schema or the
// connection is for errors to come from the call that the plain driver returns
// them from, and for nothing to be left of what was there before.
type stmtCache struct {
	size     int
	counters *cacheCounters
	stmts    map[string]*cachedStmt
	newest   *cachedStmt
	oldest   *cachedStmt
	age      uint64 // counts what may have changed what a text means
	clock    uint64 // counts texts asked for
	others   recency

	// aside is a statement that was only asked about, and is not kept: for the
	// call that asked.
	aside   *cachedStmt
	changed bool // the schema, in the transaction at hand

	// suspended says that what is kept is not used: the transaction at hand has
	// savepoints that the program may roll back to unseen.
	suspended bool
}

// take returns the statement kept for query, if there is one that is free.
func (c *stmtCache) take(query string) *cachedStmt {
	c.clock++
	st := c.stmts[query]
	if st == nil && c.aside != nil && c.aside.query == query {
		st = c.aside
	}
	if st == nil || st.inUse || c.suspended {
		return nil
	}
	c.counters.hits.Add(1)
	switch st {
	case c.newest:
	case c.aside:
		c.aside = nil
	default:
		c.unlink(st)
		c.link(st)
	}
	st.inUse, st.age, st.used = true, c.age, c.clock
	return st
}

// missed is told of a text that take had nothing for.
func (c *stmtCache) missed(kind textKind) {
	if c.size > 0 && kind == textData {
		c.counters.misses.Add(1)
	}
}

// add takes in a statement that was prepared just now, in use. It is kept if
// there is a cache, and no other of the same text in it, and if it can be used
// again: a statement that writes and returns rows writes at its first row only.
func (c *stmtCache) add(kind textKind, query string, base baseStmt) *cachedStmt {
	st := &cachedStmt{base: base, query: query, readOnly: base.ReadOnly(), inUse: true, age: c.age, used: c.clock}
	if c.size <= 0 || c.suspended || kind != textData || len(query) > maxCachedText || c.stmts[query] != nil {
		return st
	}
	if !st.readOnly && base.ColumnCount() > 0 {
		return st
	}
	if !c.admits(query) {
		c.remember(st)
		st.passing = true
		return st
	}
	if c.stmts == nil {
		c.stmts = make(map[string]*cachedStmt)
	}
	st.kept = true
	c.stmts[query] = st
	c.link(st)
	return st
}

// remember notes when a text that is not kept came last.
func (c *stmtCache) remember(st *cachedStmt) {
	c.others.note(st.query, st.used, max(2*c.size, 4*eager))
}

// admits reports whether a text is to be kept, and makes room for it if it is.
func (c *stmtCache) admits(query string) bool {
	full := len(c.stmts) >= c.size
	if !full && len(c.stmts) < eager {
		return true
	}
	last, again := c.others.last(query)
	return again && (!full || c.evict(last))
}

// evict lets go of the statement that was used longest ago and is free, if that is
// before last.
func (c *stmtCache) evict(last uint64) bool {
	for st := c.oldest; st != nil && st.used < last; st = st.newer {
		if !st.inUse {
			c.drop(st)
			c.remember(st)
			st.close()
			c.counters.evictions.Add(1)
			return true
		}
	}
	return false
}

// put gives back a statement that is not being stepped. It returns the error
// of closing one that is not kept.
func (c *stmtCache) put(st *cachedStmt) error {
	st.inUse = false
	if st.kept && (st.age != c.age || st.stepping) {
		c.drop(st)
		c.counters.invalidations.Add(1)
	}
	if !st.kept {
		return st.close()
	}
	if st.unclean {
		st.unclean = false
		st.base.ClearBindings()
	}
	return nil
}

// setAside gives back a statement that was only asked about: the next call may be of
// its text, and is then not a use of it besides.
func (c *stmtCache) setAside(st *cachedStmt) error {
	if !st.passing || c.suspended || st.age != c.age {
		return c.put(st)
	}
	old := c.aside
	c.aside, st.inUse = st, false
	if old != nil {
		return old.close()
	}
	return nil
}

// before is told of every text before it is prepared or executed.
func (c *stmtCache) before(kind textKind, query string) {
	if kind == textData && severalStatements(query) {
		kind = textOther
	}
	switch kind {
	case textOther:
		c.changed = true
		c.forget()
	case textRollback:
		if c.changed {
			c.forget()
		}
	}
}

// unsettled reports whether the end of the transaction at hand would change what
// is to be kept.
func (c *stmtCache) unsettled() bool { return c.changed || c.suspended }

// settled is told that no transaction is at hand any more: whether what it
// changed was committed or rolled back, and by whom, is not known for certain.
func (c *stmtCache) settled() {
	if c.changed {
		c.forget()
	}
	c.changed, c.suspended = false, false
}

// forget lets go of all statements: of those in use, when they are put back.
func (c *stmtCache) forget() {
	c.age++
	if st := c.aside; st != nil {
		c.aside = nil
		st.close()
	}
	for st := c.oldest; st != nil; {
		next := st.newer
		if !st.inUse {
			c.drop(st)
			st.close()
			c.counters.invalidations.Add(1)
		}
		st = next
	}
}

// drop takes a statement out of the cache.
func (c *stmtCache) drop(st *cachedStmt) {
	st.kept = false
	delete(c.stmts, st.query)
	c.unlink(st)
}

func (c *stmtCache) link(st *cachedStmt) {
	st.older, st.newer = c.newest, nil
	if c.newest != nil {
		c.newest.newer = st
	} else {
		c.oldest = st
	}
	c.newest = st
}

func (c *stmtCache) unlink(st *cachedStmt) {
	if st.newer != nil {
		st.newer.older = st.older
	} else {
		c.newest = st.older
	}
	if st.older != nil {
		st.older.newer = st.newer
	} else {
		c.oldest = st.newer
	}
}

// A textKind is what the first word of a text says of it.
type textKind uint8

const (
	textOther    textKind = iota // may change the schema or the connection
	textEmpty                    // no statement
	textData                     // reads or writes rows
	textRollback                 // undoes what a transaction, or part of it, has done
	textNeutral                  // changes nothing of what is kept: transactions and EXPLAIN
)

func kindOf(query string) textKind {
	word := firstWord(query)
	if word == "" && strings.TrimLeft(skipSpace(query), ";") == "" {
		return textEmpty
	}
	switch len(word) {
	case 3:
		if strings.EqualFold(word, "END") {
			return textNeutral
		}
	case 4:
		if strings.EqualFold(word, "WITH") {
			return textData
		}
	case 5:
		if strings.EqualFold(word, "BEGIN") {
			return textNeutral
		}
	case 6:
		switch {
		case strings.EqualFold(word, "SELECT"), strings.EqualFold(word, "INSERT"),
			strings.EqualFold(word, "UPDATE"), strings.EqualFold(word, "DELETE"), strings.EqualFold(word, "VALUES"):
			return textData
		case strings.EqualFold(word, "COMMIT"):
			return textNeutral
		}
	case 7:
		switch {
		case strings.EqualFold(word, "REPLACE"):
			return textData
		case strings.EqualFold(word, "EXPLAIN"):
			return textNeutral
		case strings.EqualFold(word, "RELEASE"):
			return textNeutral
		}
	case 8:
		if strings.EqualFold(word, "ROLLBACK") {
			return textRollback
		}
	case 9:
		if strings.EqualFold(word, "SAVEPOINT") {
			return textNeutral
		}
	}
	return textOther
}

// firstWord returns the first word of a text, which is what kind of statement
// it is, or "" if it begins with anything else.
func firstWord(query string) string {
	query = skipSpace(query)
	n := 0
	for n < len(query) && (query[n]|0x20 >= 'a' && query[n]|0x20 <= 'z' || query[n] == '_') {
		n++
	}
	return query[:n]
}

// skipSpace leaves out what SQLite does before a statement: white space,
// comments, semicolons, and a byte order mark. At a NUL the text ends.
// https://sqlite.org/lang_comment.html
func skipSpace(query string) string {
	for query != "" {
		switch c := query[0]; {
		case c == ' ' || c >= '\t' && c <= '\r' || c == ';':
			query = query[1:]
		case strings.HasPrefix(query, "\uFEFF"):
			query = query[len("\uFEFF"):]
		case strings.HasPrefix(query, "--"):
			i := strings.IndexByte(query, '\n')
			if i < 0 {
				return ""
			}
			query = query[i+1:]
		case strings.HasPrefix(query, "/*"):
			i := strings.Index(query[2:], "*/")
			if i < 0 {
				return ""
			}
			query = query[2+i+2:]
		case c == 0:
			return ""
		default:
			return query
		}
	}
	return ""
}

// severalStatements reports whether there may be a statement behind the first.
// A semicolon in a literal counts: to be wrong that way costs little.
func severalStatements(query string) bool {
	i := strings.IndexByte(query, ';')
	return i >= 0 && skipSpace(query[i+1:]) != ""
}
