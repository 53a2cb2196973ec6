package driver

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/internal/queryplan"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A PoolConn is a connection for a pool below database/sql, such as package pool. Besides
// what database/sql needs, it reports what a pool must know before it leases the connection
// to the next caller.
//
// As with every driver connection, only one goroutine at a time may use it.
type PoolConn interface {
	Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger

	// Lease returns the wrap.Conn as a pool uses it.
	Lease() wrap.Lease

	// SQLite returns SQLite's connection. Unlike Raw, it keeps the cached statements, so
	// the caller must not change what a query means.
	SQLite() *sqlite3.Conn

	// Ask prepares a query, or finds it prepared, and returns what SQLite reports about it.
	// It executes nothing. The query must not be a PRAGMA, because preparing a PRAGMA may
	// execute it.
	Ask(ctx context.Context, query string) (Answer, error)

	// Watch starts to record what is prepared on a connection of a watched connector; see
	// [Connector.Watch]. It does not count what Config.Init and hooks have done before. It
	// returns false if the program has set its own authorizer, which Watch leaves in place.
	Watch() bool

	// Changed reports whether a statement prepared since Watch may have changed the
	// connection. Such statements are a PRAGMA with a value, ATTACH, DETACH, and those that
	// create, drop or write a temporary object. Transactions do not count.
	Changed() bool

	// Prepared reports whether anything was prepared since the last call of Prepared or
	// Watch.
	Prepared() bool

	// BlockedBy returns what blocked the call that has just failed with sqlite3.BUSY, and
	// which connection of this process that was. Both are zero if unknown. Without
	// [tracing.Config].Details, only what the error code states is known.
	BlockedBy(err error) (Blocker, ConnID)

	// CheckSize fails with [ErrFileLost] if the database file or its WAL is shorter than
	// SQLite expects. It reads the first page.
	CheckSize() error

	// WAL returns the VFS's file of the connection's WAL, or nil if it has none open.
	WAL() any

	// Plan returns how SQLite would execute those statements of a query that read or write rows.
	// It executes nothing.
	Plan(query string) (tracing.Plan, error)

	// Forget drops the connection's cached statements. A pool calls it when another
	// connection may have changed what their queries mean.
	Forget()

	// Reset resets every statement in progress, which would keep its transaction open.
	Reset()
}

var _ PoolConn = &conn{}

// Acquisition starts the acquire of one of the connector's connections.
func (c *Connector) Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition {
	return c.opener.Acquisition(ctx, lane)
}

// Dial opens a connection for a pool, as Connect does for database/sql. No caller holds the
// connection yet. o is the acquire that it is opened for, or nil.
func (c *Connector) Dial(ctx context.Context, o *wrap.Opening) (PoolConn, error) {
	w, err := c.opener.OpenFor(ctx, o, c.dial)
	if err != nil {
		return nil, err
	}
	made := newConn(w)
	c.connected(made)
	return made, nil
}

// Follow makes the connector use the file that the connections of first have opened, or
// fail. Both share what they learn about the file. It must be called before either has
// opened a connection.
func (c *Connector) Follow(first *Connector) { c.location = first.location }

// Watch makes every connection of the connector record what SQLite prepares on it, from
// [PoolConn.Watch] on, and ignore changes of query_only. It must be called before the
// connector opens a connection.
func (c *Connector) Watch() { c.watches = true }

// LookAfterFile checks the names of the database, its -wal and its -shm. They must still
// lead to the files that the connections have open. It returns an [ErrFileLost] if they do
// not, and another error if it cannot check. It opens nothing, and may be called from any
// goroutine.
func (c *Connector) LookAfterFile() error {
	if err := c.location.checkName(); err != nil {
		return err
	}
	if f := c.location.file.Load(); f != nil {
		return f.check()
	}
	return nil
}

// FileLost returns an [ErrFileLost] if the file is already known to be lost. It checks
// nothing.
func (c *Connector) FileLost() error { return c.location.lostError() }

