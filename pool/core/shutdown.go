package core

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A closer ends a pool.
type closer struct {
	*shared
	lanes    []*Lane
	check    *checker
	maintain *maintainer
	done     chan struct{} // closed when shutdown has finished
	err      error         // result of shutdown; set before done is closed
	job      *Job
}

// shutdown is [Pool.Shutdown].
func (c *closer) shutdown(ctx context.Context) error {
	if !c.drain.begin() {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return fmt.Errorf("pool: shutdown: %w", ctx.Err())
		}
	}
	defer close(c.done)

	began := time.Now()
	finished, left := c.closeInBackground(ctx)
	c.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindShutdown, Duration: time.Since(began), Background: true})
	c.logger.Log(ctx, c.cfg.LifecycleLevel, "pool: closed", "took", time.Since(began), "left", left != nil || !finished)
	finished = c.flushAll(ctx) && finished
	var failure *ShutdownError
	if !errors.As(left, &failure) && !finished {
		failure = &ShutdownError{Err: ctx.Err(), Holders: holdersOf(c.lanes)}
		left = errors.Join(failure, left)
	}
	if failure != nil {
		failure.Blocked = c.guard.blocked()
		for _, l := range c.lanes {
			failure.Blocked = append(failure.Blocked, l.stillOpening()...)
		}
	}
	c.err = left
	var panicked *wrap.PanicError
	if finished && errors.As(c.job.firstPanic, &panicked) {
		c.err = errors.Join(fmt.Errorf("pool: shutdown: a hook has panicked: %w", panicked), left)
		panic(panicked.Value)
	}
	return c.err
}

// closeInBackground runs close on a separate goroutine. It waits until a little after the end
// of ctx. finished reports whether close has returned, with the error left.
func (c *closer) closeInBackground(ctx context.Context) (finished bool, left error) {
	done := make(chan error, 1)
	c.guard.Start(ctx, c.job, func(ctx context.Context) { done <- c.close(ctx) })
	select {
	case left = <-done:
		c.job.Ended(context.WithoutCancel(ctx)) // without delay
		return true, left
	case <-ctx.Done():
	}
	// By now, close does not wait for functions of the program, but still for SQLite. It stops
	// waiting for both; see attempt.
	timer := time.NewTimer(2 * closeGrace)
	defer timer.Stop()
	select {
	case left = <-done:
		c.job.Ended(context.WithoutCancel(ctx))
		return true, left
	case <-timer.C:
		return false, nil
	}
}

// flushAll waits until all events and lines have been delivered and all functions of the
// program have returned. It stops waiting a little after the end of ctx. It reports whether
// that is so.
func (c *closer) flushAll(ctx context.Context) bool {
	bounded, cancel := extended(ctx, callGrace)
	defer cancel()
	finished := c.guard.waitLeft(bounded)
	finished = (c.recorderBox == nil || c.recorderBox.flush(bounded)) && finished
	finished = c.log.closeSubscriptions(bounded) && finished
	return c.logBox.flush(bounded) && finished
}

// extended returns a context that ends after ctx, by the given time.
func extended(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer atomic.Pointer[time.Timer]
	stop := context.AfterFunc(ctx, func() { timer.Store(time.AfterFunc(by, cancel)) })
	return later, func() {
		stop()
		cancel()
		if t := timer.Load(); t != nil {
			t.Stop()
		}
	}
}

// shortened returns a context that ends before the deadline of ctx: by the given time, or a
// tenth of what is left. Without a deadline, it ends with ctx.
func shortened(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(by, time.Until(end)/10)))
}

