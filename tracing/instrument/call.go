package instrument

import (
	"context"
	"database/sql/driver"
	"io"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Call is a running call: its span, and the data for its metrics and logs. All methods do
// nothing on a nil Call.
//
// Once a Call has ended, its connection uses it again, so it must not be used any more. A
// Call is not safe for concurrent use. Several goroutines may use it one after the other, as
// the goroutines that use rows do.
type Call struct {
	db   *Database
	conn *Conn // nil in the span of a connection's own life
	op   *operation
	span trace.Span // nil if the call has no span

	// ctx is the caller's context. It shows whether the caller gave up or the call failed,
	// because the engine reports both alike. within is ctx with the call's span.
	ctx, within context.Context
	txCtx       context.Context // the context of its transaction; nil if there is none

	open       bool
	recording  bool          // span.IsRecording()
	query      bool          // the call returns rows
	attrsAtEnd bool          // the span gets the connection's ID at its end, with other attributes
	timed      bool          // the call's duration is also needed outside its span
	start      time.Duration // by clock, if timed
	stepped    time.Duration // by clock, the end of the last step; 0 if it is not known
	engine     time.Duration
	rows       int64
	tx         int64
	args       []driver.NamedValue
	watch      *Watch
	err        error                // of the engine, while the call is kept
	synced     time.Duration        // see Synced
	detached   bool                 // see Detach
	told       Told                 // by the engine
	tally      *tally               // nil if the call\'s statement has no statistics
	clocked    bool                 // its steps are measured: for the span, or for the statistics
	text       string               // the query as written, if a slow call has its plan taken
	waited     time.Duration        // for a turn in a pool's queue, before the call
	labels     []attribute.KeyValue // of the context, for metrics

	attrs []attribute.KeyValue // the buffer of setEndAttributes, reused by the next call
}

// epoch is the zero of clock.
var epoch = time.Now()

// clock returns the time since epoch. It is cheaper than time.Now, and is read for every call
// and row.
func clock() time.Duration { return time.Since(epoch) }

// Watches reports whether the call's steps are recorded. If not, callers may skip Step and
// Stepped.
func (c *Call) Watches() bool {
	return c != nil && (c.recording || c.timed || c.db.tracer.cfg.Exceptions)
}

// Step returns the start time of a step: a request to the engine for rows. The caller passes
// that time to Stepped after the engine has answered. The time outside of steps is the
// caller's own.
func (c *Call) Step() time.Duration {
	if c == nil || !c.clocked {
		return 0
	}
	return clock()
}

// Stepped adds the time since Step to the engine's duration, and counts a row if row is true.
func (c *Call) Stepped(since time.Duration, row bool) {
	if c == nil {
		return
	}
	if c.clocked {
		c.stepped = clock()
		c.engine += c.stepped - since
	}
	if row {
		c.rows++
	}
}

// End ends the call. If err is nil or io.EOF, the call was successful.
//
// Every span ends in this file, and every error is classified here.
func (c *Call) End(err error) {
	if c == nil || !c.open {
		return
	}
	if err == nil || err == io.EOF {
		c.end("", tracing.ErrorClass{}, nil)
		return
	}
	typ, class := c.errorType(err)
	c.end(typ, class, err)
}

// Closed ends a call whose rows were closed before they were exhausted. That is a success,
// unless closing failed. It is also a failure if the caller's context has ended, because that
// closed the rows.
func (c *Call) Closed(err error) {
	if c == nil || !c.open {
		return
	}
	if err == nil {
		err = c.callerErr()
	}
	c.End(err)
}

// callerErr returns the error of the caller's context, or else that of its transaction's
// context. If either has ended, database/sql may have closed the call's rows.
func (c *Call) callerErr() error {
	if c.ctx == nil {
		return nil
	}
	if err := callerOf(c.ctx).Err(); err != nil || c.txCtx == nil {
		return err
	}
	return callerOf(c.txCtx).Err()
}

// callerOf returns the caller's context if ctx is a [LeaseContext], and ctx otherwise.
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

// Panicked ends a call that is still running as a panic. Defer it: it does not recover, so
// that the panic keeps its trace. It does nothing once the call has ended.
func (c *Call) Panicked() {
	if c == nil || !c.open {
		return
	}
	c.end("panic", tracing.ErrorClass{Description: "panic"}, nil)
}

// KeepClosed keeps a call whose rows have been closed with err; see [Conn.TakeKept]. exhausted says
// that there were no more rows.
func (c *Call) KeepClosed(err error, exhausted bool) {
	if c == nil || !c.open {
		return
	}
	if err == nil && !exhausted {
		err = c.callerErr()
	}
	if c.watch != nil {
		c.watch.call, c.watch = nil, nil
	}
	c.open, c.err = false, err
}

// EndKept ends a call that was kept, with the engine's error, or with err if that is not nil.
func (c *Call) EndKept(err error) {
	if c == nil {
		return
	}
	if err == nil {
		err = c.err
	}
	c.open = true
	c.End(err)
}

// Detach makes the call independent of its connection, which may then make other calls.
func (c *Call) Detach() {
	if c != nil {
		c.detached = true
	}
}

// Synced records how long the call waited until its commit was on the disk.
func (c *Call) Synced(took time.Duration) {
	if c != nil {
		c.synced = took
	}
}

// A Teller tells what the engine has counted during a call. Rows tell that of their query. A
// connection tells that of the statement that it has executed last. It is asked once for each call.
type Teller interface{ Tell(*Told) }

// Told is what a [Teller] tells.
type Told struct {
	LockWait                            time.Duration
	FullScanSteps, Sorts, AutoIndexRows int

	// Attrs are attributes for which the conventions have no name. They are only set if Details is.
	Attrs   []attribute.KeyValue
	Details bool

	done bool
}

// Tell asks t, if it is a [Teller], for the call's span, if [Config].Details is set, and for the
// statistics of its statement.
func (c *Call) Tell(t any) {
	if c == nil || c.told.done {
		return
	}
	c.told.Details = c.recording && c.db.tracer.cfg.Details
	if !c.told.Details && c.tally == nil {
		return
	}
	if t, ok := t.(Teller); ok {
		t.Tell(&c.told)
		c.told.done = true
	}
}

// A Watch ends the span of a query when its rows are garbage-collected without having been
// closed. It has no reference to the rows, because that would keep them from being collected.
type Watch struct{ call *Call }

// WatchOver ends call's span when rows are garbage-collected without having been closed. It
// does nothing if the call's steps are not recorded.
//
// It returns the Watch of rows. Pass it again when the rows hold another call: rows need only
// one, because registering a cleanup with the runtime is expensive.
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

// abandoned has abandonedCalls end the call. It does not return the call to its connection,
// which may be running another call. The runtime calls abandoned on a goroutine that must not
// panic or block.
func (w *Watch) abandoned() {
	c := w.call
	if c == nil || !c.open {
		return
	}
	abandonedCalls.add(c)
}

// abandonedCalls ends calls one after the other, on a goroutine of its own that runs while
// there are any. The program's span processors and loggers may panic, or never return.
var abandonedCalls abandonment

type abandonment struct {
	mu      sync.Mutex
	calls   []*Call
	working bool
}

// maxAbandoned bounds the number of calls that are kept while a span processor does not
// return. Further calls get no end. The memory of 1024 calls is less than 1 MiB.
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
	finished := false
	defer func() {
		if !finished { // a panic, or runtime.Goexit
			_ = recover()
			go a.work()
		}
	}()
	for c := a.next(); c != nil; c = a.next() {
		c.stepped = 0 // the call ends now
		c.emit(notClosed, tracing.ErrorClass{Description: "its rows were never closed"}, nil)
	}
	finished = true
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

// end ends the call with error.type typ, or as a success if typ is empty. It returns the call
// to its connection.
func (c *Call) end(typ string, class tracing.ErrorClass, err error) {
	if c.watch != nil {
		c.watch.call = nil
	}
	c.emit(typ, class, err)
	if c.conn != nil && !c.detached {
		c.conn.putCall(c)
	}
}

// emit ends the call's span and records its metrics and logs. It does not return the call to
// its connection.
func (c *Call) emit(typ string, class tracing.ErrorClass, err error) {
	c.open = false
	var took time.Duration
	var sdk timed
	counted := c.tally == nil
	defer func() { // also if a span processor of the program panics
		if !counted {
			c.tally.add(c, c.endTime()-c.start, "panic")
		}
	}()
	if c.timed {
		if c.recording {
			sdk, _ = c.span.(timed)
		}
		if sdk == nil {
			took = c.endTime() - c.start
		}
	}
	if c.span != nil {
		if c.recording {
			c.setEndAttributes(typ, class)
		}
		c.span.End()
	}
	if sdk != nil {
		took = sdk.EndTime().Sub(sdk.StartTime()) // exactly the span's duration
	}
	if c.conn != nil {
		if c.tally != nil {
			c.tally.add(c, took, typ)
			counted = true
			c.slow(took)
		}
		c.measure(took, typ, class)
		c.log(took, typ, class, err)
	}
}

// endTime returns the end of the last step, or now if there was none.
func (c *Call) endTime() time.Duration {
	if c.stepped != 0 {
		return c.stepped
	}
	return clock()
}

// timed is implemented by spans of an SDK that exports their times.
type timed interface {
	StartTime() time.Time
	EndTime() time.Time
}

// instant makes a span without a duration, in a connection's life.
func (d *Database) instant(ctx context.Context, name string, opts ...trace.SpanStartOption) {
	in := d.tracer.spans()
	if in == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := d.tracer.start(ctx, in, name, opts...)
	span.End()
}

// setEndAttributes sets the attributes that are known only at the end of the call.
func (c *Call) setEndAttributes(typ string, class tracing.ErrorClass) {
	attrs := c.attrs[:0]
	if c.attrsAtEnd {
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
	if c.synced > 0 {
		attrs = append(attrs, syncDuration.Float64(c.synced.Seconds()))
	}
	if typ != "" {
		attrs = append(attrs, errorTypeAttribute(typ))
		if class.StatusCode != "" {
			attrs = append(attrs, statusAttribute(class.StatusCode))
		}
		c.span.SetStatus(codes.Error, class.Description)
	}
	if attrs = append(attrs, c.told.Attrs...); len(attrs) > 0 {
		c.span.SetAttributes(attrs...)
	}
	c.attrs = attrs
}
