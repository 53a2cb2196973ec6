package tracing

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A Call is a call under way: its span, and what is to be measured and logged
// of it. A nil Call is none: to end it does nothing.
//
// A Call is its connection's again once it has ended, and not to be used any
// more. It is not safe for concurrent use; what runs on several goroutines one
// after the other, as rows do, may carry it along.
type Call struct {
	db   *Database
	conn *Conn // nil in a connection's own life
	op   *operation
	span trace.Span // nil if there is none

	// ctx is the caller's. It tells a call that its caller gave up from one
	// that failed, since the engine reports both alike. within has the span.
	ctx, within context.Context
	txCtx       context.Context // of its transaction; nil for none

	open      bool
	recording bool          // the span is kept
	query     bool          // it answers rows
	more      bool          // its end has more for the span, and says which connection it was on
	timed     bool          // how long it takes is wanted beside its span
	start     time.Duration // by clock, if timed
	engine    time.Duration
	rows      int64
	tx        int64
	args      []driver.NamedValue
	watch     *Watch
	told      []attribute.KeyValue // by the engine

	attrs []attribute.KeyValue // room for what is known at the end, kept for the next call
}

// epoch is what clock counts from.
var epoch = time.Now()

// clock is a cheaper time.Now, for what happens for every call and row.
func clock() time.Duration { return time.Since(epoch) }

// Watches reports whether anything is to be told of the call's steps: else nobody
// need call Step and Stepped.
func (c *Call) Watches() bool {
	return c != nil && (c.recording || c.timed || c.db.tracer.cfg.Exceptions)
}

// Step is told that the engine is about to be asked for rows, and Stepped, with
// what Step returned, that it has answered. What lies between is the caller's
// own time.
func (c *Call) Step() time.Duration {
	if c == nil || !c.recording {
		return 0
	}
	return clock()
}

// Stepped counts a row, if there was one.
func (c *Call) Stepped(since time.Duration, row bool) {
	if c == nil {
		return
	}
	if c.recording {
		c.engine += clock() - since
	}
	if row {
		c.rows++
	}
}

// End ends the call. Nil and io.EOF mean that it went well.
//
// This file is the only place where a span ends and an error is judged.
func (c *Call) End(err error) {
	if c == nil || !c.open {
		return
	}
	if err == nil || err == io.EOF {
		c.end("", ErrorClass{}, nil)
		return
	}
	typ, class := c.judge(err)
	c.end(typ, class, err)
}

// Closed ends a call whose rows were closed before they were exhausted. That is
// a success, unless closing failed or the caller's context is over: then it is
// why they were closed.
func (c *Call) Closed(err error) {
	if c == nil || !c.open {
		return
	}
	if err == nil {
		err = c.over()
	}
	c.End(err)
}

// over returns why the call's rows may have been closed by somebody else: its
// caller's context is over, or that of its transaction.
func (c *Call) over() error {
	if c.ctx == nil {
		return nil
	}
	if err := callerOf(c.ctx).Err(); err != nil || c.txCtx == nil {
		return err
	}
	return callerOf(c.txCtx).Err()
}

// callerOf returns the context that a program gave, of one that a pool gives in its
// place: which ends, too, when the pool takes its connection away.
func callerOf(ctx context.Context) context.Context {
	if p, ok := ctx.(LeaseContext); ok {
		return p.Caller()
	}
	return ctx
}

// A LeaseContext is a context that a pool passes to the engine in place of the
// caller's. It also ends when the pool takes the connection away.
type LeaseContext interface {
	context.Context

	// Caller returns the caller's own context. If that has not ended, the caller
	// did not give up.
	Caller() context.Context
}

// Panicked ends a call that is still under way, because a panic passed
// through it. It is meant for a defer: it does not recover, so that the panic
// keeps its trace, and it does nothing once the call has ended.
func (c *Call) Panicked() {
	if c == nil || !c.open {
		return
	}
	c.end("panic", ErrorClass{Description: "panic"}, nil)
}

// A Teller can tell of a call what the conventions have no name for: rows of
// the query that they answer, a connection of what it has executed last. It
// appends to attrs. What it tells, it tells once.
type Teller interface {
	Tell(attrs []attribute.KeyValue) []attribute.KeyValue
}

// Tell has t tell of the call, if that is wanted and t can.
func (c *Call) Tell(t any) {
	if c == nil || !c.recording || !c.db.tracer.cfg.Details || c.told != nil {
		return
	}
	if t, ok := t.(Teller); ok {
		c.told = t.Tell(nil)
	}
}

// A Watch ends the span of the call that rows hold when they have become
// garbage: rows that a program never closes. It knows nothing of the rows, which
// would otherwise never be.
type Watch struct{ call *Call }

// WatchOver has rows watched, which are to end call, if anything is told of it. It
// returns what watches them, for when they hold another call: one Watch is all
// that rows need, and to have the runtime look after them is dear.
func WatchOver[Rows any](rows *Rows, w *Watch, call *Call) *Watch {
	if !call.Watches() {
		return w
	}
	if w == nil {
		w = new(Watch)
		runtime.AddCleanup(rows, (*Watch).abandoned, w)
	}
	w.call, call.watch = call, w
	return w
}

