package driver

import (
	"database/sql/driver"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
)

// DefaultStatementCache is the default number of statements that each connection keeps.
const DefaultStatementCache = 100

// maxCachedQuery is the length in bytes of the longest query that is cached. A longer one
// probably holds data.
const maxCachedQuery = 16 << 10

// cacheBudget limits the bytes of the queries that one connection caches, and that all
// connections cache. SQLite's own memory for the statements counts against its memory
// limit.
var cacheBudget = budget.New(2<<20, 64<<20)

// eagerStatements is the number of statements cached at their first use. Any other
// statement is cached from its second use on.
const eagerStatements = 8

// CacheStats holds the statement cache counters of all connections of a [Connector].
type CacheStats struct {
	Hits          uint64 // calls that used a cached statement
	Misses        uint64 // calls that had to prepare a statement of a kind that may be cached
	Evictions     uint64 // statements removed to make room
	Invalidations uint64 // statements removed because the schema or the connection may have changed
}

// cacheCounters are the counters behind CacheStats.
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

// baseStmt has the methods of the plain driver's statements, which embed a *sqlite3.Stmt.
type baseStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
	sqliteStmt
}

// A cachedStmt is a prepared statement, in the cache or not. Only one call at a time uses
// it. If two calls with the same query overlap, the second prepares a statement of its own.
type cachedStmt struct {
	base        baseStmt
	query       string
	readOnly    bool
	session     bool // see Answer.Session
	kept        bool // it is in the cache
	unclean     bool // bindings may be left from a failed call
	inUse       bool
	closed      bool
	forNextCall bool   // not in the cache, but putAsked may keep it for the next call
	neverKept   bool   // never in the cache, because there is none or the query is too long
	age         uint64 // the cache's age when the statement was taken
	used        uint64 // the cache's clock when the statement was taken

	// Properties of its columns, and SQLite's count of preparations when they were read.
	names      []string
	scans      []scanType
	decls      []string
	reprepared int
	blobs      bool // a row has had a BLOB, or a column is declared as one

	values []any // buffer for reading a row

	rows rows // rows of a query by the connection itself

	newer, older *cachedStmt // neighbors in order of use
}

// bytes estimates the Go memory that keeping the statement takes.
func (st *cachedStmt) bytes() int { return len(st.query) + 256 }

// close closes the statement. Rows that the program has left open then have no columns, as
// with the plain driver.
func (st *cachedStmt) close() error {
	st.closed = true
	st.names, st.scans, st.decls = nil, nil, nil
	return st.base.Close()
}

// A stmtCache caches the statements of one connection by their query. The zero stmtCache
// caches none.
//
// Caching must not slow down queries that are not cached. So after the first few, a query
// is not cached at its first use. In a full cache, the least recently used statement makes
// room only if the new query's previous use is more recent. Otherwise, if a program cycles
// through more queries than fit, it would find none of them cached and pay for caching
// each.
//
// A statement outlives the schema for which it was prepared. SQLite prepares it again when
// it is stepped, and rows take care of that before they report columns. The cache still
// drops statements when the program changes the schema or the connection. Then errors come
// from the same call as in the plain driver, and nothing of the earlier state remains.
type stmtCache struct {
	size     int
	counters *cacheCounters
	stmts    map[string]*cachedStmt
	newest   *cachedStmt
	oldest   *cachedStmt
	age      uint64 // counts changes that may alter what a query means
	clock    uint64 // counts queries
	history  useHistory
	share    *budget.Share // budget used by stmts; nil before the first

	// asked is a statement that is not in the cache but was passed to putAsked. The next
	// call may use it.
	asked   *cachedStmt
	changed bool // the current transaction has changed the schema

	// suspended disables the cache: the current transaction has savepoints, and the program
	// may roll back to one unseen.
	suspended bool
}

// take returns a free cached statement for query, or nil.
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

// countMiss counts a query for which take returned nil.
func (c *stmtCache) countMiss(kind queryKind) {
	if c.size > 0 && kind == queryData {
		c.counters.misses.Add(1)
	}
}

// add wraps a newly prepared statement, which is in use. It caches the statement if the
// cache has room, does not have the query yet, and can reuse the statement. A statement
// that writes and returns rows cannot be reused, because it writes only at its first row.
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
	if c.size <= 0 || len(query) > maxCachedQuery {
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

// remember records the last use of a query that is not cached.
func (c *stmtCache) remember(st *cachedStmt) {
	c.history.note(st.query, st.used, max(2*c.size, 4*eagerStatements))
}

// admits reports whether a query may be cached, and makes room for it if so.
func (c *stmtCache) admits(query string) bool {
	full := len(c.stmts) >= c.size
	if !full && len(c.stmts) < eagerStatements {
		return true
	}
	last, again := c.history.last(query)
	return again && (!full || c.evict(last))
}

// affords takes the bytes of a statement from the budget, and makes room for them. It
// reports whether that worked.
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

// evict removes the least recently used free statement, if its last use is before last.
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

// put takes back a statement that is not being stepped. If the statement is not cached, put
// closes it and returns the error.
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

// putAsked takes back a statement that was prepared but not executed. It keeps the
// statement for the next call, which may have the same query. That call does not count as a
// second use.
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

// before must be called with every query that is not cached, before it is prepared or
// executed.
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

// waitsForTxEnd reports whether the cache must change when the current transaction ends.
func (c *stmtCache) waitsForTxEnd() bool { return c.changed || c.suspended }

// txEnded must be called when no transaction is open any more. It is not certain whether
// the changes were committed or rolled back.
func (c *stmtCache) txEnded() {
	if c.changed {
		c.forget()
	}
	c.changed, c.suspended = false, false
}

// forget drops all statements. Those in use are dropped when they are put back.
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

// drop removes a statement from the cache.
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
