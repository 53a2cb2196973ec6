package core

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Lane holds the connections of one kind and their queue. A caller that gets a turn in the
// queue takes the connection that was used last, or opens one.
type Lane struct {
	cfg    LaneConfig
	pool   *Pool
	name   wrap.Lane
	reads  bool
	queue  *Queue
	source Source

	refusing atomic.Bool // new acquires fail; set with mu held

	mu         sync.Mutex // guards the fields below
	idle       []*Conn    // the one used last comes last
	all        []*Conn    // idle and in use
	generation uint64     // connections of an older one are closed when they are not in use
	closed     bool
	waiting    int // waiters of this lane
	dials      dials
	stall      stall
	extra      int // turns beyond the limit
	ownConns   int // connections of AcquireOwn, which need no turn
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

// Acquire waits for a connection and lends it to the call with context ctx. The caller must
// [Lane.Release] it. The error is an [*AcquireError], that of opening a connection, or that of
// [Engine.Lost].
func (l *Lane) Acquire(ctx context.Context) (c *Conn, err error) {
	if l.cfg.Demand != nil {
		l.cfg.Demand(1)
		defer func() {
			if c == nil {
				l.cfg.Demand(-1)
			}
		}()
	}
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.pool.engine.Lost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	w, place, err := l.queue.join(l, l.pool.cfg.MaxWaiters)
	if err != nil {
		return nil, l.refuse(ctx, err)
	}
	var a *wrap.Acquisition
	if w != nil {
		a = l.source.Acquisition(ctx, l.name)
		a.Queued(place)
		if err := l.waitForTurn(ctx, a, w); err != nil {
			return nil, err
		}
	}
	return l.take(ctx, a, w != nil && w.extra)
}

// TryAcquire is Acquire without waiting for a turn. It returns nil if none is free.
func (l *Lane) TryAcquire(ctx context.Context) (*Conn, error) {
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.pool.engine.Lost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	if !l.queue.try() {
		return nil, nil
	}
	c, err := l.take(ctx, nil, false)
	if c != nil && l.cfg.Demand != nil {
		l.cfg.Demand(1)
	}
	return c, err
}

func (l *Lane) refuse(ctx context.Context, err error) error { return l.failAcquire(ctx, nil, err) }

// refuseLost ends an acquire because the database is gone. It returns err itself, because there
// is no connection to wait for.
func (l *Lane) refuseLost(ctx context.Context, err error) error {
	l.pool.engine.Noticed(err)
	l.source.Acquisition(ctx, l.name).Failed(ctx, err, false)
	return err
}

// failAcquire ends an acquire with an [*AcquireError] around err. If a is nil, the acquire took
// no time.
func (l *Lane) failAcquire(ctx context.Context, a *wrap.Acquisition, err error) error {
	if a == nil {
		a = l.source.Acquisition(ctx, l.name)
	}
	failure := l.newAcquireError(ctx, err, a.Took(), a.Place())
	a.Failed(ctx, failure, errors.Is(err, ErrAcquireTimeout))
	return failure
}

// waitForTurn waits until w has its turn.
func (l *Lane) waitForTurn(ctx context.Context, a *wrap.Acquisition, w *waiter) error {
	l.queue.setCaller(w, callerOf(ctx), time.Now())
	refusing := l.addWaiting(1)
	defer l.addWaiting(-1)
	if refusing { // refuseAll ran before w was counted
		l.queue.abort(l, ErrClosed)
	}
	var late <-chan time.Time
	if d := l.pool.cfg.AcquireTimeout; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	told := false
	select {
	case err = <-w.ready:
		if err == nil {
			a.Waited()
			return nil
		}
		told = true
	case <-ctx.Done():
		err = EndOf(ctx)
	case <-late:
		err = ErrAcquireTimeout
	}
	if !told && l.queue.leave(w) {
		l.releaseTurn(w.extra) // to the next waiter
	}
	a.Waited()
	if lost := (lostError{}); errors.As(err, &lost) {
		a.Failed(ctx, lost.error, false)
		return lost.error
	}
	return l.failAcquire(ctx, a, err)
}

// take uses a turn to lend a connection. If it fails, it releases the turn.
func (l *Lane) take(ctx context.Context, a *wrap.Acquisition, extra bool) (_ *Conn, err error) {
	var c *Conn
	lent, failed := false, false
	defer func() {
		if !lent {
			l.releaseTurn(extra)
		}
	}()
	defer func() { // a hook or Init may panic
		if lent || failed {
			return
		}
		if a != nil {
			a.Panicked(ctx)
		}
		if c != nil {
			l.Close(c, wrap.ReasonHook)
		}
	}()
	var refusedSince time.Time
	for {
		now := time.Now()
		var why wrap.Reason
		if c, why, err = l.popForUse(now); err != nil {
			failed = true
			return nil, l.failAcquire(ctx, a, err)
		}
		if c == nil {
			if a == nil {
				a = l.source.Acquisition(ctx, l.name)
			}
			if c, err = l.open(ctx, a); err != nil {
				failed = true
				if err == ErrClosed || err == ErrAcquireTimeout || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
					return nil, l.failAcquire(ctx, a, err)
				}
				a.Failed(ctx, err, false)
				return nil, err
			}
			now = time.Now()
		} else {
			if why == "" && l.isInvalid(ctx, c, now) {
				why = wrap.ReasonInvalid
			}
			if why != "" {
				l.closeAndClear(&c, why)
				continue
			}
		}
		if f := l.pool.cfg.Hooks.BeforeAcquire; f != nil && !f(ctx, c.info(now)) {
			l.closeAndClear(&c, wrap.ReasonHook)
			if refusedSince.IsZero() {
				refusedSince = now
			}
			err := ctx.Err()
			if d := l.pool.cfg.AcquireTimeout; err == nil && d > 0 && now.Sub(refusedSince) >= d {
				err = ErrAcquireTimeout
			}
			if err != nil { // or the loop would never end
				failed = true
				return nil, l.failAcquire(ctx, a, err)
			}
			continue
		}
		c.session.Taking(now)
		c.extra, c.idleSince = extra, time.Time{}
		owner := ownerOf(ctx)
		c.session.Lease().Lend(ctx, a, l.name, now)
		lent = true
		c.begin(owner, now)
		return c, nil
	}
}

