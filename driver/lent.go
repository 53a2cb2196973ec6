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

	// OnlyReads prepares a text, or finds it prepared, and reports whether
	// executing it would change nothing, as SQLite sees it. It executes
	// nothing; but to prepare a PRAGMA is to execute it, and so no text is to
	// be given to it that may be one.
	// https://sqlite.org/c3ref/stmt_readonly.html
	OnlyReads(ctx context.Context, query string) (bool, error)

	// InTheWay returns what was in the way of the call that has just ended with
	// sqlite3.BUSY, and, if that was a connection of this process, which. Both are
	// empty if it is not known: but for what the code says, it is with
	// [tracing.Config].Details alone.
	InTheWay(err error) (Reason, ConnID)

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

// Dial is Connect for a pool: the connection is nobody's until it is lent. a is
// the acquire that it is opened for, or nil.
func (c *Connector) Dial(ctx context.Context, a *wrap.Acquisition) (PoolConn, error) {
	w, err := c.opener.OpenFor(ctx, a, c.dial)
	if err != nil {
		return nil, err
	}
	return newConn(w), nil
}

// Limits has a pool's limits measured until stop is called.
func (c *Connector) Limits(limits func() tracing.PoolLimits) (stop func()) {
	return c.opener.Limits(limits)
}

func (c *conn) Wrapped() *wrap.Conn { return c.w }

func (c *conn) SQLite() *sqlite3.Conn {
	if c.session.locks != nil {
		c.session.locks.foreign = true // a hook of the pool's may install a busy handler
	}
	return c.Conn
}

func (c *conn) OnlyReads(ctx context.Context, query string) (bool, error) {
	readOnly := false
	err := c.w.Do(func() error {
		s := c.session
		st, err := s.kept(ctx, query)
		if st == nil && err == nil {
			st, err = s.prepare(ctx, kindOf(query), query)
		}
		if err != nil {
			return err
		}
		readOnly = st.readOnly
		return s.cache.setAside(st)
	})
	return readOnly, err
}

func (c *conn) InTheWay(err error) (Reason, ConnID) {
	if w := c.session.locks; w != nil {
		return Reason(w.blamed.reason), w.blamed.holder
	}
	return Reason(busyCode(err)), 0
}

func (c *conn) Forget() { c.session.cache.forget() }

func (c *conn) Reset() {
	for stmt := range c.Conn.Stmts() {
		stmt.Reset()
	}
}
