package core_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// deadlockEnds is when a waiter that waits for itself must have failed. It must not have failed
// after half of that.
const deadlockEnds = 100 * time.Millisecond

// oneFails checks that exactly one of two waits has failed because of a deadlock, and returns it
// first.
func oneFails(t *testing.T, a, b *call) (failed, waits *call) {
	t.Helper()
	time.Sleep(deadlockEnds / 2)
	a.waits(t)
	b.waits(t)
	time.Sleep(deadlockEnds / 2)
	synctest.Wait()
	if !a.done.Load() {
		a, b = b, a
	}
	failure := explained(t, a.fails(t))
	if !errors.Is(failure, core.ErrDeadlock) || errors.Is(failure, core.ErrAcquireTimeout) || failure.Cause != core.CauseCycle {
		t.Errorf("cause %q: %v", failure.Cause, failure)
	}
	b.waits(t)
	return a, b
}

// TestDeadlockOfPools checks that a deadlock of two callers with two pools ends with the failure
// of one wait, and that its error has the lanes that the holders wait for.
func TestDeadlockOfPools(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := started(t, core.Config{Name: "a", AcquireTimeout: time.Minute}, writer())
		b := started(t, core.Config{Name: "b"}, writer())
		atA, atB := acquireAs(t, a.lane(), "x"), acquireAs(t, b.lane(), "y")
		fromX, fromY := beginAs(t, b.lane(), "x"), beginAs(t, a.lane(), "y")
		failed, waits := oneFails(t, fromX, fromY)
		failure := explained(t, failed.err)
		if len(failure.Holders) != 2 {
			t.Fatalf("holders %v", failure.Holders)
		}
		for _, h := range failure.Holders {
			want := map[string]string{"x": `writer of "b"`, "y": `writer of "a"`}[h.Owner]
			if h.WaitsFor != want || !strings.Contains(failure.Error(), "waits for a "+want) {
				t.Errorf("holder %q waits for %q, want %q", h.Owner, h.WaitsFor, want)
			}
		}
		if failed == fromX { // it gives up, and the other goes on
			a.lane().Release(atA)
			a.lane().Release(waits.got(t))
			b.lane().Release(atB)
		} else {
			b.lane().Release(atB)
			b.lane().Release(waits.got(t))
			a.lane().Release(atA)
		}
	})
}

// TestDeadlockBystander checks that callers that only wait behind a deadlock do not fail because of
// it, and get no cycle as the cause at their timeout. One wait of the deadlock fails.
func TestDeadlockBystander(t *testing.T) {
	for _, n := range []int{1, 20} {
		for _, as := range []struct {
			name string
			in   func(ctx context.Context, i int) context.Context
		}{
			{"named", func(ctx context.Context, i int) context.Context {
				return core.WithOwner(ctx, fmt.Sprint("bystander ", i))
			}},
			{"named, in one trace", func(ctx context.Context, i int) context.Context {
				return core.WithOwner(inTrace(ctx, 9), fmt.Sprint("bystander ", i))
			}},
			{"traced", func(ctx context.Context, i int) context.Context { return inTrace(ctx, byte(10+i)) }},
			{"unknown", func(ctx context.Context, _ int) context.Context { return ctx }},
		} {
			for _, ring := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d %s, ring=%v", n, as.name, ring), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						cfg := core.Config{AcquireTimeout: time.Second}
						a, b := started(t, cfg, writer()).lane(), started(t, cfg, writer()).lane()
						me := func(ctx context.Context) context.Context { return core.WithOwner(inTrace(ctx, 9), "x") }
						atA, err := a.Acquire(me(t.Context()), nil)
						if err != nil {
							t.Fatal(err)
						}
						var bystanders []*call
						for i := range n {
							bystanders = append(bystanders, startAcquire(as.in(t.Context(), i), a))
						}
						time.Sleep(10 * time.Millisecond)
						if ring {
							atB := acquireAs(t, b, "y")
							_, waits := oneFails(t, startAcquire(me(t.Context()), b), beginAs(t, a, "y"))
							time.Sleep(time.Second)
							if failure := explained(t, waits.fails(t)); failure.Cause == core.CauseCycle {
								t.Errorf("the wait that was not failed: %v", failure)
							}
							b.Release(atB)
						} else {
							self := startAcquire(me(t.Context()), a)
							time.Sleep(deadlockEnds)
							if err := self.fails(t); !errors.Is(err, core.ErrDeadlock) {
								t.Error(err)
							}
							time.Sleep(time.Second)
						}
						for i, c := range bystanders {
							if failure := explained(t, c.fails(t)); !errors.Is(failure, core.ErrAcquireTimeout) || failure.Cause != core.CauseIdle {
								t.Errorf("bystander %d: %v", i, failure)
							}
						}
						a.Release(atA)
					})
				})
			}
		}
	}
}

