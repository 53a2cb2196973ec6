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

// Shutdown closes the pool. New and waiting acquires fail with [ErrClosed]. Connections in use
// may be used until ctx ends. Then Shutdown takes them away: their running calls end as if they
// were canceled, and later calls fail with ErrClosed. When Shutdown has finished, the engine's
// [Engine.Closed] has been called. Readers are closed before writers.
//
// Shutdown returns at most half a second after ctx has ended, whatever functions of the program
// do. If ctx has a deadline, the last tenth of a second before it is for running calls to end;
// for less than a second, it is the last tenth of the time. The error is a [*ShutdownError] if
// Shutdown had to take something away, or if something has not ended. It lists these with their
// holders. If a hook has panicked, Shutdown panics too, when everything is closed. If the pool
// is closed already, Shutdown waits for the first Shutdown and returns its result.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.end.mu.Lock()
	if p.end.begun.Load() {
		p.end.mu.Unlock()
		select {
		case <-p.end.done:
			return p.end.err
		case <-ctx.Done():
			return fmt.Errorf("pool: shutdown: %w", ctx.Err())
		}
	}
	p.end.begun.Store(true)
	p.end.mu.Unlock()
	defer close(p.end.done)

	began := time.Now()
	finished, left := p.closeInBackground(ctx)
	p.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindShutdown, Duration: time.Since(began), Background: true})
	p.logger.Info("pool: closed", "took", time.Since(began), "left", left != nil || !finished)
	finished = p.flushAll(ctx) && finished
	var failure *ShutdownError
	if !errors.As(left, &failure) && !finished {
		failure = &ShutdownError{Err: ctx.Err(), Holders: p.Holders()}
		left = errors.Join(failure, left)
	}
	if failure != nil {
		failure.Blocked = p.guard.blocked()
		for _, l := range p.Lanes() {
			failure.Blocked = append(failure.Blocked, l.stillOpening()...)
		}
	}
	p.end.err = left
	var panicked *wrap.PanicError
	if finished && errors.As(p.end.job.firstPanic, &panicked) {
		p.end.err = errors.Join(fmt.Errorf("pool: shutdown: a hook has panicked: %w", panicked), left)
		panic(panicked.Value)
	}
	return p.end.err
}

// closeInBackground runs close on a separate goroutine. It waits until a little after the end
// of ctx. finished reports whether close has returned, with the error left.
func (p *Pool) closeInBackground(ctx context.Context) (finished bool, left error) {
	done := make(chan error, 1)
	p.guard.Start(ctx, p.end.job, func(ctx context.Context) { done <- p.close(ctx) })
	select {
	case left = <-done:
		p.end.job.Ended(context.WithoutCancel(ctx)) // without delay
		return true, left
	case <-ctx.Done():
	}
	// By now, close does not wait for functions of the program, but still for SQLite. It stops
	// waiting for both; see attempt.
	timer := time.NewTimer(2 * closeGrace)
	defer timer.Stop()
	select {
	case left = <-done:
		p.end.job.Ended(context.WithoutCancel(ctx))
		return true, left
	case <-timer.C:
		return false, nil
	}
}

