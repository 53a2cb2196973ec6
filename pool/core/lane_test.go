package core_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestLaneServesInOrder checks that a lane serves its waiters first come, first served, and that
// a newcomer does not overtake them.
func TestLaneServesInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		c := acquire(t, l)
		var waiters []*call
		for range 5 {
			waiters = append(waiters, begin(t, l))
		}
		if n := l.Count(); n.Waiting != 5 || n.Open != 1 {
			t.Errorf("%+v, want 5 waiters and 1 connection", n)
		}
		l.Release(c)
		for i, w := range waiters {
			if other, err := l.TryAcquire(t.Context()); other != nil || err != nil {
				t.Fatalf("TryAcquire overtook waiter %d: %v, %v", i, other, err)
			}
			for _, later := range waiters[i+1:] {
				later.waits(t)
			}
			l.Release(w.got(t))
		}
		if s := e.pool.Stats(); s.Connects != 1 || s.Acquires != 6 || s.Waits != 5 || s.PeakWaiting != 5 || s.PeakInUse != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLaneLendsLatest checks that a lane lends the connection that was used last, and opens one
// only if none is idle.
func TestLaneLendsLatest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, readers(3))
		l := e.lane()
		a, b := acquire(t, l), acquire(t, l)
		l.Release(a)
		time.Sleep(time.Second)
		l.Release(b)
		if again := acquire(t, l); again != b {
			t.Error("the lane lent another connection than the one used last")
		}
		if again := acquire(t, l); again != a {
			t.Error("the lane did not lend the idle connection")
		}
		if n := l.Count(); n.Open != 2 || n.Idle != 0 {
			t.Errorf("%+v, want 2 open and none idle", n)
		}
		l.Release(a)
		l.Release(b)
	})
}

// TestSessionCalls checks in which order a lane calls the methods of a session.
func TestSessionCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		c := acquire(t, l)
		l.Release(c)
		l.Release(acquire(t, l))
		l.Replace()
		l.Release(acquire(t, l)) // closes c
		use := []string{"Taking", "Begun", "Returning", "CleanUp", "Ended"}
		if want := append(slices.Concat(use, use), "Closing"); !slices.Equal(toyOf(c).calls, want) {
			t.Errorf("calls %q, want %q", toyOf(c).calls, want)
		}
	})
}

// TestAcquireErrorOfCancel checks the error of a waiter whose context ends. It wraps the
// context's error and its cause, and lists the holders.
func TestAcquireErrorOfCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{Name: "toys", TrackStacks: true}, writer())
		l := e.lane()
		c := acquireAs(t, l, "importer")
		toyOf(c).tx.Store(true)
		w, next := begin(t, l), begin(t, l)
		time.Sleep(30 * time.Millisecond)
		why := errors.New("the client has gone")
		w.cancel(why)
		err := w.fails(t)
		failure := explained(t, err)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("%v does not wrap the context's error and its cause", err)
		}
		if failure.Pool != "toys" || failure.Lane != wrap.LaneWriter || failure.Waited != 30*time.Millisecond ||
			failure.Place != 1 || failure.Waiting != 1 || failure.Cause != core.CauseCancelled {
			t.Errorf("%+v", failure)
		}
		if len(failure.Holders) != 1 {
			t.Fatalf("holders %v, want one", failure.Holders)
		}
		h := failure.Holders[0]
		if h.Owner != "importer" || h.Conn != toyOf(c).Lease().ID() || h.Held != 30*time.Millisecond || !h.Tx || h.Last != "toy" || len(h.Stack) == 0 {
			t.Errorf("holder %+v", h)
		}
		for _, part := range []string{`"toys"`, "writer", "importer", "cancelled", "30ms"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not contain %q", err, part)
			}
		}
		l.Release(c)
		l.Release(next.got(t)) // the canceled waiter took no turn
		if events := eventsOf(e.pool, wrap.KindCancel); len(events) != 1 || events[0].Wait != 30*time.Millisecond || events[0].QueuePosition != 1 {
			t.Errorf("events %+v", events)
		}
		if s := e.pool.Stats(); s.Cancels != 1 {
			t.Errorf("%d cancels", s.Cancels)
		}
	})
}

