package instrument

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Dial is the opening of a connection: a connect span, and the acquire span around it if
// there is one.
type Dial struct {
	db      *Database
	acquire Call
	connect Call
	opened  trace.SpanContext
	since   time.Time
	server  *server // of the connection; see Server
}

// life starts a span of a connection's own life.
func (d *Database) life(ctx context.Context, name string, opts ...trace.SpanStartOption) Call {
	within, span := d.tracer.start(ctx, d.tracer.provider(), name, opts...)
	return Call{db: d, span: span, ctx: ctx, within: within, open: true, recording: span.IsRecording()}
}

// Dial starts the spans of opening a connection for the call with context ctx. There are none
// if ctx has no sampled span, as in a background dial.
func (d *Database) Dial(ctx context.Context) Dial {
	var acquire Call
	under := ctx
	if d.tracer.cfg.Acquire != tracing.AcquireNone && d.traced(ctx) {
		acquire = d.life(ctx, "acquire", kindInternal, d.common)
		under = acquire.within
	}
	dial := d.dial(ctx, under)
	dial.acquire = acquire
	return dial
}

// dial starts a connect span as a child of the span in under, for the call with context ctx.
func (d *Database) dial(ctx, under context.Context) Dial {
	d.takeName()
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

// Configured records the pragmas, or the engine's equivalent, that were applied to the
// connection, and how long that took. It records only their names.
func (d *Dial) Configured(names []string, took time.Duration) {
	if d.connect.recording && len(names) > 0 {
		d.connect.span.SetAttributes(connectPragmas.StringSlice(names), connectPragmasDuration.Float64(took.Seconds()))
	}
}

// Server records the server of the connection that has been opened. An empty address means that
// it is not known. A port below 1 means that there is none, as for a Unix socket.
func (d *Dial) Server(address string, port int) { d.server = d.db.server(address, port) }

// Done ends a dial that opened the connection with this ID. It returns the Conn that traces
// the connection.
func (d *Dial) Done(id uint64) *Conn {
	attr := connectionID.Int64(int64(id))
	if d.connect.span != nil {
		d.connect.span.SetAttributes(attr)
		d.connect.span.SetAttributes(d.server.attributes()...)
	}
	if d.acquire.span != nil {
		d.acquire.span.SetAttributes(attr, connectionNew.Bool(true))
		d.acquire.span.SetAttributes(d.server.attributes()...)
	}
	d.connect.End(nil)
	d.acquire.End(nil)
	c := &Conn{db: d.db, id: attr, server: d.server, connect: d.opened}
	if i := d.db.tracer.instruments(); i != nil && !d.since.IsZero() {
		i.createTime.Record(context.Background(), time.Since(d.since).Seconds(), d.db.pool.recorded...)
	}
	c.acquire = []trace.SpanStartOption{kindInternal, c.attributes(d.db.with(connectionNew.Bool(false))...)}
	return c
}

// Failed ends a dial that opened no connection.
func (d *Dial) Failed(err error) {
	err = unexpected(err)
	d.connect.End(err)
	d.acquire.End(err)
}

// CallFailed measures a call with context ctx that fails because the dial has failed.
func (d *Dial) CallFailed(ctx context.Context, err error) {
	if d.since.IsZero() {
		return
	}
	within := ctx
	if d.connect.within != nil {
		within = d.connect.within
	}
	d.db.failedAcquire(ctx, within, time.Since(d.since), unexpected(err), d.db.tracer.contextLabels(ctx))
}

// AcquireFailed measures a call with context ctx that fails because it got no usable connection.
func (d *Database) AcquireFailed(ctx context.Context, err error) {
	d.failedAcquire(ctx, ctx, 0, err, d.tracer.contextLabels(ctx))
}

// failedAcquire measures a call with context ctx that got no connection. Such a call has no span:
// its driver has not seen it, so its query is not known. within is ctx, or has the span that shows
// why, for exemplars.
func (d *Database) failedAcquire(ctx, within context.Context, took time.Duration, err error, labels []attribute.KeyValue) {
	call := Call{db: d, op: d.acquire, ctx: ctx, within: within, timed: true, labels: labels}
	typ, class := call.errorType(err)
	call.measure(took, typ, class)
}

// Panicked ends a dial that a panic passed through. Defer it: it does nothing once the dial
// has ended.
func (d *Dial) Panicked() {
	d.connect.Panicked()
	d.acquire.Panicked()
}

// Acquired makes the span of an open connection that is handed to a call. The span has no
// duration, because a driver does not know how long the caller waited.
func (c *Conn) Acquired(ctx context.Context) {
	if c.db.tracer.cfg.Acquire == tracing.AcquireAll {
		c.db.instant(ctx, "acquire", c.acquire...)
	}
}

// Close starts the span of closing the connection. The span is a root, because a close has no
// caller, with a link to the connect span. Close returns nil if there was no connect span.
func (c *Conn) Close(reason string) *Call {
	if !c.connect.IsValid() || !c.db.tracer.enabled() || c.db.tracer.cfg.WithoutClose {
		return nil
	}
	call := c.db.life(context.Background(), "close", kindInternal, c.db.common,
		c.attributes(connectionClosed.String(reason)),
		trace.WithLinks(trace.Link{SpanContext: c.connect}))
	return &call
}
