package core_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestStallsExtend checks that a lane lets in callers beyond its limit if its holders wait for
// each other: the last waiter after 20 ms, and then one each millisecond. Their connections are
// closed when they are given back.
func TestStallsExtend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(1)
		cfg.Stalls = core.StallsExtend
		cfg.Most = func() int { return 1 }
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		c := acquire(t, l)
		first, last := begin(t, l), begin(t, l)
		time.Sleep(20*time.Millisecond - 1)
		last.waits(t)
		time.Sleep(time.Nanosecond)
		extra := last.got(t)
		first.waits(t)
		time.Sleep(time.Millisecond)
		more := first.got(t)
		if n := l.Count(); n.Extra != 2 || n.Open != 3 {
			t.Errorf("%+v, want 2 beyond the limit and 3 open", n)
		}
		w := begin(t, l)
		l.Release(extra) // does not free a turn
		checkClosedFor(t, e, extra, wrap.ReasonOverflow)
		w.waits(t)
		l.Release(c)
		checkOpen(t, c)
		if w.got(t) != c {
			t.Error("the waiter did not get the connection within the limit")
		}
		l.Release(more)
		checkClosedFor(t, e, more, wrap.ReasonOverflow)
		l.Release(c)
		checkOpen(t, c)
		if s := e.pool.Stats(); s.Overflows != 2 || l.Count().Extra != 0 {
			t.Errorf("%d extra readers, %d beyond the limit", s.Overflows, l.Count().Extra)
		}
	})
}

// TestNoExtensionWhileRunning checks that a lane lets in no caller beyond its limit while one of
// its connections is inside the engine, or while turns are released.
func TestNoExtensionWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running atomic.Bool
		running.Store(true)
		cfg := readers(2)
		cfg.Stalls = core.StallsExtend
		cfg.Running = running.Load
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		a, b := acquire(t, l), acquire(t, l)
		first, second := begin(t, l), begin(t, l)
		time.Sleep(time.Second)
		second.waits(t)
		running.Store(false)
		l.Release(a) // the next check sees progress
		first.got(t)
		time.Sleep(20 * time.Millisecond)
		second.waits(t)
		time.Sleep(20 * time.Millisecond)
		extra := second.got(t)
		for _, c := range []*core.Conn{b, first.conn, extra} {
			l.Release(c)
		}
		if s := e.pool.Stats(); s.Overflows != 1 {
			t.Errorf("%d extra readers", s.Overflows)
		}
	})
}

// TestStallsWait checks that a lane without help for stalls lets its callers wait, even if a
// turn is offered.
func TestStallsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		c := acquire(t, l)
		c.Offer()
		w := begin(t, l)
		time.Sleep(time.Hour)
		w.waits(t)
		if err := l.Reclaim(t.Context(), c, nil); err != nil {
			t.Error(err)
		}
		l.Release(c)
		l.Release(w.got(t))
	})
}

// offering returns a toy whose lane takes offered turns.
func offering(t *testing.T) (*toy, *core.Lane) {
	cfg := writer()
	cfg.Stalls = core.StallsTakeOffers
	cfg.Most = func() int { return 1 }
	e := started(t, core.Config{}, cfg)
	return e, e.lane()
}

// TestOfferedTurnIsTaken checks that a waiter takes an offered turn after 2 ms, and that its
// holder queues again.
func TestOfferedTurnIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, l := offering(t)
		first := acquireAs(t, l, "first")
		w := beginAs(t, l, "second")
		time.Sleep(time.Second)
		w.waits(t) // the turn is not offered
		first.Offer()
		if len(l.Blockers()) != 0 || len(e.pool.Holders()) != 1 {
			t.Errorf("holders %v, blockers %v", e.pool.Holders(), l.Blockers())
		}
		time.Sleep(2 * time.Millisecond)
		second := w.got(t)
		if n := l.Count(); n.Open != 2 || second == first {
			t.Errorf("%+v, want 2 connections", n)
		}
		if b := l.Blockers(); len(b) != 1 || b[0].Owner != "second" {
			t.Errorf("blockers %v", b)
		}
		back := reclaim(t, l, first)
		third := begin(t, l)
		time.Sleep(time.Second)
		back.waits(t)
		l.Release(second)
		back.returns(t)
		checkClosedFor(t, e, second, wrap.ReasonShrunk)
		time.Sleep(time.Second)
		third.waits(t) // the first holder has its turn again
		l.Release(first)
		if third.got(t) != first {
			t.Error("the connection was not kept")
		}
		l.Release(first)
		if s := e.pool.Stats(); s.TurnsTaken != 1 {
			t.Errorf("%d turns were taken", s.TurnsTaken)
		}
	})
}

// TestReclaimedTurnIsNotTaken checks that a turn is not taken after Reclaim, nor while rows are
// open.
func TestReclaimedTurnIsNotTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, l := offering(t)
		c := acquire(t, l)
		c.Offer()
		w := begin(t, l)
		if err := l.Reclaim(t.Context(), c, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		w.waits(t)
		rows := openRows(t, c)
		c.Offer()
		time.Sleep(time.Second)
		w.waits(t)
		rows.Close()
		time.Sleep(4 * time.Millisecond)
		other := w.got(t)
		l.Release(other)
		if err := l.Reclaim(t.Context(), c, nil); err != nil { // the turn is free again
			t.Error(err)
		}
		l.Release(c)
	})
}