// TestAcquireTimeout checks that an acquire fails after AcquireTimeout, and the probable cause.
func TestAcquireTimeout(t *testing.T) {
	for _, test := range []struct {
		name string
		use  func(t *testing.T, l *core.Lane) (end func())
		want core.Cause
	}{
		{"idle", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			return func() { l.Release(c) }
		}, core.CauseIdle},
		{"idle transaction", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			toyOf(c).tx.Store(true)
			return func() { l.Release(c) }
		}, core.CauseIdle},
		{"idle rows", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			rows := openRows(t, c)
			return func() { rows.Close(); l.Release(c) }
		}, core.CauseIdle},
		{"idle from the first half of the wait on", func(t *testing.T, l *core.Lane) func() {
			first, second := acquire(t, l), begin(t, l)
			time.AfterFunc(4*time.Second, func() { l.Release(first) })
			return func() { l.Release(second.got(t)) }
		}, core.CauseIdle},
		{"many short statements", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			toyOf(c).tx.Store(true)
			time.AfterFunc(9*time.Second, func() { toyOf(c).steps.Add(1) })
			return func() { l.Release(c) }
		}, core.CauseSlow},
		{"a long statement", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			toyOf(c).running.Store(true)
			return func() { l.Release(c) }
		}, core.CauseSlow},
		{"the pool itself", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			c.SetDefaultOwner("Backup")
			return func() { l.Release(c) }
		}, core.CauseUpkeep},
		{"a turn without a connection", func(t *testing.T, l *core.Lane) func() {
			if !l.TryTurn() {
				t.Fatal("no turn is free")
			}
			return l.ReleaseTurn
		}, core.CauseUpkeep},
		{"idle since it came in the second half of the wait", func(t *testing.T, l *core.Lane) func() {
			first, second := acquire(t, l), begin(t, l)
			time.AfterFunc(7*time.Second, func() { l.Release(first) })
			return func() { l.Release(second.got(t)) }
		}, core.CauseIdle},
		{"another use until shortly before the end", func(t *testing.T, l *core.Lane) func() {
			first, second := acquire(t, l), begin(t, l)
			time.AfterFunc(9*time.Second, func() { l.Release(first) })
			return func() { l.Release(second.got(t)) }
		}, core.CauseSlow},
		{"work, then nothing for most of the wait", func(t *testing.T, l *core.Lane) func() {
			c := acquire(t, l)
			time.AfterFunc(4*time.Second, func() { toyOf(c).steps.Add(1) })
			return func() { l.Release(c) }
		}, core.CauseIdle},
		{"overload", func(t *testing.T, l *core.Lane) func() {
			var uses []*call
			for range 4 {
				uses = append(uses, startCall(t.Context(), func(ctx context.Context) (*core.Conn, error) {
					c, err := l.Acquire(ctx, nil)
					if err == nil {
						time.Sleep(3 * time.Second)
						l.Release(c)
					}
					return nil, err
				}))
			}
			return func() {
				time.Sleep(2 * time.Second)
				for _, c := range uses {
					c.returns(t)
				}
			}
		}, core.CauseOverload},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e := started(t, core.Config{AcquireTimeout: 10 * time.Second}, writer())
				l := e.lane()
				end := test.use(t, l)
				w := begin(t, l)
				time.Sleep(10*time.Second - 1)
				w.waits(t)
				time.Sleep(time.Nanosecond)
				err := w.fails(t)
				if failure := explained(t, err); !errors.Is(err, core.ErrAcquireTimeout) || failure.Waited != 10*time.Second || failure.Cause != test.want {
					t.Errorf("%v, waited %s, cause %q; want a timeout after 10 s, cause %q", err, failure.Waited, failure.Cause, test.want)
				}
				end()
				if s := e.pool.Stats(); s.Timeouts != 1 || s.LongestWait != 10*time.Second || len(eventsOf(e.pool, wrap.KindTimeout)) != 1 {
					t.Errorf("%d timeouts, longest wait %s", s.Timeouts, s.LongestWait)
				}
			})
		})
	}
}

// TestLooksFollowDeadline checks that the looks at the holders during a wait follow the deadline of
// the caller's context, if that comes before AcquireTimeout.
func TestLooksFollowDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{AcquireTimeout: 30 * time.Second}, writer()).lane()
		first, second := acquire(t, l), begin(t, l)
		time.AfterFunc(700*time.Millisecond, func() { l.Release(first) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Acquire(ctx, nil)
		failure := explained(t, err)
		if !errors.Is(err, context.DeadlineExceeded) || failure.Cause != core.CauseCancelled || !strings.Contains(err.Error(), "the holder has done nothing for the last 250ms") {
			t.Error(err)
		}
		if n := strings.Count(err.Error(), "connection "+failure.Holders[0].Conn.String()+" "); n != 1 {
			t.Errorf("%d times: %v", n, err)
		}
		l.Release(second.got(t))
	})
}

