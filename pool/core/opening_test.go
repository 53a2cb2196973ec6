package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// slow returns a toy that takes a minute to open a connection.
func slow(t *testing.T, cfg core.Config, lane core.LaneConfig) *toy {
	e := newToy(cfg, lane)
	e.opening = func(ctx context.Context) error {
		select {
		case <-time.After(time.Minute):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return start(t, e)
}

// TestOpeningServesNextCaller checks that an opening goes on when its caller's context ends, and
// serves the next caller.
func TestOpeningServesNextCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := slow(t, core.Config{}, readers(2))
		l := e.lane()
		first := begin(t, l)
		time.Sleep(time.Second)
		first.cancel(nil)
		if err := first.fails(t); !errors.Is(err, context.Canceled) || explained(t, err).Cause != core.CauseConnect {
			t.Errorf("%v, want the context's error, and that a connection is being opened", err)
		}
		if n := l.Count(); n.Opening != 1 || n.Open != 1 {
			t.Errorf("%+v, want 1 opening", n)
		}
		second := begin(t, l)
		time.Sleep(59 * time.Second)
		l.Release(second.got(t))
		if s := e.pool.Stats(); s.Connects != 1 || s.Cancels != 1 || s.LongestConnect != time.Minute {
			t.Errorf("%d connects, %d cancels, longest connect %s", s.Connects, s.Cancels, s.LongestConnect)
		}
	})
}

// TestOpeningWithoutCallerBecomesIdle checks that a connection whose caller has gone becomes
// idle, or is closed if the lane needs no more.
func TestOpeningWithoutCallerBecomesIdle(t *testing.T) {
	for _, most := range []int{0, 1} {
		bubble(t, func(t *testing.T) {
			cfg := writer()
			cfg.Most = func() int { return most }
			e := slow(t, core.Config{AcquireTimeout: time.Second}, cfg)
			l := e.lane()
			w := begin(t, l)
			time.Sleep(time.Second)
			if err := w.fails(t); !errors.Is(err, core.ErrAcquireTimeout) {
				t.Error(err)
			}
			time.Sleep(59 * time.Second)
			synctest.Wait()
			if n := l.Count(); n.Idle != most || n.Open != most {
				t.Errorf("%+v, want %d idle connections", n, most)
			}
		})
	}
}

// TestSecondOpening checks that a caller waits for an opening without a caller only while that
// is less than five seconds old, unless there may be no other connection.
func TestSecondOpening(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  core.Config
		want int
	}{
		{"room for others", core.Config{MaxConns: 2}, 2},
		{"as many as may be open", core.Config{MaxConns: 1}, 1},
		{"exclusive", core.Config{MaxConns: 2, Exclusive: true}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := slow(t, test.cfg, writer()).lane()
				begin(t, l).cancel(nil)
				time.Sleep(5*time.Second - 1)
				begin(t, l).cancel(nil)
				synctest.Wait()
				if n := l.Count().Opening; n != 1 {
					t.Errorf("%d openings before five seconds", n)
				}
				time.Sleep(time.Nanosecond)
				w := begin(t, l)
				if n := l.Count().Opening; n != test.want {
					t.Errorf("%d openings after five seconds, want %d", n, test.want)
				}
				time.Sleep(time.Minute)
				l.Release(w.got(t))
			})
		})
	}
}

// TestTurnIsHeldWhileOpening checks that an acquire fails with the error of opening itself, and
// then gives its turn to the next waiter.
func TestTurnIsHeldWhileOpening(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		broken := errors.New("no connection")
		e.opening = func(context.Context) error { time.Sleep(time.Second); return broken }
		l := start(t, e).lane()
		first, second := begin(t, l), begin(t, l)
		time.Sleep(time.Second)
		if err := first.fails(t); err != broken {
			t.Error(err)
		}
		second.waits(t)
		time.Sleep(time.Second / 2)
		third := begin(t, l)
		third.cancel(nil)
		failure := explained(t, third.fails(t))
		if failure.Cause != core.CauseConnect && failure.Connect != nil {
			t.Errorf("%+v", failure)
		}
		time.Sleep(time.Second / 2)
		if err := second.fails(t); err != broken {
			t.Error(err)
		}
		if s := e.pool.Stats(); s.ConnectErrors != 2 || s.Refusals != 2 || s.Cancels != 1 {
			t.Errorf("%d connect errors, %d refusals, %d cancels", s.ConnectErrors, s.Refusals, s.Cancels)
		}
	})
}

