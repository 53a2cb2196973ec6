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
	LaneWriter Lane = "writer" // connections that write; SQLite and dqlite have one
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

// Acquisition starts an acquire for the call with context ctx. End it with [Lease.Lend],
// [Acquisition.Resume], [Acquisition.Fail] or [Acquisition.Panic].
func (o *Opener) Acquisition(ctx context.Context, lane Lane) *Acquisition {
	return &Acquisition{opener: o, spans: o.db.Acquiring(ctx), lane: lane, began: time.Now()}
}

// Queue records the place in the queue where the wait begins, from 1.
func (a *Acquisition) Queue(position int) { a.queue = position }

// EndWait records the end of the wait, with or without a connection.
func (a *Acquisition) EndWait() { a.waited = time.Since(a.began) }

// Took returns the time since the acquire began.
func (a *Acquisition) Took() time.Duration { return time.Since(a.began) }

// Place returns the place in the queue where the wait began; 0 if the acquire did not wait.
func (a *Acquisition) Place() int { return a.queue }

// Fail ends an acquire that got no connection. timedOut says that it waited too long.
// Fail does nothing if the acquire has ended.
func (a *Acquisition) Fail(ctx context.Context, err error, timedOut bool) {
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
	a.recordEnd(ctx, now, kind, got, a.opener.errorText(ctx, err))
}

