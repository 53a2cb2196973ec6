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

// Close is [Pool.Shutdown] with ten seconds for what is in use.
func (p *Pool) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown closes the pool. Acquires fail with [ErrClosed] from now on, also those
// that wait; what is in use may be used until ctx is over, and is then taken away:
// its calls end as if they were cancelled, and those after fail with ErrClosed.
// Once it is through, calls of DB, Reader and Writer fail as database/sql has them
// fail on a database that is closed. The connections that read are closed first,
// and then the one that writes, which runs PRAGMA optimize and, as the last of the
// file, removes its WAL.
//
// It returns when ctx is over, or half a second later at most, whatever functions of the
// program's do. The last tenth of a second before a deadline, or of a shorter time the
// last tenth, is for calls that are under way to end. If something had to be taken away, or has not come to its end, the
// error is a [*ShutdownError] that says who had it, and what. If a hook has panicked,
// Shutdown panics as well, once all is closed. To close a pool that is closed already
// does nothing but wait for the first Shutdown, and returns what it does.
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

// closeApart closes everything on a goroutine of its own, and waits for that until ctx
// is over and a little longer. It reports whether it is through, and returns what was
// taken away, or has failed.
func (p *Pool) closeInBackground(ctx context.Context) (finished bool, left error) {
	done := make(chan error, 1)
	p.guard.start(ctx, p.closer, func(ctx context.Context) { done <- p.close(ctx) })
	select {
	case left = <-done:
		p.closer.ended(context.WithoutCancel(ctx)) // which it does at once
		return true, left
	case <-ctx.Done():
	}
	// What is left by now does not wait for functions of the program's, but for
	// SQLite, and gives up on both: see attempt.
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

// tellAll waits until everything is told that there was to tell, and functions of the
// program's have returned, until ctx is over and a little longer. It reports whether
// that is so.
func (p *Pool) flushAll(ctx context.Context) bool {
	bounded, cancel := extended(ctx, callGrace)
	defer cancel()
	finished := p.guard.waitLeft(bounded)
	finished = (p.recorderBox == nil || p.recorderBox.flush(bounded)) && finished
	finished = p.log.closeSubscriptions(bounded) && finished
	return p.logBox.flush(bounded) && finished
}

// extended returns a context that ends a little later than ctx.
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

// shortened returns a context that ends a little earlier than ctx, if it is known when
// that ends: a tenth of the time at most.
func shortened(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(by, time.Until(end)/10)))
}

// close is Shutdown's job. It ends soon after ctx, unless something of the program's
// that has no place in the guard, as an exporter of spans, does not return.
func (p *Pool) close(ctx context.Context) error {
	p.maintain.stop()
	for _, l := range p.allLanes() {
		l.refuseAll()
	}
	if p.health.begin(ctx) == nil { // a check that is under way has a connection, too
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
		// What was under way ends when SQLite next looks, which it does often:
		// but a program that keeps rows without asking for more never gives
		// them back.
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

// closeAll closes what is left. What panics on the way is told of.
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
	// Last, since it asks the program's meter provider.
	_ = p.guard.call(ctx, placeMeter, func() error { p.stopMetrics(); return nil })
	return err
}

// stragglers is how long what was taken away may take to be given back: SQLite looks
// every thousand instructions whether a call is to end, and so it does within
// milliseconds. It is a part of the time that Shutdown has, if its context has a
// deadline, or else it comes on top.
const callGrace = 100 * time.Millisecond

// afterwards is how long, after its context, Shutdown waits for the connections to be
// closed that it could take away: stragglers, and SQLite's last checkpoint.
const closeGrace = 500 * time.Millisecond

// drain waits until nothing is in use, and reports whether that came to be.
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

// idle reports whether no connection of the pool's is in use, or being opened or
// closed.
func (p *Pool) idle() bool {
	for _, l := range p.allLanes() {
		if n := l.count(); n.open-n.openingIdle != n.idle || n.closing > 0 {
			return false
		}
	}
	return true
}

// released is told of every turn that is given back.
func (p *Pool) wakeDrain() {
	if !p.closing.Load() { // who waits for this looks once more after that is set
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drained != nil {
		close(p.drained)
		p.drained = nil
	}
}

// refuseAll has everybody who waits for the lane, or comes to, told that the pool
// is closed.
func (l *lane) refuseAll() {
	l.mu.Lock()
	l.refusing.Store(true)
	l.mu.Unlock()
	l.queue.abort(l, ErrClosed)
	l.dropOpenings(false)
}

// shut closes the lane's idle connections, and has those in use closed when they
// are given back.
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
		case j == nil: // of a pool that could not be opened
			l.pool.recoverPanics(placeCallback, func() { l.close(c, wrap.ReasonPoolClosed) })
		case known:
			_, known = l.pool.guard.attempt(ctx, j, "closing a connection", func(ctx context.Context) { l.closeIn(ctx, c, wrap.ReasonPoolClosed) })
		default: // what kept the one before would keep this one
			l.remove(c)
			c.Wrapped().Break()
		}
	}
}

// optimize has SQLite note what its planner should know, as is advised before a
// connection is closed that has been used for long. It is bounded, and what fails
// costs nothing.
// https://sqlite.org/pragma.html#pragma_optimize
func (l *lane) optimize(ctx context.Context) {
	if ctx.Err() != nil || l.pool.sameFile() != nil { // it would be written to what is lost
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
		c.Wrapped().Use(func() {
			raw := c.SQLite()
			old := raw.SetInterrupt(ctx)
			defer raw.SetInterrupt(old)
			if raw.BusyTimeout(0) == nil {
				_ = raw.Exec("PRAGMA analysis_limit=400; PRAGMA optimize")
			}
		})
	})
}

// A ShutdownError says what was still in use when a pool's Shutdown was to wait
// no more, and was taken away; and what has not returned, and is left alone.
type ShutdownError struct {
	Err     error    // the context's
	Holders []Holder // who had what
	Blocked []string // functions of the program's, as "Config.Init, for 2s", and work of the pool's own
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