// TestCauseConnect checks that a timeout names the error of opening a connection, if that failed
// during the wait.
func TestCauseConnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{AcquireTimeout: 2 * time.Second}, readers(1))
		broken := errors.New("no connection")
		e.opening = func(context.Context) error { time.Sleep(1500 * time.Millisecond); return broken }
		l := start(t, e).lane()
		begin(t, l)
		w := begin(t, l)
		time.Sleep(2 * time.Second)
		failure := explained(t, w.fails(t))
		if failure.Cause != core.CauseConnect || failure.Connect != broken || !strings.Contains(failure.Error(), broken.Error()) {
			t.Errorf("%v", failure)
		}
		time.Sleep(time.Minute)
	})
}

// TestPanicOfOpen checks that a panic of Source.Open is the caller's, that its connection is
// closed, and that its turn is free.
func TestPanicOfOpen(t *testing.T) {
	for _, test := range []struct {
		name     string
		connects uint64
		prepare  func(e *toy, f func(context.Context) error)
	}{
		{"before the connection is open", 0, func(e *toy, f func(context.Context) error) { e.opening = f }},
		{"after the connection is open", 1, func(e *toy, f func(context.Context) error) { e.opened = f }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e := newToy(core.Config{}, writer())
				test.prepare(e, func(context.Context) error { time.Sleep(time.Second); panic("broken") })
				l := start(t, e).lane()
				w := begin(t, l)
				time.Sleep(time.Second)
				synctest.Wait()
				if w.panics != "broken" || !w.done.Load() {
					t.Errorf("the caller has %v, panic %v", w.err, w.panics)
				}
				checkTurnsFree(t, l)
				if events := eventsOf(e.pool, wrap.KindRefuse); len(events) != 1 || events[0].Err != "panic" {
					t.Errorf("events %+v", events)
				}
				w = begin(t, l) // its caller goes before the panic
				w.cancel(nil)
				if err := w.fails(t); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if s := e.pool.Stats(); s.Panics != 1 || len(eventsOf(e.pool, wrap.KindPanic)) != 1 || s.Connects != 2*test.connects {
					t.Errorf("%d panics, %d connects", s.Panics, s.Connects)
				}
			})
		})
	}
}

// TestErrorAfterOpen checks that a connection is closed if Source.Open fails after it is open.
func TestErrorAfterOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		broken := errors.New("broken")
		e.opened = func(context.Context) error { return broken }
		l := start(t, e).lane()
		if err := begin(t, l).fails(t); err != broken {
			t.Error(err)
		}
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonHook] != 1 || s.Refusals != 1 {
			t.Errorf("closed for %v, %d refusals", s.ClosedFor, s.Refusals)
		}
	})
}

// TestGoexitOfOpen checks that runtime.Goexit in Source.Open ends the caller's goroutine, and
// frees its turn.
func TestGoexitOfOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.opening = func(context.Context) error { runtime.Goexit(); return nil }
		l := start(t, e).lane()
		w := begin(t, l)
		if !w.done.Load() || w.err != nil || w.conn != nil || w.panics != nil {
			t.Errorf("done %v, error %v, panic %v, want a goroutine that has ended", w.done.Load(), w.err, w.panics)
		}
		checkTurnsFree(t, l)
	})
}

// TestShutdownEndsOpenings checks that Shutdown ends openings: those without a caller
// immediately, and the others when its context ends.
func TestShutdownEndsOpenings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := slow(t, core.Config{}, readers(2))
		l := e.lane()
		gone := begin(t, l)
		wanted := begin(t, l)
		gone.cancel(nil)
		_ = gone.fails(t)
		end := shutdown(e.pool, 10*time.Second)
		if n := l.Count().Opening; n != 1 {
			t.Errorf("%d openings, want only the one with a caller", n)
		}
		wanted.waits(t)
		time.Sleep(10 * time.Second)
		if err := wanted.fails(t); !errors.Is(err, core.ErrClosed) {
			t.Error(err)
		}
		var failure *core.ShutdownError
		if err := end.fails(t); !errors.As(err, &failure) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// TestCallerOfOpeningLeavesDuringShutdown checks that an opening is canceled if its caller
// leaves while the pool is being closed, because no other caller will come.
func TestCallerOfOpeningLeavesDuringShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := slow(t, core.Config{}, writer())
		w := begin(t, e.lane())
		end := shutdown(e.pool, 0)
		end.waits(t)
		w.cancel(nil)
		_ = w.fails(t)
		end.returns(t)
		if end.took != 0 {
			t.Errorf("Shutdown took %s after the caller had gone", end.took)
		}
	})
}
