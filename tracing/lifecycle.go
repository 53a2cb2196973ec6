package tracing

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// A Dial is the opening of a connection under way: an acquire span, and the
// connect span within it.
type Dial struct {
	db      *Database
	acquire Call
	connect Call
	opened  trace.SpanContext
}

// Dial starts the spans of opening a connection for the call that ctx is of.
// There are none if ctx is of no trace, as in a background dial.
func (d *Database) Dial(ctx context.Context) Dial {
	dial := Dial{db: d}
	if !d.traced(ctx) {
		return dial
	}
	under := ctx
	if d.tracer.cfg.Acquire != AcquireNone {
		span := d.tracer.start(ctx, "acquire", kindInternal, d.common)
		dial.acquire = Call{span: span, db: d, ctx: ctx}
		under = trace.ContextWithSpan(ctx, span)
	}
	connect := d.tracer.start(under, "connect", kindInternal, d.common)
	dial.connect = Call{span: connect, db: d, ctx: ctx}
	dial.opened = connect.SpanContext()
	return dial
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
	c.acquire = []trace.SpanStartOption{kindInternal, c.attributes(append(d.db.attrs[:len(d.db.attrs):len(d.db.attrs)], connectionNew.Bool(false))...)}
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
	if c.db.tracer.cfg.Acquire != AcquireAll || !c.db.traced(ctx) {
		return
	}
	span := c.db.tracer.start(ctx, "acquire", c.acquire...)
	call := Call{span: span, db: c.db, ctx: ctx}
	call.End(nil)
}

// Close starts the span of closing the connection: a root, because closing
// has no caller, with a link to the connect span; none where that was none.
func (c *Conn) Close(reason string) Call {
	if !c.connect.IsValid() || !c.db.tracer.enabled() {
		return Call{}
	}
	span := c.db.tracer.start(context.Background(), "close", kindInternal, c.db.common,
		c.attributes(connectionClosed.String(reason)),
		trace.WithLinks(trace.Link{SpanContext: c.connect}))
	return Call{span: span, db: c.db}
}
