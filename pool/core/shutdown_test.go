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

// TestShutdown checks that Shutdown waits for the connections in use, lets waiters fail
// immediately, and closes readers before writers. A second Shutdown waits for the first.
func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer(), readers(2))
		order := []wrap.Lane{}
		e.closing = func(ctx context.Context, background bool) {
			if !background || core.JobOf(ctx) == nil {
				t.Error("Shutdown closed a connection outside of its job")
			}
		}
		e.pool.Start(t.Context())
		r, w := e.pool.Lanes()[0], e.pool.Lanes()[1]
		idle := acquire(t, w)
		w.Release(idle)
		c := acquire(t, r)
		acquire(t, w)
		waiter := begin(t, w)
		first := shutdown(e.pool, 0)
		if !e.pool.Closed() || e.pool.WhileOpen(func() { t.Error("WhileOpen called its function") }) != core.ErrClosed {
			t.Error("the pool does not say that it is closed")
		}
		for _, late := range []*call{waiter, begin(t, r), startCall(t.Context(), w.TryAcquire)} {
			if err := late.fails(t); !errors.Is(err, core.ErrClosed) || explained(t, err).Cause != core.CauseClosed {
				t.Errorf("%v, want that the pool is closed", err)
			}
		}
		bounded, unbounded := shutdown(e.pool, 10*time.Second), shutdown(e.pool, 0)
		time.Sleep(10 * time.Second)
		if err := bounded.fails(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := toyOf(c).wrapped.Ping(t.Context()); err != nil {
			t.Errorf("a connection in use: %v", err)
		}
		r.Release(c)
		first.waits(t)
		w.Release(idle)
		first.returns(t)
		unbounded.returns(t)
		if calls := e.get().calls; !slices.Equal(calls, []string{"Stop", "BeforeClose reader", "BeforeClose writer", "Closed"}) {
			t.Errorf("calls of the engine: %q", calls)
		}
		for _, event := range eventsOf(e.pool, wrap.KindClose) {
			order = append(order, event.Lane)
			if event.Reason != wrap.ReasonPoolClosed || !event.Background {
				t.Errorf("%+v", event)
			}
		}
		if !slices.Equal(order, []wrap.Lane{wrap.LaneReader, wrap.LaneWriter}) {
			t.Errorf("closed in the order %q", order)
		}
		events := e.pool.Events()
		if last := events[len(events)-1]; last.Kind != wrap.KindShutdown || last.Duration != 10*time.Second {
			t.Errorf("the last event is %+v", last)
		}
		checkNothingLeft(t, e)
	})
}

// TestShutdownTakesConnectionsAway checks that Shutdown stops connections that are still in use
// a tenth of a second before its deadline. Its error lists their holders.
func TestShutdownTakesConnectionsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{Name: "toys"}, readers(2))
		e.pool.Start(t.Context())
		l := e.lane()
		prompt, stuck := acquireAs(t, l, "prompt"), acquireAs(t, l, "stuck")
		go func() { // a call that ends when its connection is taken away
			for prompt.Stopped() == nil {
				time.Sleep(time.Millisecond)
			}
			l.Release(prompt)
		}()
		end := shutdown(e.pool, 10*time.Second)
		time.Sleep(9890 * time.Millisecond)
		synctest.Wait()
		if stuck.Stopped() != nil {
			t.Error("a connection was taken away too early")
		}
		time.Sleep(20 * time.Millisecond)
		if synctest.Wait(); stuck.Stopped() != core.ErrClosed {
			t.Error("no connection was taken away a tenth of a second before the deadline")
		}
		end.waits(t)
		time.Sleep(90 * time.Millisecond)
		var failure *core.ShutdownError
		if err := end.fails(t); !errors.As(err, &failure) || !errors.Is(err, context.DeadlineExceeded) || len(failure.Blocked) != 0 {
			t.Fatalf("%v", err)
		}
		owners := []string{failure.Holders[0].Owner, failure.Holders[1].Owner}
		if !slices.Equal(owners, []string{"prompt", "stuck"}) || !strings.Contains(failure.Error(), `"stuck"`) {
			t.Errorf("%v", failure)
		}
		if end.took > 10*time.Second+callGrace {
			t.Errorf("Shutdown took %s", end.took)
		}
		if err := toyOf(stuck).wrapped.Ping(t.Context()); err != core.ErrClosed {
			t.Errorf("a call on a connection that was taken away: %v", err)
		}
		checkClosedFor(t, e, prompt, wrap.ReasonPoolClosed)
		checkOpen(t, stuck)
		l.Release(stuck)
		checkClosedFor(t, e, stuck, wrap.ReasonPoolClosed)
		checkNothingLeft(t, e)
	})
}

// callGrace is core's constant of that name.
const callGrace = 100 * time.Millisecond

// TestAcquireMeetsShutdown checks that an acquire also fails immediately if Shutdown begins
// between the acquire's first look and its wait.
func TestAcquireMeetsShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.pool.Start(t.Context())
		l := e.lane()
		c := acquire(t, l)
		e.checking = func() { time.Sleep(time.Second) }
		w := begin(t, l)
		end := shutdown(e.pool, 0)
		time.Sleep(time.Second)
		if err := w.fails(t); !errors.Is(err, core.ErrClosed) {
			t.Error(err)
		}
		l.Release(c)
		end.returns(t)
		checkNothingLeft(t, e)
	})
}

