package pool

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A checkout that has leased the writer keeps its connection until it ends, but not always the
// turn. It offers its turn while it runs nothing and has no transaction and no open rows. It
// must also have left no session state that queries need. Then other callers may write, as they
// could beside an idle connection of any pool. If a waiter sees no progress for takeTurnAfter,
// it takes the offered turn and gets another connection. The checkout queues again when it is
// next used. Programs that migrate a database need this: they keep one connection open and
// write through another.
//
// A checkout of AcquireWrite or of Writer keeps its turn.

// takeTurnAfter is longer than a checkout of a single call takes to end after the call. Such a
// checkout must not lose its turn, because then its connection would be surplus and closed.
const takeTurnAfter = 2 * time.Millisecond

// A turn records whether the holder of a writer also has the turn. The value is a state and a
// counter of offers. Because of the counter, a waiter takes only the offer that it has
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

// hold sets the state to turnHeld, for a new lease or a new turn.
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

// offerTurn lets other callers take the turn until reclaimTurn, if the state of the checkout
// allows it.
func (s *shell) offerTurn() {
	c := s.writer
	if c == nil || s.tx != nil || s.pool.keepTurns || s.pinned != wrap.LaneNone || c.marks&markVisible != 0 || !s.pool.forReaders().reads ||
		c.Lease().Panicked() || !c.SQLite().GetAutocommit() || c.writePragmasDiffer() {
		return
	}
	c.turn.offer()
}

// writePragmasDiffer reports whether a changed pragma on the connection affects writes, above
// all foreign_keys. Then the checkout keeps its turn, so that no other connection writes
// without the setting.
func (c *conn) writePragmasDiffer() bool {
	// While rows are open, a PRAGMA may not have been executed yet.
	if c.recheckPragmas && c.Lease().OpenRows() == 0 {
		c.Lease().Use(func() { c.pragmasDiffer = writePragmas(c.SQLite()) != c.writePragmas })
		c.recheckPragmas = false
	}
	return c.recheckPragmas || c.pragmasDiffer
}

// writePragmas returns the pragmas that affect what a connection writes.
func writePragmas(raw *sqlite3.Conn) (is [3]bool) {
	for i, name := range [...]string{"foreign_keys", "ignore_check_constraints", "recursive_triggers"} {
		_ = row(raw, "PRAGMA "+name, func(st *sqlite3.Stmt) { is[i] = st.ColumnBool(0) })
	}
	return is
}

// reclaimTurn returns the writer, with its turn. If another caller has taken the turn, it waits
// for a new one.
func (s *shell) reclaimTurn(ctx context.Context) (*conn, error) {
	c := s.writer
	if c.turn.reclaim() {
		return c, nil
	}
	if err := c.lane.requeue(ctx, c); err != nil {
		return nil, err
	}
	c.turn.hold()
	return c, nil
}

// requeue waits for another turn for a leased connection. It fails if the pool has taken the
// connection away. It checks that after joining the queue: abortAll ends only the waits that
// are in the queue by then.
func (l *lane) requeue(ctx context.Context, c *conn) error {
	if err := l.connector.FileLost(); err != nil {
		return l.refuseLost(ctx, err)
	}
	w, place, err := l.queue.joinAs(l, l.pool.cfg.MaxWaiters, true)
	if err != nil {
		return l.failAcquire(ctx, nil, err)
	}
	if stopped := c.stopped.Load(); stopped != nil {
		if w == nil || l.queue.leave(w) {
			l.releaseTurn(false)
		}
		return *stopped
	}
	if w == nil {
		return nil
	}
	a := l.connector.Acquisition(ctx, l.name)
	a.Queued(place)
	if err := l.waitForTurn(ctx, a, w); err != nil {
		return err
	}
	a.Resumed(c.Lease())
	return nil
}

// reclaimTurn reports whether a connection that is given back still has its turn, which can
// then no longer be taken.
func (c *conn) reclaimTurn() bool {
	kept := c.turn.reclaim()
	c.turn.hold()
	return kept
}

// takeOfferedTurn takes one offered turn and gives it to the next waiter. It does nothing if
// the queue's count of released turns differs from released, because then there is progress.
func (f *file) takeOfferedTurn(released uint64) {
	memory := extraWriterMemory()
	for _, l := range f.writerLanes() {
		conns := l.conns()
		// The checkout keeps its connection, so the waiter opens one more.
		if len(conns) > maxExtra || memory > maxExtraMemory-l.pool.cfg.MemoryLimit {
			continue
		}
		for _, c := range conns {
			if f.writers.count().released != released {
				return
			}
			if c.turn.take(func() bool { return c.Lease().OpenRows() == 0 }) {
				l.pool.sums.addOverflow()
				f.writers.release(false)
				return
			}
		}
	}
}

// extraWriterMemory returns the address space that the writers' connections of all pools
// reserve, not counting one for each pool.
func extraWriterMemory() (bytes int64) {
	openPools.Lock()
	pools := openPools.list
	openPools.Unlock()
	for _, p := range pools {
		bytes += int64(max(len(p.writer.conns())-1, 0)) * p.cfg.MemoryLimit
	}
	return bytes
}

// resolveWriterStall is resolveReaderStall for waiters for the writer.
func (l *lane) resolveWriterStall(of uint64) {
	l.mu.Lock()
	over := l.stall == nil || l.stallID != of || l.closed
	released := l.stallSeen
	l.mu.Unlock()
	if over {
		return
	}
	l.pool.file.takeOfferedTurn(released)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stall != nil && l.stallID == of {
		l.stallSeen = l.queue.count().released
		l.stall.Reset(takeTurnAfter)
	}
}
