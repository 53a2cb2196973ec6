package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A Dial is the opening of a connection under way: an acquire span, and the
// connect span within it.
type Dial struct {
	db      *Database
	acquire Call
	connect Call
	opened  trace.SpanContext
	since   time.Time
}

// life starts a span of a connection's own life.
func (d *Database) life(ctx context.Context, name string, opts ...trace.SpanStartOption) Call {
	within, span := d.tracer.start(ctx, d.tracer.provider(), name, opts...)
	return Call{db: d, span: span, ctx: ctx, within: within, open: true, recording: span.IsRecording()}
}

// Dial starts the spans of opening a connection for the call that ctx is of.
// There are none if ctx is of no trace, as in a background dial.
func (d *Database) Dial(ctx context.Context) Dial {
	var acquire Call
	under := ctx
	if d.tracer.cfg.Acquire != AcquireNone && d.traced(ctx) {
		acquire = d.life(ctx, "acquire", kindInternal, d.common)
		under = acquire.within
	}
	dial := d.dial(ctx, under)
	dial.acquire = acquire
	return dial
}

// dial starts a connect span below under, for the call that ctx is of.
func (d *Database) dial(ctx, under context.Context) Dial {
	dial := Dial{db: d}
	if d.tracer.measures() {
		dial.since = time.Now()
	}
	if !d.tracer.cfg.WithoutConnect && d.traced(ctx) {
		dial.connect = d.life(under, "connect", kindInternal, d.common)
		dial.connect.ctx = ctx
		dial.opened = dial.connect.span.SpanContext()
	}
	return dial
}

// Configured is told of the pragmas, or what the engine has instead, that were
// applied to the connection, by name alone, and how long that took.
func (d *Dial) Configured(names []string, took time.Duration) {
	if d.connect.recording && len(names) > 0 {
		d.connect.span.SetAttributes(connectPragmas.StringSlice(names), connectPragmasDuration.Float64(took.Seconds()))
	}
}

// Done ends the dial that made connection id and returns what traces it.
func (d *Dial) Done(id uint64) *Conn {
	attr := connectionID.Int64(int64(id))
	if d.connect.span != nil {
		d.connect.span.SetAttributes(attr)
	}
	if d.acquire.span != nil {
		d.acquire.span.SetAttributes(attr, connectionNew.Bool(true))
	}
	d.connect.End(nil)
	d.acquire.End(nil)
	c := &Conn{db: d.db, id: attr, connect: d.opened}
	if i := d.db.tracer.instruments(); i != nil && !d.since.IsZero() {
		i.createTime.Record(context.Background(), time.Since(d.since).Seconds(), d.db.pool.recorded...)
	}
	c.acquire = []trace.SpanStartOption{kindInternal, c.attributes(d.db.with(connectionNew.Bool(false))...)}
	return c
}

// Failed ends a dial that made no connection.
func (d *Dial) Failed(err error) {
	d.connect.End(err)
	d.acquire.End(err)
}

// Panicked ends a dial through which a panic passed. It is meant for a defer,
// and does nothing once the dial has ended.
func (d *Dial) Panicked() {
	d.connect.Panicked()
	d.acquire.Panicked()
}

// Acquired makes the span of an open connection being handed to a call. It has
// no length: how long the caller waited is not known to a driver.
func (c *Conn) Acquired(ctx context.Context) {
	if c.db.tracer.cfg.Acquire == AcquireAll {
		c.db.instant(ctx, "acquire", c.acquire...)
	}
}

// Close starts the span of closing the connection: a root, because closing
// has no caller, with a link to the connect span; none where that was none.
func (c *Conn) Close(reason string) *Call {
	if !c.connect.IsValid() || !c.db.tracer.enabled() || c.db.tracer.cfg.WithoutClose {
		return nil
	}
	call := c.db.life(context.Background(), "close", kindInternal, c.db.common,
		c.attributes(connectionClosed.String(reason)),
		trace.WithLinks(trace.Link{SpanContext: c.connect}))
	return &call
}
