package core

import (
	"context"
	"sync/atomic"
	"time"
)

// The holder of a connection keeps it until the end of its use, but not always the turn. It may
// offer its turn while it runs nothing and leaves nothing that others must not see. If a waiter
// sees no progress for takeTurnAfter, it takes the offered turn and gets another connection. The
// holder queues again when it needs its turn. Programs that migrate a database need this: they
// keep one connection open and write through another.

// takeTurnAfter is longer than a use for a single call takes to end after the call. Such a use
// must not lose its turn, because then its connection would be surplus and closed.
const takeTurnAfter = 2 * time.Millisecond

// A turn records whether the holder of a connection also has the turn. The value is a state and
// a counter of offers. Because of the counter, a waiter takes only the offer that it has
// examined. Only the holder calls the methods, except take and revoke.
type turn struct{ v atomic.Uint64 }

const (
	turnHeld    = iota
	turnOffered // the holder runs nothing, so the turn may be taken
	turnTaken
	turnStates
)

func (t *turn) isHeld() bool { return t.v.Load()%turnStates == turnHeld }

func (t *turn) offer() { t.v.Store((t.v.Load()/turnStates+1)*turnStates + turnOffered) }

// hold sets the state to turnHeld, for a new use or a new turn.
func (t *turn) hold() { t.v.Store(t.v.Load() / turnStates * turnStates) }

// reclaim ends an offer. It reports whether the holder still has the turn, which can then no
// longer be taken.
func (t *turn) reclaim() bool {
	v := t.v.Load()
	return v%turnStates == turnHeld || v%turnStates == turnOffered && t.v.CompareAndSwap(v, v-turnOffered)
}

// take takes an offered turn if may returns true for the state in which it was offered.
func (t *turn) take(may func() bool) bool {
	v := t.v.Load()
	return v%turnStates == turnOffered && may() && t.v.CompareAndSwap(v, v-turnOffered+turnTaken)
}

// revoke takes the turn from its holder, which must not be in a call. It reports whether it
// did; the turn may have been taken already.
func (t *turn) revoke() bool {
	v := t.v.Load()
	return v%turnStates != turnTaken && t.v.CompareAndSwap(v, v/turnStates*turnStates+turnTaken)
}

// Offer lets other callers take the holder's turn until Reclaim.
func (c *Conn) Offer() { c.turn.offer() }

// Reclaim ends an offer. If another caller has taken the turn, it waits for a new one, as an
// acquire does.
func (c *Conn) Reclaim(ctx context.Context) error {
	if c.turn.reclaim() {
		return nil
	}
	if err := c.lane.requeue(ctx, c); err != nil {
		return err
	}
	c.turn.hold()
	return nil
}

// reclaimAtEnd reports whether a connection that is given back still has its turn, which can
// then no longer be taken.
func (c *Conn) reclaimAtEnd() bool {
	kept := c.turn.reclaim()
	c.turn.hold()
	return kept
}

// Revoke passes the turn of a stopped connection, which is not in a call, to the next waiter.
func (c *Conn) Revoke() {
	// With an exclusive connection, the next caller must wait until this one is given back.
	if !c.lane.pool.cfg.Exclusive && c.turn.revoke() {
		c.lane.releaseTurn(c.extra)
	}
}

// requeue waits for another turn for a connection in use. It fails if the pool has taken the
// connection away. It checks that after joining the queue: abortAll ends only the waits that are
// in the queue by then.
func (l *Lane) requeue(ctx context.Context, c *Conn) error {
	if err := l.pool.engine.Lost(); err != nil {
		return l.refuseLost(ctx, err)
	}
	w, place, err := l.queue.joinAs(l, l.pool.cfg.MaxWaiters, true)
	if err != nil {
		return l.failAcquire(ctx, nil, err)
	}
	if stopped := c.Stopped(); stopped != nil {
		if w == nil || l.queue.leave(w) {
			l.releaseTurn(false)
		}
		return stopped
	}
	if w == nil {
		return nil
	}
	a := l.source.Acquisition(ctx, l.name)
	a.Queued(place)
	if err := l.waitForTurn(ctx, a, w); err != nil {
		return err
	}
	a.Resumed(c.session.Lease())
	return nil
}

// takeOffer takes one offered turn and gives it to the next waiter. It does nothing if the
// queue's count of released turns differs from released, because then there is progress.
func (q *Queue) takeOffer(released uint64) {
	memory := extraWriterMemory()
	for _, l := range q.Lanes() {
		conns := l.Conns()
		// The holder keeps its connection, so the waiter opens one more.
		if len(conns) > maxExtra || memory > maxExtraMemory-l.pool.cfg.ConnMemory {
			continue
		}
		for _, c := range conns {
			if q.count().released != released {
				return
			}
			if c.turn.take(func() bool { return c.session.Lease().OpenRows() == 0 }) {
				l.pool.sums.addOverflow()
				q.release(false)
				return
			}
		}
	}
}

// extraWriterMemory returns the address space that the writers' connections of all pools
// reserve, not counting one for each pool.
func extraWriterMemory() (bytes int64) {
	for _, p := range Pools() {
		for _, l := range p.Lanes() {
			if !l.reads {
				bytes += int64(max(len(l.Conns())-1, 0)) * p.cfg.ConnMemory
			}
		}
	}
	return bytes
}

// TryTurn takes a turn if no caller waits for it, and either it is free or a holder offers it.
// The caller must call [Lane.ReleaseTurn].
func (l *Lane) TryTurn() bool {
	if l.queue.try() {
		return true
	}
	l.queue.takeOffer(l.queue.count().released)
	return l.queue.try()
}

// ReleaseTurn releases a turn of TryTurn.
func (l *Lane) ReleaseTurn() { l.releaseTurn(false) }
