package core_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestHooks checks the description of the connection that the hooks get.
func TestHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var before, after, closing []core.ConnInfo
		e := started(t, core.Config{Hooks: core.Hooks{
			BeforeAcquire: func(_ context.Context, i core.ConnInfo) bool { before = append(before, i); return true },
			AfterRelease:  func(i core.ConnInfo) bool { after = append(after, i); return true },
			BeforeClose:   func(i core.ConnInfo) { closing = append(closing, i) },
		}}, writer())
		l := e.lane()
		c := acquire(t, l)
		time.Sleep(time.Second)
		l.Release(c)
		time.Sleep(time.Minute)
		acquire(t, l)
		l.Release(c)
		time.Sleep(time.Minute)
		l.Replace()
		l.Release(acquire(t, l))
		id := toyOf(c).Lease().ID()
		wantBefore := core.ConnInfo{ID: id, Lane: wrap.LaneWriter, Age: 61 * time.Second, Idle: time.Minute, Uses: 1}
		wantAfter := core.ConnInfo{ID: id, Lane: wrap.LaneWriter, Age: 61 * time.Second, Uses: 2} // it is not idle yet
		wantClosing := core.ConnInfo{ID: id, Lane: wrap.LaneWriter, Age: 121 * time.Second, Idle: time.Minute, Uses: 2}
		if len(before) != 3 || before[1] != wantBefore {
			t.Errorf("BeforeAcquire: %+v, want %+v", before, wantBefore)
		}
		if len(after) != 3 || after[1] != wantAfter {
			t.Errorf("AfterRelease: %+v, want %+v", after, wantAfter)
		}
		if len(closing) != 1 || closing[0] != wantClosing {
			t.Errorf("BeforeClose: %+v, want %+v", closing, wantClosing)
		}
	})
}

// TestBeforeAcquireRejects checks that a connection that BeforeAcquire rejects is closed, and
// that another is tried until the acquire's time has passed.
func TestBeforeAcquireRejects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rejects := 2
		e := started(t, core.Config{AcquireTimeout: 10 * time.Second, Hooks: core.Hooks{
			BeforeAcquire: func(context.Context, core.ConnInfo) bool { rejects--; time.Sleep(time.Second); return rejects < 0 },
		}}, writer())
		l := e.lane()
		w := begin(t, l)
		time.Sleep(3 * time.Second)
		l.Release(w.got(t))
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonHook] != 2 || s.Connects != 3 {
			t.Errorf("closed for %v, %d connects", s.ClosedFor, s.Connects)
		}
		rejects = 1000
		w = begin(t, l)
		time.Sleep(11 * time.Second)
		if err := w.fails(t); !errors.Is(err, core.ErrAcquireTimeout) {
			t.Error(err)
		}
		rejects = 1000
		w = begin(t, l)
		w.cancel(nil)
		time.Sleep(time.Second)
		if err := w.fails(t); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		checkTurnsFree(t, l)
	})
}

// TestBeforeAcquireRejectsIdle checks that an acquire fails after its time if BeforeAcquire
// rejects one idle connection after the other.
func TestBeforeAcquireRejectsIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rejects := false
		e := started(t, core.Config{AcquireTimeout: 10 * time.Second, Hooks: core.Hooks{
			BeforeAcquire: func(context.Context, core.ConnInfo) bool {
				if rejects {
					time.Sleep(time.Second)
				}
				return !rejects
			},
		}}, readers(20))
		l := e.lane()
		for _, c := range acquireAll(t, l, 20) {
			l.Release(c)
		}
		rejects = true
		w := begin(t, l)
		time.Sleep(11 * time.Second)
		if err := w.fails(t); !errors.Is(err, core.ErrAcquireTimeout) || l.Count().Idle != 9 {
			t.Errorf("%v, with %d connections left", err, l.Count().Idle)
		}
	})
}

// TestAfterReleaseRejects checks that a connection that AfterRelease rejects is closed.
func TestAfterReleaseRejects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{Hooks: core.Hooks{AfterRelease: func(core.ConnInfo) bool { return false }}}, writer())
		l := e.lane()
		c := acquire(t, l)
		l.Release(c)
		checkClosedFor(t, e, c, wrap.ReasonHook)
	})
}

// TestHooksPanic checks that a panic of a hook is the caller's, that the connection is closed
// nevertheless, and that no turn is lost.
func TestHooksPanic(t *testing.T) {
	for _, test := range []struct {
		name  string
		hooks func(on *bool) core.Hooks
	}{
		{"BeforeAcquire", func(on *bool) core.Hooks {
			return core.Hooks{BeforeAcquire: func(context.Context, core.ConnInfo) bool { panicIf(*on); return true }}
		}},
		{"AfterRelease", func(on *bool) core.Hooks {
			return core.Hooks{AfterRelease: func(core.ConnInfo) bool { panicIf(*on); return true }}
		}},
		{"BeforeClose", func(on *bool) core.Hooks {
			return core.Hooks{
				AfterRelease: func(core.ConnInfo) bool { return !*on },
				BeforeClose:  func(core.ConnInfo) { panicIf(*on) },
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				on := false
				e := started(t, core.Config{Hooks: test.hooks(&on)}, writer())
				l := e.lane()
				c := acquire(t, l)
				w := begin(t, l)
				on = true
				v := panicOf(func() { l.Release(c) })
				synctest.Wait()
				if test.name == "BeforeAcquire" { // the waiter has the panic
					v = w.panics
				}
				if v != "hook" {
					t.Errorf("panic %v", v)
				}
				checkClosedFor(t, e, c, wrap.ReasonHook)
				on = false
				if w.done.Load() && w.conn != nil {
					l.Release(w.conn)
				}
				checkTurnsFree(t, l)
			})
		})
	}
}

func panicIf(on bool) {
	if on {
		panic("hook")
	}
}

// TestBackgroundHooks checks that a panic of BeforeClose on the pool's own goroutine is
// recovered and reported, and that the connection is closed.
func TestBackgroundHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		on := true
		background := false
		e := newToy(core.Config{IdleTimeout: time.Minute, Hooks: core.Hooks{BeforeClose: func(core.ConnInfo) { panicIf(on) }}}, writer())
		e.closing = func(ctx context.Context, b bool) { background = b && core.JobOf(ctx) != nil }
		l := start(t, e).lane()
		c := acquire(t, l)
		l.Release(c)
		time.Sleep(2 * time.Minute)
		checkClosedFor(t, e, c, wrap.ReasonIdle)
		if !background {
			t.Error("the close was not in the background")
		}
		events := eventsOf(e.pool, wrap.KindPanic)
		if len(events) != 1 || events[0].Reason != "Config.Hooks.BeforeClose" || events[0].Err != "string" || e.pool.Stats().Panics != 1 {
			t.Errorf("events %+v, %d panics", events, e.pool.Stats().Panics)
		}
		on = false
	})
}

// TestBlockedHook checks that the pool's own goroutine waits five seconds for a hook that does
// not return, and closes the connection.
func TestBlockedHook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		blocks := make(chan struct{})
		e := started(t, core.Config{IdleTimeout: 8 * time.Second, Hooks: core.Hooks{BeforeClose: func(core.ConnInfo) { <-blocks }}}, writer())
		l := e.lane()
		c := acquire(t, l)
		l.Release(c)
		time.Sleep(13*time.Second - 1)
		checkOpen(t, c)
		time.Sleep(time.Nanosecond)
		checkClosedFor(t, e, c, wrap.ReasonIdle)
		close(blocks)
	})
}