// flushAll waits until all events and lines have been delivered and all functions of the
// program have returned. It stops waiting a little after the end of ctx. It reports whether
// that is so.
func (p *Pool) flushAll(ctx context.Context) bool {
	bounded, cancel := extended(ctx, callGrace)
	defer cancel()
	finished := p.guard.waitLeft(bounded)
	finished = (p.recorderBox == nil || p.recorderBox.flush(bounded)) && finished
	finished = p.log.closeSubscriptions(bounded) && finished
	return p.logBox.flush(bounded) && finished
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
func (p *Pool) close(ctx context.Context) error {
	p.maintain.stop()
	for _, l := range p.Lanes() {
		l.refuseAll()
	}
	if p.health.begin(ctx) == nil { // a running check has a connection too
		defer p.health.end()
	}
	var left *ShutdownError
	calm, cancel := shortened(ctx, callGrace)
	defer cancel()
	if !p.drain(calm) {
		left = &ShutdownError{Err: calm.Err(), Holders: p.Holders()}
		for _, l := range p.Lanes() {
			for _, c := range l.Conns() {
				c.Stop(ErrClosed, wrap.ReasonPoolClosed)
			}
			l.queue.abortAll(l, ErrClosed)
			l.dropOpenings(true)
		}
		// Running calls end when SQLite next checks, which it does often. But a program that
		// keeps rows open without reading them never gives them back.
		if ctx.Err() == nil {
			p.drain(ctx)
		} else {
			late, cancel := extended(ctx, callGrace)
			p.drain(late)
			cancel()
		}
	}
	late, cancel := extended(ctx, callGrace)
	defer cancel()
	ended := p.maintain.ended(late)
	ended = p.health.job.Ended(late) && ended
	if ended = p.engine.Stop(late) && ended; !ended && left == nil {
		left = &ShutdownError{Err: ctx.Err(), Holders: p.Holders()}
	}
	JobOf(ctx).until = late
	err := p.closeAll(late)
	if left != nil {
		return errors.Join(left, err)
	}
	return err
}

// closeAll closes all remaining connections. It reports panics.
func (p *Pool) closeAll(ctx context.Context) error {
	for _, l := range p.Lanes() {
		p.engine.BeforeClose(ctx, l)
		l.shut(ctx)
	}
	unregister(p)
	err := p.engine.Closed(ctx)
	for _, l := range p.Lanes() {
		l.queue.drop(l)
	}
	return err
}

// callGrace is how long the pool waits for stopped calls to end and give back their
// connections. An engine checks often whether a call must end, SQLite every thousand instructions, so they
// end within milliseconds. If Shutdown's context has a deadline, callGrace is part of that time,
// and otherwise added to it.
const callGrace = 100 * time.Millisecond

// closeGrace is how long after the end of its context Shutdown waits for connections that it
// has taken away to be closed. It includes callGrace and the engine's last work, such as
// SQLite's last checkpoint.
const closeGrace = 500 * time.Millisecond

// drain waits until no connection is in use. It returns false if ctx ends first.
func (p *Pool) drain(ctx context.Context) bool {
	for {
		p.end.mu.Lock()
		drained := make(chan struct{})
		p.end.drained = drained
		p.end.mu.Unlock()
		if p.idle() {
			return true
		}
		select {
		case <-drained:
		case <-ctx.Done():
			return p.idle()
		}
	}
}

// idle reports whether no connection is in use, being opened for a caller, or being closed.
func (p *Pool) idle() bool {
	for _, l := range p.Lanes() {
		if n := l.Count(); n.Open-n.Alone != n.Idle || n.Closing > 0 {
			return false
		}
	}
	return true
}

// wakeDrain wakes drain. It is called after every release.
func (p *Pool) wakeDrain() {
	if !p.end.begun.Load() { // drain checks once more after begun has been set
		return
	}
	p.end.mu.Lock()
	defer p.end.mu.Unlock()
	if p.end.drained != nil {
		close(p.end.drained)
		p.end.drained = nil
	}
}

// refuseAll makes all waiting and new acquires of the lane fail with ErrClosed.
func (l *Lane) refuseAll() {
	l.mu.Lock()
	l.refusing.Store(true)
	l.mu.Unlock()
	l.queue.abort(l, ErrClosed)
	l.dropOpenings(false)
}

// shut closes the lane's idle connections. Those in use are closed when they are given back.
func (l *Lane) shut(ctx context.Context) {
	l.mu.Lock()
	l.refusing.Store(true)
	l.closed = true
	l.stall.stop()
	l.mu.Unlock()
	j := JobOf(ctx)
	known := true
	for c := l.Pop(); c != nil; c = l.Pop() {
		switch {
		case j == nil: // the pool could not be started
			_ = l.pool.guard.Protect("closing a connection", func() { l.Close(c, wrap.ReasonPoolClosed) })
		case known:
			_, known = l.pool.guard.attempt(ctx, j, "closing a connection", func(ctx context.Context) { l.CloseIn(ctx, c, wrap.ReasonPoolClosed) })
		default: // a function has not returned, and would block this close too
			l.remove(c)
			c.session.Lease().Break()
		}
	}
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
		what = append(what, describeHolders(e.Holders))
	}
	if len(e.Blocked) > 0 {
		what = append(what, "not returned: "+strings.Join(e.Blocked, "; "))
	}
	return fmt.Sprintf("pool: shutdown: %v: %s", e.Err, strings.Join(what, "; "))
}

// Unwrap returns Err.
func (e *ShutdownError) Unwrap() error { return e.Err }
