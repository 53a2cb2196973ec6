package instrument

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// An Acquiring is a running acquire in a pool that measures its acquires: one that waits for
// its turn, or for a connection to be opened. Its span lasts as long as the acquire, unlike
// that of [Database.Dial], which lasts as long as the dial.
//
// An Acquiring is not safe for concurrent use. The zero Acquiring has no span and no metrics.
type Acquiring struct {
	db   *Database
	call Call
	in   *instruments    // the instruments that count it as pending
	ctx  context.Context // of the call, if in is not nil

	labels []attribute.KeyValue // of the context, for metrics
}

// Acquiring starts an acquire for the call with context ctx. The acquire has a span if ctx
// has a sampled span, and unless Config.Acquire is tracing.AcquireNone.
func (d *Database) Acquiring(ctx context.Context) Acquiring {
	d.takeName()
	a := Acquiring{db: d, in: d.tracer.instruments()}
	if a.in != nil {
		a.ctx, a.labels = ctx, d.tracer.contextLabels(ctx)
		a.in.pending.Add(context.Background(), 1, d.pool.added...)
	}
	if d.tracer.cfg.Acquire != tracing.AcquireNone && d.traced(ctx) {
		a.call = d.life(ctx, "acquire", kindInternal, d.common)
	}
	return a
}

// Dial starts the connect span of a connection that the acquire needs.
func (a *Acquiring) Dial(ctx context.Context) Dial {
	under := ctx
	if a.call.span != nil {
		under = a.call.within
	}
	return a.db.dial(ctx, under)
}

// DialAlone starts the connect span of a connection that no acquire waits for.
func (d *Database) DialAlone(ctx context.Context) Dial { return d.dial(ctx, ctx) }

// An Acquired describes the result of an acquire in a pool.
type Acquired struct {
	Conn     *Conn         // the connection; nil if there is none
	New      bool          // the connection was opened for this acquire
	Lane     string        // the part of the pool; empty if the pool has no lanes
	Queue    int           // place in the queue where the wait began, from 1; 0 without a wait
	Wait     time.Duration // the time until its turn
	Took     time.Duration // the whole duration
	TimedOut bool          // it failed because it waited too long
}

// Done ends an acquire that got a connection.
func (a *Acquiring) Done(got Acquired) {
	if a.call.recording {
		a.call.span.SetAttributes(got.Conn.id, connectionNew.Bool(got.New))
		a.call.span.SetAttributes(got.Conn.server.attributes()...)
	}
	a.end(got)
	a.call.End(nil)
}

// Failed ends an acquire that got no connection, and measures the call that fails with it.
func (a *Acquiring) Failed(err error, got Acquired) {
	a.end(got)
	if a.in != nil {
		within := a.ctx
		if a.call.within != nil {
			within = a.call.within
		}
		a.db.failedAcquire(a.ctx, within, got.Took, err, a.labels)
	}
	if a.in != nil && got.TimedOut {
		opts := a.db.pool.added
		if len(a.labels) > 0 {
			opts = []metric.AddOption{withContext(a.labels, a.db.pool.attrs)}
		}
		a.in.timeouts.Add(context.Background(), 1, opts...)
	}
	a.call.End(err)
}

// Panicked ends an acquire that a panic passed through.
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
		a.db.waited(a.in, got.Took, a.labels)
	}
}

// waited measures an acquire.
func (d *Database) waited(i *instruments, took time.Duration, labels []attribute.KeyValue) {
	opts := d.pool.recorded
	if len(labels) > 0 {
		opts = []metric.RecordOption{withContext(labels, d.pool.attrs)}
	}
	i.waitTime.Record(context.Background(), took.Seconds(), opts...)
}

// AcquiredAtOnce records an acquire that took no time.
func (c *Conn) AcquiredAtOnce(ctx context.Context, lane string) {
	c.waited = 0
	if i := c.db.tracer.instruments(); i != nil {
		c.db.waited(i, 0, c.db.tracer.contextLabels(ctx))
	}
	if c.db.tracer.cfg.Acquire != tracing.AcquireAll {
		return
	}
	if c.acquireInLane == nil {
		c.acquireInLane = []trace.SpanStartOption{kindInternal, c.attributes(c.db.with(connectionNew.Bool(false), connectionLane.String(lane))...)}
	}
	c.db.instant(ctx, "acquire", c.acquireInLane...)
}

// PoolLimits are the limits of a pool's connections, for the metrics of the same names.
type PoolLimits struct{ Max, IdleMin, IdleMax int }

// Limits has a pool's limits observed until stop is called. The current meter provider
// observes them; another one takes over as soon as it is seen.
func (d *Database) Limits(limits func() PoolLimits) (stop func()) {
	d.takeName()
	return d.tracer.watch(&limitsWatch{labels: d.pool.observed, limits: limits})
}

// A watch is a callback of a pool that is registered with the current meter provider.
type watch interface {
	// observeWith registers the callback with i, in place of the instruments before. A nil i only
	// unregisters it.
	observeWith(i *instruments)
}

// watch registers w until stop is called.
func (t *tracer) watch(w watch) (stop func()) {
	i := t.instruments()
	t.watched.Lock()
	defer t.watched.Unlock()
	if t.watched.all == nil {
		t.watched.all = make(map[watch]bool)
	}
	t.watched.all[w] = true
	if i != nil {
		w.observeWith(t.measured.Load()) // not i, which another goroutine may have replaced
	}
	return func() {
		t.watched.Lock()
		delete(t.watched.all, w)
		t.watched.Unlock()
		w.observeWith(nil) // without the lock, because the program's provider may block forever
	}
}

// A limitsWatch is the callback that reports one pool's limits to the meter provider.
type limitsWatch struct {
	labels       []metric.ObserveOption
	limits       func() PoolLimits
	registration metric.Registration // nil if none is registered
}

// observeWith implements [watch].
func (w *limitsWatch) observeWith(i *instruments) {
	if w.registration != nil {
		handle(w.registration.Unregister())
		w.registration = nil
	}
	if i == nil {
		return
	}
	var err error
	w.registration, err = i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l := w.limits()
		o.ObserveInt64(i.max, int64(l.Max), w.labels...)
		o.ObserveInt64(i.idleMin, int64(l.IdleMin), w.labels...)
		o.ObserveInt64(i.idleMax, int64(l.IdleMax), w.labels...)
		return nil
	}, i.max, i.idleMin, i.idleMax)
	handle(err)
}
