package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// An Acquiring is an acquire under way in a pool that knows how long it takes:
// one that waits for its turn, or for a connection to be opened. Unlike that of
// [Dial], its span lasts as long as the acquire.
//
// It is not safe for concurrent use. The zero Acquiring is none.
type Acquiring struct {
	db   *Database
	call Call
	in   *instruments // which count it as pending
}

// Acquiring starts an acquire for the call that ctx is of. It has no span if ctx
// is of no trace that is kept, or if spans of acquires are not wanted.
func (d *Database) Acquiring(ctx context.Context) Acquiring {
	a := Acquiring{db: d, in: d.tracer.instruments()}
	if a.in != nil {
		a.in.pending.Add(context.Background(), 1, d.pool.added...)
	}
	if d.tracer.cfg.Acquire != AcquireNone && d.traced(ctx) {
		a.call = d.life(ctx, "acquire", kindInternal, d.common)
	}
	return a
}

// Dial starts the span of opening a connection for the acquire.
func (a *Acquiring) Dial(ctx context.Context) Dial {
	under := ctx
	if a.call.span != nil {
		under = a.call.within
	}
	return a.db.dial(ctx, under)
}

// DialAlone is Dial for a connection that nobody waits for.
func (d *Database) DialAlone(ctx context.Context) Dial { return d.dial(ctx, ctx) }

// An Acquired says how an acquire in a pool went.
type Acquired struct {
	Conn     uint64        // the connection's id
	New      bool          // it was opened for this
	Lane     string        // which part of the pool it is of; empty if it has none
	Queue    int           // the place in the queue that the wait began at; 0 if there was none
	Wait     time.Duration // how long it waited for its turn
	Took     time.Duration // all in all
	TimedOut bool          // it was given up because it took too long
}

// Done ends an acquire that got a connection.
func (a *Acquiring) Done(got Acquired) {
	if a.call.recording {
		a.call.span.SetAttributes(connectionID.Int64(int64(got.Conn)), connectionNew.Bool(got.New))
	}
	a.end(got)
	a.call.End(nil)
}

// Failed ends an acquire that got none.
func (a *Acquiring) Failed(err error, got Acquired) {
	a.end(got)
	if a.in != nil && got.TimedOut {
		a.in.timeouts.Add(context.Background(), 1, a.db.pool.added...)
	}
	a.call.End(err)
}

// Panicked ends an acquire through which a panic has passed.
func (a *Acquiring) Panicked(got Acquired) {
	a.end(got)
	a.call.Panicked()
}

func (a *Acquiring) end(got Acquired) {
	if a.call.recording {
		a.call.span.SetAttributes(got.attributes()...)
	}
	if a.in != nil {
		a.in.pending.Add(context.Background(), -1, a.db.pool.added...)
		a.in.waitTime.Record(context.Background(), got.Took.Seconds(), a.db.pool.recorded...)
	}
}

// AcquiredAtOnce is told of an acquire that took no time.
func (c *Conn) AcquiredAtOnce(ctx context.Context, lane string) {
	if i := c.db.tracer.instruments(); i != nil {
		i.waitTime.Record(context.Background(), 0, c.db.pool.recorded...)
	}
	if c.db.tracer.cfg.Acquire != AcquireAll {
		return
	}
	if c.laned == nil {
		c.laned = []trace.SpanStartOption{kindInternal, c.attributes(c.db.with(connectionNew.Bool(false), connectionLane.String(lane))...)}
	}
	c.db.instant(ctx, "acquire", c.laned...)
}

// PoolLimits are what a pool may have of connections, for the metrics that say so.
type PoolLimits struct{ Max, IdleMin, IdleMax int }

// Limits has the limits of a pool observed until stop is called: by the meter
// provider that there is, once one is seen.
func (d *Database) Limits(limits func() PoolLimits) (stop func()) {
	w := &limitsWatch{labels: d.pool.observed, limits: limits}
	t := d.tracer
	i := t.instruments()
	t.watched.Lock()
	defer t.watched.Unlock()
	if t.watched.limits == nil {
		t.watched.limits = make(map[*limitsWatch]bool)
	}
	t.watched.limits[w] = true
	if i != nil {
		w.move(t.measured.Load()) // there may be others by now
	}
	return func() {
		t.watched.Lock()
		delete(t.watched.limits, w)
		t.watched.Unlock()
		w.move(nil) // with no lock held, since the program's provider may not return
	}
}

// A limitsWatch has a pool's limits observed.
type limitsWatch struct {
	labels []metric.ObserveOption
	limits func() PoolLimits
	at     metric.Registration // nil for none
}

// move has them observed by i, and no more by what they were observed by.
func (w *limitsWatch) move(i *instruments) {
	if w.at != nil {
		handle(w.at.Unregister())
		w.at = nil
	}
	if i == nil {
		return
	}
	var err error
	w.at, err = i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l := w.limits()
		o.ObserveInt64(i.max, int64(l.Max), w.labels...)
		o.ObserveInt64(i.idleMin, int64(l.IdleMin), w.labels...)
		o.ObserveInt64(i.idleMax, int64(l.IdleMax), w.labels...)
		return nil
	}, i.max, i.idleMin, i.idleMax)
	handle(err)
}
