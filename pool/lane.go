package pool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A lane holds the connections of one kind and their queue. A caller that gets a turn in the
// queue takes the connection that was used last, or opens one.
type lane struct {
	pool      *Pool
	name      wrap.Lane
	reads     bool   // its connections only read
	queue     *queue // the writer's is shared by all pools with the same file
	connector *driver.Connector

	mu           sync.Mutex // guards the fields below
	idle         []*conn    // the one used last comes last
	all          []*conn    // idle and leased
	dialing      int
	dialingIdle  int        // of dialing, those that no acquire waits for
	openings     []*opening // connections being opened for acquires
	closingConns int        // connections being closed, which are no longer in all
	generation   uint64
	refusing     atomic.Bool // new acquires fail; set with mu held
	closed       bool
	waiting      int // waiters of this lane
	stall        *time.Timer
	stallID      uint64   // identifies the timer, because it may fire after Stop
	stalled      bool     // a reader beyond the limit has been let in by this timer
	stallSeen    uint64   // the queue's count of released turns when stall was set
	extra        int      // turns beyond the limit
	ownConns     int      // connections of acquireOwn, which need no turn
	lastDial     struct { // the last attempt to open a connection
		err  error
		when time.Time
	}
}

// acquire waits for a connection and leases it to the call with context ctx. The error is an
// [*AcquireError], that of opening a connection, or that of a lost file.
func (l *lane) acquire(ctx context.Context) (c *conn, err error) {
	if !l.reads {
		l.pool.steps.addWriters(1)
		defer func() {
			if c == nil {
				l.pool.steps.addWriters(-1)
			}
		}()
	}
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.connector.FileLost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	w, place, err := l.queue.join(l, l.pool.cfg.MaxWaiters)
	if err != nil {
		return nil, l.refuse(ctx, err)
	}
	var a *wrap.Acquisition
	if w != nil {
		a = l.connector.Acquisition(ctx, l.name)
		a.Queued(place)
		if err := l.waitForTurn(ctx, a, w); err != nil {
			return nil, err
		}
	}
	return l.take(ctx, a, w != nil && w.extra)
}

// tryAcquire is acquire without waiting. It returns nil if no turn is free.
func (l *lane) tryAcquire(ctx context.Context) (*conn, error) {
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.connector.FileLost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	if !l.queue.try() {
		return nil, nil
	}
	c, err := l.take(ctx, nil, false)
	if c != nil && !l.reads {
		l.pool.steps.addWriters(1)
	}
	return c, err
}

func (l *lane) refuse(ctx context.Context, err error) error { return l.failAcquire(ctx, nil, err) }

// refuseLost ends an acquire because the file is lost. It returns err itself, because there is
// no connection to wait for.
func (l *lane) refuseLost(ctx context.Context, err error) error {
	l.pool.recordFileLost(err)
	l.connector.Acquisition(ctx, l.name).Failed(ctx, err, false)
	return err
}

// failAcquire ends an acquire with an [*AcquireError] around err. If a is nil, the acquire took
// no time.
func (l *lane) failAcquire(ctx context.Context, a *wrap.Acquisition, err error) error {
	if a == nil {
		a = l.connector.Acquisition(ctx, l.name)
	}
	failure := l.newAcquireError(ctx, err, a.Took(), a.Place())
	a.Failed(ctx, failure, errors.Is(err, ErrAcquireTimeout))
	return failure
}

// waitForTurn waits until w has its turn.
func (l *lane) waitForTurn(ctx context.Context, a *wrap.Acquisition, w *waiter) error {
	l.queue.setCaller(w, callerOf(ctx))
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
		err = endOf(ctx)
	case <-late:
		err = ErrAcquireTimeout
	}
	if !told && l.queue.leave(w) {
		l.releaseTurn(w.extra) // to the next waiter
	}
	a.Waited()
	if errors.Is(err, driver.ErrFileLost) {
		a.Failed(ctx, err, false)
		return err
	}
	return l.failAcquire(ctx, a, err)
}