// TestReclaimDuringShutdown checks that a holder may still get its turn back while Shutdown
// waits, and that its wait ends when the connection is taken away.
func TestReclaimDuringShutdown(t *testing.T) {
	for _, taken := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			cfg := writer()
			cfg.Stalls = core.StallsTakeOffers
			e := newToy(core.Config{}, cfg)
			e.pool.Start(t.Context())
			l := e.lane()
			first := acquire(t, l)
			first.Offer()
			w := begin(t, l)
			time.Sleep(time.Second)
			second := w.got(t)
			back := reclaim(t, l, first)
			end := shutdown(e.pool, 10*time.Second)
			back.waits(t)
			if taken {
				time.Sleep(11 * time.Second)
				if err := back.fails(t); !errors.Is(err, core.ErrClosed) {
					t.Error(err)
				}
				_ = end.fails(t)
			}
			l.Release(second)
			if !taken {
				back.returns(t)
			}
			l.Release(first)
			synctest.Wait()
			if !end.done.Load() {
				t.Error("Shutdown has not returned")
			}
			checkNothingLeft(t, e)
		})
	}
}

// TestShutdownWithBlockedFunctions checks that Shutdown returns at most half a second after its
// context has ended, whatever function of the program does not return, and lists that function.
// If the engine does not return, Shutdown returns after at most a second.
func TestShutdownWithBlockedFunctions(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(e *toy, cfg *core.Hooks, block func())
		use     func(t *testing.T, l *core.Lane)
		want    string
		after   time.Duration // of the context's end
	}{
		{"a hook", func(_ *toy, h *core.Hooks, block func()) { h.BeforeClose = func(core.ConnInfo) { block() } },
			func(t *testing.T, l *core.Lane) { l.Release(acquire(t, l)) }, "Config.Hooks.BeforeClose, for 1.", 500 * time.Millisecond},
		{"an opening", func(e *toy, _ *core.Hooks, block func()) {
			e.opening = func(context.Context) error { block(); return nil }
		}, func(t *testing.T, l *core.Lane) { begin(t, l) }, "opening a writer, for 1", 500 * time.Millisecond},
		{"closing", func(e *toy, _ *core.Hooks, block func()) {
			e.closing = func(context.Context, bool) { block() }
		}, func(t *testing.T, l *core.Lane) { l.Release(acquire(t, l)) }, "closing a connection, for 1.", time.Second},
		{"the engine's end", func(e *toy, _ *core.Hooks, block func()) {
			e.closed = func(context.Context) error { block(); return nil }
		}, func(*testing.T, *core.Lane) {}, "closing the connections, for ", time.Second},
		{"a health check", func(e *toy, _ *core.Hooks, block func()) {
			e.examine = func(context.Context, bool) core.HealthReport { block(); return core.HealthReport{} }
		}, func(t *testing.T, l *core.Lane) {
			p := toyOf(acquireAndRelease(t, l)).toy.pool
			startCall(t.Context(), func(ctx context.Context) (*core.Conn, error) { return nil, p.HealthCheck(ctx) })
		}, "the health check, for 1.", 500 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				blocked := make(chan struct{})
				var hooks core.Hooks
				var e *toy
				block := func() { <-blocked }
				cfg := core.Config{Hooks: core.Hooks{BeforeClose: func(i core.ConnInfo) {
					if hooks.BeforeClose != nil {
						hooks.BeforeClose(i)
					}
				}}}
				e = newToy(cfg, writer())
				test.prepare(e, &hooks, block)
				e.pool.Start(t.Context())
				test.use(t, e.lane())
				end := shutdown(e.pool, time.Second)
				time.Sleep(time.Second + test.after)
				var failure *core.ShutdownError
				if err := end.fails(t); !errors.As(err, &failure) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%v", err)
				}
				if !slices.ContainsFunc(failure.Blocked, func(what string) bool { return strings.HasPrefix(what, test.want) }) ||
					!strings.Contains(failure.Error(), "not returned: ") {
					t.Errorf("blocked %q, want %q", failure.Blocked, test.want)
				}
				close(blocked)
				time.Sleep(time.Minute)
				checkNothingLeft(t, e)
			})
		})
	}
}

// TestShutdownWaitsForClose checks that Shutdown waits until a caller has closed the connection
// that it has given back.
func TestShutdownWaitsForClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.cleanUp = func() wrap.Reason { return wrap.ReasonDirty }
		e.closing = func(context.Context, bool) { time.Sleep(time.Second) }
		e.pool.Start(t.Context())
		l := e.lane()
		c := acquire(t, l)
		startCall(t.Context(), func(context.Context) (*core.Conn, error) { l.Release(c); return nil, nil })
		end := shutdown(e.pool, 0)
		time.Sleep(time.Second - 1)
		end.waits(t)
		time.Sleep(time.Nanosecond)
		end.returns(t)
		checkNothingLeft(t, e)
	})
}

