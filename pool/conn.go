package pool

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A conn is a physical connection of a lane, idle or leased to one caller.
//
// Only its holder may use it, because SQLite is built without locks. Other goroutines may only
// use the atomic fields and lease, which mu guards.
type conn struct {
	driver.PoolConn
	lane             *lane
	shell            atomic.Pointer[shell] // that has leased it; nil if none has
	expires          time.Time             // zero if it does not expire
	generation       uint64                // of the lane when it was opened
	idleSince        time.Time
	hotSince         time.Time // readers: start of use without pauses; see yieldToWriter
	seenWrites       uint64    // readers: the gate's count of writes at the last lease
	answered         time.Time // when it was opened, or last answered a ping
	extra            bool      // its turn is beyond the lane's limit
	marks            marks     // session state that queries have left on it
	schema           uint64    // file.schema when it last dropped its cached statements
	schemaChanging   bool      // it may have changed the schema, or is about to
	attached         string    // files attached when it was opened
	watched          bool      // readers: an authorizer reports what is prepared on it
	initialState     string    // readers, if not watched: connState when it was opened
	writePragmas     [3]bool   // writer: values when it was opened; see writePragmas
	recheckPragmas   bool      // a pragma has been set since pragmasDiffer was computed
	pragmasDiffer    bool      // writePragmas have changed
	recheckMarks     bool      // at its release, find out whether its marks still apply
	recheckJournal   bool      // at its release, read the journal mode
	pagesWritten     int64     // when checkWrites last ran
	writtenAtFailure uint64    // failures.writes when checkWrites last ran

	turn        turn                  // of the holder, on a writer
	calls       context.Context       // context of the last call of the lease
	called      bool                  // it has been called since it was leased or opened
	inGate      bool                  // it has passed the step gate, or had when it panicked
	stopped     atomic.Pointer[error] // if set, the error of every call
	timedOut    *TimeLimitError       // of the last call; nil if it was in time
	takenAway   bool                  // see takeAway
	lockedShell *shell                // the shell whose callMu its rows hold
	rawLent     bool                  // the holder has SQLite's connection, or a savepoint

	mu    sync.Mutex // guards the fields of lease that are not atomic
	lease lease
}

// A lease describes the current use of a connection, for errors, events and Stats.
type lease struct {
	used         bool
	since        time.Time
	trace        trace.TraceID
	owner        string // see WithOwner
	stack        []uintptr
	leakReported bool // a leak has been reported

	tx        atomic.Bool  // a transaction of BeginTx is open
	txStart   atomic.Int64 // Unix nanoseconds; 0 if there is no transaction, or no limit needs it
	readStart atomic.Int64 // Unix nanoseconds; 0 means since
	last      atomic.Pointer[parsedQuery]
}

var _ wrap.Gate = &conn{}

// beginLease starts the lease of a connection that Lend has been called for. owner is the
// caller's name.
func (c *conn) beginLease(owner string, now time.Time) {
	var stack []uintptr
	if c.lane.pool.tracksStacks {
		var pcs [32]uintptr
		stack = append(stack, pcs[:runtime.Callers(3, pcs[:])]...)
	}
	id := c.Lease().Trace()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lease
	l.used, l.since, l.trace, l.owner, l.stack, l.leakReported = true, now, id, owner, stack, false
	l.tx.Store(false)
	l.readStart.Store(0)
	l.txStart.Store(0)
	c.rawLent = false
	l.last.Store(nil)
}

// endLease ends the lease. It returns whether a leak was reported, and how long the lease was.
func (c *conn) endLease(now time.Time) (leaked bool, held time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lease
	l.used, l.stack = false, nil
	l.last.Store(nil) // the query may be long
	c.calls = nil
	return l.leakReported, now.Sub(l.since)
}

