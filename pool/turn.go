package pool

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A checkout that has had the writer keeps the connection until it ends, but not
// always the turn: while it asks for nothing, has no transaction and no rows open,
// and has left nothing in force by which they should, others may write, as they
// could beside an idle connection of any pool. Who waits and sees nothing move for parkAfter takes
// the turn, and has a connection of its own for it; the checkout queues again
// when it next asks for something. Programs that migrate a database do so: they
// keep a connection, and write by another.
//
// What was asked for by name, with AcquireWrite or of Writer, is kept.

// parkAfter is longer than a checkout of a single call takes to end once the call
// has: such a one is not to lose its turn, and with it the connection.
const takeTurnAfter = 2 * time.Millisecond

// A turn is whether who has a connection that writes has the turn, too: a state, and
// how often it was parked, so that who takes it takes what was looked at. But for
// seize and expel, its methods are the holder's.
type turn struct{ v atomic.Uint64 }

const (
	turnHeld    = iota
	turnOffered // nothing is asked for: it may be taken
	turnTaken
	turnStates
)

func (t *turn) isHeld() bool { return t.v.Load()%turnStates == turnHeld }

func (t *turn) offer() { t.v.Store((t.v.Load()/turnStates+1)*turnStates + turnOffered) }

// hold makes the turn held that has been given back, or anew.
func (t *turn) hold() { t.v.Store(t.v.Load() / turnStates * turnStates) }

// keep reports whether it was not taken, and from then on it cannot be.
func (t *turn) reclaim() bool {
	v := t.v.Load()
	return v%turnStates == turnHeld || v%turnStates == turnOffered && t.v.CompareAndSwap(v, v-turnOffered)
}

// seize takes a turn that is parked, if, in that state, it may be.
func (t *turn) take(may func() bool) bool {
	v := t.v.Load()
	return v%turnStates == turnOffered && may() && t.v.CompareAndSwap(v, v-turnOffered+turnTaken)
}

// expel takes a turn from its holder, who must not be asking for anything, unless it was
// taken already.
func (t *turn) revoke() bool {
	v := t.v.Load()
	return v%turnStates != turnTaken && t.v.CompareAndSwap(v, v/turnStates*turnStates+turnTaken)
}

// park lets others take the turn until resume.
func (s *shell) offerTurn() {
	c := s.writer
	if c == nil || s.tx != nil || s.pool.keepTurns || s.pinned != wrap.LaneNone || c.marks&markVisible != 0 || !s.pool.forReaders().reads ||
		c.Wrapped().Panicked() || !c.SQLite().GetAutocommit() || c.writePragmasDiffer() {
		return
	}
	c.turn.offer()
}

// writesOtherwise reports whether a pragma is in force on the connection by which
// others are to write, too, or lose what it keeps: foreign_keys above all.
func (c *conn) writePragmasDiffer() bool {
	if c.recheckPragmas && c.Wrapped().OpenRows() == 0 { // or it may not have been executed yet
		c.Wrapped().Use(func() { c.pragmasDiffer = writePragmas(c.SQLite()) != c.writePragmas })
		c.recheckPragmas = false
	}
	return c.recheckPragmas || c.pragmasDiffer
}

// writing is how a connection writes, as far as pragmas say.
func writePragmas(raw *sqlite3.Conn) (is [3]bool) {
	for i, name := range [...]string{"foreign_keys", "ignore_check_constraints", "recursive_triggers"} {
		_ = row(raw, "PRAGMA "+name, func(st *sqlite3.Stmt) { is[i] = st.ColumnBool(0) })
	}
	return is
}

// resume sees to it that the checkout has its turn.
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

// again takes another turn for a connection that is leased. Once the pool has taken
// that away, there is none: looked at after it has come into the queue, out of which
// whoever is there by then is told.
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
	a.Resumed(c.Wrapped())
	return nil
}

// keepsTurn reports whether a connection that is given back has its turn, too, and
// sees to it that nobody takes that any more.
func (c *conn) reclaimTurn() bool {
	kept := c.turn.reclaim()
	c.turn.hold()
	return kept
}

// takeParked gives the turn of a checkout that asks for nothing to who is next, if
// none has been given back since given was so many.
func (f *file) takeOfferedTurn(released uint64) {
	memory := extraWriterMemory()
	for _, l := range f.writerLanes() {
		conns := l.conns()
		if len(conns) > maxExtra || memory > maxExtraMemory-l.pool.cfg.MemoryLimit { // each that is kept is one more that is open
			continue
		}
		for _, c := range conns {
			if f.writers.count().released != released {
				return
			}
			if c.turn.take(func() bool { return c.Wrapped().OpenRows() == 0 }) {
				l.pool.sums.addOverflow()
				f.writers.release(false)
				return
			}
		}
	}
}

// keptMemory is how much address space the writers' connections of all pools reserve, but for
// one of each.
func extraWriterMemory() (bytes int64) {
	openPools.Lock()
	pools := openPools.list
	openPools.Unlock()
	for _, p := range pools {
		bytes += int64(max(len(p.writer.conns())-1, 0)) * p.cfg.MemoryLimit
	}
	return bytes
}

// unpark is unstall for those who wait for the writer.
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
