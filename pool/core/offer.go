package core

import "time"

// The holder of a connection keeps it until the end of its use, but not always the turn. It may
// offer its turn while it runs nothing and leaves nothing that others must not see. If a waiter
// sees no progress for takeTurnAfter, it takes the offered turn and gets another connection. The
// holder queues again when it needs its turn. Programs that migrate a database need this: they
// keep one connection open and write through another.

// takeTurnAfter is longer than a use for a single call takes to end after the call. Such a use
// must not lose its turn, because then its connection would be surplus and closed.
const takeTurnAfter = 2 * time.Millisecond

// takeOffer takes one offered turn and gives it to the next waiter. It does nothing if the
// queue's count of released turns differs from released, because then there is progress.
func (q *Queue) takeOffer(released uint64) {
	memory := extraWriterMemory()
	for _, l := range q.Lanes() {
		conns := l.Conns()
		// The holder keeps its connection, so the waiter opens one more.
		if len(conns) > maxExtra || memory > maxExtraMemory-l.cfg.ConnMemory {
			continue
		}
		for _, c := range conns {
			if q.count().released != released {
				return
			}
			if c.turn.take(c.mayTake) {
				l.sums.addTaken()
				q.release(false)
				return
			}
		}
	}
}

// extraWriterMemory returns the address space that the writers' connections of all pools
// reserve, not counting one for each pool.
func extraWriterMemory() (bytes int64) {
	for _, l := range allLanes() {
		if !l.opts.Reads {
			bytes += int64(max(len(l.Conns())-1, 0)) * l.cfg.ConnMemory
		}
	}
	return bytes
}

// TryTurn takes a turn if no caller waits for it, and either it is free or a holder offers it.
// The caller must call [Lane.ReleaseTurn].
func (l *Lane) TryTurn() bool {
	if l.Queue().try() {
		return true
	}
	l.Queue().takeOffer(l.Queue().count().released)
	return l.Queue().try()
}

// ReleaseTurn releases a turn of TryTurn.
func (l *Lane) ReleaseTurn() { l.releaseTurn(false) }
