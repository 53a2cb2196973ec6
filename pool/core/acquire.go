package core

import (
	"context"
	"errors"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Acquire waits for a connection and lends it to the call with context ctx. The caller must
// [Lane.Release] it. The error is an [*AcquireError], that of opening a connection, or that of
// [Engine.Lost]. query is what the call will execute, for [Waiter].Query; nil if that is unknown.
func (l *Lane) Acquire(ctx context.Context, query Summarizer) (c *Conn, err error) {
	if l.opts.Demand != nil {
		l.opts.Demand(1)
		defer func() {
			if c == nil {
				l.opts.Demand(-1)
			}
		}()
	}
	if l.ending.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.engine.Lost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	w, place, err := l.Queue().join(l, l.cfg.MaxWaiters)
	if err != nil {
		return nil, l.refuse(ctx, err)
	}
	var a *wrap.Acquisition
	if w != nil {
		a = l.opts.Source.Acquisition(ctx, l.opts.Name)
		a.Queue(place)
		if err := l.waitForTurn(ctx, query, a, w); err != nil {
			return nil, err
		}
	}
	return l.take(ctx, a, w != nil && w.extra)
}

// TryAcquire is Acquire without waiting for a turn. It returns nil if none is free.
func (l *Lane) TryAcquire(ctx context.Context) (*Conn, error) {
	if l.ending.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	if err := l.engine.Lost(); err != nil {
		return nil, l.refuseLost(ctx, err)
	}
	if !l.Queue().try() {
		return nil, nil
	}
	c, err := l.take(ctx, nil, false)
	if c != nil && l.opts.Demand != nil {
		l.opts.Demand(1)
	}
	return c, err
}

func (l *Lane) refuse(ctx context.Context, err error) error {
	return l.failAcquire(ctx, nil, outcome{err: err})
}

// refuseLost ends an acquire because the database is gone. It returns err itself, because there
// is no connection to wait for.
func (l *Lane) refuseLost(ctx context.Context, err error) error {
	l.engine.Noticed(err)
	l.opts.Source.Acquisition(ctx, l.opts.Name).Fail(ctx, err, false)
	return err
}

// waitForTurn waits until w has its turn.
func (l *Lane) waitForTurn(ctx context.Context, query Summarizer, a *wrap.Acquisition, w *waiter) error {
	caller := callerOf(ctx)
	l.Queue().setCaller(w, ctx, caller, query, time.Now())
	refusing := l.addWaiting(1)
	defer l.addWaiting(-1)
	if refusing { // refuseAll ran before w was counted
		l.Queue().abort(l, ErrClosed)
	}
	p := l.newPatience(ctx, caller)
	defer p.stop()
	told, err := p.wait(ctx, w)
	if err == nil {
		a.EndWait()
		return nil
	}
	gotTurn := !told && l.Queue().leave(w)
	if gotTurn {
		l.releaseTurn(w.extra) // to the next waiter
	}
	a.EndWait()
	if lost := (lostError{}); errors.As(err, &lost) {
		a.Fail(ctx, lost.error, false)
		return lost.error
	}
	return l.failAcquire(ctx, a, outcome{err: err, before: &p.before, suspects: p.suspects, gotTurn: gotTurn})
}

// TakeIdle takes a turn and an idle connection, for the pool itself, if both are free. If none is
// idle and open is set, it opens one. did reports whether it had a turn and, without a connection,
// tried to open one. The caller of a connection must Push or Close it, and then ReleaseTurn.
func (l *Lane) TakeIdle(ctx context.Context, open bool) (c *Conn, did bool, err error) {
	if !l.Queue().try() {
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

// Reclaim ends an offer of the holder of c. If another caller has taken the turn, it waits for a
// new one, as an acquire does. query is that of [Lane.Acquire].
func (l *Lane) Reclaim(ctx context.Context, c *Conn, query Summarizer) error {
	if c.turn.reclaim() {
		return nil
	}
	if err := l.requeue(ctx, c, query); err != nil {
		return err
	}
	c.turn.hold()
	return nil
}

// requeue waits for another turn for a connection in use. It fails if the pool has taken the
// connection away. It checks that after joining the queue: abortAll ends only the waits that are
// in the queue by then.
func (l *Lane) requeue(ctx context.Context, c *Conn, query Summarizer) error {
	if err := l.engine.Lost(); err != nil {
		return l.refuseLost(ctx, err)
	}
	w, place, err := l.Queue().joinAs(l, l.cfg.MaxWaiters, true)
	if err != nil {
		return l.failAcquire(ctx, nil, outcome{err: err})
	}
	if stopped := c.Stopped(); stopped != nil {
		if w == nil || l.Queue().leave(w) {
			l.releaseTurn(false)
		}
		return stopped
	}
	if w == nil {
		return nil
	}
	a := l.opts.Source.Acquisition(ctx, l.opts.Name)
	a.Queue(place)
	if err := l.waitForTurn(ctx, query, a, w); err != nil {
		return err
	}
	a.Resume(c.session.Lease())
	return nil
}

// AcquireOwn opens a connection from source for the pool itself, for one use, and lends it. It
// is not one of the lane's and needs no turn. The caller must [Lane.ReleaseOwn] it.
func (l *Lane) AcquireOwn(ctx context.Context, source Source) (*Conn, error) {
	if l.ending.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	a := source.Acquisition(ctx, l.opts.Name)
	l.addOwn(1)
	lent := false
	defer func() {
		if !lent {
			a.Panic(ctx) // does nothing if a.Fail has been called
			l.addOwn(-1)
			l.drain.wake() // a Shutdown may wait for this opening
		}
	}()
	c, err := l.dialFrom(ctx, source, a.Opening())
	if err != nil {
		a.Fail(ctx, err, false)
		return nil, err
	}
	now := time.Now()
	owner := ownerOf(ctx)
	c.turn.dispense()
	c.session.Lease().Lend(ctx, a, l.opts.Name, now)
	lent = true
	c.begin(ctx, owner, now, l.cfg.TrackStacks)
	return c, nil
}

// ReleaseOwn closes a connection of AcquireOwn.
func (l *Lane) ReleaseOwn(c *Conn) {
	defer l.drain.wake() // also if a hook panics
	defer l.addOwn(-1)
	now := time.Now()
	if leaked, held := c.end(now); leaked {
		l.recordLeakEnd(c, held)
	}
	c.session.Lease().Retire(wrap.ReasonOther)
	c.session.Lease().TakeBack(now)
	l.Close(c, wrap.ReasonOther)
}

func (l *Lane) addOwn(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.beyond.own += n
}