// close does the work of Shutdown. It ends soon after ctx. It may take longer only if a
// function that the guard does not know, such as a span exporter, does not return.
func (c *closer) close(ctx context.Context) error {
	c.maintain.stop()
	for _, l := range c.lanes {
		l.refuseAll()
	}
	if c.check.begin(ctx) == nil { // a running check has a connection too
		defer c.check.end()
	}
	var left *ShutdownError
	calm, cancel := shortened(ctx, callGrace)
	defer cancel()
	if !c.drained(calm) {
		left = &ShutdownError{Err: calm.Err(), Holders: holdersOf(c.lanes)}
		for _, l := range c.lanes {
			for _, lent := range l.Conns() {
				lent.Stop(ErrClosed, wrap.ReasonPoolClosed)
			}
			l.Queue().abortAll(l, ErrClosed)
			l.dropOpenings(true)
		}
		// Running calls end when SQLite next checks, which it does often. But a program that
		// keeps rows open without reading them never gives them back.
		if ctx.Err() == nil {
			c.drained(ctx)
		} else {
			late, cancel := extended(ctx, callGrace)
			c.drained(late)
			cancel()
		}
	}
	late, cancel := extended(ctx, callGrace)
	defer cancel()
	ended := c.maintain.ended(late)
	ended = c.check.job.Ended(late) && ended
	if ended = c.engine.Stop(late) && ended; !ended && left == nil {
		left = &ShutdownError{Err: ctx.Err(), Holders: holdersOf(c.lanes)}
	}
	JobOf(ctx).until = late
	closed, err := c.closeAll(late)
	if !closed && left == nil {
		left = &ShutdownError{Err: ctx.Err(), Holders: holdersOf(c.lanes)}
	}
	if left != nil {
		return errors.Join(left, err)
	}
	return err
}

// closeAll closes all remaining connections. It reports panics. closed is false if a close has
// not returned.
func (c *closer) closeAll(ctx context.Context) (closed bool, err error) {
	closed = true
	for _, l := range c.lanes {
		c.engine.BeforeClose(ctx, l.opts.Name)
		closed = l.shut(ctx) && closed
	}
	for _, l := range c.lanes {
		unregister(l)
	}
	return closed, c.engine.Closed(ctx)
}

// callGrace is how long the pool waits for stopped calls to end and give back their
// connections. An engine checks often whether a call must end, SQLite every thousand instructions, so they
// end within milliseconds. If Shutdown's context has a deadline, callGrace is part of that time,
// and otherwise added to it.
const callGrace = 100 * time.Millisecond

// drained waits until no connection is in use. It returns false if ctx ends first.
func (c *closer) drained(ctx context.Context) bool {
	for {
		woken := c.drain.next()
		if c.idle() {
			return true
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return c.idle()
		}
	}
}

// idle reports whether no connection is in use, being opened for a caller, or being closed.
func (c *closer) idle() bool {
	for _, l := range c.lanes {
		if n := l.Count(); n.Open-n.Alone != n.Idle || n.Closing > 0 {
			return false
		}
	}
	return true
}

// refuseAll makes all waiting and new acquires of the lane fail with ErrClosed.
func (l *Lane) refuseAll() {
	l.mu.Lock()
	l.ending.refusing.Store(true)
	l.mu.Unlock()
	l.Queue().abort(l, ErrClosed)
	l.dropOpenings(false)
}

// shut closes the lane's idle connections. Those in use are closed when they are given back. It
// returns false if a close has not returned.
func (l *Lane) shut(ctx context.Context) (closed bool) {
	l.mu.Lock()
	l.ending.refusing.Store(true)
	l.ending.closed = true
	l.stall.stop()
	l.mu.Unlock()
	j := JobOf(ctx)
	closed, known := true, true
	for c := l.Pop(); c != nil; c = l.Pop() {
		switch {
		case j == nil: // the pool could not be started
			_ = l.guard.Protect("closing a connection", func() { l.Close(c, wrap.ReasonPoolClosed) })
		case known:
			var finished bool
			finished, known = l.guard.attempt(ctx, j, "closing a connection", func(ctx context.Context) { l.CloseIn(ctx, c, wrap.ReasonPoolClosed) })
			closed = finished && closed
		default: // a function has not returned, and would block this close too
			l.remove(c)
			c.session.Lease().Break()
		}
	}
	return closed
}

// A ShutdownError lists what was still in use when Shutdown could not wait any longer, and was
// taken away. It also lists what has not returned.
type ShutdownError struct {
	Err     error    // the context's error
	Holders []Holder // holders of the connections
	Blocked []string // functions of the program, such as "Config.Init, for 2s", and jobs
}

func (e *ShutdownError) Error() string {
	var what []string
	if len(e.Holders) > 0 || len(e.Blocked) == 0 {
		what = append(what, describeHolders(e.Holders, Holder.String))
	}
	if len(e.Blocked) > 0 {
		what = append(what, "not returned: "+strings.Join(e.Blocked, "; "))
	}
	return fmt.Sprintf("pool: shutdown: %v: %s", e.Err, strings.Join(what, "; "))
}

// Unwrap returns Err.
func (e *ShutdownError) Unwrap() error { return e.Err }
