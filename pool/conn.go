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
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A conn is a physical connection of a lane: idle there, or leased to one user.
//
// Only whoever has it may touch it: SQLite is built without locks of its own.
// What others may read of it is atomic, or behind facts' lock.
type conn struct {
	driver.PoolConn
	lane             *lane
	shell            atomic.Pointer[shell] // that has leased it; nil for none
	expires          time.Time             // zero for never
	generation       uint64                // of the lane when it was opened
	idleSince        time.Time
	hotSince         time.Time // since when it has had no rest, if it reads; see stepGate.lend
	seenWrites       uint64    // the step gate's count when it was lent last, if it reads
	answered         time.Time // when it last gave a page to a ping, or was opened
	extra            bool      // its turn is beyond the lane's limit
	marks            marks     // what stays in force on it
	schema           uint64    // the file's count when it last let go of what it kept
	schemaChanging   bool      // it may have changed the schema, or be about to
	attached         string    // which files it had when it was opened
	watched          bool      // SQLite tells what is prepared on it, if it reads
	initialState     string    // what it was like when it was opened, if it reads and is not watched
	writePragmas     [3]bool   // how it wrote when it was opened, if it does; see writing
	recheckPragmas   bool      // one was set since that was looked at
	pragmasDiffer    bool      // what was found then
	recheckMarks     bool      // whether its marks still hold is to be looked at when it is given back
	recheckJournal   bool      // the journal mode is to be looked at when it is given back
	pagesWritten     int64     // pages, when that was looked at last; see sawWrites
	writtenAtFailure uint64    // the pool's count of failures then

	turn        turn                  // of who has it, if it writes
	calls       context.Context       // of the last call, while it is leased
	called      bool                  // something, since it was lent or opened
	inGate      bool                  // the step gate is passed, or was when a panic passed
	stopped     atomic.Pointer[error] // the pool has its calls fail, for this reason
	timedOut    *TimeLimitError       // of the last call, if it was
	takenAway   bool                  // the pool has taken it away; see takeAway
	lockedShell *shell                // whose hands its rows have
	rawLent     bool                  // whoever has it has SQLite's own connection, or a savepoint of it

	mu    sync.Mutex
	lease lease
}

// A lease is what is known of a connection's use: for errors, events and Stats
// to say who has it.
type lease struct {
	used         bool
	since        time.Time
	trace        trace.TraceID
	owner        string // as the program names it; see WithOwner
	stack        []uintptr
	leakReported bool // it has been reported

	tx        atomic.Bool  // it has a transaction that BeginTx began
	txStart   atomic.Int64 // when a transaction did, in Unix nanoseconds; 0 if there is none, or nobody asks
	readStart atomic.Int64 // when it began to read, in Unix nanoseconds; 0 for when it was leased
	last      atomic.Pointer[parsedQuery]
}

var _ wrap.Gate = &conn{}

// begin leases the connection, which has been lent, to whom the program calls so.
func (c *conn) beginLease(owner string, now time.Time) {
	var stack []uintptr
	if c.lane.pool.tracksStacks {
		var pcs [32]uintptr
		stack = append(stack, pcs[:runtime.Callers(3, pcs[:])]...)
	}
	id := c.Wrapped().Trace()
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

// end ends the lease and reports whether it had been reported as leaked, and how
// long it was.
func (c *conn) endLease(now time.Time) (leaked bool, held time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lease
	l.used, l.stack = false, nil
	l.last.Store(nil) // which may be long
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
	if !c.Wrapped().Panicked() {
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
	if errors.Is(err, sqlite3.BUSY) && (c.calls == nil || c.calls.Err() == nil) { // else it is the caller who waits no more
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

// stop has the connection's calls fail from now on, and what is under way end
// when SQLite next asks its context.
func (c *conn) stop(err error) { c.stopped.CompareAndSwap(nil, &err) }

// within is the context of a call on a leased connection: the caller's, which
// also ends when the pool takes the connection away.
type leaseContext struct {
	context.Context
	conn  *conn
	began time.Time // zero where there is no limit
}

var _ tracing.LeaseContext = &leaseContext{}

// Caller implements [tracing.LeaseContext].
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

// context returns the context for a call of this text. That of an empty text is
// left as it is: it may be a savepoint, which ncruces' driver knows by its
// context's type.
func (c *conn) context(ctx context.Context, t *parsedQuery) context.Context {
	if t != nil {
		if t.query == "" {
			return ctx
		}
		c.lease.last.Store(t)
	}
	if c.called && !c.lease.tx.Load() && c.lease.txStart.Load() == 0 && c.Wrapped().OpenRows() == 0 {
		c.lease.readStart.Store(time.Now().UnixNano()) // not the first call: it has read nothing since the last
	}
	c.calls, c.timedOut = ctx, nil
	w := &leaseContext{Context: ctx, conn: c}
	if c.lane.pool.cfg.StatementTimeout > 0 {
		w.began = time.Now()
	}
	return w
}

// untidy reports whether there is anything for tidy to do.
func (c *conn) needsCleanUp() bool {
	asked := c.called
	c.called = false
	return c.recheckJournal || c.recheckMarks || asked && !c.inNoTransaction() || c.lane.reads && (c.Changed() || !c.watched && c.Prepared())
}

// through reports whether the connection is in no transaction.
func (c *conn) inNoTransaction() bool {
	raw := c.SQLite()
	return raw.GetAutocommit() && (!c.lane.reads || raw.TxnState("") == sqlite3.TXN_NONE)
}

// tidy sees to it that a connection which is given back is as the next user
// expects it. It returns why the connection must be closed instead, if it must,
// and whether it had a transaction open that the program had not ended. A reader that is
// not what it was when it was opened is closed.
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

// rollBack ends what is left of transactions and statements. Its results are those of tidy.
func (c *conn) rollBack() (why wrap.Reason, dirty bool) {
	raw := c.SQLite()
	if raw.GetAutocommit() {
		if c.inNoTransaction() {
			return "", false
		}
		// A statement that nobody has closed pins what it reads.
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

// changed is told of a text that may have changed the schema, or of one after it,
// which may have committed it. Unless done, it is still to be executed.
func (c *conn) recordSchemaChange(done bool) {
	if c.schemaChanging = !done || !c.SQLite().GetAutocommit(); !c.schemaChanging {
		c.lane.pool.file.schema.Add(1)
	}
}

// refresh has a connection that reads see what another has changed of the schema
// since. SQLite would see it by itself, but only once a statement is stepped,
// when it is too late for a query to fail.
func (c *conn) refreshSchema() *conn {
	if n := c.lane.pool.file.schema.Load(); n != c.schema {
		c.schema = n
		c.Forget()
		// If this cannot be executed, the program's own text says why.
		_ = c.SQLite().Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
	}
	return c
}

// info is what hooks are told.
func (c *conn) info(now time.Time) ConnInfo {
	w := c.Wrapped()
	info := ConnInfo{ID: c.ID(), Lane: string(c.lane.name), Age: w.Age(now), Uses: w.Uses()}
	if !c.idleSince.IsZero() {
		info.Idle = now.Sub(c.idleSince)
	}
	return info
}

// sqliteTimeout bounds what the pool itself asks of a connection that it holds.
const sqliteTimeout = 5 * time.Second
