package core

import (
	"context"
	"sync"
	"time"
)

// deadlockAfter is how long a waiter with a name waits before it checks whether it waits for
// itself. It checks again after as long, and fails if nothing has moved meanwhile. So a holder
// between two statements is not taken for one that waits. A call that takes longer than this
// takes part in no deadlock either, because it is seen inside the engine.
const deadlockAfter = 50 * time.Millisecond

// A patience is how long a waiter waits, and what it looks at meanwhile.
type patience struct {
	lane     *Lane
	of       pendingWait
	before   snapshot
	suspects []stuck // holders that waited for each other, when the waiter looked last
	timer    *time.Timer

	// Times since the wait began; zero if there is nothing to do.
	now     time.Duration // for which the timer is set
	suspect time.Duration // looks for a deadlock
	confirm time.Duration // looks again
	half    time.Duration // half of what the wait may take: looks at the holders again
	late    time.Duration // three quarters of it: the same
	limit   time.Duration // AcquireTimeout
}

// newPatience returns the patience of a wait that begins.
func (l *Lane) newPatience(ctx context.Context, caller callerID) *patience {
	p := &patience{lane: l, of: pendingWait{caller: caller, lane: l, ctx: ctx}, before: l.look(mostWatched)}
	p.limit = max(l.cfg.AcquireTimeout, 0)
	most := p.limit
	if end, ok := ctx.Deadline(); ok {
		if d := end.Sub(p.before.when); most == 0 || d < most {
			most = max(d, 0)
		}
	}
	p.half, p.late = most-most/2, most-most/4
	if caller.owner != "" {
		p.suspect = deadlockAfter
	}
	p.start()
	return p
}

// start sets the timer for what is due first.
func (p *patience) start() {
	next := time.Duration(0)
	for _, at := range []time.Duration{p.suspect, p.confirm, p.half, p.late, p.limit} {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	switch {
	case next == 0:
	case p.timer == nil:
		p.timer = time.NewTimer(next)
	default:
		p.timer.Reset(next - p.now)
	}
	p.now = next
}

// due returns a channel that receives when next must be called. It is nil if that is never.
func (p *patience) due() <-chan time.Time {
	if p.timer == nil || p.now == 0 {
		return nil
	}
	return p.timer.C
}

// wait waits until w has its turn, and returns nil. Otherwise it returns why the wait ended. told
// reports whether the queue has ended it, which w has then left.
func (p *patience) wait(ctx context.Context, w *waiter) (told bool, err error) {
	for {
		select {
		case err := <-w.ready:
			return true, err
		case <-ctx.Done():
			return false, endOf(ctx)
		case <-p.due():
			if p.isDue(&p.confirm) {
				if ended, err := p.endDeadlock(w); ended {
					return true, err
				}
			}
			if err := p.next(); err != nil {
				return false, err
			}
		}
	}
}

// next does what is due. It returns an error if that ends the wait.
func (p *patience) next() error {
	if p.isDue(&p.limit) {
		return ErrAcquireTimeout
	}
	if p.isDue(&p.suspect) {
		if p.suspects = deadlock(p.of); p.suspects != nil && areCertain(p.suspects) {
			p.confirm = p.now + deadlockAfter
		}
	}
	if p.isDue(&p.half) {
		p.before.lookAgain(p.lane, lookHalf)
		p.suspects = deadlock(p.of)
	}
	if p.isDue(&p.late) {
		p.before.lookAgain(p.lane, lookLate)
	}
	p.start()
	return nil
}

// isDue reports whether the time of something has come, which is then done with.
func (p *patience) isDue(at *time.Duration) bool {
	due := *at > 0 && *at <= p.now
	if due {
		*at = 0
	}
	return due
}

// deadlocks makes waiters end deadlocks one after the other, so that the failure of one wait is
// enough.
var deadlocks sync.Mutex

// endDeadlock ends the wait of w with ErrDeadlock if it is still part of the same deadlock. If w
// has got a turn after all, it ends the wait without an error.
func (p *patience) endDeadlock(w *waiter) (ended bool, err error) {
	deadlocks.Lock()
	defer deadlocks.Unlock()
	again := deadlock(p.of)
	if countDeadlocks(again) != countDeadlocks(p.suspects) {
		p.suspect = p.now + deadlockAfter // the end of another wait may be enough
	}
	if !confirms(p.suspects, again) || !p.before.isUnchangedIn(again) || !areCertain(again) {
		return false, nil
	}
	p.suspects = again
	if p.lane.Queue().leave(w) {
		return true, nil
	}
	for _, s := range again {
		s.conn.addDeadlock(s.use.number)
	}
	return true, ErrDeadlock
}

// countDeadlocks counts the deadlocks that holders have been part of.
func countDeadlocks(list []stuck) (n int) {
	for _, s := range list {
		n += s.use.deadlocks
	}
	return n
}

func (p *patience) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
