package core

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An Openable is a pool of an engine, or what has one.
type Openable interface {
	comparable
	Shutdown(context.Context) error
	Close() error
}

// An Opener opens a pool at its first use, on a goroutine of its own, for a connector that owns
// its pool. If a call does not wait until the end, the opening goes on for the next call. All
// methods are safe for concurrent use.
type Opener[P Openable] struct {
	open   func(context.Context) (P, error)
	logger *slog.Logger

	ended context.Context // ends in Close
	end   context.CancelFunc

	mu      sync.Mutex      // guards the fields below
	opened  P               // zero if the pool is not open
	opening *poolOpening[P] // nil if the pool is not being opened
}

// A poolOpening is one attempt to open the pool.
type poolOpening[P Openable] struct {
	done        chan struct{} // closed when the attempt has ended; then the fields below are set
	pool        P
	err         error // also nil if the pool was closed immediately; see closed
	closed      error
	panicked    *any // the value of a panic in a hook or Init
	panicRaised atomic.Bool
	waiting     atomic.Int64 // number of calls that wait
}

// NewOpener returns an Opener that calls open. A panic of open that no call waits for goes to
// logger.
func NewOpener[P Openable](open func(context.Context) (P, error), logger *slog.Logger) *Opener[P] {
	o := &Opener[P]{open: open, logger: logger}
	o.ended, o.end = context.WithCancel(context.Background())
	return o
}

// Get returns the pool, or zero if it is not open.
func (o *Opener[P]) Get() P {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.opened
}

// Wait returns the pool. If it is not open, Wait opens it, or waits for the attempt of another
// call. After an error, the next call tries again. It raises a panic of open once, in one of the
// calls that wait. After Close, it returns a pool that is closed, or [ErrClosed].
func (o *Opener[P]) Wait(ctx context.Context) (P, error) {
	var none P
	if p := o.Get(); p != none {
		return p, nil
	}
	a := o.start(ctx)
	defer a.waiting.Add(-1)
	select {
	case <-a.done:
	case <-ctx.Done():
		return none, endOf(ctx)
	case <-o.ended.Done():
		return none, ErrClosed
	}
	if a.panicked != nil {
		if a.panicRaised.Swap(true) || wrap.OnOwnGoroutine() {
			return none, wrap.NewPanicError(*a.panicked)
		}
		panic(*a.panicked)
	}
	if o.ended.Err() != nil {
		return none, ErrClosed
	}
	return a.pool, a.err
}

// start returns the current attempt, or starts one for the call with context ctx.
func (o *Opener[P]) start(ctx context.Context) *poolOpening[P] {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opening != nil {
		o.opening.waiting.Add(1)
		return o.opening
	}
	var none P
	a := &poolOpening[P]{done: make(chan struct{}), pool: o.opened}
	a.waiting.Add(1)
	if o.opened != none || o.ended.Err() != nil {
		close(a.done)
		return a
	}
	o.opening = a
	go o.run(context.WithoutCancel(ctx), a)
	return a
}

func (o *Opener[P]) run(ctx context.Context, a *poolOpening[P]) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.ended, cancel)()
	var none P
	a.err = errGoexit // in case open does not return
	defer func() {
		if v := recover(); v != nil {
			a.panicked = &v
			if a.waiting.Load() == 0 {
				o.logger.Error("pool: a panic was recovered, and the next call opens the pool again", "in", "opening the pool", "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			}
		}
		o.mu.Lock()
		late := o.ended.Err() != nil
		if !late {
			o.opened, o.opening = a.pool, nil
		}
		o.mu.Unlock()
		if late && a.pool != none { // Close may have stopped waiting
			a.closed = a.pool.Close()
		}
		close(a.done)
	}()
	a.pool, a.err = o.open(ctx)
}

// Close shuts the pool down, or cancels its opening and waits for that, at most for that long.
func (o *Opener[P]) Close(within time.Duration) error {
	o.end()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	o.mu.Lock()
	a := o.opening
	o.mu.Unlock()
	if a != nil {
		select {
		case <-a.done:
			if a.closed != nil {
				return a.closed
			}
		case <-ctx.Done():
			return fmt.Errorf("pool: close: the pool is still being opened: %w", ctx.Err())
		}
	}
	var none P
	if p := o.Get(); p != none {
		return p.Shutdown(ctx)
	}
	return nil
}