// take uses a turn to lease a connection. If it fails, it releases the turn.
func (l *lane) take(ctx context.Context, a *wrap.Acquisition, extra bool) (_ *conn, err error) {
	var c *conn
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
			l.close(c, wrap.ReasonHook)
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
				a = l.connector.Acquisition(ctx, l.name)
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
		if l.reads {
			l.pool.steps.yieldToWriter(c, now)
		}
		c.extra, c.idleSince = extra, time.Time{}
		owner := ownerOf(ctx)
		c.Lease().Lend(ctx, a, l.name, now)
		lent = true
		c.beginLease(owner, now)
		return c, nil
	}
}

// closeAndClear closes *c. It sets *c to nil first, so that a deferred function does not close
// it again after a panic.
func (l *lane) closeAndClear(c **conn, why wrap.Reason) {
	old := *c
	*c = nil
	l.close(old, why)
}

// popForUse is pop for an acquire. It fails once the pool is being closed; Shutdown waits for
// connections popped before. If the connection must be closed instead, popForUse also returns
// the reason.
func (l *lane) popForUse(now time.Time) (*conn, wrap.Reason, error) {
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

// pop removes the connection that was used last from the idle ones and returns it, or nil.
func (l *lane) pop() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.popLocked()
}

func (l *lane) popLocked() *conn {
	n := len(l.idle)
	if n == 0 {
		return nil
	}
	c := l.idle[n-1]
	l.idle[n-1] = nil
	l.idle = l.idle[:n-1]
	return c
}

// isInvalid reports whether a connection that has been idle for ValidateAfter fails to read a
// page. If the call has ended meanwhile, the connection is not to blame.
func (l *lane) isInvalid(ctx context.Context, c *conn, now time.Time) bool {
	d := l.pool.cfg.ValidateAfter
	return d > 0 && now.Sub(c.idleSince) >= d && !l.ping(ctx, c) && ctx.Err() == nil
}

// ping makes an idle connection read a page, without a span.
func (l *lane) ping(ctx context.Context, c *conn) bool {
	if err := c.Lease().Probe(ctx); err != nil {
		return false
	}
	c.answered = time.Now()
	return true
}

// closeReason returns why a connection must be closed instead of kept: its age, or that all
// connections are being replaced. A connection with marks is not closed for its age, because
// the program's settings would be lost. l.mu must be held.
func (l *lane) closeReason(c *conn, now time.Time) wrap.Reason {
	switch {
	case l.closed:
		return wrap.ReasonPoolClosed
	case c.generation != l.generation:
		return wrap.ReasonReset
	case !c.expires.IsZero() && c.marks == 0 && now.After(c.expires):
		return wrap.ReasonExpired
	}
	return ""
}

// release ends the lease of a connection and releases its turn.
func (l *lane) release(c *conn) {
	if c.inGate { // after a panic
		c.Leave()
	}
	if c.schemaChanging {
		c.schemaChanging = false
		l.pool.file.schema.Add(1)
	}
	if !c.Lease().Panicked() {
		c.checkWrites()
	}
	now := time.Now()
	if !l.reads {
		defer l.pool.steps.addWriters(-1)
	}
	if c.reclaimTurn() {
		defer l.releaseTurn(c.extra)
	} else {
		defer l.pool.wakeDrain()
	}
	why := wrap.ReasonHook
	defer func() { l.settle(c, why, now) }() // also if the hook panics
	why = l.cleanUp(c, now)
}

// cleanUp prepares a connection that is given back for its next user. It returns why the
// connection must be closed instead, or an empty reason.
func (l *lane) cleanUp(c *conn, now time.Time) (why wrap.Reason) {
	dirty := false
	if c.stopped.Load() != nil {
		why = c.stoppedReason()
	} else if !c.Lease().Panicked() && c.needsCleanUp() { // after a panic, it must not be used
		// A callback of SQLite may panic, especially in a rollback. No call of the program is
		// left that could report it.
		l.pool.recoverPanics(placeCallback, func() { c.Lease().Use(func() { why, dirty = c.cleanUp() }) })
	}
	if dirty {
		l.pool.recordDirty(c, why)
	}
	if f := l.pool.cfg.Hooks.AfterRelease; f != nil && why == "" && !f(c.info(now)) {
		why = wrap.ReasonHook
	}
	if why == "" && c.extra {
		why = wrap.ReasonOverflow
	}
	return why
}

