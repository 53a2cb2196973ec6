package wrap

import (
	"context"
	"database/sql/driver"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// This file is for a pool below database/sql. Such a pool opens, lends, takes back and closes
// connections itself, and knows how long each caller waited.

// A Lane is a part of a pool to which a connection belongs.
type Lane string

// The lanes.
const (
	LaneNone   Lane = ""       // the pool has no lanes, or database/sql has the connection
	LaneWriter Lane = "writer" // the only connection that writes
	LaneReader Lane = "reader" // connections that only read
)

// An Acquisition is an acquire from a pool that takes time. It is not safe for concurrent
// use.
type Acquisition struct {
	opener *Opener
	spans  instrument.Acquiring
	lane   Lane
	began  time.Time
	waited time.Duration
	queue  int
	opened bool
	done   bool // it has ended and its event is recorded
}

// Acquisition starts an acquire for the call with context ctx. End it with [Conn.Lend],
// [Acquisition.Resumed], [Acquisition.Failed] or [Acquisition.Panicked].
func (o *Opener) Acquisition(ctx context.Context, lane Lane) *Acquisition {
	return &Acquisition{opener: o, spans: o.db.Acquiring(ctx), lane: lane, began: time.Now()}
}

// Queued records the place in the queue where the wait begins, from 1.
func (a *Acquisition) Queued(position int) { a.queue = position }

// Waited records the end of the wait, with or without a connection.
func (a *Acquisition) Waited() { a.waited = time.Since(a.began) }

// Took returns the time since the acquire began.
func (a *Acquisition) Took() time.Duration { return time.Since(a.began) }

// Place returns the place in the queue where the wait began; 0 if the acquire did not wait.
func (a *Acquisition) Place() int { return a.queue }

// Failed ends an acquire that got no connection. timedOut says that it waited too long.
// Failed does nothing if the acquire has ended.
func (a *Acquisition) Failed(ctx context.Context, err error, timedOut bool) {
	if a.done {
		return
	}
	now := time.Now()
	got := a.result(now)
	got.TimedOut = timedOut
	a.spans.Failed(err, got)
	kind := KindCancel
	switch {
	case timedOut:
		kind = KindTimeout
	case ctx.Err() == nil:
		kind = KindRefuse
	}
	a.recordEnd(ctx, now, kind, got, a.opener.errorText(err))
}

// Panicked ends an acquire that a panic passed through. It does nothing if the acquire has
// ended.
func (a *Acquisition) Panicked(ctx context.Context) {
	if a.done {
		return
	}
	now := time.Now()
	got := a.result(now)
	a.spans.Panicked(got)
	a.recordEnd(ctx, now, KindRefuse, got, "panic")
}

func (a *Acquisition) recordEnd(ctx context.Context, now time.Time, kind Kind, got instrument.Acquired, why string) {
	a.done = true
	a.opener.record(&Event{
		Time:          now,
		Kind:          kind,
		Duration:      got.Took,
		Wait:          a.waited,
		QueuePosition: a.queue,
		Lane:          a.lane,
		Err:           why,
		Trace:         traceOf(ctx),
	})
}

func (a *Acquisition) result(now time.Time) instrument.Acquired {
	return instrument.Acquired{New: a.opened, Lane: string(a.lane), Queue: a.queue, Wait: a.waited, Took: now.Sub(a.began)}
}

// Resumed ends an acquire that got a new turn for a connection that is already lent.
func (a *Acquisition) Resumed(c *Conn) {
	got := a.result(time.Now())
	got.Conn = uint64(c.id)
	a.spans.Done(got)
}

// Limits has a pool's limits measured until stop is called.
func (o *Opener) Limits(limits func() instrument.PoolLimits) (stop func()) {
	return o.db.Limits(limits)
}

// An Opening is the opening of a connection for an acquire. Another goroutine may use it,
// even after the acquire has ended.
type Opening struct {
	spans instrument.Acquiring
	lane  Lane
}

// Opening marks a as waiting for a connection to be opened. It returns nil if a is nil.
func (a *Acquisition) Opening() *Opening {
	if a == nil {
		return nil
	}
	a.opened = true
	return &Opening{a.spans, a.lane}
}

// OpenFor is Open for a pool. The connection is pending until it is lent. Its connect span is
// a child of p's acquire. If p is nil, no acquire waits for the connection.
func (o *Opener) OpenFor(ctx context.Context, p *Opening, dial func(context.Context) (driver.Conn, error)) (*Conn, error) {
	var spans instrument.Dial
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

// Lend hands the connection to the call with context ctx at time now, and ends a. A nil a is
// an acquire that took no time.
func (c *Conn) Lend(ctx context.Context, a *Acquisition, lane Lane, now time.Time) {
	c.lane = lane
	if a == nil && !c.opener.hasRecorders() {
		c.enterUse(nil)
	} else {
		e := Event{Time: now, Trace: traceOf(ctx), Lane: lane}
		if a != nil {
			got := a.result(e.Time)
			got.Conn = uint64(c.id)
			a.spans.Done(got)
			a.done = true
			e.Duration, e.Wait, e.QueuePosition = got.Took, a.waited, a.queue
		}
		c.enterUse(&e)
	}
	if a == nil {
		c.spans.AcquiredAtOnce(ctx, string(lane))
	}
}

// TakeBack ends the use of a lent connection at time now. It reports whether the connection
// may be lent again; otherwise the caller must close it. It does not change an idle
// connection.
func (c *Conn) TakeBack(now time.Time) bool { return c.release(now) }

// Retire marks the connection to be closed for this reason when it is taken back. It keeps an
// earlier reason.
func (c *Conn) Retire(why Reason) {
	if c.unfit == "" {
		c.unfit = why
	}
}

// InBackground marks the connection's later events as being on one of the pool's own
// goroutines.
func (c *Conn) InBackground() { c.background = true }

// CloseFor closes the connection for a reason of the pool, not of database/sql.
func (c *Conn) CloseFor(why Reason) error {
	c.Retire(why)
	return c.Close()
}

// Panicked reports whether a panic has passed through the connection. Such a connection must
// not be used any more.
func (c *Conn) Panicked() bool { return c.broken }

// Ended reports whether the engine's connection has been closed after a panic; see
// [Conn.Break].
func (c *Conn) Ended() bool { return c.engineClosed }

// Probe pings an idle connection for the pool, without a span. It does nothing if the parent
// is not a Pinger.
func (c *Conn) Probe(ctx context.Context) (err error) {
	if c.adapter.pinger == nil {
		return nil
	}
	c.Use(func() { err = c.adapter.Ping(ctx) })
	return err
}

// Use calls f, which uses the engine's connection directly. If f panics, the connection is
// broken.
func (c *Conn) Use(f func()) {
	c.inCall = true
	defer c.breakOnPanic()
	f()
	c.inCall = false
}

// Do calls f, which asks the parent for something that is not a call of the program. It has
// no span, but it passes the gate, and a panic breaks the connection.
func (c *Conn) Do(f func() error) error {
	if err := c.startCall(); err != nil {
		return err
	}
	defer c.breakOnPanic()
	if c.broken {
		_ = c.endCall(nil)
		return ErrPanicked
	}
	err := f()
	return c.endCall(err)
}

// OpenRows returns the number of rows of the connection that have not been closed. Any
// goroutine may call it.
func (c *Conn) OpenRows() int { return int(c.open.Load()) }

// Age returns the time since the connection was opened.
func (c *Conn) Age(now time.Time) time.Duration { return now.Sub(c.opened) }

// Uses returns the number of times that the connection has been acquired.
func (c *Conn) Uses() uint64 { return c.uses }

// Trace returns the trace of the last call that the connection was lent to.
func (c *Conn) Trace() trace.TraceID { return c.trace }

// Status returns what events show of err: its status code, or else its Go type.
func (c *Conn) Status(err error) string { return c.opener.errorText(err) }

// A Gate guards the engine's connection. Every call into the engine passes it, and every step
// of its rows. The program's own time between rows is outside of the gate.
//
// Enter may wait. It may also refuse the call with an error, which the program receives
// unchanged. Leave is called once for each Enter that returned nil, except after a panic.
type Gate interface {
	Enter() error
	Leave()

	// Failed handles every error of the engine. It returns the error for the program: the
	// same one, or one with more information.
	Failed(err error) error

	// Hold and Drop enclose every request of rows to the engine. Steps of rows are inside of
	// Enter and Leave as well, but their close is not. Between Hold and Drop, no other
	// goroutine uses the connection. Drop is called once for each Hold, also after a panic.
	// If Hold returns an error, the rows' connection has been taken away.
	Hold() error
	Drop()

	// Copies reports whether values of rows must be copied to Go's own memory. That is
	// necessary if the connection may be taken away before the program has scanned the
	// values.
	Copies() bool

	// Panicked records, once, that the connection has ended after a panic; see [Conn.Break].
	// The pool then takes the connection back, because database/sql may never release it.
	Panicked()
}

// SetGate makes every later call of the connection pass g.
func (c *Conn) SetGate(g Gate) { c.gate, c.copies = g, g.Copies() }
