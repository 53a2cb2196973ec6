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

// A lane is the connections of one kind, and the queue for them. Who has a turn
// in the queue takes the connection that was used last, or opens one.
type lane struct {
	pool      *Pool
	name      wrap.Lane
	reads     bool   // its connections only read
	queue     *queue // the writer's is shared by all pools of the process that have the same file
	connector *driver.Connector

	mu           sync.Mutex
	idle         []*conn // the one used last is the last
	all          []*conn // idle and leased
	dialing      int
	dialingIdle  int        // of those opening, for nobody
	openings     []*opening // those for acquires
	closingConns int        // that are in neither by now
	generation   uint64
	refusing     atomic.Bool // nobody new; set with mu held
	closed       bool
	waiting      int // of this lane, in the queue
	stall        *time.Timer
	stallID      uint64 // counts the timers there were
	stalled      bool
	stallSeen    uint64   // how many turns had been given back when stall was set
	extra        int      // turns beyond the limit that are taken
	ownConns     int      // connections of acquireOwn, which are nobody's turn
	lastDial     struct { // in vain, last
		err  error
		when time.Time
	}
}

// acquire leases a connection to the call that ctx is of. The error is an
// [*AcquireError], or that of opening a connection.
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

// tryAcquire is acquire for who does not wait. It returns nil if there is no
// turn at once.
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

// refuseLost ends an acquire from a pool whose file is lost, whose error that is: there is
// no connection to wait for.
func (l *lane) refuseLost(ctx context.Context, err error) error {
	l.pool.recordFileLost(err)
	l.connector.Acquisition(ctx, l.name).Failed(ctx, err, false)
	return err
}

// fails ends an acquire, one that took no time if a is nil, with an error of the
// pool's own.
func (l *lane) failAcquire(ctx context.Context, a *wrap.Acquisition, err error) error {
	if a == nil {
		a = l.connector.Acquisition(ctx, l.name)
	}
	failure := l.newAcquireError(ctx, err, a.Took(), a.Place())
	a.Failed(ctx, failure, errors.Is(err, ErrAcquireTimeout))
	return failure
}

// wait waits for w's turn.
func (l *lane) waitForTurn(ctx context.Context, a *wrap.Acquisition, w *waiter) error {
	l.queue.setCaller(w, callerOf(ctx))
	refusing := l.addWaiting(1)
	defer l.addWaiting(-1)
	if refusing { // it had begun when refuseAll was through
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
		l.releaseTurn(w.extra) // to whoever is next
	}
	a.Waited()
	if errors.Is(err, driver.ErrFileLost) {
		a.Failed(ctx, err, false)
		return err
	}
	return l.failAcquire(ctx, a, err)
}

// take makes a turn a leased connection, or gives the turn back.
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
			if err != nil { // or it would go on for ever
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
		c.Wrapped().Lend(ctx, a, l.name, now)
		lent = true
		c.beginLease(owner, now)
		return c, nil
	}
}

// closing is close for one who has the connection in a variable: a panic in a hook
// then finds none there.
func (l *lane) closeAndClear(c **conn, why wrap.Reason) {
	old := *c
	*c = nil
	l.close(old, why)
}

// popForUse is pop for an acquire, which fails once the pool is being closed: who
// has popped before that is waited for. A connection that has outlived comes with
// the reason to close it.
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

// pop takes the connection that was used last.
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

// isInvalid reports whether a connection that was idle for long does not answer.
// That a call has ended meanwhile is not the connection's fault.
func (l *lane) isInvalid(ctx context.Context, c *conn, now time.Time) bool {
	d := l.pool.cfg.ValidateAfter
	return d > 0 && now.Sub(c.idleSince) >= d && !l.ping(ctx, c) && ctx.Err() == nil
}

// ping asks an idle connection for a page, for which there is no span.
func (l *lane) ping(ctx context.Context, c *conn) bool {
	if err := c.Wrapped().Probe(ctx); err != nil {
		return false
	}
	c.answered = time.Now()
	return true
}

