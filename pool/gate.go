package pool

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

var (
	_ core.Session = &conn{}
	_ wrap.Gate    = &conn{}
)

// Enter implements [wrap.Gate].
func (c *conn) Enter() error {
	if err := c.Stopped(); err != nil {
		return err
	}
	if c.lease.inGate {
		return nil
	}
	c.lease.called = true
	c.doing.enter()
	c.checkWrites()
	if c.reads {
		c.pool.routing.steps.Enter()
	} else {
		c.pool.routing.steps.EnterWriter()
	}
	c.lease.inGate = true
	c.sync.enter()
	return nil
}

// Leave implements [wrap.Gate].
func (c *conn) Leave() {
	if !c.lease.inGate {
		return
	}
	c.lease.inGate = false
	c.sync.leave()
	c.doing.leave()
	if !c.Lease().Panicked() {
		c.updateTxStart()
		c.updateSQLTx()
	}
	if c.reads {
		c.pool.routing.steps.Leave()
	} else {
		c.pool.routing.steps.LeaveWriter()
	}
}

// Failed implements [wrap.Gate].
func (c *conn) Failed(err error) error {
	c.pool.recordFileLost(err)
	c.pool.recordNotSynced(err)
	// If the context has ended, the caller has given up.
	if errors.Is(err, sqlite3.BUSY) && (c.lease.calls == nil || c.lease.calls.Err() == nil) {
		c.pool.recordBusy(c, err)
	}
	c.recordWriteErr(err)
	return c.withTimeLimit(err)
}

// Panicked implements [wrap.Gate].
func (c *conn) Panicked() {
	if s := c.shell.Load(); s != nil {
		s.panicked()
	}
}

// leaseContext is the context of a call on a leased connection. It ends with the caller's
// context, and when the pool takes the connection away.
type leaseContext struct {
	context.Context
	conn  *conn
	began time.Time // zero if there is no StatementTimeout
}

var _ instrument.LeaseContext = &leaseContext{}

// Caller implements [instrument.LeaseContext].
func (w *leaseContext) Caller() context.Context { return w.Context }

func (w *leaseContext) Err() error {
	if w.conn.Stopped() != nil {
		return context.Canceled
	}
	if err := w.Context.Err(); err != nil {
		return err
	}
	if w.statementTimedOut() {
		return context.DeadlineExceeded
	}
	return nil
}

// context returns the context for a call with this query. It does not wrap the context of an
// empty query. That may be a savepoint, which ncruces' driver recognizes by the type of the
// context.
func (c *conn) context(ctx context.Context, t *route.Query) context.Context {
	if t != nil {
		if t.Text == "" {
			c.sync.defers = false
			return ctx
		}
		c.doing.last.Store(t)
		if t.Begins {
			c.lease.begins = true
		}
	}
	if c.lease.called && !c.doing.tx.Load() && c.doing.txStart.Load() == 0 && c.Lease().OpenRows() == 0 {
		// This is not the first call: nothing has been read since the last one.
		c.doing.readStart.Store(time.Now().UnixNano())
	}
	c.lease.calls, c.lease.timedOut = ctx, nil
	c.sync.defers = t != nil && c.mayDefer(t)
	w := &leaseContext{Context: ctx, conn: c}
	if c.pool.cfg.StatementTimeout > 0 {
		w.began = time.Now()
	}
	return w
}

// Copies implements [wrap.Gate].
func (c *conn) Copies() bool { return c.pool.cfg.takesAway() }

// Hold implements [wrap.Gate].
func (c *conn) Hold() error {
	if !c.pool.cfg.takesAway() {
		return nil
	}
	if s := c.shell.Load(); s != nil {
		s.callMu.Lock()
		c.lease.lockedShell = s
	}
	if c.lease.takenAway {
		return c.Stopped()
	}
	return nil
}

// Drop implements [wrap.Gate].
func (c *conn) Drop() {
	if s := c.lease.lockedShell; s != nil {
		c.lease.lockedShell = nil
		s.callMu.Unlock()
	}
}
