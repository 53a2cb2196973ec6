package core

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Conn is what a lane knows of a connection, idle or in use. A [Session] embeds it. The zero
// Conn is ready to be embedded.
//
// Only the holder uses the connection. Other goroutines may call Stop, StopIn, Stopped, Trace and
// UsedSince.
type Conn struct {
	session Session
	checker Checker // session, if it is one; otherwise nil

	expires    time.Time // zero if it does not expire
	generation uint64    // of the lane when it was opened
	idleSince  time.Time // zero while it is in use
	answered   time.Time // when it was opened, or last answered a ping
	extra      bool      // its turn is beyond the lane's limit

	turn    turn                 // of the holder
	lasting atomic.Bool          // an offer of the turn stands while rows are open
	stopped atomic.Pointer[stop] // set once, when the pool takes the connection away

	mu  sync.Mutex // guards use
	use use
}

// A stop is why the pool has taken a connection away.
type stop struct {
	err error       // of every further call
	why wrap.Reason // for which the connection is closed
}

// A use describes the current use of a connection, for errors, events and Stats.
type use struct {
	on           bool
	number       uint64 // of the use, of this connection
	since        time.Time
	trace        trace.TraceID
	owner        string          // see WithOwner
	ctx          context.Context // of the acquire
	stack        *stack          // nil unless stacks are tracked
	deadlocks    int             // how many waits for it, or of its caller, have failed with ErrDeadlock
	leakReported bool
	byPool       bool // the pool itself uses the connection, for a backup or a checkpoint
}

// caller returns the caller of the use.
func (u *use) caller() callerID { return callerID{u.trace, u.owner} }

// A stack is where a caller has acquired a connection.
type stack struct {
	pcs   [32]uintptr
	depth int

	describe sync.Once // because thousands of waits may fail at the same time
	texts    []string
}

// frames describes the functions of a stack, without those of database/sql and without methods
// of the pool.
func (s *stack) frames() []string {
	if s == nil {
		return nil
	}
	s.describe.Do(func() { s.texts = describeFrames(s.pcs[:s.depth]) })
	return slices.Clone(s.texts)
}

// ownFrames are prefixes of the functions that stacks leave out: those of database/sql, and methods
// of the pool.
var ownFrames = []string{
	"database/sql.",
	"github.com/sqlitemw/sqlitemw/pool.(",
	"github.com/sqlitemw/sqlitemw/pool/core.(",
	"github.com/sqlitemw/sqlitemw/pool/internal/cluster.(",
}

func describeFrames(pcs []uintptr) []string {
	var list []string
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if !slices.ContainsFunc(ownFrames, func(own string) bool { return strings.HasPrefix(f.Function, own) }) {
			list = append(list, fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line))
		}
		if !more {
			return list
		}
	}
}

// Core returns c, for a session that embeds it.
func (c *Conn) Core() *Conn { return c }

// Session returns the session that embeds c.
func (c *Conn) Session() Session { return c.session }

// IdleSince returns when the connection was given back, opened or pinged. It returns zero while
// the connection is in use.
func (c *Conn) IdleSince() time.Time { return c.idleSince }

// Stop makes all further calls of a connection in use fail with err. When it is given back, it
// is closed for the reason why. The engine ends a running call: by itself, or in
// [Interrupter.Interrupt].
func (c *Conn) Stop(err error, why wrap.Reason) {
	if !c.stopped.CompareAndSwap(nil, &stop{err, why}) {
		return
	}
	if i, ok := c.session.(Interrupter); ok {
		i.Interrupt()
	}
}

// Stopped returns the error of [Conn.Stop], or nil.
func (c *Conn) Stopped() error {
	if s := c.stopped.Load(); s != nil {
		return s.err
	}
	return nil
}

// begin starts the use of a connection that has been lent to the call with context ctx. owner is
// the caller's name. With tracked, its stack is recorded.
func (c *Conn) begin(ctx context.Context, owner string, now time.Time, tracked bool) {
	var at *stack
	if tracked {
		at = &stack{}
		at.depth = runtime.Callers(3, at.pcs[:])
	}
	id := c.session.Lease().Trace()
	c.session.Begun()
	c.lasting.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.use = use{on: true, number: c.use.number + 1, since: now, trace: id, owner: owner, ctx: ctx, stack: at}
}

// end ends the use. It returns whether a leak was reported, and how long the use was.
func (c *Conn) end(now time.Time) (leaked bool, held time.Duration) {
	c.session.Ended()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.use.on, c.use.ctx, c.use.stack = false, nil, nil
	return c.use.leakReported, now.Sub(c.use.since)
}

// Offer lets other callers take the holder's turn until [Lane.Reclaim], while no rows are open.
func (c *Conn) Offer() { c.turn.offer() }