// outlived returns why a connection is to be closed rather than kept: for its
// age, or because all are. What a program has set on it must not be lost, so
// that one that bears marks is kept. l.mu must be held.
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

// release ends the lease of a connection and gives its turn to who is next.
func (l *lane) release(c *conn) {
	if c.inGate { // a panic passed
		c.Leave()
	}
	if c.schemaChanging {
		c.schemaChanging = false
		l.pool.file.schema.Add(1)
	}
	if !c.Wrapped().Panicked() {
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
	defer func() { l.settle(c, why, now) }() // deferred, for a panic in the hook
	why = l.cleanUp(c, now)
}

// tidy returns why a connection that is given back is not to be kept, if it is
// not.
func (l *lane) cleanUp(c *conn, now time.Time) (why wrap.Reason) {
	dirty := false
	if c.stopped.Load() != nil {
		why = c.stoppedReason()
	} else if !c.Wrapped().Panicked() && c.needsCleanUp() { // or it is not to be asked anything
		// A callback of SQLite's may panic, in a rollback above all. There is no call
		// of the program's that could fail for it.
		l.pool.recoverPanics(placeCallback, func() { c.Wrapped().Use(func() { why, dirty = c.cleanUp() }) })
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

// settle keeps a connection that was given back, or closes it: also if the Recorder
// panics.
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
		c.Wrapped().Retire(why)
	}
	keep := c.Wrapped().TakeBack(now)
	settled = true
	if !keep {
		l.close(c, why)
		return
	}
	c.idleSince = now
	l.push(c)
}

// push makes a connection idle, behind those that were used before it, unless it
// has outlived, or the lane is closed by now, or smaller, or has another that
// writes.
func (l *lane) push(c *conn) {
	l.mu.Lock()
	why := l.pushLocked(c)
	l.mu.Unlock()
	if why != "" {
		l.close(c, why)
	}
}

// pushLocked is push, which returns why the connection is to be closed if it is. l.mu
// must be held.
func (l *lane) pushLocked(c *conn) wrap.Reason {
	why := l.closeReason(c, c.idleSince)
	switch {
	case why != "":
	case l.surplus():
		why = wrap.ReasonShrunk
	case !l.reads && len(l.idle) > 0 && c.marks == 0: // one that writes is enough
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

// give gives back a turn.
func (l *lane) releaseTurn(extra bool) {
	if extra {
		l.mu.Lock()
		l.unreserveLocked()
		l.mu.Unlock()
	}
	l.queue.release(extra)
	l.pool.wakeDrain()
}

// close closes a connection that nobody has, for one of the program's calls.
func (l *lane) close(c *conn, why wrap.Reason) { l.closeIn(context.Background(), c, why) }

// closeIn is close on the goroutine that ctx tells; see guard.call.
func (l *lane) closeIn(ctx context.Context, c *conn, why wrap.Reason) {
	defer l.end(ctx, c, why) // deferred, for a panic in the hook
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
	defer l.pool.wakeDrain() // whoever waits for everything to be closed
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closingConns--
	}()
	if c.marks != 0 {
		l.pool.recordMarksLost(c)
	}
	markBackground(ctx, c)
	if err := c.Wrapped().CloseFor(why); err != nil && err != wrap.ErrPanicked {
		l.pool.closeFailed(c, err)
	}
}

// remove takes a connection out of the account, without closing it.
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

// A laneCount is how a lane stands.
type laneCount struct {
	open, idle, opening, openingIdle, closing, waiting, extra int
}

func (l *lane) count() laneCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return laneCount{len(l.all) + l.dialing, len(l.idle), l.dialing, l.dialingIdle, l.closingConns, l.waiting, l.extra}
}

// conns returns all connections there are, leased or not. Of those, only what is
// atomic or locked may be looked at.
func (l *lane) conns() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}