// TestQueueIsFull checks that an acquire fails if MaxWaiters callers wait.
func TestQueueIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{MaxWaiters: 2}, writer())
		l := e.lane()
		c := acquire(t, l)
		first, second := begin(t, l), begin(t, l)
		err := begin(t, l).fails(t)
		if failure := explained(t, err); !errors.Is(err, core.ErrQueueFull) || failure.Cause != core.CauseQueueFull || failure.Waiting != 2 || len(failure.Holders) != 1 {
			t.Errorf("%+v", failure)
		}
		l.Release(c)
		third := begin(t, l) // there is room again
		for _, w := range []*call{first, second, third} {
			l.Release(w.got(t))
		}
		if s := e.pool.Stats(); s.Refusals != 1 {
			t.Errorf("%d refusals", s.Refusals)
		}
	})
}

// An engineError is an error of an engine.
type engineError struct{ code int }

func (e *engineError) Error() string { return "toy: locked" }

// TestAcquireErrorMatchesEngine checks that an AcquireError also matches LaneConfig.Timeout, but
// not when the pool is closed.
func TestAcquireErrorMatchesEngine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		locked := &engineError{5}
		cfg := writer()
		cfg.Timeout = locked
		e := started(t, core.Config{AcquireTimeout: time.Second}, cfg)
		l := e.lane()
		c := acquire(t, l)
		w := begin(t, l)
		time.Sleep(time.Second)
		err := w.fails(t)
		var found *engineError
		if !errors.Is(err, locked) || !errors.As(err, &found) || found.code != 5 || !errors.Is(err, core.ErrAcquireTimeout) {
			t.Errorf("%v does not match the engine's error", err)
		}
		w = begin(t, l)
		end := shutdown(e.pool, 0)
		for _, err := range []error{w.fails(t), begin(t, l).fails(t)} {
			if explained(t, err).Cause != core.CauseClosed || !errors.Is(err, core.ErrClosed) || errors.Is(err, locked) || errors.As(err, &found) {
				t.Errorf("the error of a closed pool: %v", err)
			}
		}
		l.Release(c)
		end.returns(t)
	})
}

// TestTryAcquire checks that TryAcquire does not wait for a turn, and opens a connection if it
// has one.
func TestTryAcquire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		demand := 0
		cfg.Demand = func(n int) { demand += n }
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		c, err := l.TryAcquire(t.Context())
		if c == nil || err != nil {
			t.Fatalf("%v, %v", c, err)
		}
		if other, err := l.TryAcquire(t.Context()); other != nil || err != nil || demand != 1 {
			t.Errorf("without a free turn: %v, %v, demand %d", other, err, demand)
		}
		l.Release(c)
		if demand != 0 {
			t.Errorf("demand %d after the release", demand)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c = acquire(t, l)
		w := startAcquire(ctx, l)
		if demand != 2 {
			t.Errorf("demand %d with a holder and a waiter", demand)
		}
		cancel()
		_ = w.fails(t)
		if demand != 1 {
			t.Errorf("demand %d after a waiter has gone", demand)
		}
		l.Release(c)
	})
}

// TestSetTurns checks that more turns let waiters in, and that fewer turns take none away.
func TestSetTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, readers(1))
		l := e.lane()
		first := acquire(t, l)
		var waiters []*call
		for range 3 {
			waiters = append(waiters, begin(t, l))
		}
		l.SetTurns(3)
		second, third := waiters[0].got(t), waiters[1].got(t)
		waiters[2].waits(t)
		l.SetTurns(1)
		l.Release(first)
		l.Release(second)
		waiters[2].waits(t)
		l.Release(third)
		l.Release(waiters[2].got(t))
		if l.Turns() != 1 {
			t.Errorf("%d turns", l.Turns())
		}
	})
}

// TestLostEndsWaits checks that acquires and waits end with the error of Engine.Lost itself, and
// that connections are closed then.
func TestLostEndsWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Stalls = core.StallsTakeOffers
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		first := acquire(t, l)
		first.Offer()
		second := begin(t, l)
		time.Sleep(time.Second)
		back := reclaim(t, l, first) // a wait of a holder
		w := begin(t, l)
		back.waits(t)
		lost := errors.New("the toy is lost")
		e.set(func(s *toyState) { s.lost = lost })
		l.Abandon(lost)
		if err := w.fails(t); err != lost {
			t.Errorf("the waiter got %v", err)
		}
		if err := back.fails(t); err != lost {
			t.Errorf("the holder that queued again got %v", err)
		}
		if _, err := l.Acquire(t.Context(), nil); err != lost {
			t.Errorf("Acquire: %v", err)
		}
		if _, err := l.TryAcquire(t.Context()); err != lost {
			t.Errorf("TryAcquire: %v", err)
		}
		if err := l.Reclaim(t.Context(), first, nil); err != lost {
			t.Errorf("Reclaim: %v", err)
		}
		if noticed := e.get().noticed; len(noticed) != 3 || noticed[0] != lost {
			t.Errorf("the engine noticed %v", noticed)
		}
		l.Release(first)
		l.Release(second.got(t))
		checkClosedFor(t, e, first, wrap.ReasonReset)
		checkClosedFor(t, e, second.conn, wrap.ReasonReset)
		if s := e.pool.Stats(); s.Refusals != 5 || s.Cancels != 0 {
			t.Errorf("%d refusals, %d cancels", s.Refusals, s.Cancels)
		}
	})
}

