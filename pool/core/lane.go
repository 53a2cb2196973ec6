package core

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Source opens the connections of a lane. It must be safe for concurrent use.
type Source interface {
	// Acquisition starts the acquire of a connection.
	Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition

	// Open opens a connection: for the acquire o, or in advance if o is nil. It calls
	// opened with the engine's connection as soon as that is open. If Open then panics, the lane
	// closes it.
	Open(ctx context.Context, l *Lane, o *wrap.Opening, opened func(wrap.Lease)) (Session, error)
}

// A LaneConfig configures a [Lane].
type LaneConfig struct {
	Name   wrap.Lane
	Reads  bool   // the lane is for readers, of which several may be in use at the same time
	Source Source // opens its connections
	Queue  *Queue // lanes of several pools may share one; nil for one of its own, with Turns turns
	Turns  int

	// Limit is the setting that limits the turns, for the advice of errors. Empty means
	// Config.MaxConns.
	Limit string

	// Keep returns how many connections must be open. Most returns how many may be open, without
	// those beyond the limit; nil for any number.
	Keep func() int
	Most func() int

	// MaxIdle is how many connections may be idle; 0 for any number. One more may be if it has state
	// that the program would miss.
	MaxIdle int

	// Stalls says what helps callers that wait while nothing moves.
	Stalls Stalls

	// Demand is called with 1 when an acquire begins, and with -1 when it has failed or its
	// connection is given back. It may be nil.
	Demand func(n int)

	// Running reports whether a connection of the lane is inside the engine, so that callers do
	// not wait for each other. It may be nil.
	Running func() bool

	// Timeout is an error that the errors of failed acquires match too, unless the pool is closed.
	// It may be nil.
	Timeout error
}

// Stalls is what a lane does when callers wait and nothing moves.
type Stalls int

const (
	// StallsWait lets them wait.
	StallsWait Stalls = iota

	// StallsExtend lets the last one in beyond the limit, because callers may wait for each other.
	StallsExtend

	// StallsTakeOffers gives them turns that holders offer; see [Conn.Offer].
	StallsTakeOffers
)

// A Lane holds the connections of one kind and their queue. A caller that gets a turn in the
// queue takes the connection that was used last, or opens one.
type Lane struct {
	*shared
	opts    LaneConfig
	queue   atomic.Pointer[Queue]
	refused atomic.Uint64 // connections that Hooks.BeforeAcquire has refused

	ending laneEnd

	mu         sync.Mutex // guards the fields below
	idle       []*Conn    // the one used last comes last
	all        []*Conn    // idle and in use
	generation uint64     // connections of an older one are closed when they are not in use
	dials      dials
	stall      stall
	beyond     beyond
}

// A laneEnd is the end of a lane. Lane.mu is held when a field is set.
type laneEnd struct {
	refusing atomic.Bool // new acquires fail
	closed   bool        // connections are closed when they are not in use
}

// beyond counts what is beyond a lane's limit.
type beyond struct {
	turns int
	own   int // connections of AcquireOwn, which need no turn
}

// dials are the connections that a lane is opening or closing.
type dials struct {
	open     int        // being opened
	alone    int        // of open, those that no acquire waits for
	openings []*opening // for acquires
	closing  int        // being closed; they are no longer in Lane.all
	last     struct {   // the last attempt to open a connection
		err  error
		when time.Time
	}
}

// popForUse is pop for an acquire. It fails once the pool is being closed; Shutdown waits for
// connections popped before. If the connection must be closed instead, popForUse also returns
// the reason.
func (l *Lane) popForUse(now time.Time) (*Conn, wrap.Reason, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending.refusing.Load() {
		return nil, "", ErrClosed
	}
	c := l.popLocked()
	if c == nil {
		return nil, "", nil
	}
	return c, l.closeReason(c, now), nil
}

// Pop removes the connection that was used last from the idle ones and returns it, or nil. The
// caller must [Lane.Push] or [Lane.Close] it.
func (l *Lane) Pop() *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.popLocked()
}