// TestReleaseAfterTurnIsTaken checks that a holder whose turn was taken does not release it a
// second time, whether or not it has tried to get it back.
func TestReleaseAfterTurnIsTaken(t *testing.T) {
	for _, test := range []struct {
		name  string
		first func(t *testing.T, l *core.Lane, c *core.Conn)
	}{
		{"without Reclaim", func(*testing.T, *core.Lane, *core.Conn) {}},
		{"after a canceled Reclaim", func(t *testing.T, l *core.Lane, c *core.Conn) {
			back := reclaim(t, l, c)
			back.waits(t)
			back.cancel(nil)
			if err := back.fails(t); !errors.Is(err, context.Canceled) || len(explained(t, err).Holders) != 2 {
				t.Error(err)
			}
		}},
		{"after a Reclaim of a stopped connection", func(t *testing.T, l *core.Lane, c *core.Conn) {
			stopped := errors.New("stopped")
			c.Stop(stopped, wrap.ReasonTimeLimit)
			if err := l.Reclaim(t.Context(), c, nil); err != stopped {
				t.Errorf("Reclaim of a stopped connection: %v", err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				_, l := offering(t)
				c := acquire(t, l)
				c.Offer()
				w := begin(t, l)
				time.Sleep(2 * time.Millisecond)
				other := w.got(t)
				test.first(t, l, c)
				waiting := begin(t, l)
				l.Release(c)
				waiting.waits(t)
				l.Release(other)
				l.Release(waiting.got(t))
				checkTurnsFree(t, l)
			})
		})
	}
}

// TestReclaimOfStoppedConnection checks that a Reclaim that finds a free turn leaves it, if the
// pool has taken the connection away.
func TestReclaimOfStoppedConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e, l := offering(t)
		c := acquire(t, l)
		c.Offer()
		if !l.TryTurn() {
			t.Fatal("TryTurn did not take the offered turn")
		}
		l.ReleaseTurn()
		stopped := errors.New("stopped")
		c.Stop(stopped, wrap.ReasonTimeLimit)
		c.Stop(core.ErrClosed, wrap.ReasonPoolClosed) // the first reason stays
		if err := l.Reclaim(t.Context(), c, nil); err != stopped {
			t.Errorf("Reclaim of a stopped connection: %v", err)
		}
		checkTurnsFree(t, l)
		l.Release(c)
		checkClosedFor(t, e, c, wrap.ReasonTimeLimit)
	})
}

// TestOfferedTurnsOfSharedQueue checks that a waiter of one pool takes a turn that a holder of
// another pool offers.
func TestOfferedTurnsOfSharedQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Queue, cfg.Stalls = core.NewQueue(1), core.StallsTakeOffers
		a, b := started(t, core.Config{}, cfg), started(t, core.Config{}, cfg)
		c := acquire(t, a.lane())
		c.Offer()
		w := begin(t, b.lane())
		time.Sleep(2 * time.Millisecond)
		other := w.got(t)
		back := reclaim(t, a.lane(), c)
		back.waits(t)
		b.lane().Release(other)
		back.returns(t)
		a.lane().Release(c)
		if a.pool.Stats().TurnsTaken != 1 || b.pool.Stats().TurnsTaken != 0 {
			t.Error("the taken turn was counted for the wrong pool")
		}
	})
}

// TestRevoke checks that the turn of a stopped connection goes to the next waiter before its
// holder gives it back.
func TestRevoke(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			e := started(t, core.Config{Exclusive: exclusive}, writer())
			l := e.lane()
			c := acquire(t, l)
			w := begin(t, l)
			since, _ := c.UsedSince()
			no, yes := func() bool { return false }, func() bool { return true }
			if c.StopIn(since, no, core.ErrClosed, wrap.ReasonTimeLimit) || c.StopIn(since.Add(1), yes, core.ErrClosed, wrap.ReasonTimeLimit) {
				t.Error("StopIn stopped another use, or one that has changed")
			}
			if !c.StopIn(since, yes, core.ErrClosed, wrap.ReasonTimeLimit) || !errors.Is(toyOf(c).wrapped.Ping(t.Context()), core.ErrClosed) {
				t.Error("StopIn did not stop the connection")
			}
			l.Revoke(c)
			l.Revoke(c) // does nothing
			if exclusive {
				w.waits(t) // the next connection could not be opened yet
				l.Release(c)
			}
			other := w.got(t)
			next := begin(t, l)
			if !exclusive {
				l.Release(c)
			}
			next.waits(t)
			checkClosedFor(t, e, c, wrap.ReasonTimeLimit)
			l.Release(other)
			l.Release(next.got(t))
			if c.StopIn(since, yes, core.ErrClosed, wrap.ReasonTimeLimit) {
				t.Error("StopIn stopped a connection that is not in use")
			}
		})
	}
}