// TestDeadlockBystanderAtTimeout checks the same for a cycle that lasts until the timeout, because
// the callers are known only by their traces.
func TestDeadlockBystanderAtTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{AcquireTimeout: time.Second}, writer()).lane()
		c, err := l.Acquire(inTrace(t.Context(), 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		self := startAcquire(inTrace(t.Context(), 1), l)
		other := startAcquire(inTrace(t.Context(), 2), l)
		named := beginAs(t, l, "bystander")
		time.Sleep(time.Second)
		if failure := explained(t, self.fails(t)); failure.Cause != core.CauseCycle || !strings.Contains(failure.Error(), "the caller seems to wait for itself, because the holder has the same trace") {
			t.Error(failure)
		}
		for _, w := range []*call{other, named} {
			if failure := explained(t, w.fails(t)); failure.Cause != core.CauseIdle || strings.Contains(failure.Error(), "itself") {
				t.Error(failure)
			}
		}
		l.Release(c)
	})
}

// TestDeadlocksEndOneByOne checks that of several waits of one caller for itself, only one fails at
// a time: the caller may continue then.
func TestDeadlocksEndOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{}, writer()).lane()
		c := acquireAs(t, l, "x")
		waits := []*call{beginAs(t, l, "x"), beginAs(t, l, "x"), beginAs(t, l, "x")}
		count := func() (n int) {
			for _, w := range waits {
				if w.done.Load() {
					n++
				}
			}
			return n
		}
		time.Sleep(deadlockEnds)
		synctest.Wait()
		if n := count(); n != 1 {
			t.Errorf("%d waits have failed, want 1", n)
		}
		time.Sleep(deadlockEnds)
		synctest.Wait()
		if n := count(); n != 2 {
			t.Errorf("%d waits have failed, want 2", n)
		}
		l.Release(c)
		for _, w := range waits {
			synctest.Wait()
			if w.conn != nil {
				l.Release(w.conn)
			} else if !errors.Is(w.err, core.ErrDeadlock) {
				t.Error(w.err)
			}
		}
	})
}

// TestNoDeadlockIfOneHolderContinues checks that a wait is no cycle if one of the holders does
// not wait, or is not known to be the same caller.
func TestNoDeadlockIfOneHolderContinues(t *testing.T) {
	for _, waits := range []string{"x", "z", ""} {
		t.Run("waits="+waits, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e := started(t, core.Config{AcquireTimeout: time.Second}, readers(2))
				l := e.lane()
				x, y := acquireAs(t, l, "x"), acquireAs(t, l, "y")
				w := beginAs(t, l, waits)
				time.Sleep(time.Second)
				if failure := explained(t, w.fails(t)); failure.Cause != core.CauseIdle || !errors.Is(failure, core.ErrAcquireTimeout) {
					t.Error(failure)
				}
				fromX, fromY := beginAs(t, l, "x"), beginAs(t, l, "y")
				_, other := oneFails(t, fromX, fromY)
				l.Release(x)
				l.Release(other.got(t))
				l.Release(y)
			})
		})
	}
}

// TestNoDeadlockWithUnknownHolder checks that a wait is no cycle if the holder of one of the
// turns is not known, as for a turn of the pool itself.
func TestNoDeadlockWithUnknownHolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{AcquireTimeout: time.Second}, readers(2)).lane()
		c := acquireAs(t, l, "x")
		if !l.TryTurn() {
			t.Fatal("no turn is free")
		}
		w := beginAs(t, l, "x")
		time.Sleep(time.Second)
		if failure := explained(t, w.fails(t)); failure.Cause != core.CauseIdle || !errors.Is(failure, core.ErrAcquireTimeout) {
			t.Error(failure)
		}
		l.ReleaseTurn()
		l.Release(c)
	})
}

// TestDeadlockWithoutTurn checks that a holder whose turn was taken is not part of a cycle, and
// does not hide one.
func TestDeadlockWithoutTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Stalls = core.StallsTakeOffers
		l := started(t, core.Config{AcquireTimeout: time.Second}, cfg).lane()
		x := acquireAs(t, l, "x")
		x.Offer()
		y := beginAs(t, l, "y")
		time.Sleep(2 * time.Millisecond)
		w := beginAs(t, l, "y") // waits for itself
		time.Sleep(time.Second)
		failure := explained(t, w.fails(t))
		if failure.Cause != core.CauseCycle || len(failure.Holders) != 1 || failure.Holders[0].Owner != "y" {
			t.Errorf("cause %q, holders %v", failure.Cause, failure.Holders)
		}
		l.Release(y.got(t))
		l.Release(x)
	})
}

