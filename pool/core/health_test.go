package core_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// healths returns the health in the pool's events.
func healths(p *core.Pool) (list []string) {
	for _, e := range eventsOf(p, wrap.KindHealth) {
		list = append(list, e.Health)
	}
	return list
}

// check starts a HealthCheck.
func check(t *testing.T, p *core.Pool) *call {
	return startCall(t.Context(), func(ctx context.Context) (*core.Conn, error) { return nil, p.HealthCheck(ctx) })
}

// TestHealthCheck checks that the results of the engine become the health of the pool, and that
// there is an event only when the health changes.
func TestHealthCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := errors.New("broken")
		var report core.HealthReport
		var probes []bool
		e := newToy(core.Config{}, writer())
		e.examine = func(_ context.Context, probe bool) core.HealthReport {
			probes = append(probes, probe)
			time.Sleep(time.Second)
			return report
		}
		p := start(t, e).pool
		if h := p.Health(); h.Health != core.HealthUnknown || !h.Checked.IsZero() {
			t.Errorf("before the first check: %+v", h)
		}
		for _, step := range []struct {
			report core.HealthReport
			events []string
			fails  bool
		}{
			{core.HealthReport{Health: core.HealthOK}, []string{"ok"}, false},
			{core.HealthReport{Health: core.HealthOK}, []string{"ok"}, false},
			{core.HealthReport{Health: core.HealthDegraded, Reasons: []string{"slow"}}, []string{"ok", "degraded"}, false},
			{core.HealthReport{Health: core.HealthDown, Err: broken}, []string{"ok", "degraded", "down"}, true},
			{core.HealthReport{Health: core.HealthOK}, []string{"ok", "degraded", "down", "ok"}, false},
		} {
			report = step.report
			err := p.HealthCheck(t.Context())
			if step.fails && (!errors.Is(err, core.ErrHealthCheck) || !errors.Is(err, broken)) || !step.fails && err != nil {
				t.Errorf("%v: HealthCheck returned %v", report.Health, err)
			}
			h := p.Health()
			if h.Health != report.Health || h.Err != report.Err || !slices.Equal(h.Reasons, report.Reasons) || !h.Checked.Equal(time.Now()) || h.Took != time.Second {
				t.Errorf("%+v, want %+v", h, report)
			}
			if got := healths(p); !slices.Equal(got, step.events) {
				t.Errorf("events %q, want %q", got, step.events)
			}
			if got := p.Stats().Health; got != report.Health {
				t.Errorf("Stats.Health %v, want %v", got, report.Health)
			}
		}
		if !slices.Equal(probes, []bool{true, true, true, true, true}) {
			t.Errorf("the engine was asked to probe: %v", probes)
		}
	})
}

// TestReasons checks that a pool is degraded while the engine has reasons.
func TestReasons(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.examine = func(context.Context, bool) core.HealthReport {
			return core.HealthReport{Health: core.HealthDegraded, Reasons: []string{"slow"}}
		}
		p := start(t, e).pool
		e.set(func(s *toyState) { s.reasons = []string{"writes fail"} })
		p.HealthMayChange(false)
		if h := p.Health(); h.Health != core.HealthDegraded || !slices.Equal(h.Reasons, []string{"writes fail"}) {
			t.Errorf("%+v", h)
		}
		if err := p.HealthCheck(t.Context()); err != nil {
			t.Error(err)
		}
		if h := p.Health(); !slices.Equal(h.Reasons, []string{"slow", "writes fail"}) || !slices.Equal(p.LastHealth().Reasons, []string{"slow"}) {
			t.Errorf("%+v, last %+v", h, p.LastHealth())
		}
		p.SetHealth(core.HealthReport{Health: core.HealthDown})
		p.HealthMayChange(false)
		if h := p.Health(); h.Health != core.HealthDown {
			t.Errorf("%+v, want that reasons do not hide that the pool is down", h)
		}
		p.SetHealth(core.HealthReport{Health: core.HealthOK})
		e.set(func(s *toyState) { s.reasons = nil })
		p.HealthMayChange(false)
		if got := healths(p); !slices.Equal(got, []string{"degraded", "down", "ok"}) {
			t.Errorf("events %q", got)
		}
	})
}

// TestPanickingHealthCheck checks that a panic of the engine makes the check fail, and that the
// next check works.
func TestPanickingHealthCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		breaks := true
		e.examine = func(context.Context, bool) core.HealthReport {
			if breaks {
				panic("engine")
			}
			return core.HealthReport{Health: core.HealthOK}
		}
		p := start(t, e).pool
		err := p.HealthCheck(t.Context())
		var panicked *wrap.PanicError
		if !errors.Is(err, core.ErrHealthCheck) || !errors.As(err, &panicked) || panicked.Value != "engine" {
			t.Error(err)
		}
		if h := p.Health(); h.Health != core.HealthDown || !slices.Equal(h.Reasons, []string{"described: " + panicked.Error()}) {
			t.Errorf("%+v", h)
		}
		if events := eventsOf(p, wrap.KindPanic); len(events) != 1 || events[0].Reason != "the health check" {
			t.Errorf("events %+v", events)
		}
		breaks = false
		if err := p.HealthCheck(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestBlockedHealthCheck checks that a check returns although the engine does not: at most half a
// second after EngineTimeout. The next check fails while the engine is still blocked.
func TestBlockedHealthCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		blocked := make(chan struct{})
		e.examine = func(context.Context, bool) core.HealthReport {
			<-blocked
			return core.HealthReport{Health: core.HealthOK}
		}
		p := start(t, e).pool
		first, second := check(t, p), check(t, p)
		time.Sleep(core.EngineTimeout + 500*time.Millisecond)
		var unfinished *core.BlockedError
		for _, c := range []*call{first, second, check(t, p)} {
			if err := c.fails(t); !errors.Is(err, core.ErrHealthCheck) || !errors.As(err, &unfinished) || unfinished.Function != "the health check" {
				t.Error(err)
			}
		}
		if p.Health().Health != core.HealthDown {
			t.Errorf("%+v", p.Health())
		}
		close(blocked)
		synctest.Wait()
		check(t, p).returns(t)
	})
}