// Panic ends an acquire that a panic passed through. It does nothing if the acquire has
// ended.
func (a *Acquisition) Panic(ctx context.Context) {
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

// Resume ends an acquire that got a new turn for a connection that is already lent.
func (a *Acquisition) Resume(l Lease) {
	got := a.result(time.Now())
	got.Conn = l.conn.spans
	a.spans.Done(got)
	l.conn.spans.Waited(a.waited, true)
}

// Limits has a pool's limits measured until stop is called.
func (o *Opener) Limits(limits func() instrument.PoolLimits) (stop func()) {
	return o.db.Limits(limits)
}

// OnSlow has f called after slow calls; see [instrument.Database.OnSlow].
func (o *Opener) OnSlow(f func(instrument.SlowStatement)) { o.db.OnSlow(f) }

// PoolStats has a pool's statistics measured until stop is called.
func (o *Opener) PoolStats(stats func() instrument.PoolStats) (stop func()) {
	return o.db.PoolStats(stats)
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

// A Lease is a [Conn] as a pool below database/sql uses it. The pool lends it to one caller at a
// time. Its methods may not be called while the caller uses the connection, unless they say so.
type Lease struct{ conn *Conn }

// Lease returns c for a pool.
func (c *Conn) Lease() Lease { return Lease{c} }

// ID returns the connection's ID. Any goroutine may call it.
func (l Lease) ID() ConnID { return l.conn.id }

// Lend hands the connection to the call with context ctx at time now, and ends a. A nil a is
// an acquire that took no time.
func (l Lease) Lend(ctx context.Context, a *Acquisition, lane Lane, now time.Time) {
	l.conn.lane = lane
	if a == nil && !l.conn.opener.hasRecorders() {
		l.conn.enterUse(nil)
	} else {
		e := Event{Time: now, Trace: traceOf(ctx), Lane: lane}
		if a != nil {
			got := a.result(e.Time)
			got.Conn = l.conn.spans
			a.spans.Done(got)
			l.conn.spans.Waited(a.waited, false)
			a.done = true
			e.Duration, e.Wait, e.QueuePosition = got.Took, a.waited, a.queue
		}
		l.conn.enterUse(&e)
	}
	if a == nil {
		l.conn.spans.AcquiredAtOnce(ctx, string(lane))
	}
}

// TakeBack ends the use of a lent connection at time now. It reports whether the connection
// may be lent again; otherwise the caller must close it. It does not change an idle
// connection.
func (l Lease) TakeBack(now time.Time) bool { return l.conn.release(now) }

// Retire marks the connection to be closed for this reason when it is taken back. It keeps an
// earlier reason.
func (l Lease) Retire(why Reason) {
	if l.conn.unfit == "" {
		l.conn.unfit = why
	}
}

// InBackground marks the connection's later events as being on one of the pool's own
// goroutines.
func (l Lease) InBackground() { l.conn.background = true }

// CloseFor closes the connection for a reason of the pool, not of database/sql.
func (l Lease) CloseFor(why Reason) error {
	l.Retire(why)
	return l.conn.Close()
}

// Panicked reports whether a panic has passed through the connection. Such a connection must
// not be used any more.
func (l Lease) Panicked() bool { return l.conn.broken }

// Ended reports whether the engine's connection has been closed after a panic; see
// [Lease.Break].
func (l Lease) Ended() bool { return l.conn.engineClosed }

// Probe pings an idle connection for the pool, without a span. It does nothing if the parent
// is not a Pinger.
func (l Lease) Probe(ctx context.Context) (err error) {
	if l.conn.adapter.pinger == nil {
		return nil
	}
	l.Use(func() { err = l.conn.adapter.Ping(ctx) })
	return err
}

// Use calls f, which uses the engine's connection directly. If f panics, the connection is
// broken.
func (l Lease) Use(f func()) {
	l.conn.inCall = true
	defer l.conn.breakOnPanic()
	f()
	l.conn.inCall = false
}

// Do calls f, which asks the parent for something that is not a call of the program. It has
// no span, but it passes the gate, and a panic breaks the connection.
func (l Lease) Do(f func() error) error {
	if err := l.conn.startCall(); err != nil {
		return err
	}
	defer l.conn.breakOnPanic()
	if l.conn.broken {
		_ = l.conn.leaveCall(nil)
		return ErrPanicked
	}
	err := f()
	return l.conn.leaveCall(err)
}

// OpenRows returns the number of rows of the connection that have not been closed. Any
// goroutine may call it.
func (l Lease) OpenRows() int { return int(l.conn.open.Load()) }

// Age returns the time since the connection was opened.
func (l Lease) Age(now time.Time) time.Duration { return now.Sub(l.conn.opened) }

// Uses returns the number of times that the connection has been acquired.
func (l Lease) Uses() uint64 { return l.conn.uses }

// Trace returns the trace of the last call that the connection was lent to.
func (l Lease) Trace() trace.TraceID { return l.conn.trace }

// Status returns what events show of err: its status code, or else its Go type.
func (l Lease) Status(err error) string {
	return l.conn.opener.errorText(context.Background(), err)
}

// SetGate makes every later call of the connection pass g.
func (l Lease) SetGate(g Gate) { l.conn.gate, l.conn.copies = g, g.Copies() }

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

	// Panicked records, once, that the connection has ended after a panic; see [Lease.Break].
	// The pool then takes the connection back, because database/sql may never release it.
	Panicked()
}

// SetSettler makes every later call of the connection, and the rows of its queries, end with s.
func (l Lease) SetSettler(s Settler) {
	l.conn.settler = s
	l.conn.spans.KeepCalls()
}

// A Settler does what remains to be done when the engine has finished a call: it may wait for the
// disk. Its methods are called after the gate's Leave. They may return an error for the program. ctx
// is that of the query or the other call, or of the transaction that ends.
type Settler interface {
	// Settle ends call, which the engine has finished, or whose rows have ended. The call is nil if
	// it has no span, and for a query that has rows to come. err is the error for the program;
	// Settle returns it, or another.
	Settle(ctx context.Context, call *instrument.Call, err error) error

	// CloseRows and RowsClosed enclose the close of rows. If that has left something to do, RowsClosed
	// returns a function that does it. When it is called, the connection is not in use any more,
	// and it ends call, which is kept. It returns err, the error for the program, or another.
	CloseRows()
	RowsClosed(ctx context.Context, call *instrument.Call, err error) (finish func() error)

	// Show is called before the program gets a row of a query, or learns that there are no more.
	Show(ctx context.Context) error
}