// TestUncertainDeadlock checks that a wait for itself does not end early if something else than
// its failure may end it. At AcquireTimeout, it is a cycle only if the holder has done nothing.
func TestUncertainDeadlock(t *testing.T) {
	named := func(ctx context.Context) context.Context { return core.WithOwner(ctx, "x") }
	traced := func(ctx context.Context) context.Context { return inTrace(ctx, 1) }
	atFirst := func() func(*core.Conn) { // for 300 ms
		n := 0
		return func(c *core.Conn) {
			if n++; n <= 10 {
				toyOf(c).steps.Add(1)
			}
		}
	}
	for _, test := range []struct {
		name           string
		holder, waiter func(context.Context) context.Context
		cfg            core.Config
		lane           core.LaneConfig
		meanwhile      func(c *core.Conn) // every 30 ms
		want           core.Cause
	}{
		{"only traces", traced, traced, core.Config{}, writer(), nil, core.CauseCycle},
		{"a name, and a trace", func(ctx context.Context) context.Context { return named(traced(ctx)) }, traced, core.Config{}, writer(), nil, core.CauseCycle},
		{"the pool ends what lasts too long", named, named, core.Config{Limits: []time.Duration{0, time.Hour}}, writer(), nil, core.CauseCycle},
		{"the holder's context may end first", func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(named(ctx))
			context.AfterFunc(ctx, cancel)
			return ctx
		}, named, core.Config{}, writer(), nil, core.CauseCycle},
		{"the holder works", named, named, core.Config{}, writer(), func(c *core.Conn) { toyOf(c).steps.Add(1) }, core.CauseSlow},
		{"the holder is inside the engine", named, named, core.Config{}, writer(), func(c *core.Conn) { toyOf(c).running.Store(true) }, core.CauseSlow},
		{"the holder works at first, and the pool ends what lasts too long", named, named, core.Config{Limits: []time.Duration{time.Hour}}, writer(), atFirst(), core.CauseIdle},
		{"only traces, and the holder works at first", traced, traced, core.Config{}, writer(), atFirst(), core.CauseIdle},
		{"only traces, and the holder works", traced, traced, core.Config{}, writer(), func(c *core.Conn) { toyOf(c).steps.Add(1) }, core.CauseSlow},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				test.cfg.AcquireTimeout = time.Second
				l := started(t, test.cfg, test.lane).lane()
				ctx := test.holder(t.Context())
				c, err := l.Acquire(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				w := startAcquire(test.waiter(t.Context()), l)
				for range 33 {
					time.Sleep(30 * time.Millisecond)
					if test.meanwhile != nil {
						test.meanwhile(c)
					}
				}
				w.waits(t)
				time.Sleep(10 * time.Millisecond)
				failure := explained(t, w.fails(t))
				if !errors.Is(failure, core.ErrAcquireTimeout) || failure.Waited != time.Second || failure.Cause != test.want {
					t.Errorf("want %s, got %s: %v", test.want, failure.Cause, failure)
				}
				l.Release(c)
			})
		})
	}
}

// TestDeadlockOfOneContext checks that a wait for itself ends early if rows or a transaction of
// the holder cannot end before the wait does: they have no context that ends, or the same.
func TestDeadlockOfOneContext(t *testing.T) {
	for name, parent := range map[string]func(context.Context) context.Context{
		"background": func(context.Context) context.Context { return context.Background() },
		"canceled by the same": func(ctx context.Context) context.Context {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			context.AfterFunc(ctx, cancel)
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := started(t, core.Config{}, writer()).lane()
				ctx := core.WithOwner(parent(t.Context()), "x")
				c, err := l.Acquire(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if _, err := l.Acquire(ctx, nil); !errors.Is(err, core.ErrDeadlock) || time.Since(began) != deadlockEnds {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				l.Release(c)
			})
		})
	}
}

// TestNoDeadlockOfReaders checks that a reader that waits for itself is let in, and does not
// fail, although it has a name.
func TestNoDeadlockOfReaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(1)
		cfg.Stalls = core.StallsExtend
		var running atomic.Bool
		running.Store(true)
		cfg.Running = running.Load
		l := started(t, core.Config{}, cfg).lane()
		c := acquireAs(t, l, "x")
		w := beginAs(t, l, "x")
		time.Sleep(time.Second)
		w.waits(t)
		running.Store(false)
		time.Sleep(time.Second)
		l.Release(w.got(t))
		l.Release(c)
	})
}

// TestManyWaitersAreCheap checks that a wait that fails costs memory that does not depend on the
// number of waiters. Their names, or their common trace, do not change that.
func TestManyWaitersAreCheap(t *testing.T) {
	const waiters, most = 1000, 40 << 10
	for name, as := range map[string]func(ctx context.Context, i int) context.Context{
		"names":     func(ctx context.Context, i int) context.Context { return core.WithOwner(ctx, fmt.Sprint(i)) },
		"one trace": func(ctx context.Context, _ int) context.Context { return inTrace(ctx, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := started(t, core.Config{AcquireTimeout: time.Second, TrackStacks: true}, writer()).lane()
				c, err := l.Acquire(as(t.Context(), waiters), nil)
				if err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				failed := make(chan error)
				for i := range waiters {
					go func() {
						_, err := l.Acquire(as(t.Context(), i), nil)
						failed <- err
					}()
				}
				for range waiters {
					if err := <-failed; !errors.Is(err, core.ErrAcquireTimeout) || len(explained(t, err).Holders[0].Stack) == 0 {
						t.Error(err)
					}
				}
				runtime.ReadMemStats(&after)
				if n := (after.TotalAlloc - before.TotalAlloc) / waiters; n > most {
					t.Errorf("%d bytes for each wait, want at most %d", n, most)
				} else {
					t.Logf("%d bytes for each wait", n)
				}
				l.Release(c)
			})
		})
	}
}
