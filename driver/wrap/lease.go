package wrap

import (
	"context"
	"database/sql/driver"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// What is in this file is for a pool below database/sql, which opens, lends,
// takes back and closes connections itself, and knows who waited how long.

// A Lane is the part of a pool that a connection belongs to.
type Lane string

// The lanes.
const (
	LaneNone   Lane = ""       // the pool has none, or the connection is database/sql's
	LaneWriter Lane = "writer" // the one connection that writes
	LaneReader Lane = "reader" // those that only read
)

// An Acquisition is the acquire of a connection from a pool, of one that takes
// time. It is not safe for concurrent use.
type Acquisition struct {
	opener *Opener
	spans  tracing.Acquiring
	lane   Lane
	began  time.Time
	waited time.Duration
	queue  int
	opened bool
	done   bool // it has ended, and been told so
}

// Acquisition begins an acquire for the call that ctx is of. It is to be ended by
// [Conn.Lend] or Failed.
func (o *Opener) Acquisition(ctx context.Context, lane Lane) *Acquisition {
	return &Acquisition{opener: o, spans: o.db.Acquiring(ctx), lane: lane, began: time.Now()}
}

// Queued is told of the place in the queue, from 1, that a wait begins at.
func (a *Acquisition) Queued(position int) { a.queue = position }

// Waited is told that the wait is over, whether there is a connection or not.
func (a *Acquisition) Waited() { a.waited = time.Since(a.began) }

// Took returns how long ago it began.
func (a *Acquisition) Took() time.Duration { return time.Since(a.began) }

// Wait returns how long it has waited for its turn.
func (a *Acquisition) Wait() time.Duration { return a.waited }

// Place returns the place in the queue that it began at; 0 if it did not wait.
func (a *Acquisition) Place() int { return a.queue }

// Failed ends an acquire that got no connection. It, and Panicked, do nothing once
// that has ended. timedOut says that it had
// waited too long.
func (a *Acquisition) Failed(ctx context.Context, err error, timedOut bool) {
	if a.done {
		return
	}
	now := time.Now()
	got := a.got(now)
	got.TimedOut = timedOut
	a.spans.Failed(err, got)
	kind := KindCancel
	switch {
	case timedOut:
		kind = KindTimeout
	case ctx.Err() == nil:
		kind = KindRefuse
	}
	a.ended(ctx, now, kind, got, a.opener.errorText(err))
}

// Panicked ends an acquire through which a panic has passed.
func (a *Acquisition) Panicked(ctx context.Context) {
	if a.done {
		return
	}
	now := time.Now()
	got := a.got(now)
	a.spans.Panicked(got)
	a.ended(ctx, now, KindRefuse, got, "panic")
}

func (a *Acquisition) ended(ctx context.Context, now time.Time, kind Kind, got tracing.Acquired, why string) {
	a.done = true
	a.opener.record(&Event{
		Time:     now,
		Kind:     kind,
		Duration: got.Took,
		Wait:     a.waited,
		Queue:    a.queue,
		Lane:     a.lane,
		Err:      why,
		Trace:    traceOf(ctx),
	})
}

func (a *Acquisition) got(now time.Time) tracing.Acquired {
	return tracing.Acquired{New: a.opened, Lane: string(a.lane), Queue: a.queue, Wait: a.waited, Took: now.Sub(a.began)}
}

// Resumed ends an acquire of a turn for a connection that has been lent already.
func (a *Acquisition) Resumed(c *Conn) {
	got := a.got(time.Now())
	got.Conn = uint64(c.id)
	a.spans.Done(got)
}

// Limits has a pool's limits measured until stop is called.
func (o *Opener) Limits(limits func() tracing.PoolLimits) (stop func()) { return o.db.Limits(limits) }

// An Opening is a connection that is to be opened for an acquire. Unlike that, it may
// be used by another goroutine, and after the acquire has ended.
type Opening struct {
	spans tracing.Acquiring
	lane  Lane
}

// Opening has the acquire wait for a connection to be opened. A nil one has none.
func (a *Acquisition) Opening() *Opening {
	if a == nil {
		return nil
	}
	a.opened = true
	return &Opening{a.spans, a.lane}
}

// OpenFor is Open for a pool: the connection is nobody's until it is lent. Its
// connect is part of the acquire that p is of, or of nobody's if that is nil.
func (o *Opener) OpenFor(ctx context.Context, p *Opening, dial func(context.Context) (driver.Conn, error)) (*Conn, error) {
	var spans tracing.Dial
	if p != nil {
		spans = p.spans.Dial(ctx)
	} else {
		spans = o.db.DialAlone(ctx)
	}
	conn, e, err := o.open(ctx, dial, spans)
	e.Background = p == nil
	if p != nil {
		e.Lane = p.lane
	}
	if err != nil {
		o.record(&e)
		return nil, err
	}
	conn.move(pending, &e)
	return conn, nil
}

// Lend hands the connection, now, to the call that ctx is of, which ends a. A nil a
// is an acquire that took no time.
func (c *Conn) Lend(ctx context.Context, a *Acquisition, lane Lane, now time.Time) {
	c.lane = lane
	if a == nil && !c.opener.hasRecorders() {
		c.acquired(nil)
	} else {
		e := Event{Time: now, Trace: traceOf(ctx), Lane: lane}
		if a != nil {
			got := a.got(e.Time)
			got.Conn = uint64(c.id)
			a.spans.Done(got)
			a.done = true
			e.Duration, e.Wait, e.Queue = got.Took, a.waited, a.queue
		}
		c.acquired(&e)
	}
	if a == nil {
		c.spans.AcquiredAtOnce(ctx, string(lane))
	}
}

// TakeBack ends the use of a lent connection, now. It reports whether the
// connection may be lent again; if not, it is to be closed. Idle connections it
// leaves alone.
func (c *Conn) TakeBack(now time.Time) bool { return c.givenBack(now) }

// Retire has the connection closed when it is taken back, for this reason,
// unless there is another already.
func (c *Conn) Retire(why Reason) {
	if c.unfit == "" {
		c.unfit = why
	}
}

// InBackground says in the events of what becomes of the connection from now on that
// it is on a goroutine of the pool's own.
func (c *Conn) InBackground() { c.background = true }

// CloseFor closes the connection for a reason that database/sql has no part in.
func (c *Conn) CloseFor(why Reason) error {
	c.Retire(why)
	return c.Close()
}

// Panicked reports whether a panic has passed through the connection, which is
// not to be asked anything any more.
func (c *Conn) Panicked() bool { return c.broken }

// Ended reports whether a panic has passed, and the engine's connection is closed
// for it; see [Conn.Break].
func (c *Conn) Ended() bool { return c.ended }

// Probe is Ping by the pool itself, of an idle connection: there is no span of it.
// Where the parent cannot, it does nothing.
func (c *Conn) Probe(ctx context.Context) (err error) {
	if c.adapter.pinger == nil {
		return nil
	}
	c.Use(func() { err = c.adapter.Ping(ctx) })
	return err
}

// Use calls f, which does something with the engine's connection itself: a panic
// that passes breaks the connection.
func (c *Conn) Use(f func()) {
	c.inCall = true
	defer c.passed()
	f()
	c.inCall = false
}

// Do has f ask the parent for something that is no call of the program's: there is
// no span of it, but it is one as far as the gate and panics go.
func (c *Conn) Do(f func() error) error {
	if err := c.startCall(); err != nil {
		return err
	}
	defer c.passed()
	if c.broken {
		_ = c.endCall(nil)
		return ErrPanicked
	}
	err := f()
	return c.endCall(err)
}

// OpenRows returns how many rows of the connection's queries have not been closed.
// It may be called by any goroutine.
func (c *Conn) OpenRows() int { return int(c.open.Load()) }

// Age returns how long ago the connection was opened.
func (c *Conn) Age(now time.Time) time.Duration { return now.Sub(c.opened) }

// Uses returns how often the connection has been acquired.
func (c *Conn) Uses() uint64 { return c.uses }

// Trace returns the trace of the call that the connection was lent to last.
func (c *Conn) Trace() trace.TraceID { return c.trace }

// Status returns what events say of an error: its status code, or else its Go type.
func (c *Conn) Status(err error) string { return c.opener.errorText(err) }

// A Gate is passed by every call into the engine, and by every step of its rows.
// What is between rows is the program's own time, and outside.
//
// Enter may wait, or refuse the call with an error that is given to the program
// as it is. Leave is called once for each Enter that returned nil, but not if a
// panic passed.
type Gate interface {
	Enter() error
	Leave()

	// Failed is told of every error of the engine's, and returns what the program is
	// told: the same, or one that says more.
	Failed(err error) error

	// Hold and Drop stand around whatever rows ask of the engine, be it entered as
	// well, as their steps are, or not, as their close is: meanwhile nobody else asks
	// it anything. Drop is called once for each Hold, also if a panic has passed. An
	// error of Hold says that what the rows are of has been taken away.
	Hold() error
	Drop()

	// Copies reports whether values of rows are to be memory of Go's own, because what
	// they are of may be taken away before the program has scanned them.
	Copies() bool

	// Panicked is told, once, that the connection has ended after a panic; see
	// [Conn.Break]. It is for the pool to take it back, since database/sql may
	// never give it back.
	Panicked()
}

// SetGate has every later call of the connection pass g.
func (c *Conn) SetGate(g Gate) { c.gate, c.copies = g, g.Copies() }