// OfferWithRows is Offer for a use that does nothing any more but read its open rows. The turn may
// be taken while they are open.
func (c *Conn) OfferWithRows() {
	c.lasting.Store(true)
	c.turn.offer()
}

// mayTake reports whether an offer of the turn stands.
func (c *Conn) mayTake() bool { return c.lasting.Load() || c.session.Lease().OpenRows() == 0 }

// blocksFor reports whether the caller uses the connection and has its turn.
func (c *Conn) blocksFor(caller callerID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use.on && caller.is(c.use.caller()) && c.hasTurn()
}

// addDeadlock counts a deadlock in the use with that number, which may have ended.
func (c *Conn) addDeadlock(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.use.number == number {
		c.use.deadlocks++
	}
}

// hasTurn reports whether the holder has the turn, and no other caller may take it.
func (c *Conn) hasTurn() bool { return c.turn.isHeld() || c.turn.isOffered() && !c.mayTake() }

// reclaimAtEnd reports whether a connection that is given back still has its turn, which can
// then no longer be taken.
func (c *Conn) reclaimAtEnd() bool {
	kept := c.turn.reclaim()
	c.turn.hold()
	return kept
}

// Trace returns the trace of the call that took the connection last.
func (c *Conn) Trace() trace.TraceID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use.trace
}

// SetDefaultOwner records that the pool itself uses the connection, and for what. That is the
// owner of the use, if the caller has set none.
func (c *Conn) SetDefaultOwner(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.use.byPool = true
	if c.use.owner == "" {
		c.use.owner = name
	}
}

// UsedSince returns when the current use began. ok is false if there is none.
func (c *Conn) UsedSince() (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.use.since, c.use.on
}

// StopIn is [Conn.Stop], but only in the use that began at that time, and only if it still has
// the state that still confirms. It reports whether it has stopped the connection.
func (c *Conn) StopIn(since time.Time, still func() bool, err error, why wrap.Reason) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.use.on || c.use.since != since || !still() {
		return false
	}
	c.Stop(err, why)
	return true
}

// info returns the description of the connection, which is of that lane, for hooks.
func (c *Conn) info(now time.Time, lane wrap.Lane) ConnInfo {
	w := c.session.Lease()
	info := ConnInfo{ID: w.ID(), Lane: lane, Age: w.Age(now), Uses: w.Uses()}
	if !c.idleSince.IsZero() {
		info.Idle = now.Sub(c.idleSince)
	}
	return info
}

// leaks marks the use that began at that time as a leak. It returns false if the use has ended,
// or is marked already.
func (c *Conn) leaks(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.use.on || !c.use.since.Equal(since) || c.use.leakReported {
		return false
	}
	c.use.leakReported = true
	return true
}

// A Session is an engine's connection, as a [Lane] lends it. Unless a method says otherwise, it
// is called only by the holder's goroutine, or while the connection is idle.
type Session interface {
	// Core returns the Conn that the session embeds.
	Core() *Conn

	// Lease returns the wrapped connection.
	Lease() wrap.Lease

	// Taking is called when a caller takes the connection, before it is lent.
	Taking(now time.Time)

	// Begun is called when a use begins, after the connection has been lent.
	Begun()

	// Returning is called when a use ends, while the connection still has its turn.
	Returning()

	// CleanUp prepares a connection that is given back for its next user. It returns why the
	// connection must be closed instead, or an empty reason.
	CleanUp() wrap.Reason

	// Ended is called when a use has ended.
	Ended()

	// Closing is called before the connection is closed. If background is set, that happens on a
	// goroutine of the pool, with context ctx.
	Closing(ctx context.Context, background bool)

	// Kept reports whether the connection has state that the program would miss. Then it is not
	// closed for its age or for being idle.
	Kept() bool

	// Activity returns what a connection in use is doing. Any goroutine may call it. It is called
	// whenever a caller begins to wait, so it must be quick.
	Activity() Activity
}

// A Checker is a [Session] that is checked before it is lent again.
type Checker interface {
	// Check is called when a caller takes an idle connection, on the goroutine of its call, whose
	// context is ctx. It returns why the connection must be closed instead, or an empty reason. The
	// caller then gets another connection.
	Check(ctx context.Context, now time.Time) wrap.Reason
}

// An Interrupter is a [Session] that does not notice by itself that it has been stopped.
type Interrupter interface {
	// Interrupt ends a running call of the connection. [Conn.Stop] calls it once, on any goroutine
	// and perhaps under a lock of the pool, so it must not block.
	Interrupt()
}

// An Activity is what a connection in use is doing.
type Activity struct {
	Last    Summarizer // the last query; nil if there was none
	Tx      bool       // a transaction is open
	Steps   uint64     // how often the engine has been entered, since the connection was opened
	Running bool       // a call or a step is inside the engine
	Unseen  bool       // the holder may enter the engine without Steps being counted
}
