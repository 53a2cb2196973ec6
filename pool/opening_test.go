package pool_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// slowInit returns a Config whose Init takes as long as takes says.
func slowInit(t *testing.T, takes *atomic.Int64) pool.Config {
	cfg := fileConfig(t)
	cfg.Init = func(*sqlite3.Conn) error {
		time.Sleep(time.Duration(takes.Load()))
		return nil
	}
	return cfg
}

// TestOpeningServesNextCall checks that an opening continues when its call stops waiting, and
// then serves the next call. So calls with too little time each get a connection in the end.
func TestOpeningServesNextCall(t *testing.T) {
	var takes atomic.Int64
	cfg := slowInit(t, &takes)
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		must(t, p.DB(), "CREATE TABLE t(a)")
		for name, call := range map[string]func(ctx context.Context) error{
			"writer": func(ctx context.Context) error {
				_, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (1)")
				return err
			},
			"reader": func(ctx context.Context) error {
				return p.DB().QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int))
			},
		} {
			p.Reset()
			connects := p.Stats().Connects
			takes.Store(int64(150 * time.Millisecond))
			for i := range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				err := call(ctx)
				cancel()
				var failure *pool.AcquireError
				switch {
				case i == 0 && (!errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failure) || failure.Cause != pool.CauseConnect):
					t.Errorf("%s: the first call returns %v", name, err)
				case i > 0 && err != nil:
					t.Errorf("%s: call %d: %v", name, i+1, err)
				}
			}
			if n := p.Stats().Connects - connects; n != 1 {
				t.Errorf("%s: %d connections were opened, want 1", name, n)
			}
			takes.Store(0)
		}
		if s := p.Stats(); s.InUse != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestCancelledCallLeavesOpening checks that a cancelled call returns immediately, with the
// context's error and cause. The next waiter gets its turn.
func TestCancelledCallLeavesOpening(t *testing.T) {
	var takes atomic.Int64
	cfg := slowInit(t, &takes)
	cfg.MaxConns = 2
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		takes.Store(int64(time.Hour))
		p.Reset()
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		began := time.Now()
		_, err = p.DB().ExecContext(ctx, "CREATE TABLE t(a)")
		if took := time.Since(began); took != time.Second || !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("after %v: %v", took, err)
		}
		// An opening that takes very long does not block other callers.
		takes.Store(0)
		time.Sleep(5 * time.Second)
		must(t, p.DB(), "CREATE TABLE t(a)")
		bounded, cancelled := context.WithTimeout(t.Context(), time.Second)
		defer cancelled()
		began = time.Now()
		var left *pool.ShutdownError
		if err := p.Shutdown(bounded); !errors.As(err, &left) || !strings.Contains(err.Error(), "opening a writer, for 7s") {
			t.Errorf("Shutdown returns %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		time.Sleep(time.Hour) // until Init returns; then its connection is closed
	})
}

// TestOpeningPanics checks that a panic or a runtime.Goexit of Init reaches the call that
// waits for the connection. If no call waits, an event reports the panic, and the pool goes on.
func TestOpeningPanics(t *testing.T) {
	var does atomic.Pointer[func()]
	cfg := fileConfig(t)
	cfg.Init = func(*sqlite3.Conn) error {
		if f := does.Load(); f != nil {
			(*f)()
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		play := func(f func()) { does.Store(&f); p.Reset() }
		ping := func(ctx context.Context) (recovered any, returned bool, err error) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recovered = recover() }()
				_, err = p.DB().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS t(a)")
				returned = true
			}()
			<-done
			return recovered, returned, err
		}

		play(func() { panic("boom") })
		if v, _, _ := ping(t.Context()); v != "boom" {
			t.Errorf("recovered %v", v)
		}
		play(func() { runtime.Goexit() })
		if v, returned, err := ping(t.Context()); returned || v != nil {
			t.Errorf("the goroutine continued with %v, %v", err, v)
		}
		play(func() { time.Sleep(time.Second); panic("late") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if v, _, err := ping(ctx); !errors.Is(err, context.DeadlineExceeded) || v != nil {
			t.Errorf("%v, recovered %v", err, v)
		}
		time.Sleep(2 * time.Second)
		told := 0
		for _, e := range p.Events() {
			if e.Kind == driver.KindPanic {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%d events report a panic, want 1", told)
		}
		does.Store(nil)
		if v, _, err := ping(t.Context()); err != nil || v != nil {
			t.Errorf("%v, recovered %v", err, v)
		}
		if s := p.Stats(); s.InUse != 0 || s.Open != s.Idle {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestOpeningFails checks that a failed opening fails the call that waits for it, with
// its error. The next call starts another opening.
func TestOpeningFails(t *testing.T) {
	var fails atomic.Bool
	cfg := fileConfig(t)
	reason := errors.New("no")
	cfg.Init = func(*sqlite3.Conn) error {
		if fails.Load() {
			time.Sleep(time.Second)
			return reason
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		fails.Store(true)
		p.Reset()
		for _, c := range []struct {
			patience time.Duration
			want     error
		}{{500 * time.Millisecond, context.DeadlineExceeded}, {2 * time.Second, reason}, {2 * time.Second, reason}} {
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			if _, err := p.DB().ExecContext(ctx, "CREATE TABLE t(a)"); !errors.Is(err, c.want) {
				t.Errorf("in %v: %v, want %v", c.patience, err, c.want)
			}
			cancel()
		}
		fails.Store(false)
		must(t, p.DB(), "CREATE TABLE t(a)")
	})
}

// TestShutdownEndsOpeningWithoutCall checks that Shutdown cancels an opening that no call waits
// for, and waits only until that has ended.
func TestShutdownEndsOpeningWithoutCall(t *testing.T) {
	cfg := fileConfig(t)
	var waits atomic.Bool
	cfg.Hooks.BeforeConnect = func(ctx context.Context) error {
		if waits.Load() {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		waits.Store(true)
		p.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.DB().ExecContext(ctx, "CREATE TABLE t(a)"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		began := time.Now()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Shutdown took %v", took)
		}
	})
}

// TestSurplusOpeningWhoseHookPanics checks a hook that panics at the close of a surplus
// connection, for which no call waits. The panic ends neither the process nor the pool.
func TestSurplusOpeningWhoseHookPanics(t *testing.T) {
	var takes atomic.Int64
	cfg := slowInit(t, &takes)
	var panics atomic.Bool
	cfg.Hooks.BeforeClose = func(pool.ConnInfo) {
		if panics.Load() {
			panic("mine")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		takes.Store(int64(time.Second))
		p.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.DB().ExecContext(ctx, "CREATE TABLE t(a)"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		p.Reset() // makes the connection out of date before it is open
		panics.Store(true)
		time.Sleep(2 * time.Second)
		panics.Store(false)
		if n := p.Stats().Panics; n != 1 {
			t.Errorf("%d panics are counted, want 1", n)
		}
		must(t, p.DB(), "CREATE TABLE t(a)")
	})
}
