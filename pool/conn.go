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
	lane       *lane
	shell      atomic.Pointer[shell] // that has leased it; nil for none
	expires    time.Time             // zero for never
	generation uint64                // of the lane when it was opened
	idleSince  time.Time
	hotSince   time.Time // since when it has had no rest, if it reads; see stepGate.lend
	writes     uint64    // the step gate's count when it was lent last, if it reads
	answered   time.Time // when it last gave a page to a ping, or was opened
	extra      bool      // its turn is beyond the lane's limit
	marks      marks     // what stays in force on it
	schema     uint64    // the file's count when it last let go of what it kept
	changes    bool      // it may have changed the schema, or be about to
	attached   string    // which files it had when it was opened
	watched    bool      // SQLite tells what is prepared on it, if it reads
	condition  string    // what it was like when it was opened, if it reads and is not watched
	writing    [3]bool   // how it wrote when it was opened, if it does; see writing
	pragma     bool      // one was set since that was looked at
	otherwise  bool      // what was found then
	undoing    bool      // whether its marks still hold is to be looked at when it is given back
	journal    bool      // the journal mode is to be looked at when it is given back
	written    int64     // pages, when that was looked at last; see sawWrites
	writtenOf  uint64    // the pool's count of failures then

	turn    turn                  // of who has it, if it writes
	calls   context.Context       // of the last call, while it is leased
	asked   bool                  // something, since it was lent or opened
	inside  bool                  // the step gate is passed, or was when a panic passed
	stopped atomic.Pointer[error] // the pool has its calls fail, for this reason
	late    *TimeLimitError       // of the last call, if it was
	taken   bool                  // the pool has taken it away; see takeAway
	held    *shell                // whose hands its rows have
	lent    bool                  // whoever has it has SQLite's own connection, or a savepoint of it

	mu    sync.Mutex
	lease lease
}

// A lease is what is known of a connection's use: for errors, events and Stats
// to say who has it.
type lease struct {
	used   bool
	since  time.Time
	trace  trace.TraceID
	owner  string // as the program names it; see WithOwner
	stack  []uintptr
	leaked bool // it has been reported

	tx    atomic.Bool  // it has a transaction that BeginTx began
	began atomic.Int64 // when a transaction did, in Unix nanoseconds; 0 if there is none, or nobody asks
	reads atomic.Int64 // when it began to read, in Unix nanoseconds; 0 for when it was leased
	last  atomic.Pointer[text]
}

var _ wrap.Gate = &conn{}

// begin leases the connection, which has been lent, to whom the program calls so.
func (c *conn) begin(owner string, now time.Time) {
	var stack []uintptr
	if c.lane.pool.tracks {
		var pcs [32]uintptr
		stack = append(stack, pcs[:runtime.Callers(3, pcs[:])]...)
	}
	id := c.Wrapped().Trace()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lease
	l.used, l.since, l.trace, l.owner, l.stack, l.leaked = true, now, id, owner, stack, false
	l.tx.Store(false)
	l.reads.Store(0)
	l.began.Store(0)
	c.lent = false
	l.last.Store(nil)
}

// end ends the lease and reports whether it had been reported as leaked, and how
// long it was.
func (c *conn) end(now time.Time) (leaked bool, held time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.lease
	l.used, l.stack = false, nil
	l.last.Store(nil) // which may be long
	c.calls = nil
	return l.leaked, now.Sub(l.since)
}

// Enter implements [wrap.Gate].
func (c *conn) Enter() error {
	if err := c.stopped.Load(); err != nil {
		return *err
	}
	if c.inside {
		return nil
	}
	c.asked = true
	c.sawWrites()
	if c.lane.reads {
		c.lane.pool.steps.enter()
	} else {
		c.lane.pool.steps.enterWriter()
	}
	c.inside = true
	return nil
}

// Leave implements [wrap.Gate].
func (c *conn) Leave() {
	if !c.inside {
		return
	}
	c.inside = false
	if !c.Wrapped().Panicked() {
		c.begins()
	}
	if c.lane.reads {
		c.lane.pool.steps.leave()
	} else {
		c.lane.pool.steps.leaveWriter()
	}
}

// Failed implements [wrap.Gate].
func (c *conn) Failed(err error) error {
	c.lane.pool.noteFileLost(err)
	if errors.Is(err, sqlite3.BUSY) && (c.calls == nil || c.calls.Err() == nil) { // else it is the caller who waits no more
		c.lane.pool.busy(c, err)
	}
	c.heard(err)
	return c.explain(err)
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
type within struct {
	context.Context
	conn  *conn
	began time.Time // zero where there is no limit
}

var _ tracing.LeaseContext = &within{}

// Caller implements [tracing.LeaseContext].
func (w *within) Caller() context.Context { return w.Context }

func (w *within) Err() error {
	if w.conn.stopped.Load() != nil {
		return context.Canceled
	}
	if err := w.Context.Err(); err != nil {
		return err
	}
	if w.isLate() {
		return context.DeadlineExceeded
	}
	return nil
}

// context returns the context for a call of this text. That of an empty text is
// left as it is: it may be a savepoint, which ncruces' driver knows by its
// context's type.
func (c *conn) context(ctx context.Context, t *text) context.Context {
	if t != nil {
		if t.query == "" {
			return ctx
		}
		c.lease.last.Store(t)
	}
	if c.asked && !c.lease.tx.Load() && c.lease.began.Load() == 0 && c.Wrapped().OpenRows() == 0 {
		c.lease.reads.Store(time.Now().UnixNano()) // not the first call: it has read nothing since the last
	}
	c.calls, c.late = ctx, nil
	w := &within{Context: ctx, conn: c}
	if c.lane.pool.cfg.StatementTimeout > 0 {
		w.began = time.Now()
	}
	return w
}

// untidy reports whether there is anything for tidy to do.
func (c *conn) untidy() bool {
	asked := c.asked
	c.asked = false
	return c.journal || c.undoing || asked && !c.through() || c.lane.reads && (c.Changed() || !c.watched && c.Prepared())
}

// through reports whether the connection is in no transaction.
func (c *conn) through() bool {
	raw := c.SQLite()
	return raw.GetAutocommit() && (!c.lane.reads || raw.TxnState("") == sqlite3.TXN_NONE)
}

// tidy sees to it that a connection which is given back is as the next user
// expects it. It returns why the connection must be closed instead, if it must,
// and whether it had a transaction open that the program had not ended. A reader that is
// not what it was when it was opened is closed.
func (c *conn) tidy() (why wrap.Reason, dirty bool) {
	raw := c.SQLite()
	if old := raw.SetInterrupt(context.Background()); old != context.Background() {
		defer raw.SetInterrupt(old)
	}
	if c.journal {
		c.journal = false
		defer c.lane.pool.afterJournal(c)
	}
	if c.undoing {
		c.undoing = false
		defer c.lane.pool.undone(c)
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
		if c.through() {
			return "", false
		}
		// A statement that nobody has closed pins what it reads.
		c.Reset()
		if c.through() {
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
func (c *conn) changed(done bool) {
	if c.changes = !done || !c.SQLite().GetAutocommit(); !c.changes {
		c.lane.pool.file.schema.Add(1)
	}
}

// refresh has a connection that reads see what another has changed of the schema
// since. SQLite would see it by itself, but only once a statement is stepped,
// when it is too late for a query to fail.
func (c *conn) refresh() *conn {
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
