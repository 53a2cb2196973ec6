package driver

import (
	"database/sql/driver"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
)

// DefaultStatementCache is how many statements a connection keeps if it is not
// told.
const DefaultStatementCache = 100

// A text that is longer, in bytes, is not kept: it is likely to hold data.
const maxCachedText = 16 << 10

// cacheBudget is for the texts of the statements that a connection keeps, and for those of all
// connections. What SQLite takes for the statements is part of its memory, which has a limit.
var cacheBudget = budget.New(2<<20, 64<<20)

// eager is how many statements are kept of the texts that come first. Of any other,
// one is kept from its second use on.
const eagerStatements = 8

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
	base        baseStmt
	query       string
	readOnly    bool
	session     bool // see Answer
	kept        bool // it is in the cache
	unclean     bool // a failure may have left bindings
	inUse       bool
	closed      bool
	forNextCall bool   // it is not kept because its text may never come again
	neverKept   bool   // it is not kept because nothing is, or its text is long
	age         uint64 // the cache's, when it was taken
	used        uint64 // the cache's clock, when it was taken

	// What is known of its columns, and how often SQLite had prepared it again
	// when that was read.
	names      []string
	scans      []scanType
	decls      []string
	reprepared int
	blobs      bool // it has had some

	values []any // room to read a row into

	rows rows // of a query that is not the program's own statement

	newer, older *cachedStmt // in order of use
}

// bytes is what to keep the statement takes of Go's memory.
func (st *cachedStmt) bytes() int { return len(st.query) + 256 }

// close finalises the statement. Rows that a program has left open know no
// columns then, as the plain driver's.
func (st *cachedStmt) close() error {
	st.closed = true
	st.names, st.scans, st.decls = nil, nil, nil
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
	history  useHistory
	share    *budget.Share // of what stmts keep; nil before the first

	// aside is a statement that was only asked about, and is not kept: for the
	// call that asked.
	asked   *cachedStmt
	changed bool // the schema, in the transaction at hand

	// suspended says that what is kept is not used: the transaction at hand has
	// savepoints that the program may roll back to unseen.
	suspended bool
}

// take returns the statement kept for query, if there is one that is free.
func (c *stmtCache) take(query string) *cachedStmt {
	c.clock++
	st := c.stmts[query]
	if st == nil && c.asked != nil && c.asked.query == query {
		st = c.asked
	}
	if st == nil || st.inUse || c.suspended {
		return nil
	}
	c.counters.hits.Add(1)
	switch st {
	case c.newest:
	case c.asked:
		c.asked = nil
		if st.neverKept {
			st.forNextCall = false
		}
	default:
		c.unlink(st)
		c.link(st)
	}
	st.inUse, st.age, st.used = true, c.age, c.clock
	return st
}

// missed is told of a text that take had nothing for.
func (c *stmtCache) countMiss(kind queryKind) {
	if c.size > 0 && kind == queryData {
		c.counters.misses.Add(1)
	}
}

// add takes in a statement that was prepared just now, in use. It is kept if
// there is a cache, and no other of the same text in it, and if it can be used
// again: a statement that writes and returns rows writes at its first row only.
func (c *stmtCache) add(kind queryKind, query string, base baseStmt) *cachedStmt {
	st := &cachedStmt{base: base, query: query, readOnly: base.ReadOnly(), inUse: true, age: c.age, used: c.clock}
	if c.suspended || kind != queryData || c.stmts[query] != nil {
		return st
	}
	if !st.readOnly && base.ColumnCount() > 0 {
		return st
	}
	if severalStatements(query) {
		return st // the plain driver prepares "SELECT 1; /*", but fails to execute it
	}
	if c.size <= 0 || len(query) > maxCachedText {
		st.neverKept = true
		return st
	}
	if !c.admits(query) || !c.affords(st) {
		c.remember(st)
		st.forNextCall = true
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
	c.history.note(st.query, st.used, max(2*c.size, 4*eagerStatements))
}

// admits reports whether a text is to be kept, and makes room for it if it is.
func (c *stmtCache) admits(query string) bool {
	full := len(c.stmts) >= c.size
	if !full && len(c.stmts) < eagerStatements {
		return true
	}
	last, again := c.history.last(query)
	return again && (!full || c.evict(last))
}

// affords counts the bytes of a statement that is to be kept, and makes room for them. It
// reports whether that can be.
func (c *stmtCache) affords(st *cachedStmt) bool {
	if c.share == nil {
		c.share = cacheBudget.Share()
	}
	if !c.share.CanTake(st.bytes()) {
		return false
	}
	for !c.share.Take(st.bytes()) {
		if !c.evict(c.clock) {
			return false
		}
	}
	return true
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
	if st.kept && st.age != c.age {
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
func (c *stmtCache) putAsked(st *cachedStmt) error {
	if !st.forNextCall || c.suspended || st.age != c.age {
		return c.put(st)
	}
	old := c.asked
	c.asked, st.inUse = st, false
	if old != nil {
		return old.close()
	}
	return nil
}

// before is told of every text before it is prepared or executed.
func (c *stmtCache) before(kind queryKind, query string) {
	if kind == queryData && severalStatements(query) {
		kind = queryOther
	}
	switch kind {
	case queryOther:
		c.changed = true
		c.forget()
	case queryRollback:
		if c.changed {
			c.forget()
		}
	}
}

// unsettled reports whether the end of the transaction at hand would change what
// is to be kept.
func (c *stmtCache) waitsForTxEnd() bool { return c.changed || c.suspended }

// settled is told that no transaction is at hand any more: whether what it
// changed was committed or rolled back, and by whom, is not known for certain.
func (c *stmtCache) txEnded() {
	if c.changed {
		c.forget()
	}
	c.changed, c.suspended = false, false
}

// forget lets go of all statements: of those in use, when they are put back.
func (c *stmtCache) forget() {
	c.age++
	if st := c.asked; st != nil {
		c.asked = nil
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
	c.share.Give(st.bytes())
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
