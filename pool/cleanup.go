package pool

import (
	"context"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Returning implements [core.Session].
func (c *conn) Returning() {
	if c.lease.inGate { // after a panic
		c.Leave()
	}
	if c.session.schemaChanging {
		c.session.schemaChanging = false
		c.pool.base.file.schema.Add(1)
	}
	if !c.Lease().Panicked() {
		c.checkWrites()
	}
}

// CleanUp implements [core.Session].
func (c *conn) CleanUp() (why wrap.Reason) {
	if !c.needsCleanUp() {
		return ""
	}
	dirty := false
	// A callback of SQLite may panic, especially in a rollback. No call of the program is left that
	// could report it.
	_ = c.pool.guard.Recover(c.pool.places.callback, func() { c.Lease().Use(func() { why, dirty = c.cleanUp() }) })
	if dirty {
		c.pool.recordDirty(c, why)
	}
	return why
}

// needsCleanUp reports whether cleanUp has something to do.
func (c *conn) needsCleanUp() bool {
	asked := c.lease.called
	c.lease.called = false
	return c.session.recheckJournal || c.session.stale || c.session.differs() || asked && !c.inNoTransaction() || c.reads && (c.Changed() || !c.initial.watched && c.Prepared())
}

// inNoTransaction reports whether no transaction is open.
func (c *conn) inNoTransaction() bool {
	raw := c.SQLite()
	return raw.GetAutocommit() && (!c.reads || raw.TxnState("") == sqlite3.TXN_NONE)
}

// cleanUp prepares a connection that is given back for its next user. dirty reports whether the
// program had left a transaction open. If the connection must be closed, why is the reason. A
// reader that has changed since it was opened must be closed.
func (c *conn) cleanUp() (why wrap.Reason, dirty bool) {
	raw := c.SQLite()
	if old := raw.SetInterrupt(context.Background()); old != context.Background() {
		defer raw.SetInterrupt(old)
	}
	if c.session.recheckJournal {
		c.session.recheckJournal = false
		defer c.pool.afterJournal(c)
	}
	why, dirty = c.rollBack()
	if dirty { // it may have shown what is not on the disk; after an error, every call says so
		_ = c.waitForSeen(context.Background())
	}
	if why == "" {
		if c.session.stale {
			c.pool.refreshSession(c)
		}
		c.pool.leaveSession(c)
	}
	if c.reads && why == "" && (dirty || c.isChanged()) {
		why = wrap.ReasonDirty
	}
	return why, dirty
}

// rollBack ends open transactions and statements. Its results are those of cleanUp.
func (c *conn) rollBack() (why wrap.Reason, dirty bool) {
	raw := c.SQLite()
	if raw.GetAutocommit() {
		if c.inNoTransaction() {
			return "", false
		}
		// A statement that is not closed keeps its read transaction open.
		c.Reset()
		if c.inNoTransaction() {
			return "", false
		}
		return wrap.ReasonDirty, false
	}
	if c.pool.cfg.Dirty == DirtyDiscard {
		return wrap.ReasonDirty, true
	}
	c.Reset()
	if err := raw.Exec("ROLLBACK"); err != nil || !raw.GetAutocommit() {
		return wrap.ReasonDirty, true
	}
	return "", true
}

// Closing implements [core.Session].
func (c *conn) Closing(ctx context.Context, background bool) {
	if c.session.exist() || c.session.left.exist() {
		c.pool.recordSessionLost(c)
	}
	if background && !c.Lease().Panicked() {
		c.SQLite().SetInterrupt(context.WithoutCancel(ctx)) // the context of Term
	}
}