// abandoned ends the call, which is not its connection's again: that may be in use
// for another. The runtime calls it, on a goroutine on which nothing may panic or
// block.
func (w *Watch) abandoned() {
	c := w.call
	if c == nil || !c.open {
		return
	}
	abandonedCalls.add(c)
}

// abandonedCalls are ended one after the other on a goroutine, which is there while
// there are any: span processors and loggers of the program's may panic, or never
// return.
var abandonedCalls abandonment

type abandonment struct {
	mu      sync.Mutex
	calls   []*Call
	working bool
}

// maxAbandoned bounds what is kept while a span processor does not return; what is
// beyond has no end. The memory of a call is less than 1 KiB.
const maxAbandoned = 1024

func (a *abandonment) add(c *Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) >= maxAbandoned {
		return
	}
	a.calls = append(a.calls, c)
	if !a.working {
		a.working = true
		go a.work()
	}
}

func (a *abandonment) work() {
	through := false
	defer func() {
		if !through { // a panic, or runtime.Goexit
			_ = recover()
			go a.work()
		}
	}()
	for c := a.next(); c != nil; c = a.next() {
		c.conclude(notClosed, ErrorClass{Description: "its rows were never closed"}, nil)
	}
	through = true
}

func (a *abandonment) next() *Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) == 0 {
		a.calls, a.working = nil, false
		return nil
	}
	c := a.calls[0]
	a.calls = a.calls[1:]
	return c
}

// notClosed is the error.type of a query whose rows were never closed.
const notClosed = "rows not closed"

// end ends the call with this error.type, or "" if it went well.
func (c *Call) end(typ string, class ErrorClass, err error) {
	if c.watch != nil {
		c.watch.call = nil
	}
	c.conclude(typ, class, err)
	if c.conn != nil {
		c.conn.give(c)
	}
}

// conclude tells of the call whatever is told, and is done by whoever ends it.
func (c *Call) conclude(typ string, class ErrorClass, err error) {
	c.open = false
	var took time.Duration
	var sdk timed
	if c.timed {
		if c.recording {
			sdk, _ = c.span.(timed)
		}
		if sdk == nil {
			took = clock() - c.start
		}
	}
	if c.span != nil {
		if c.recording {
			c.finish(typ, class)
		}
		c.span.End()
	}
	if sdk != nil {
		took = sdk.EndTime().Sub(sdk.StartTime()) // and not almost the same
	}
	if c.conn != nil {
		c.measure(took, typ, class)
		c.log(took, typ, class, err)
	}
}

// timed are the spans of an SDK that tells of its clock.
type timed interface {
	StartTime() time.Time
	EndTime() time.Time
}

// instant makes a span of what takes no time, in a connection's life.
func (d *Database) instant(ctx context.Context, name string, opts ...trace.SpanStartOption) {
	in := d.tracer.spans()
	if in == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := d.tracer.start(ctx, in, name, opts...)
	span.End()
}

// finish puts on the span what is known only now.
func (c *Call) finish(typ string, class ErrorClass) {
	attrs := c.attrs[:0]
	if c.more {
		attrs = append(attrs, c.conn.id)
	}
	if c.query {
		attrs = append(attrs, engineDuration.Float64(c.engine.Seconds()))
		if c.db.tracer.cfg.ReturnedRows {
			attrs = append(attrs, returnedRowsAttribute(c.rows))
		}
	}
	if c.tx != 0 {
		attrs = append(attrs, transactionID.Int64(c.tx))
	}
	if typ != "" {
		attrs = append(attrs, errorTypeAttribute(typ))
		if class.StatusCode != "" {
			attrs = append(attrs, statusAttribute(class.StatusCode))
		}
		c.span.SetStatus(codes.Error, class.Description)
	}
	if attrs = append(attrs, c.told...); len(attrs) > 0 {
		c.span.SetAttributes(attrs...)
	}
	c.attrs = attrs
}

// judge says what error.type an error is, and what of it may be shown.
func (c *Call) judge(err error) (typ string, class ErrorClass) {
	class = c.db.classify(err)
	over := c.over()
	switch {
	case errors.Is(err, context.Canceled):
		typ = "context.Canceled"
	case errors.Is(err, context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && errors.Is(over, context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && over != nil:
		typ = "context.Canceled"
	case class.StatusCode != "":
		typ = class.StatusCode
	default:
		typ = typeOf(err)
	}
	return typ, class
}

// typeOf is the Go type of err: of what it wraps, if it is one of those that say
// nothing, and of the first of what it joins. An error has no say in it, as
// semconv.ErrorType would let it: it might say anything, which labels must not.
func typeOf(err error) string {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			if errs := e.Unwrap(); len(errs) > 0 {
				inner = errs[0]
			}
		case interface{ Unwrap() error }:
			if reflect.TypeOf(err).String() == "*fmt.wrapError" {
				inner = e.Unwrap()
			}
		}
		if inner == nil {
			return reflect.TypeOf(err).String()
		}
		err = inner
	}
}
