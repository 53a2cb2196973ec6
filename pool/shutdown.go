package pool

import (
	"context"
	"errors"
	"fmt"
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
// If something had to be taken away, the error is a [*ShutdownError] that says
// who had it. To close a pool that is closed already does nothing but wait for
// the first Shutdown, and returns what it does.
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

	began := time.Now()
	p.shutdown = errShutdownPanicked // unless it comes to its end
	defer close(p.ended)
	defer func() {
		p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindShutdown, Duration: time.Since(began)})
		p.logger.Info("pool: closed", "took", time.Since(began), "left", p.shutdown != nil)
		p.log.closeSubscriptions(ctx)
	}()
	p.shutdown = p.close(ctx)
	return p.shutdown
}

var errShutdownPanicked = errors.New("pool: shutdown: a hook has panicked")

func (p *Pool) close(ctx context.Context) error {
	p.maintain.stop()
	for _, l := range p.allLanes() {
		l.refuseAll()
	}
	if p.health.begin(ctx) == nil { // a check that is under way has a connection, too
		defer p.health.end()
	}
	var left *ShutdownError
	if !p.drain(ctx) {
		left = &ShutdownError{Err: ctx.Err(), Holders: p.Holders()}
		for _, l := range p.allLanes() {
			for _, c := range l.conns() {
				c.stop(ErrClosed)
			}
			l.queue.abortAll(l, ErrClosed)
		}
		// What was under way ends when SQLite next looks, which it does often:
		// but a program that keeps rows without asking for more never gives
		// them back.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stragglers)
		p.drain(grace)
		cancel()
	}
	p.checkpoints.stop()
	err := p.closeAll()
	if left != nil {
		return errors.Join(left, err)
	}
	return err
}

// closeAll closes what is left, in the order of its defers (the last first), which
// are for a panic in a hook.
func (p *Pool) closeAll() (err error) {
	defer func() { err = errors.Join(err, p.db.Close(), p.readerDB.Close(), p.writerDB.Close()) }()
	defer p.stopMetrics()
	defer p.retract()
	defer p.file.close(p.writer)
	defer func() { err = p.keeper.close() }()
	defer p.writer.shut()
	defer p.writer.optimize()
	if p.readers != nil {
		p.readers.shut()
	}
	return nil
}

// stragglers is how long what was taken away may take to be given back.
const stragglers = time.Second

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
		if n := l.count(); n.open != n.idle || n.closing > 0 {
			return false
		}
	}
	return true
}

// released is told of every turn that is given back.
func (p *Pool) released() {
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
}

// shut closes the lane's idle connections, and has those in use closed when they
// are given back.
func (l *lane) shut() {
	l.mu.Lock()
	l.refusing.Store(true)
	l.closed = true
	if l.stall != nil {
		l.stall.Stop()
		l.stall = nil
	}
	l.mu.Unlock()
	l.closeIdle()
}

func (l *lane) closeIdle() {
	if c := l.pop(); c != nil {
		defer l.closeIdle() // the others, also if a hook panics
		l.close(c, wrap.ReasonPoolClosed)
	}
}

// optimize has SQLite note what its planner should know, as is advised before a
// connection is closed that has been used for long. It is bounded, and what fails
// costs nothing.
// https://sqlite.org/pragma.html#pragma_optimize
func (l *lane) optimize() {
	c := l.pop()
	if c == nil {
		return
	}
	defer l.push(c)
	ctx, cancel := context.WithTimeout(context.Background(), sqliteTimeout)
	defer cancel()
	raw := c.SQLite()
	old := raw.SetInterrupt(ctx)
	defer raw.SetInterrupt(old)
	if raw.BusyTimeout(0) == nil {
		_ = raw.Exec("PRAGMA analysis_limit=400; PRAGMA optimize")
	}
}

// A ShutdownError says what was still in use when a pool's Shutdown was to wait
// no more, and was taken away.
type ShutdownError struct {
	Err     error    // the context's
	Holders []Holder // who had what
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("pool: shutdown: %v: %s", e.Err, describeHolders(e.Holders))
}

// Unwrap returns Err.
func (e *ShutdownError) Unwrap() error { return e.Err }