// closeAndClear closes *c. It sets *c to nil first, so that a deferred function does not close
// it again after a panic.
func (l *Lane) closeAndClear(c **Conn, why wrap.Reason) {
	old := *c
	*c = nil
	l.Close(old, why)
}

// popForUse is pop for an acquire. It fails once the pool is being closed; Shutdown waits for
// connections popped before. If the connection must be closed instead, popForUse also returns
// the reason.
func (l *Lane) popForUse(now time.Time) (*Conn, wrap.Reason, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusing.Load() {
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

// TakeIdle takes a turn and an idle connection, for the pool itself, if both are free. If none is
// idle and open is set, it opens one. did reports whether it had a turn and, without a connection,
// tried to open one. The caller of a connection must Push or Close it, and then ReleaseTurn.
func (l *Lane) TakeIdle(ctx context.Context, open bool) (c *Conn, did bool, err error) {
	if !l.queue.try() {
		return nil, false, nil
	}
	defer func() { // also if a hook panics
		if c == nil {
			l.releaseTurn(false)
		}
	}()
	if c = l.Pop(); c != nil {
		return c, true, nil
	}
	if !open || l.IsOpening() { // an opening may be the only connection that is allowed
		return nil, false, nil
	}
	c, err = l.Dial(ctx, nil)
	return c, true, err
}

// isInvalid reports whether a connection that has been idle for ValidateAfter fails to read a
// page. If the call has ended meanwhile, the connection is not to blame.
func (l *Lane) isInvalid(ctx context.Context, c *Conn, now time.Time) bool {
	d := l.pool.cfg.ValidateAfter
	return d > 0 && now.Sub(c.idleSince) >= d && !l.ping(ctx, c) && ctx.Err() == nil
}

// ping makes an idle connection read a page, without a span.
func (l *Lane) ping(ctx context.Context, c *Conn) bool {
	if err := c.session.Lease().Probe(ctx); err != nil {
		return false
	}
	c.answered = time.Now()
	return true
}

// closeReason returns why a connection must be closed instead of kept: its age, or that all
// connections are being replaced. A connection with state that the program would miss is not
// closed for its age. l.mu must be held.
func (l *Lane) closeReason(c *Conn, now time.Time) wrap.Reason {
	switch {
	case l.closed:
		return wrap.ReasonPoolClosed
	case c.generation != l.generation:
		return wrap.ReasonReset
	case !c.expires.IsZero() && !c.session.Kept() && now.After(c.expires):
		return wrap.ReasonExpired
	}
	return ""
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
	return LaneCount{len(l.all) + l.dials.open, len(l.idle), l.dials.open, l.dials.alone, l.dials.closing, l.waiting, l.extra}
}

// Conns returns all connections, in use or idle. Unless a connection is the caller's, the caller
// may only use what [Conn] allows to other goroutines.
func (l *Lane) Conns() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// Name returns the lane's name.
func (l *Lane) Name() wrap.Lane { return l.name }

// Pool returns the pool that the lane belongs to.
func (l *Lane) Pool() *Pool { return l.pool }

// Reads reports whether the lane is for readers.
func (l *Lane) Reads() bool { return l.reads }

// Queue returns the queue for the lane's connections.
func (l *Lane) Queue() *Queue { return l.queue }

// Turns returns how many callers may use connections of the lane at the same time.
func (l *Lane) Turns() int { return l.queue.count().limit }

// SetTurns changes the number of turns. Callers that wait still get one.
func (l *Lane) SetTurns(n int) { l.queue.resize(n) }

// Shrink closes idle connections beyond LaneConfig.Most, those used longest ago first.
func (l *Lane) Shrink() {
	for {
		l.mu.Lock()
		if len(l.idle) == 0 || !l.surplus() {
			l.mu.Unlock()
			return
		}
		c := l.idle[0]
		l.idle = append(l.idle[:0], l.idle[1:]...)
		l.mu.Unlock()
		l.Close(c, wrap.ReasonShrunk)
	}
}

// surplus reports whether there are too many connections. It does not count those beyond the
// limit, which are closed at their release, nor those of AcquireOwn. l.mu must be held.
func (l *Lane) surplus() bool {
	return l.cfg.Most != nil && len(l.all)+l.dials.open-l.extra-l.ownConns > l.cfg.Most()
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
	l.queue.abortAll(l, lostError{err})
	l.Replace()
}

// A lostError is an error of [Engine.Lost] that ends a wait. Its acquire fails with that error
// itself.
type lostError struct{ error }