// TestDialEndsAfterShutdown checks that a connection that is open only after Shutdown has
// returned is closed.
func TestDialEndsAfterShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.opening = func(context.Context) error { time.Sleep(time.Minute); return nil }
		e.pool.Start(t.Context())
		c := startCall(t.Context(), func(ctx context.Context) (*core.Conn, error) { return e.lane().Dial(ctx, nil) })
		end := shutdown(e.pool, time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !end.done.Load() || end.took > 1500*time.Millisecond {
			t.Errorf("Shutdown took %s", end.took)
		}
		if err := c.fails(t); err != core.ErrClosed || c.conn != nil {
			t.Errorf("Dial returned a connection: %v, %v", c.conn != nil, err)
		}
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonPoolClosed] != 1 {
			t.Errorf("closed for %v", s.ClosedFor)
		}
		checkNothingLeft(t, e)
	})
}

// acquireAndRelease returns a connection that has become idle.
func acquireAndRelease(t *testing.T, l *core.Lane) *core.Conn {
	c := acquire(t, l)
	l.Release(c)
	return c
}

// TestShutdownWithPanickingHook checks that Shutdown closes everything and then panics with the
// value of a hook's panic. A second Shutdown returns it as an error.
func TestShutdownWithPanickingHook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{Hooks: core.Hooks{BeforeClose: func(core.ConnInfo) { panic("hook") }}}, readers(2))
		e.pool.Start(t.Context())
		l := e.lane()
		for _, c := range acquireAll(t, l, 2) {
			l.Release(c)
		}
		if v := panicOf(func() { _ = e.pool.Shutdown(t.Context()) }); v != "hook" {
			t.Errorf("Shutdown panicked with %v", v)
		}
		var panicked *wrap.PanicError
		if err := e.pool.Shutdown(t.Context()); !errors.As(err, &panicked) || panicked.Value != "hook" {
			t.Errorf("the second Shutdown: %v", err)
		}
		if n := e.pool.Stats().Panics; n != 2 {
			t.Errorf("%d panics", n)
		}
		checkNothingLeft(t, e)
	})
}

// TestShutdownReturnsEngineError checks that Shutdown returns the error of Engine.Closed.
func TestShutdownReturnsEngineError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		broken := errors.New("broken")
		e.closed = func(context.Context) error { return broken }
		e.pool.Start(t.Context())
		var failure *core.ShutdownError
		if err := e.pool.Shutdown(t.Context()); err != broken || errors.As(err, &failure) {
			t.Error(err)
		}
	})
}

// TestShutdownWaitsForEngine checks that Shutdown reports an engine whose goroutines have not
// ended.
func TestShutdownWaitsForEngine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.stop = func(ctx context.Context) bool { <-ctx.Done(); return false }
		e.pool.Start(t.Context())
		end := shutdown(e.pool, time.Second)
		time.Sleep(time.Second + callGrace)
		var failure *core.ShutdownError
		if err := end.fails(t); !errors.As(err, &failure) || len(failure.Holders) != 0 {
			t.Error(err)
		}
		checkNothingLeft(t, e)
	})
}

// TestCloseError checks that an error of closing a connection is counted, and described by the
// engine in the log.
func TestCloseError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var lines logLines
		e := started(t, core.Config{Logger: lines.logger()}, writer())
		l := e.lane()
		c := acquire(t, l)
		toyOf(c).closeErr = errors.New("secret")
		l.Replace()
		l.Release(c)
		synctest.Wait()
		if s := e.pool.Stats(); s.CloseErrors != 1 {
			t.Errorf("%d errors", s.CloseErrors)
		}
		if n := lines.count("described: secret"); n != 1 {
			t.Errorf("%d lines with the error: %s", n, lines.text())
		}
	})
}

// TestAbandon checks that Abandon closes the connections of a pool that has not been started,
// and that its lanes are forgotten.
func TestAbandon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var recorded []wrap.Event
		e := newToy(core.Config{Recorder: wrap.RecorderFunc(func(e wrap.Event) { recorded = append(recorded, e) })}, readers(2))
		l := e.lane()
		for range 2 {
			c, err := l.Dial(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			l.Push(c)
		}
		done := false
		e.pool.Abandon(func() {
			done = true
			if n := e.pool.Stats().Closes; n != 2 || len(l.Queue().Lanes()) != 1 {
				t.Errorf("%d connections were closed before closed was called", n)
			}
		})
		if !done || len(recorded) != 4 || recorded[3].Kind != wrap.KindClose || recorded[3].Reason != wrap.ReasonPoolClosed {
			t.Errorf("closed was called: %v; the Recorder has %+v", done, recorded)
		}
		if n := len(l.Queue().Lanes()); n != 0 {
			t.Errorf("the queue still has %d lanes", n)
		}
		if _, err := l.Acquire(t.Context(), nil); !errors.Is(err, core.ErrClosed) {
			t.Errorf("an acquire of an abandoned pool: %v", err)
		}
		checkNothingLeft(t, e)
	})
}
