package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A conn is a physical connection of a lane, idle or leased to one caller.
//
// Only its holder may use it, because SQLite is built without locks. Other goroutines may only
// use the atomic fields, and what [core.Conn] allows them.
type conn struct {
	core.Conn
	driver.PoolConn
	pool  *Pool
	lane  *core.Lane
	reads bool // it is a reader

	initial initialState
	shell   atomic.Pointer[shell] // that has leased it; nil if none has
	doing   activity
	session sessionState
	writes  writeState

	hotSince   time.Time // readers: start of use without pauses; see yieldToWriter
	seenWrites uint64    // readers: the gate's count of writes at the last lease
	schema     uint64    // file.schema when it last dropped its cached statements

	// Of the current lease.
	calls       context.Context // context of the last call
	called      bool            // it has been called since it was leased or opened
	inGate      bool            // it has passed the step gate, or had when it panicked
	timedOut    *TimeLimitError // of the last call; nil if it was in time
	takenAway   bool            // see takeAway
	lockedShell *shell          // the shell whose callMu its rows hold
	rawLent     bool            // the holder has SQLite's connection, or a savepoint
}

// An initialState is the state of a connection when it was opened.
type initialState struct {
	attached     string  // files attached
	watched      bool    // readers: an authorizer reports what is prepared
	state        string  // readers, if not watched: connState
	writePragmas [3]bool // writer: see writePragmas
}

// A sessionState is what queries have left on a writer.
type sessionState struct {
	marks          marks
	schemaChanging bool // it may have changed the schema, or is about to
	recheckPragmas bool // a pragma has been set since pragmasDiffer was computed
	pragmasDiffer  bool // writePragmas have changed
	recheckMarks   bool // at its release, find out whether its marks still apply
	recheckJournal bool // at its release, read the journal mode
}

// A writeState tells whether a writer has written since writes failed.
type writeState struct {
	pagesWritten     int64  // when checkWrites last ran
	writtenAtFailure uint64 // failures.writes when checkWrites last ran
}

// An activity is what a lease does. Any goroutine may read it.
type activity struct {
	tx        atomic.Bool  // a transaction of BeginTx is open
	txStart   atomic.Int64 // Unix nanoseconds; 0 if there is no transaction, or no limit needs it
	readStart atomic.Int64 // Unix nanoseconds; 0 means since the lease began
	last      atomic.Pointer[parsedQuery]
}

var (
	_ core.Session = &conn{}
	_ wrap.Gate    = &conn{}
)

// leased returns the connection that a lane has lent.
func leased(c *core.Conn, err error) (*conn, error) {
	if c == nil {
		return nil, err
	}
	return connOf(c), nil
}

// connOf returns the connection that embeds c.
func connOf(c *core.Conn) *conn { return c.Session().(*conn) }

// release gives a connection back.
func (c *conn) release() { c.lane.Release(&c.Conn) }

// Taking implements [core.Session].
func (c *conn) Taking(now time.Time) {
	if c.reads {
		c.pool.steps.yieldToWriter(c, now)
	}
}

// Begun implements [core.Session].
func (c *conn) Begun() {
	c.doing.tx.Store(false)
	c.doing.readStart.Store(0)
	c.doing.txStart.Store(0)
	c.doing.last.Store(nil)
	c.rawLent = false
}

// Returning implements [core.Session].
func (c *conn) Returning() {
	if c.inGate { // after a panic
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

// Ended implements [core.Session].
func (c *conn) Ended() {
	c.doing.last.Store(nil) // the query may be long
	c.calls = nil
}

// Closing implements [core.Session].
func (c *conn) Closing(ctx context.Context, background bool) {
	if c.session.marks != 0 {
		c.pool.recordMarksLost(c)
	}
	if background && !c.Lease().Panicked() {
		c.SQLite().SetInterrupt(context.WithoutCancel(ctx)) // the context of Term
	}
}

// Kept implements [core.Session].
func (c *conn) Kept() bool { return c.session.marks != 0 }

// Activity implements [core.Session].
func (c *conn) Activity() core.Activity {
	return core.Activity{Last: c.summary(), Tx: c.doing.tx.Load()}
}

// summary returns the summary of the last query, which contains no values.
func (c *conn) summary() string {
	if t := c.doing.last.Load(); t != nil {
		return t.summary()
	}
	return ""
}

// Enter implements [wrap.Gate].
func (c *conn) Enter() error {
	if err := c.Stopped(); err != nil {
		return err
	}
	if c.inGate {
		return nil
	}
	c.called = true
	c.checkWrites()
	if c.reads {
		c.pool.steps.enter()
	} else {
		c.pool.steps.enterWriter()
	}
	c.inGate = true
	return nil
}

// Leave implements [wrap.Gate].
func (c *conn) Leave() {
	if !c.inGate {
		return
	}
	c.inGate = false
	if !c.Lease().Panicked() {
		c.updateTxStart()
	}
	if c.reads {
		c.pool.steps.leave()
	} else {
		c.pool.steps.leaveWriter()
	}
}

// Failed implements [wrap.Gate].
func (c *conn) Failed(err error) error {
	c.pool.recordFileLost(err)
	// If the context has ended, the caller has given up.
	if errors.Is(err, sqlite3.BUSY) && (c.calls == nil || c.calls.Err() == nil) {
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
func (c *conn) context(ctx context.Context, t *parsedQuery) context.Context {
	if t != nil {
		if t.query == "" {
			return ctx
		}
		c.doing.last.Store(t)
	}
	if c.called && !c.doing.tx.Load() && c.doing.txStart.Load() == 0 && c.Lease().OpenRows() == 0 {
		// This is not the first call: nothing has been read since the last one.
		c.doing.readStart.Store(time.Now().UnixNano())
	}
	c.calls, c.timedOut = ctx, nil
	w := &leaseContext{Context: ctx, conn: c}
	if c.pool.cfg.StatementTimeout > 0 {
		w.began = time.Now()
	}
	return w
}

// CleanUp implements [core.Session].
func (c *conn) CleanUp() (why wrap.Reason) {
	if !c.needsCleanUp() {
		return ""
	}
	dirty := false
	// A callback of SQLite may panic, especially in a rollback. No call of the program is left that
	// could report it.
	c.pool.recoverPanics(c.pool.places.callback, func() { c.Lease().Use(func() { why, dirty = c.cleanUp() }) })
	if dirty {
		c.pool.recordDirty(c, why)
	}
	return why
}

// needsCleanUp reports whether cleanUp has something to do.
func (c *conn) needsCleanUp() bool {
	asked := c.called
	c.called = false
	return c.session.recheckJournal || c.session.recheckMarks || asked && !c.inNoTransaction() || c.reads && (c.Changed() || !c.initial.watched && c.Prepared())
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
	if c.session.recheckMarks {
		c.session.recheckMarks = false
		defer c.pool.recheckMarks(c)
	}
	why, dirty = c.rollBack()
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

// recordSchemaChange records a query that may have changed the schema, or a later one that may
// have committed the change. done is false if the query has not been executed yet.
func (c *conn) recordSchemaChange(done bool) {
	if c.session.schemaChanging = !done || !c.SQLite().GetAutocommit(); !c.session.schemaChanging {
		c.pool.base.file.schema.Add(1)
	}
}

// refreshSchema makes a reader see schema changes by other connections. SQLite sees them only
// when a statement is stepped, which is too late for the query to fail.
func (c *conn) refreshSchema() *conn {
	if n := c.pool.base.file.schema.Load(); n != c.schema {
		c.schema = n
		c.Forget()
		// If this fails, the program's query reports the error.
		_ = c.SQLite().Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
	}
	return c
}