// Enter implements [wrap.Gate].
func (c *conn) Enter() error {
	if err := c.stopped.Load(); err != nil {
		return *err
	}
	if c.inGate {
		return nil
	}
	c.called = true
	c.checkWrites()
	if c.lane.reads {
		c.lane.pool.steps.enter()
	} else {
		c.lane.pool.steps.enterWriter()
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
	if c.lane.reads {
		c.lane.pool.steps.leave()
	} else {
		c.lane.pool.steps.leaveWriter()
	}
}

// Failed implements [wrap.Gate].
func (c *conn) Failed(err error) error {
	c.lane.pool.recordFileLost(err)
	// If the context has ended, the caller has given up.
	if errors.Is(err, sqlite3.BUSY) && (c.calls == nil || c.calls.Err() == nil) {
		c.lane.pool.recordBusy(c, err)
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

// stop makes all further calls on the connection fail with err. A running call ends when SQLite
// next checks its context.
func (c *conn) stop(err error) { c.stopped.CompareAndSwap(nil, &err) }

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
	if w.conn.stopped.Load() != nil {
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
		c.lease.last.Store(t)
	}
	if c.called && !c.lease.tx.Load() && c.lease.txStart.Load() == 0 && c.Lease().OpenRows() == 0 {
		// This is not the first call: nothing has been read since the last one.
		c.lease.readStart.Store(time.Now().UnixNano())
	}
	c.calls, c.timedOut = ctx, nil
	w := &leaseContext{Context: ctx, conn: c}
	if c.lane.pool.cfg.StatementTimeout > 0 {
		w.began = time.Now()
	}
	return w
}

// needsCleanUp reports whether cleanUp has something to do.
func (c *conn) needsCleanUp() bool {
	asked := c.called
	c.called = false
	return c.recheckJournal || c.recheckMarks || asked && !c.inNoTransaction() || c.lane.reads && (c.Changed() || !c.watched && c.Prepared())
}

// inNoTransaction reports whether no transaction is open.
func (c *conn) inNoTransaction() bool {
	raw := c.SQLite()
	return raw.GetAutocommit() && (!c.lane.reads || raw.TxnState("") == sqlite3.TXN_NONE)
}

// cleanUp prepares a connection that is given back for its next user. dirty reports whether the
// program had left a transaction open. If the connection must be closed, why is the reason. A
// reader that has changed since it was opened must be closed.
func (c *conn) cleanUp() (why wrap.Reason, dirty bool) {
	raw := c.SQLite()
	if old := raw.SetInterrupt(context.Background()); old != context.Background() {
		defer raw.SetInterrupt(old)
	}
	if c.recheckJournal {
		c.recheckJournal = false
		defer c.lane.pool.afterJournal(c)
	}
	if c.recheckMarks {
		c.recheckMarks = false
		defer c.lane.pool.recheckMarks(c)
	}
	why, dirty = c.rollBack()
	if c.lane.reads && why == "" && (dirty || c.isChanged()) {
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
	if c.lane.pool.cfg.Dirty == DirtyDiscard {
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
	if c.schemaChanging = !done || !c.SQLite().GetAutocommit(); !c.schemaChanging {
		c.lane.pool.file.schema.Add(1)
	}
}

// refreshSchema makes a reader see schema changes by other connections. SQLite sees them only
// when a statement is stepped, which is too late for the query to fail.
func (c *conn) refreshSchema() *conn {
	if n := c.lane.pool.file.schema.Load(); n != c.schema {
		c.schema = n
		c.Forget()
		// If this fails, the program's query reports the error.
		_ = c.SQLite().Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
	}
	return c
}

// info returns the description of the connection for hooks.
func (c *conn) info(now time.Time) ConnInfo {
	w := c.Lease()
	info := ConnInfo{ID: c.ID(), Lane: c.lane.name, Age: w.Age(now), Uses: w.Uses()}
	if !c.idleSince.IsZero() {
		info.Idle = now.Sub(c.idleSince)
	}
	return info
}

// sqliteTimeout limits what the pool itself does on a connection, and how long its goroutines
// wait for hooks. It is as long as the default busy timeout.
const sqliteTimeout = 5 * time.Second
