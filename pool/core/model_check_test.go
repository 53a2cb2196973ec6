package core_test

import (
	"errors"
	"fmt"
	"slices"
	"testing/synctest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// waiting returns the number of waiters.
func (m *model) waiting() (n int) {
	for _, l := range m.lanes {
		n += len(l.waiters())
	}
	return n
}

// waiters returns the waiters of a lane.
func (l *modelLane) waiters() []*actor {
	return slices.DeleteFunc(slices.Clone(l.queue.waiters), func(a *actor) bool { return a.lane != l })
}

// check compares the lanes with the model.
func (m *model) check() {
	synctest.Wait()
	var owners []string
	want := m.stats
	for _, l := range m.lanes {
		taken := 0
		for _, other := range m.lanes {
			for _, a := range other.held {
				if other.queue == l.queue && !a.turnless && !a.extra {
					taken++
				}
			}
		}
		if taken != l.queue.taken {
			m.t.Fatalf("the model is wrong: %d holders have a turn, %d turns are taken", taken, l.queue.taken)
		}
		blockers := 0
		for _, a := range l.held {
			if a.conn == nil {
				a.conn = a.call.got(m.t)
			}
			if a.reclaims {
				a.call.waits(m.t)
			} else if a.call != nil {
				a.call.returns(m.t)
			}
			if !a.offers && !a.turnless {
				blockers++
			}
		}
		for _, a := range l.waiters() {
			a.call.waits(m.t)
			owners = append(owners, a.name)
		}
		count := core.LaneCount{Open: l.open(), Idle: len(l.idle), Waiting: len(l.waiters()), Extra: l.extra()}
		if got := l.Count(); got != count || l.Turns() != l.queue.limit {
			m.t.Errorf("lane %s has %+v and %d turns, want %+v and %d", l.Name(), got, l.Turns(), count, l.queue.limit)
		}
		if got := len(l.Blockers()); got != blockers {
			m.t.Errorf("%d holders of lane %s have their turn, want %d", got, l.Name(), blockers)
		}
		want.Waiting += len(l.waiters())
		want.Open += l.open()
		want.Idle += len(l.idle)
	}
	want.InUse = want.Open - want.Idle
	var got []string
	for _, w := range m.toy.pool.Waiters() {
		got = append(got, w.Owner)
	}
	if !slices.Equal(got, owners) {
		m.t.Errorf("%q wait, want %q", got, owners)
	}
	if got := countsOf(m.toy.pool.Stats()); got != countsOf(want) {
		m.t.Errorf("the counters are\n%s, want\n%s", got, countsOf(want))
	}
}

// countsOf formats the counters that the model has.
func countsOf(s core.Stats) string {
	return fmt.Sprintf("open %d, in use %d, idle %d, waits %d, connects %d, acquires %d, releases %d, discards %d, closes %d %v, "+
		"peaks %d and %d, waiting %d, cancels %d, refusals %d, extra readers %d, turns taken %d, errors %d",
		s.Open, s.InUse, s.Idle, s.Waits, s.Connects, s.Acquires, s.Releases, s.Discards, s.Closes, s.ClosedFor,
		s.PeakInUse, s.PeakWaiting, s.Waiting, s.Cancels, s.Refusals, s.Overflows, s.TurnsTaken, s.ConnectErrors+s.CloseErrors+s.Timeouts+s.Panics+s.Leaks)
}

// end shuts the pool down while its connections are in use, gives them back and checks that
// nothing is left.
func (m *model) end() {
	m.note("shutdown")
	end := shutdown(m.toy.pool, 0)
	for _, l := range m.lanes {
		for _, a := range l.waiters() {
			if a.reclaims {
				continue // holders may still get their turn back
			}
			if err := a.call.fails(m.t); !errors.Is(err, core.ErrClosed) {
				m.t.Errorf("%s: %v, but the pool is closed", a.name, err)
			}
			l.queue.waiters = slices.DeleteFunc(l.queue.waiters, func(other *actor) bool { return other == a })
			m.stats.Refusals++
		}
	}
	for {
		var held []*actor
		waiting := false
		for _, l := range m.lanes {
			for _, a := range l.held {
				if waiting = waiting || a.reclaims; !a.reclaims {
					held = append(held, a)
				}
			}
		}
		if len(held) == 0 {
			if waiting {
				m.t.Error("a holder waits for its turn though no other has one")
			}
			break
		}
		end.waits(m.t)
		m.check()
		if m.t.Failed() {
			return
		}
		m.release(held[m.r.IntN(len(held))])
	}
	end.returns(m.t)
	for _, l := range m.lanes {
		for range l.idle {
			m.closed(wrap.ReasonPoolClosed)
		}
		l.idle = nil
	}
	m.check()
	checkNothingLeft(m.t, m.toy)
}