// TestHealthChecksShareOneCheck checks that one check runs at a time, and that the others wait
// only as long as their contexts allow.
func TestHealthChecksShareOneCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		running := 0
		e.examine = func(context.Context, bool) core.HealthReport {
			if running++; running > 1 {
				t.Error("two checks run at the same time")
			}
			time.Sleep(time.Second)
			running--
			return core.HealthReport{Health: core.HealthOK}
		}
		p := start(t, e).pool
		first, second, third := check(t, p), check(t, p), check(t, p)
		third.cancel(nil)
		if err := third.fails(t); !errors.Is(err, core.ErrHealthCheck) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		first.returns(t)
		second.returns(t)
		closing, waiting := check(t, p), check(t, p)
		end := shutdown(p, 0)
		late := check(t, p)
		if err := late.fails(t); err != core.ErrClosed {
			t.Errorf("a check of a closed pool: %v", err)
		}
		time.Sleep(time.Second)
		closing.returns(t)
		if err := waiting.fails(t); err != core.ErrClosed {
			t.Errorf("a check that waited when the pool was closed: %v", err)
		}
		end.returns(t)
	})
}

// TestCanceledHealthCheck checks that a check whose caller gives up does not change the health.
func TestCanceledHealthCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.examine = func(ctx context.Context, _ bool) core.HealthReport {
			<-ctx.Done()
			return core.HealthReport{Health: core.HealthDown, Err: ctx.Err()}
		}
		p := start(t, e).pool
		c := check(t, p)
		c.cancel(nil)
		if err := c.fails(t); !errors.Is(err, context.Canceled) || p.Health().Health != core.HealthUnknown {
			t.Errorf("%v, health %v", err, p.Health().Health)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.HealthCheck(ended); !errors.Is(err, context.Canceled) || !errors.Is(err, core.ErrHealthCheck) {
			t.Error(err)
		}
		c = check(t, p) // it runs into EngineTimeout, which is not the caller's
		time.Sleep(core.EngineTimeout)
		if err := c.fails(t); !errors.Is(err, context.DeadlineExceeded) || p.Health().Health != core.HealthDown {
			t.Errorf("%v, health %v", err, p.Health().Health)
		}
	})
}

// TestRegularHealthCheck checks that the pool checks its health every HealthInterval, without
// probing, and goes on when the engine panics.
func TestRegularHealthCheck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var checks atomic.Int32
		e := newToy(core.Config{HealthInterval: 80 * time.Second}, writer())
		e.examine = func(_ context.Context, probe bool) core.HealthReport {
			n := checks.Add(1)
			if probe {
				t.Error("a regular check probes")
			}
			if n == 2 {
				panic("engine")
			}
			return core.HealthReport{Health: core.HealthOK}
		}
		p := start(t, e).pool
		time.Sleep(80*time.Second - 1)
		if n := checks.Load(); n != 0 {
			t.Errorf("%d checks before HealthInterval", n)
		}
		time.Sleep(time.Nanosecond)
		for i, want := range []core.Health{core.HealthOK, core.HealthDown, core.HealthOK} {
			synctest.Wait()
			if h := p.Health().Health; int(checks.Load()) != i+1 || h != want {
				t.Errorf("%d checks, health %v, want %v", checks.Load(), h, want)
			}
			time.Sleep(80 * time.Second)
		}
	})
}

// TestMaintain checks that the engine's own maintenance runs in every round, as often as the
// shortest duration requires, and that it ends with the pool.
func TestMaintain(t *testing.T) {
	for _, test := range []struct {
		cfg   core.Config
		every time.Duration
	}{
		{core.Config{}, 30 * time.Second},
		{core.Config{MaxLifetime: time.Hour}, 30 * time.Second},
		{core.Config{MaxLifetime: time.Minute, LeakAfter: 8 * time.Second}, time.Second},
		{core.Config{Limits: []time.Duration{time.Minute, time.Millisecond}}, 10 * time.Millisecond},
	} {
		bubble(t, func(t *testing.T) {
			var rounds atomic.Int32
			e := newToy(test.cfg, writer())
			e.maintain = func(context.Context, time.Time) { rounds.Add(1) }
			start(t, e)
			time.Sleep(10*test.every + 1)
			if n := rounds.Load(); n != 10 {
				t.Errorf("%d rounds, want 10 every %s", n, test.every)
			}
			if err := e.pool.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if n := rounds.Load(); n != 10 {
				t.Errorf("%d rounds after Shutdown", n)
			}
		})
	}
}
