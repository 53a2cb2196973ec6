package tracing

import (
	"context"
	"errors"
	"io"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A Call is a span under way. The zero Call is none: to end it does nothing,
// as does to end a Call twice. It is not safe for concurrent use; what runs on
// several goroutines one after the other, as rows do, may carry it along.
type Call struct {
	span trace.Span
	db   *Database

	// ctx is the caller's. It tells a call that its caller gave up from one
	// that failed, since the engine reports both alike.
	ctx context.Context
}

// End ends the call. Nil and io.EOF mean that it went well.
//
// This file is the only place where a span ends and an error is judged.
func (c *Call) End(err error) {
	span := c.take()
	if span == nil {
		return
	}
	if err != nil && err != io.EOF && span.IsRecording() {
		typ, class := c.judge(err)
		fail(span, typ, class)
	}
	span.End()
}

// Closed ends a call whose rows were closed before they were exhausted. That is
// a success, unless closing failed or the caller's context is over: then it is
// why they were closed.
func (c *Call) Closed(err error) {
	if err == nil && c.ctx != nil {
		err = c.ctx.Err()
	}
	c.End(err)
}

// Panicked ends a call that is still under way, because a panic passed
// through it. It is meant for a defer: it does not recover, so that the panic
// keeps its trace, and it does nothing once the call has ended.
func (c *Call) Panicked() {
	span := c.take()
	if span == nil {
		return
	}
	if span.IsRecording() {
		fail(span, "panic", ErrorClass{Description: "panic"})
	}
	span.End()
}

func (c *Call) take() trace.Span {
	span := c.span
	c.span = nil
	return span
}

// judge says what error.type an error is, and what of it may be shown.
func (c *Call) judge(err error) (typ string, class ErrorClass) {
	class = c.db.classify(err)
	ended := c.ctx != nil && c.ctx.Err() != nil
	switch {
	case errors.Is(err, context.Canceled):
		typ = "context.Canceled"
	case errors.Is(err, context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && ended && errors.Is(c.ctx.Err(), context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && ended:
		typ = "context.Canceled"
	case class.StatusCode != "":
		typ = class.StatusCode
	default:
		typ = errorTypeOf(err)
	}
	return typ, class
}

func fail(span trace.Span, typ string, class ErrorClass) {
	attrs := make([]attribute.KeyValue, 0, 2)
	attrs = append(attrs, errorTypeAttribute(typ))
	if class.StatusCode != "" {
		attrs = append(attrs, statusAttribute(class.StatusCode))
	}
	span.SetAttributes(attrs...)
	span.SetStatus(codes.Error, class.Description)
}