func (l *Lane) popLocked() *Conn {
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	c := l.idle[n-1]
	l.idle[n-1] = nil
	l.idle = l.idle[:n-1]
	return c
}

// closeReason returns why a connection must be closed instead of kept: its age, or that all
// connections are being replaced. A connection with state that the program would miss is not
// closed for its age. l.mu must be held.
func (l *Lane) closeReason(c *Conn, now time.Time) wrap.Reason {
	switch {
	case l.ending.closed:
		return wrap.ReasonPoolClosed
	case c.generation != l.generation:
		return wrap.ReasonReset
	case !c.expires.IsZero() && !c.session.Kept() && now.After(c.expires):
		return wrap.ReasonExpired
	}
	return ""
}

// An opening is a connection that is being opened for an acquire, on a goroutine of the pool.
// If the caller gives up, because its context ends, say, the opening still finishes and serves
// the next caller. It ends by itself or in Shutdown.
type opening struct {
	lane      *Lane
	since     time.Time
	cancel    context.CancelFunc
	hasWaiter bool // an acquire waits for it; guarded by lane.mu

	done     chan struct{} // closed when the opening has ended; then the fields below are set
	conn     *Conn
	err      error
	panicked *any // the value of a panic in a hook or Init
	goexited bool // a hook or Init has called runtime.Goexit

	dropped chan struct{} // closed by Shutdown, so that no caller waits any longer
}

// A stall is the watch over the callers that wait in a lane. The lane's mutex guards it.
type stall struct {
	waiting  int         // waiters of the lane
	timer    *time.Timer // nil if no caller waits
	id       uint64      // identifies the timer, because it may fire after Stop
	released uint64      // the queue's count of released turns when timer was set
	extended bool        // a caller has been let in beyond the limit by this timer
}

// A LaneCount is a snapshot of a lane's counters.
type LaneCount struct {
	Open    int // connections, in use or idle or being opened
	Idle    int
	Opening int // of Open, being opened
	Alone   int // of Opening, those that no acquire waits for
	Closing int // being closed; not in Open
	Waiting int
	Extra   int // turns beyond the limit
}

// Count returns the lane's counters.
func (l *Lane) Count() LaneCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LaneCount{len(l.all) + l.dials.open, len(l.idle), l.dials.open, l.dials.alone, l.dials.closing, l.stall.waiting, l.beyond.turns}
}

// Conns returns all connections, in use or idle. Unless a connection is the caller's, the caller
// may only use what [Conn] allows to other goroutines.
func (l *Lane) Conns() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// Name returns the lane's name.
func (l *Lane) Name() wrap.Lane { return l.opts.Name }

// Reads reports whether the lane is for readers.
func (l *Lane) Reads() bool { return l.opts.Reads }

// SetQueue makes the lane use another queue. No caller may have used the lane yet, but callers of
// other lanes may look at it already.
func (l *Lane) SetQueue(q *Queue) { l.queue.Store(q) }

// Queue returns the queue for the lane's connections.
func (l *Lane) Queue() *Queue { return l.queue.Load() }

// Turns returns how many callers may use connections of the lane at the same time.
func (l *Lane) Turns() int { return l.Queue().count().limit }

// SetTurns changes the number of turns. Callers that wait still get one.
func (l *Lane) SetTurns(n int) { l.Queue().resize(n) }

// surplus reports whether there are too many connections. It does not count those beyond the
// limit, which are closed at their release, nor those of AcquireOwn. l.mu must be held.
func (l *Lane) surplus() bool {
	return l.opts.Most != nil && len(l.all)+l.dials.open-l.beyond.turns-l.beyond.own > l.opts.Most()
}

// Replace makes all connections be replaced by new ones: each is closed when it is not in use.
func (l *Lane) Replace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
}

// Abandon makes all waits end with err, which is that of [Engine.Lost], and replaces all
// connections.
func (l *Lane) Abandon(err error) {
	l.Queue().abortAll(l, lostError{err})
	l.Replace()
}

// A lostError is an error of [Engine.Lost] that ends a wait. Its acquire fails with that error
// itself.
type lostError struct{ error }
