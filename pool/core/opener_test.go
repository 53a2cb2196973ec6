package core_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// An openable counts how often it is closed.
type openable struct{ closed int }

func (o *openable) Shutdown(context.Context) error {
	o.closed++
	return nil
}

func (o *openable) Close() error { return o.Shutdown(context.Background()) }

// waiting calls Wait on another goroutine.
func waiting(ctx context.Context, o *core.Opener[*openable]) (result func() (*openable, error)) {
	var p *openable
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		p, err = o.Wait(ctx)
	}()
	return func() (*openable, error) {
		<-done
		return p, err
	}
}

// TestOpener checks that calls share an attempt to open the pool, that it goes on without its
// first caller, that an error is tried again, and that Close shuts the pool down.
func TestOpener(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pool, tries, fails := &openable{}, 0, true
		broken := errors.New("broken")
		o := core.NewOpener(func(context.Context) (*openable, error) {
			tries++
			time.Sleep(time.Second)
			if fails {
				return nil, broken
			}
			return pool, nil
		}, slog.Default())
		if p, err := o.Wait(t.Context()); p != nil || err != broken || o.Get() != nil {
			t.Errorf("a failed attempt returns %v, %v", p, err)
		}
		fails = false
		ctx, cancel := context.WithCancel(t.Context())
		first, second := waiting(ctx, o), waiting(t.Context(), o)
		synctest.Wait()
		cancel()
		if p, err := first(); p != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("the call that does not wait gets %v, %v", p, err)
		}
		if p, err := second(); p != pool || err != nil {
			t.Errorf("the call that waits gets %v, %v", p, err)
		}
		if tries != 2 || o.Get() != pool {
			t.Errorf("%d attempts, and the pool is %v", tries, o.Get())
		}
		if err := o.Close(time.Second); err != nil || pool.closed != 1 {
			t.Errorf("Close returns %v, and the pool was closed %d times", err, pool.closed)
		}
	})
}

// TestOpenerCloses checks that Close ends an attempt, waits no longer than it may, and that a
// pool that is opened too late is closed.
func TestOpenerCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pool, release := &openable{}, make(chan struct{})
		o := core.NewOpener(func(ctx context.Context) (*openable, error) {
			<-ctx.Done()
			<-release
			return pool, nil
		}, slog.Default())
		call := waiting(t.Context(), o)
		synctest.Wait()
		if err := o.Close(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returns %v, want the end of its time", err)
		}
		if p, err := call(); p != nil || err != core.ErrClosed {
			t.Errorf("the call gets %v, %v", p, err)
		}
		close(release)
		synctest.Wait()
		if pool.closed != 1 || o.Get() != nil {
			t.Errorf("the late pool was closed %d times; the Opener has %v", pool.closed, o.Get())
		}
		if _, err := o.Wait(t.Context()); err != core.ErrClosed {
			t.Errorf("after Close, Wait returns %v", err)
		}
	})
}

// TestOpenerPanics checks that a panic reaches one of the calls that wait, and that the others get
// it as an error.
func TestOpenerPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := core.NewOpener(func(context.Context) (*openable, error) {
			time.Sleep(time.Second)
			panic("at the disco")
		}, slog.Default())
		defer o.Close(time.Second)
		var raised, failed atomic.Int32
		done := make(chan struct{})
		for range 3 {
			go func() {
				defer func() {
					if v := recover(); v == "at the disco" {
						raised.Add(1)
					}
					done <- struct{}{}
				}()
				if _, err := o.Wait(t.Context()); err != nil {
					failed.Add(1)
				}
			}()
		}
		for range 3 {
			<-done
		}
		if raised.Load() != 1 || failed.Load() != 2 {
			t.Errorf("%d calls panicked and %d failed, want one and two", raised.Load(), failed.Load())
		}
	})
}
