package wrap

import (
	"context"
	"database/sql/driver"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// An Opener opens the wrapped connections of one database. A package that knows the engine
// builds its connector on it. An Opener is safe for concurrent use. It need not be closed; see
// [Opener.Close].
type Opener struct {
	db           *instrument.Database
	classify     func(error) tracing.ErrorClass
	interceptors []sqlmw.Interceptor
	system       string
	server       func(driver.Conn) Server // Config.Describe
	broken       func(driver.Conn) bool   // Config.Broken
	once         bool
	repeats      repeats

	mu        sync.Mutex // serializes changes of recorders
	recorders atomic.Pointer[[]Recorder]
}

// NewOpener returns an Opener for cfg.
func NewOpener(cfg Config) *Opener {
	t := cfg.Tracing
	if t == nil {
		t = tracing.Default()
	}
	if cfg.Once {
		cfg.Source.Classify = classifyOutcome(cfg.Source.Classify)
	}
	o := &Opener{
		db:           instrument.NewDatabase(t, cfg.Source),
		classify:     cfg.Source.Classify,
		interceptors: cfg.Interceptors,
		system:       cfg.Source.System,
		server:       cfg.Describe,
		broken:       cfg.Broken,
		once:         cfg.Once,
	}
	if cfg.Recorder != nil {
		o.Attach(cfg.Recorder)
	}
	return o
}

// Close says that no more connections are opened. Then another database may have the name of this
// one's pool in metrics. Connections that are open may still be used.
func (o *Opener) Close() { o.db.Close() }

// Attach sends every event from now on to r, until detach is called. An event that another
// goroutine is recording at that time may still reach r afterwards.
func (o *Opener) Attach(r Recorder) (detach func()) {
	// The pointer is unique, so that a Recorder that is attached twice can be detached once.
	box := &struct{ Recorder }{r}
	o.change(func(rs []Recorder) []Recorder { return append(slices.Clone(rs), box) })
	return sync.OnceFunc(func() {
		o.change(func(rs []Recorder) []Recorder {
			return slices.DeleteFunc(slices.Clone(rs), func(r Recorder) bool { return r == box })
		})
	})
}

func (o *Opener) change(f func([]Recorder) []Recorder) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rs []Recorder
	if p := o.recorders.Load(); p != nil {
		rs = *p
	}
	rs = f(rs)
	o.recorders.Store(&rs)
}

// sick reports whether a connection with this error cannot recover.
func (o *Opener) sick(err error) bool {
	return o.classify != nil && o.classify(err).Sick
}

// hasRecorders reports whether events are recorded. If not, no clock is read for them.
func (o *Opener) hasRecorders() bool {
	p := o.recorders.Load()
	return p != nil && len(*p) > 0
}

// Note records an event of the driver, such as a KindWarning.
func (o *Opener) Note(e Event) { o.record(&e) }

func (o *Opener) record(e *Event) {
	if p := o.recorders.Load(); p != nil {
		for _, r := range *p {
			r.Record(*e)
		}
	}
}

// errorText returns what an event shows of err, the error of a call with context ctx. That is never
// the error's own text.
func (o *Opener) errorText(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	return o.db.ErrorType(ctx, err)
}

var connIDs atomic.Uint64

// Open wraps the connection that dial opens. It passes ctx to dial, and returns dial's error,
// unchanged.
//
// If dial panics, dial must close the connection that it has opened. On database/sql's own
// goroutine, the panic becomes a [*PanicError].
func (o *Opener) Open(ctx context.Context, dial func(context.Context) (driver.Conn, error)) (*Conn, error) {
	background := calledBy("(*DB).connectionOpener")
	if background {
		dial = recoverDial(dial)
	}
	spans := o.db.Dial(ctx)
	conn, e, err := o.open(ctx, dial, spans)
	e.Background = background
	if err != nil {
		if !o.repeats.bad(err) {
			spans.CallFailed(ctx, err)
		}
		o.record(&e)
		return nil, err
	}
	if background {
		conn.move(pending, &e)
	} else {
		conn.move(opening, &e)
		conn.enterUse(&Event{Time: e.Time, Duration: e.Duration, Trace: e.Trace})
	}
	return conn, nil
}

// recoverDial returns dial with its panics as errors.
func recoverDial(dial func(context.Context) (driver.Conn, error)) func(context.Context) (driver.Conn, error) {
	return func(ctx context.Context) (conn driver.Conn, err error) {
		defer func() {
			if v := recover(); v != nil {
				conn, err = nil, NewPanicError(v)
			}
		}()
		return dial(ctx)
	}
}

// open dials, ends the dial's spans and returns the event of the connect.
func (o *Opener) open(ctx context.Context, dial func(context.Context) (driver.Conn, error), spans instrument.Dial) (*Conn, Event, error) {
	start := time.Now()
	defer spans.Panicked()

	parent, err := dial(ctx)
	now := time.Now()
	e := Event{
		Time:     now,
		Kind:     KindConnect,
		Duration: now.Sub(start),
		Trace:    traceOf(ctx),
	}
	if err != nil {
		spans.Failed(err)
		e.Err = o.errorText(ctx, err)
		return nil, e, err
	}
	server := o.describe(parent)
	spans.Server(server.Address, server.Port)
	if c, ok := parent.(ConfiguredConn); ok {
		spans.Configured(c.Configured())
	}
	id := ConnID(connIDs.Add(1))
	conn := newConn(o, id, parent, spans.Done(uint64(id)), now)
	e.Conn = id
	return conn, e, nil
}

func traceOf(ctx context.Context) trace.TraceID {
	return trace.SpanContextFromContext(ctx).TraceID()
}

// calledBy reports whether a function of database/sql, such as "(*DB).Close", is on the
// stack. Use it only on rare paths, because it takes about a microsecond.
func calledBy(name string) bool { return caller(name) != "" }

// caller returns the innermost of the named functions of database/sql that is on the stack,
// or "".
func caller(names ...string) string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, "database/sql."); ok && slices.Contains(names, name) {
			return name
		}
		if !more {
			return ""
		}
	}
}