// TestPoolsShareQueue checks that pools that share a queue share its turns and its order, and
// that an error lists the holders of all of them.
func TestPoolsShareQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Queue = core.NewQueue(1)
		a, b := started(t, core.Config{Name: "a"}, cfg), started(t, core.Config{Name: "b"}, cfg)
		if got := cfg.Queue.Lanes(); !slices.Equal(got, []*core.Lane{a.lane(), b.lane()}) {
			t.Errorf("%d lanes use the queue", len(got))
		}
		c := acquireAs(t, a.lane(), "holder")
		first, second, third := begin(t, b.lane()), begin(t, a.lane()), begin(t, b.lane())
		first.cancel(nil)
		failure := explained(t, first.fails(t))
		if failure.Cause != core.CauseCancelled || !strings.Contains(failure.Error(), "another pool of this process") || len(failure.Holders) != 1 || failure.Holders[0].Pool != "a" || failure.Holders[0].Owner != "holder" {
			t.Errorf("%+v", failure)
		}
		third.waits(t)
		a.lane().Release(c)
		third.waits(t)
		a.lane().Release(second.got(t))
		b.lane().Release(third.got(t))
		c = acquireAs(t, b.lane(), "longest")
		time.Sleep(time.Second)
		cfg.Queue.Lanes()[0].SetTurns(2)
		c2 := acquireAs(t, a.lane(), "shortest")
		w := begin(t, a.lane())
		w.cancel(nil)
		failure = explained(t, w.fails(t))
		if h := failure.Holders; len(h) != 2 || h[0].Owner != "longest" || h[1].Owner != "shortest" {
			t.Errorf("holders %v, want the longest first", h)
		}
		a.lane().Release(c2)
		cfg.Queue.Lanes()[0].SetTurns(1)
		w = begin(t, a.lane())
		end := shutdown(a.pool, 0) // does not affect the other pool
		end.returns(t)
		if err := w.fails(t); !errors.Is(err, core.ErrClosed) {
			t.Error(err)
		}
		b.lane().Release(c)
		b.lane().Release(acquire(t, b.lane()))
	})
}

// TestAcquireOwn checks that a connection of the pool itself needs no turn, is not lent to
// others, and is closed after its use.
func TestAcquireOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		c := acquire(t, l)
		own, err := l.AcquireOwn(core.WithOwner(t.Context(), "Backup"), e)
		if err != nil {
			t.Fatal(err)
		}
		if h := e.pool.Holders(); len(h) != 2 || h[0].Owner != "" || h[1].Owner != "Backup" {
			t.Errorf("holders %v", h)
		}
		end := shutdown(e.pool, 0)
		l.Release(c)
		end.waits(t) // for the pool's own connection
		l.ReleaseOwn(own)
		end.returns(t)
		checkClosedFor(t, e, own, wrap.ReasonOther)
		if _, err := l.AcquireOwn(t.Context(), e); !errors.Is(err, core.ErrClosed) {
			t.Errorf("AcquireOwn of a closed pool: %v", err)
		}
		synctest.Wait()
	})
}

// TestSetQueueBesideWait checks that a pool can be opened, and its lane get another queue, while
// callers of other pools wait. The race detector finds it if not.
func TestSetQueueBesideWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{AcquireTimeout: time.Second}, writer()).lane()
		c := acquireAs(t, l, "x")
		opened := newToy(core.Config{}, writer())
		done := make(chan error)
		go func() {
			_, err := l.Acquire(core.WithOwner(t.Context(), "x"), nil)
			done <- err
		}()
		opened.lane().SetQueue(core.NewQueue(1))
		if err := <-done; !errors.Is(err, core.ErrDeadlock) {
			t.Error(err)
		}
		l.Release(c)
		start(t, opened)
	})
}
