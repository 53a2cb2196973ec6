package driver

import (
	"context"
	"database/sql/driver"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A PoolConn is a connection for a pool below database/sql, such as package
// pool's: besides what database/sql asks of a connection, it tells what a pool
// must know before it lends the connection to somebody else.
//
// Like every driver's, it is used by one goroutine at a time.
type PoolConn interface {
	Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger

	// Wrapped is what lends the connection and takes it back.
	Wrapped() *wrap.Conn

	// SQLite returns SQLite's connection. Unlike with Raw, what the connection
	// keeps stays: nothing may be done to it that changes what a text means.
	SQLite() *sqlite3.Conn

	// Ask prepares a query, or finds it prepared, and returns what SQLite says of it. It
	// executes nothing; but to prepare a PRAGMA is to execute it, and so the query must be
	// none.
	Ask(ctx context.Context, query string) (Answer, error)

	// Watch begins to note what is prepared on a connection of a watched connector: see
	// [Connector.Watch]. What Config.Init and hooks have done before is not counted. It
	// reports whether SQLite tells what that is: not if the program has set an authorizer
	// of its own, which is left in place.
	Watch() bool

	// Changed reports whether a statement was prepared since Watch that may have changed
	// the connection: a PRAGMA with a value, ATTACH, DETACH, or one that makes, drops or
	// fills a temporary object. Transactions are not counted.
	Changed() bool

	// Prepared reports whether anything was prepared since it was last called, or Watch.
	Prepared() bool

	// InTheWay returns what was in the way of the call that has just ended with
	// sqlite3.BUSY, and, if that was a connection of this process, which. Both are
	// empty if it is not known: but for what the code says, it is with
	// [tracing.Config].Details alone.
	InTheWay(err error) (Reason, ConnID)

	// CheckSize fails with [ErrFileLost] if the database's file or its WAL is shorter
	// than what SQLite takes it to hold. It reads the first page.
	CheckSize() error

	// Forget lets go of the statements that the connection keeps. Another one
	// may have changed what their texts mean.
	Forget()

	// Reset ends every statement under way, which keeps its transaction open.
	Reset()
}

var _ PoolConn = &conn{}

// Acquisition begins an acquire of one of the connector's connections.
func (c *Connector) Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition {
	return c.opener.Acquisition(ctx, lane)
}

// Dial is Connect for a pool: the connection is nobody's until it is lent. o says for
// which acquire it is opened; it may be nil.
func (c *Connector) Dial(ctx context.Context, o *wrap.Opening) (PoolConn, error) {
	w, err := c.opener.OpenFor(ctx, o, c.dial)
	if err != nil {
		return nil, err
	}
	made := newConn(w)
	c.connected(made)
	return made, nil
}

// Follow has the connector open the file that first's connections have opened, or
// none, and tells each of the two what the other learns of it. It must be called
// before either has opened a connection.
func (c *Connector) Follow(first *Connector) { c.location = first.location }

// Watch has every connection of the connector note what SQLite prepares on it, from
// [PoolConn.Watch] on, and keep query_only as it is. It must be called before a connection
// is opened.
func (c *Connector) Watch() { c.watches = true }

// LookAfterFile compares what the names of the database, its -wal and its -shm lead
// to with what the connections have open. It returns an error that is [ErrFileLost]
// if they are not the same, and any other if that cannot be found out. It opens
// nothing. It may be called by any goroutine.
func (c *Connector) LookAfterFile() error {
	if err := c.location.checkName(); err != nil {
		return err
	}
	if f := c.location.file.Load(); f != nil {
		return f.check()
	}
	return nil
}

// FileLost returns [ErrFileLost] if that is known. It looks at nothing.
func (c *Connector) FileLost() error { return c.location.lostError() }

// Limits has a pool's limits measured until stop is called.
func (c *Connector) Limits(limits func() tracing.PoolLimits) (stop func()) {
	return c.opener.Limits(limits)
}

func (c *conn) Wrapped() *wrap.Conn { return c.w }

func (c *conn) SQLite() *sqlite3.Conn {
	c.session.quotes.known = false // a hook of the pool's may change it
	if c.session.locks != nil {
		c.session.locks.foreign = true // a hook of the pool's may install a busy handler
	}
	return c.Conn
}

func (c *conn) Ask(ctx context.Context, query string) (answer Answer, err error) {
	err = c.w.Do(func() error {
		s := c.session
		st, err := s.kept(ctx, query)
		if st == nil && err == nil {
			st, err = s.prepare(ctx, queryKindOf(query), query)
		}
		if err != nil {
			return err
		}
		answer = Answer{ReadOnly: st.readOnly, Session: st.session}
		// The next call is likely to execute it, if it can be on this connection.
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

func (c *conn) InTheWay(err error) (Reason, ConnID) {
	if w := c.session.locks; w != nil {
		return Reason(w.lastBusy.reason), w.lastBusy.holder
	}
	return Reason(busyCode(err)), 0
}

func (c *conn) CheckSize() error { return c.session.checkSize() }

func (c *conn) Forget() { c.session.cache.forget() }

func (c *conn) Reset() {
	for stmt := range c.Conn.Stmts() {
		stmt.Reset()
	}
}