// settle keeps a connection that was given back, or closes it. It closes it also if the
// Recorder panics.
func (l *lane) settle(c *conn, why wrap.Reason, now time.Time) {
	settled := false
	defer func() {
		if !settled {
			l.close(c, wrap.ReasonHook)
		}
	}()
	leaked, held := c.endLease(now)
	if leaked {
		l.pool.recordLeakEnd(c, held)
	}
	if why != "" {
		c.Lease().Retire(why)
	}
	keep := c.Lease().TakeBack(now)
	settled = true
	if !keep {
		l.close(c, why)
		return
	}
	c.idleSince = now
	l.push(c)
}

// push adds a connection to the idle ones, in the order of last use. It closes the connection
// instead if that is too old, if the lane is closed or too large, or if another writer is idle.
func (l *lane) push(c *conn) {
	l.mu.Lock()
	why := l.pushLocked(c)
	l.mu.Unlock()
	if why != "" {
		l.close(c, why)
	}
}

// pushLocked is push, but returns the reason if the connection must be closed. l.mu must be
// held.
func (l *lane) pushLocked(c *conn) wrap.Reason {
	why := l.closeReason(c, c.idleSince)
	switch {
	case why != "":
	case l.surplus():
		why = wrap.ReasonShrunk
	case !l.reads && len(l.idle) > 0 && c.marks == 0: // one idle writer is enough
		why = wrap.ReasonOverflow
	default:
		i := len(l.idle)
		for i > 0 && l.idle[i-1].idleSince.After(c.idleSince) {
			i--
		}
		l.idle = slices.Insert(l.idle, i, c)
	}
	return why
}

// releaseTurn releases a turn.
func (l *lane) releaseTurn(extra bool) {
	if extra {
		l.mu.Lock()
		l.unreserveLocked()
		l.mu.Unlock()
	}
	l.queue.release(extra)
	l.pool.wakeDrain()
}

// close closes a connection that is not leased, on the goroutine of a call of the program.
func (l *lane) close(c *conn, why wrap.Reason) { l.closeIn(context.Background(), c, why) }

// closeIn is close on the goroutine that ctx identifies; see guard.call.
func (l *lane) closeIn(ctx context.Context, c *conn, why wrap.Reason) {
	defer l.end(ctx, c, why) // also if the hook panics
	if f := l.pool.cfg.Hooks.BeforeClose; f != nil {
		info := c.info(time.Now())
		_ = l.pool.guard.call(ctx, placeBeforeClose, func() error { f(info); return nil })
	}
}

func (l *lane) end(ctx context.Context, c *conn, why wrap.Reason) {
	l.mu.Lock()
	l.removeLocked(c)
	l.closingConns++
	l.mu.Unlock()
	defer l.pool.wakeDrain() // a Shutdown may wait for the close
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closingConns--
	}()
	if c.marks != 0 {
		l.pool.recordMarksLost(c)
	}
	markBackground(ctx, c)
	if err := c.Lease().CloseFor(why); err != nil && err != wrap.ErrPanicked {
		l.pool.closeFailed(c, err)
	}
}

// remove removes a connection from the lane without closing it.
func (l *lane) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(c)
}

func (l *lane) removeLocked(c *conn) {
	if i := slices.Index(l.all, c); i >= 0 {
		l.all = slices.Delete(l.all, i, i+1)
	}
}

// A laneCount is a snapshot of a lane's counters.
type laneCount struct {
	open, idle, opening, openingIdle, closing, waiting, extra int
}

func (l *lane) count() laneCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return laneCount{len(l.all) + l.dialing, len(l.idle), l.dialing, l.dialingIdle, l.closingConns, l.waiting, l.extra}
}

// conns returns all connections, leased or not. Without leasing a connection, a caller may only
// use its fields that are atomic or guarded by conn.mu.
func (l *lane) conns() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