// LoseWAL makes every call on the database fail with [ErrFileLost], because a sync of its -wal has
// failed with err. No connection of the process checkpoints that -wal any more: pages that the
// operating system could not write may be missing in it, and a checkpoint does not look at the
// checksums that would tell. The first connection after the last one is closed does.
func (c *Connector) LoseWAL(err error) {
	if f := c.location.file.Load(); f != nil {
		f.loseWAL(err)
	}
}

// Limits reports a pool's limits as metrics until stop is called.
func (c *Connector) Limits(limits func() instrument.PoolLimits) (stop func()) {
	return c.opener.Limits(limits)
}

// OnSlow has f called after slow calls, at most once a minute for each statement. f must not block.
func (c *Connector) OnSlow(f func(instrument.SlowStatement)) { c.opener.OnSlow(f) }

// PoolStats reports a pool's statistics as metrics until stop is called.
func (c *Connector) PoolStats(stats func() instrument.PoolStats) (stop func()) {
	return c.opener.PoolStats(stats)
}

func (c *conn) Lease() wrap.Lease { return c.w.Lease() }

func (c *conn) SQLite() *sqlite3.Conn {
	c.session.quotes.known = false // a hook of the pool may change it
	if c.session.locks != nil {
		c.session.locks.foreign = true // a hook of the pool may install a busy handler
	}
	return c.Conn
}

func (c *conn) Ask(ctx context.Context, query string) (answer Answer, err error) {
	err = c.w.Lease().Do(func() error {
		s := c.session
		st, err := s.kept(ctx, query)
		if st == nil && err == nil {
			st, err = s.prepare(ctx, queryKindOf(query), query)
		}
		if err != nil {
			return err
		}
		answer = Answer{ReadOnly: st.readOnly, Session: st.session}
		// The next call probably executes this query, if this connection can do so.
		st.forNextCall = st.forNextCall || st.neverKept && st.readOnly && !st.session
		return s.cache.putAsked(st)
	})
	return answer, err
}

func (c *conn) Watch() bool {
	s := c.session
	s.prepared = false
	if s.authorizer == nil {
		return false
	}
	*s.authorizer = authorizer{}
	if stmt, _, err := c.Conn.Prepare("SELECT 1"); err == nil {
		stmt.Close()
	}
	if !s.authorizer.called {
		s.authorizer = nil
	}
	return s.authorizer != nil
}

func (c *conn) Changed() bool {
	a := c.session.authorizer
	return a != nil && a.changes
}

func (c *conn) Prepared() bool {
	prepared := c.session.prepared
	c.session.prepared = false
	return prepared
}

func (c *conn) BlockedBy(err error) (Blocker, ConnID) {
	if w := c.session.locks; w != nil && !w.quiet {
		return Blocker(w.lastBusy.reason), w.lastBusy.holder
	}
	return Blocker(busyCode(err)), 0
}

func (c *conn) CheckSize() error { return c.session.checkSize() }

func (c *conn) WAL() any {
	if s := c.session; s.enterWAL() == nil && s.inWAL {
		return handleOf(c.Conn, sqlite3.FCNTL_JOURNAL_POINTER)
	}
	return nil
}

// foreignKeys returns the columns of a table's foreign keys.
func (c *conn) foreignKeys(table string) (columns []string) {
	st, _, err := c.Conn.Prepare(`SELECT "from" FROM pragma_foreign_key_list(?)`)
	if err != nil {
		return nil
	}
	defer st.Close()
	if st.BindText(1, table) != nil {
		return nil
	}
	for st.Step() {
		columns = append(columns, st.ColumnText(0))
	}
	return columns
}

func (c *conn) Plan(query string) (p tracing.Plan, err error) {
	// An EXPLAIN does not notice that another connection has changed the schema.
	if err := c.Conn.Exec("SELECT 1 FROM sqlite_schema LIMIT 1"); err != nil {
		return p, err
	}
	p.Taken = time.Now()
	if p.Steps, err = c.session.explainPlan(query); err == nil {
		for _, f := range queryplan.Findings(query, p.Steps, c.foreignKeys) {
			p.Findings = append(p.Findings, f.Text)
		}
	}
	return p, err
}

func (c *conn) Forget() { c.session.cache.forget() }

func (c *conn) Reset() {
	for stmt := range c.Conn.Stmts() {
		stmt.Reset()
	}
}
