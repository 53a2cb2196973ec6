package pool

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/pool/internal/stepgate"
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

	reader readerState
	lease  leaseState
	sync   syncState
}

// A readerState is of a reader.
type readerState struct {
	pace   stepgate.Reader
	schema uint64 // file.schema when it last dropped its cached statements
}

// A leaseState is of the current lease. Only its holder uses it.
type leaseState struct {
	calls       context.Context // context of the last call
	called      bool            // it has been called since it was leased or opened
	inGate      bool            // it has passed the step gate, or had when it panicked
	timedOut    *TimeLimitError // of the last call; nil if it was in time
	takenAway   bool            // see takeAway
	begins      bool            // a BEGIN or SAVEPOINT has been executed
	lockedShell *shell          // the shell whose callMu its rows hold
}

// An initialState is the state of a connection when it was opened.
type initialState struct {
	watched bool             // readers: an authorizer reports what is prepared
	state   string           // readers, if not watched: connState
	objects *inspect.Objects // writers
	pragmas inspect.Pragmas  // writers
}

// A writeState tells whether a writer has written since writes failed.
type writeState struct {
	pagesWritten     int64  // when checkWrites last ran
	writtenAtFailure uint64 // how many failures of writes had begun when checkWrites last ran
}

// An activity is what a lease does. Any goroutine may read it.
type activity struct {
	tx        atomic.Bool  // a transaction of BeginTx is open
	sqlTx     atomic.Bool  // a transaction of BEGIN or SAVEPOINT is open
	txStart   atomic.Int64 // Unix nanoseconds; 0 if there is no transaction, or no limit needs it
	readStart atomic.Int64 // Unix nanoseconds; 0 means since the lease began
	last      atomic.Pointer[route.Query]
	steps     atomic.Uint64 // twice the number of entries into SQLite, plus 1 while one is under way
	raw       atomic.Bool   // the holder has SQLite's connection, or a savepoint
}

// enter and leave record that the holder's call enters SQLite and leaves it.
func (a *activity) enter() { a.steps.Store(a.steps.Load()&^1 + 3) }
func (a *activity) leave() { a.steps.Store(a.steps.Load() &^ 1) }

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

// Taking implements [core.Session]. Readers do not yield to writers whose commits share syncs.
// Those writers wait for the disk most of the time, and commit several times as often as the plain
// driver's. A reader would yield so often that its slowest hundredth takes 5 to 7 times as long as
// with the plain driver.
func (c *conn) Taking(now time.Time) {
	if c.reads && !c.pool.plan.sharesSyncs() {
		c.pool.routing.steps.YieldToWriter(&c.reader.pace, now.Sub(c.IdleSince()), now)
	}
}

// Begun implements [core.Session].
func (c *conn) Begun() {
	c.doing.tx.Store(false)
	c.doing.readStart.Store(0)
	c.doing.txStart.Store(0)
	c.doing.last.Store(nil)
	if c.doing.raw.Load() { // a store takes longer
		c.doing.raw.Store(false)
	}
	if c.lease.begins {
		c.lease.begins = false
		c.doing.sqlTx.Store(false)
	}
	c.sync.begin()
}

// Ended implements [core.Session].
func (c *conn) Ended() {
	c.doing.last.Store(nil) // the query may be long
	c.lease.calls = nil
}

// Kept implements [core.Session].
func (c *conn) Kept() bool { return c.session.exist() || c.session.left.exist() }

// Activity implements [core.Session].
func (c *conn) Activity() core.Activity {
	steps := c.doing.steps.Load()
	a := core.Activity{Tx: c.doing.tx.Load() || c.doing.sqlTx.Load(), Steps: steps / 2, Running: steps%2 == 1, Unseen: c.doing.raw.Load()}
	if t := c.doing.last.Load(); t != nil {
		a.Last = t
	}
	return a
}

// summary returns the summary of the last query, which contains no values.
func (c *conn) summary() string {
	if t := c.doing.last.Load(); t != nil {
		return t.Summary()
	}
	return ""
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
	if n := c.pool.base.file.schema.Load(); n != c.reader.schema {
		c.reader.schema = n
		c.Forget()
		// If this fails, the program's query reports the error.
		_ = c.SQLite().Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
	}
	return c
}
