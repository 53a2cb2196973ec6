package cluster

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A conn is a connection of a lane, idle or leased to one caller. Only its holder may use it. Other
// goroutines may use the atomic fields, calls, and what [core.Conn] allows them.
type conn struct {
	core.Conn
	wrapped *wrap.Conn
	pool    *Pool
	lane    *core.Lane
	server  *server
	epoch   uint64 // of the server when it was opened
	term    uint64 // the same

	checked  int64                 // when the server last said what it is on this connection; Unix nanoseconds
	shell    atomic.Pointer[shell] // that has leased it; nil if none has
	doing    activity
	calls    calls
	readOnly bool // the open transaction is read-only
	sqlTx    bool // a query has left a transaction open
}

// An activity is what a lease does. Any goroutine may read it.
type activity struct {
	tx    atomic.Bool // a transaction of BeginTx is open
	sqlTx atomic.Bool // conn.sqlTx
	last  atomic.Pointer[query]
	steps atomic.Uint64 // twice the number of calls, plus 1 while one is under way
	raw   atomic.Bool   // the holder has the driver's connection
}

// A query is the SQL of a call. It implements [core.Summarizer].
type query struct {
	sql  string
	pool *Pool
}

// Summary returns what errors and the page show of the query, which has no values.
func (q *query) Summary() string { return q.pool.summary(q.sql) }

var (
	_ core.Session     = &conn{}
	_ core.Checker     = &conn{}
	_ core.Interrupter = &conn{}
)

// leased returns the connection that a lane has lent.
func leased(c *core.Conn, err error) (*conn, error) {
	if c == nil {
		return nil, err
	}
	return c.Session().(*conn), nil
}

func (c *conn) release() { c.lane.Release(&c.Conn) }

// Lease implements [core.Session].
func (c *conn) Lease() wrap.Lease { return c.wrapped.Lease() }

// Check implements [core.Checker]. It resets the session as database/sql does. It asks the server for
// its role if another of its connections has broken since then, or after Config.ValidateAfter.
func (c *conn) Check(ctx context.Context, now time.Time) (why wrap.Reason) {
	if c.isReplaced() {
		return wrap.ReasonReset
	}
	idle := c.pool.cfg.ValidateAfter
	if c.checked <= c.server.broken.Load() || idle > 0 && now.Sub(c.IdleSince()) >= idle {
		if !c.isGood(ctx) {
			return wrap.ReasonInvalid
		}
		c.checked = now.UnixNano()
	}
	if r, ok := c.wrapped.Parent().(driver.SessionResetter); ok {
		var err error
		c.Lease().Use(func() { err = r.ResetSession(ctx) })
		if errors.Is(err, driver.ErrBadConn) { // database/sql ignores any other error
			return wrap.ReasonBad
		}
	}
	return ""
}

// isReplaced reports whether the connection must be replaced by a new one.
func (c *conn) isReplaced() bool { return c.epoch != c.server.epoch.Load() }

// isRetired reports whether the connection must not be used any more.
func (c *conn) isRetired() bool { return c.term != c.server.term.Load() }

// isGood asks the server for its role on this connection.
func (c *conn) isGood(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.pool.cfg.CheckTimeout)
	defer cancel()
	var role Role
	var err error
	c.Lease().Use(func() { role, err = c.pool.cfg.Role(ctx, c.wrapped.Parent()) })
	return err == nil && c.pool.roster.accepts(role, c.pool.servesStandbys(c.lane))
}

// Interrupt implements [core.Interrupter].
func (c *conn) Interrupt() { c.calls.interrupt() }

// Taking implements [core.Session].
func (c *conn) Taking(time.Time) {}

// Begun implements [core.Session].
func (c *conn) Begun() {
	c.doing.tx.Store(false)
	c.doing.sqlTx.Store(false)
	c.doing.raw.Store(false)
	c.doing.last.Store(nil)
}

// Returning implements [core.Session].
func (c *conn) Returning() {
	if c.doing.steps.Load()%2 == 1 { // a panic has passed
		c.Leave()
	}
	c.calls.end()
}

// CleanUp implements [core.Session]. A transaction that a query has left open ends with the
// connection.
func (c *conn) CleanUp() wrap.Reason {
	c.readOnly = false
	switch {
	case c.sqlTx:
		c.sqlTx = false
		c.pool.recordDirty(c)
		return wrap.ReasonDirty
	case c.isReplaced():
		return wrap.ReasonReset
	}
	return ""
}

// Ended implements [core.Session].
func (c *conn) Ended() { c.doing.last.Store(nil) }

// Closing implements [core.Session].
func (c *conn) Closing(context.Context, bool) {}

// Kept implements [core.Session]. What a program leaves on a connection is not kept for it.
func (c *conn) Kept() bool { return false }

// Activity implements [core.Session].
func (c *conn) Activity() core.Activity {
	steps := c.doing.steps.Load()
	a := core.Activity{Tx: c.doing.tx.Load() || c.doing.sqlTx.Load(), Steps: steps / 2, Running: steps%2 == 1, Unseen: c.doing.raw.Load()}
	if q := c.doing.last.Load(); q != nil {
		a.Last = q
	}
	return a
}

// begin prepares a call with a query, and returns its context.
func (c *conn) begin(ctx context.Context, q *query) context.Context {
	if q != nil {
		c.doing.last.Store(q)
	}
	return c.calls.begin(ctx)
}

// executed records what a query that has been executed may leave behind.
func (c *conn) executed(q *query) {
	if open := leavesTx(q.sql, c.sqlTx); open != c.sqlTx {
		c.sqlTx = open
		c.doing.sqlTx.Store(open)
	}
}

// leavesTx reports whether a transaction is open after a query, if one was before it.
func leavesTx(text string, open bool) bool {
	// START TRANSACTION is PostgreSQL's.
	statements := sqltext.SQLite.Statements(text)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		switch {
		case st.Explain:
		case st.Verb == sqltext.Begin, sqltext.EqualFold(text[st.VerbStart:st.Body], "START"):
			open = true
		case st.Verb == sqltext.Commit, st.Verb == sqltext.Rollback && !isPartial(text, st):
			open = false
		}
	}
	return open
}

// isPartial reports whether a ROLLBACK is only to a savepoint.
func isPartial(text string, st sqltext.Statement) bool {
	c := sqltext.SQLite.CursorOf(text, st)
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		if c.Key.Word == "TO" {
			return true
		}
	}
	return false
}
