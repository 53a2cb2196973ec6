package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Close calls [Pool.Shutdown] with a timeout of ten seconds.
func (p *Pool) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown closes the pool. New and waiting acquires fail with [ErrClosed]. Connections in use
// may be used until ctx ends. Then Shutdown takes them away: their running calls end as if they
// were canceled, and later calls fail with ErrClosed. When Shutdown has finished, calls of DB,
// Reader and Writer fail as on any closed *sql.DB. Readers are closed first. The writer then
// runs PRAGMA optimize. If it is the last connection to the file, closing it removes the WAL.
//
// Shutdown returns at most half a second after ctx has ended, whatever functions of the program
// do. If ctx has a deadline, the last tenth of a second before it is for running calls to end;
// for less than a second, it is the last tenth of the time. The error is a [*ShutdownError] if
// Shutdown had to take something away, or if something has not ended. It lists these with their
// holders. If a hook has panicked, Shutdown panics too, when everything is closed. If the pool
// is closed already, Shutdown waits for the first Shutdown and returns its result.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	if p.closing.Load() {
		p.mu.Unlock()
		select {
		case <-p.ended:
			return p.shutdown
		case <-ctx.Done():
			return fmt.Errorf("pool: shutdown: %w", ctx.Err())
		}
	}
	p.closing.Store(true)
	p.mu.Unlock()
	defer close(p.ended)

	began := time.Now()
	finished, left := p.closeInBackground(ctx)
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindShutdown, Duration: time.Since(began), Background: true})
	p.logger.Info("pool: closed", "took", time.Since(began), "left", left != nil || !finished)
	finished = p.flushAll(ctx) && finished
	var failure *ShutdownError
	if !errors.As(left, &failure) && !finished {
		failure = &ShutdownError{Err: ctx.Err(), Holders: p.Holders()}
		left = errors.Join(failure, left)
	}
	if failure != nil {
		failure.Blocked = p.guard.blocked()
		for _, l := range p.allLanes() {
			failure.Blocked = append(failure.Blocked, l.stillOpening()...)
		}
	}
	p.shutdown = left
	var panicked *wrap.PanicError
	if finished && errors.As(p.closer.firstPanic, &panicked) {
		p.shutdown = errors.Join(fmt.Errorf("pool: shutdown: a hook has panicked: %w", panicked), left)
		panic(panicked.Value)
	}
	return p.shutdown
}

// closeInBackground runs close on a separate goroutine. It waits until a little after the end
// of ctx. finished reports whether close has returned, with the error left.
func (p *Pool) closeInBackground(ctx context.Context) (finished bool, left error) {
	done := make(chan error, 1)
	p.guard.start(ctx, p.closer, func(ctx context.Context) { done <- p.close(ctx) })
	select {
	case left = <-done:
		p.closer.ended(context.WithoutCancel(ctx)) // without delay
		return true, left
	case <-ctx.Done():
	}
	// By now, close does not wait for functions of the program, but still for SQLite. It stops
	// waiting for both; see attempt.
	timer := time.NewTimer(2 * closeGrace)
	defer timer.Stop()
	select {
	case left = <-done:
		p.closer.ended(context.WithoutCancel(ctx))
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
	for _, l := range p.allLanes() {
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
		for _, l := range p.allLanes() {
			for _, c := range l.conns() {
				c.stop(ErrClosed)
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
	ended = p.health.job.ended(late) && ended
	if ended = p.checkpoints.stop(late) && ended; !ended && left == nil {
		left = &ShutdownError{Err: ctx.Err(), Holders: p.Holders()}
	}
	jobOf(ctx).until = late
	err := p.closeAll(late)
	if left != nil {
		return errors.Join(left, err)
	}
	return err
}

// closeAll closes all remaining connections. It reports panics.
func (p *Pool) closeAll(ctx context.Context) (err error) {
	if p.readers != nil {
		p.readers.shut(ctx)
	}
	p.writer.optimize(ctx)
	p.writer.shut(ctx)
	_ = p.guard.protect("closing the keeper of a memory database", func() { err = p.keeper.close() })
	p.file.close(p.writer)
	p.unregister()
	err = errors.Join(err, p.db.Close(), p.readerDB.Close(), p.writerDB.Close())
	// Last, because it calls the program's meter provider.
	_ = p.guard.call(ctx, placeMeter, func() error { p.stopMetrics(); return nil })
	return err
}

// callGrace is how long the pool waits for stopped calls to end and give back their
// connections. SQLite checks every thousand instructions whether a call must end, so they end
// within milliseconds. If Shutdown's context has a deadline, callGrace is part of that time,
// and otherwise added to it.
const callGrace = 100 * time.Millisecond

// closeGrace is how long after the end of its context Shutdown waits for connections that it
// has taken away to be closed. It includes callGrace and SQLite's last checkpoint.
const closeGrace = 500 * time.Millisecond

// drain waits until no connection is in use. It returns false if ctx ends first.
func (p *Pool) drain(ctx context.Context) bool {
	for {
		p.mu.Lock()
		drained := make(chan struct{})
		p.drained = drained
		p.mu.Unlock()
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
	for _, l := range p.allLanes() {
		if n := l.count(); n.open-n.openingIdle != n.idle || n.closing > 0 {
			return false
		}
	}
	return true
}

// wakeDrain wakes drain. It is called after every release.
func (p *Pool) wakeDrain() {
	if !p.closing.Load() { // drain checks once more after closing has been set
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drained != nil {
		close(p.drained)
		p.drained = nil
	}
}

// refuseAll makes all waiting and new acquires of the lane fail with ErrClosed.
func (l *lane) refuseAll() {
	l.mu.Lock()
	l.refusing.Store(true)
	l.mu.Unlock()
	l.queue.abort(l, ErrClosed)
	l.dropOpenings(false)
}

// shut closes the lane's idle connections. Leased ones are closed when they are given back.
func (l *lane) shut(ctx context.Context) {
	l.mu.Lock()
	l.refusing.Store(true)
	l.closed = true
	if l.stall != nil {
		l.stall.Stop()
		l.stall = nil
	}
	l.mu.Unlock()
	j := jobOf(ctx)
	known := true
	for c := l.pop(); c != nil; c = l.pop() {
		switch {
		case j == nil: // Open has failed
			l.pool.recoverPanics(placeCallback, func() { l.close(c, wrap.ReasonPoolClosed) })
		case known:
			_, known = l.pool.guard.attempt(ctx, j, "closing a connection", func(ctx context.Context) { l.closeIn(ctx, c, wrap.ReasonPoolClosed) })
		default: // a function has not returned, and would block this close too
			l.remove(c)
			c.Lease().Break()
		}
	}
}

// optimize runs PRAGMA optimize, which SQLite recommends before a long-lived connection is
// closed. It is limited in time, and its errors are ignored.
// https://sqlite.org/pragma.html#pragma_optimize
func (l *lane) optimize(ctx context.Context) {
	if ctx.Err() != nil || l.pool.sameFile() != nil { // it would write to a lost file
		return
	}
	c := l.pop()
	if c == nil {
		return
	}
	defer l.push(c)
	ctx, cancel := context.WithTimeout(ctx, sqliteTimeout)
	defer cancel()
	l.pool.recoverPanics(placeCallback, func() {
		c.Lease().Use(func() {
			raw := c.SQLite()
			old := raw.SetInterrupt(ctx)
			defer raw.SetInterrupt(old)
			if raw.BusyTimeout(0) == nil {
				_ = raw.Exec("PRAGMA analysis_limit=400; PRAGMA optimize")
			}
		})
	})
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
