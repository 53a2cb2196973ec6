package tracing

import (
	"context"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// ScopeName is the name of the instrumentation scope of every span.
const ScopeName = "github.com/sqlitemw/sqlitemw/tracing"

// Config configures how calls are traced. With the zero Config, spans go to OpenTelemetry's
// global provider. No span is made while no global provider is installed.
type Config struct {
	// TracerProvider makes the spans. If nil, the global provider makes them; it may be
	// installed or replaced at any time.
	TracerProvider trace.TracerProvider

	// Attributes are set on every span, where samplers see them, and on every measurement.
	Attributes []attribute.KeyValue

	// QueryText selects how much of a query a span shows. Zero means [QueryTextSafe].
	QueryText QueryText

	// Acquire selects which acquires of a connection have a span. Zero means [AcquireAll].
	Acquire Acquire

	// WithoutConnect and WithoutClose omit the spans of opening and closing connections.
	WithoutConnect, WithoutClose bool

	// OnlyWithParent makes spans only for calls whose context has a span, so that no call
	// starts a trace. Calls without a span are still measured and logged.
	OnlyWithParent bool

	// ReturnedRows sets db.response.returned_rows on the spans of queries. It is off by
	// default, as in the conventions.
	ReturnedRows bool

	// Details adds the engine's own counters to the spans of calls. For SQLite they show how
	// it found the rows, how long it waited for locks, and the holder of the lock. It is off
	// by default.
	//
	// A connection can only name a holder that has Details, too. To measure a wait, a busy
	// handler waits in place of SQLite's own busy timeout, for the same time. Package driver
	// documents the visible effects.
	Details bool

	// Filter, if not nil, reports whether a call is traced, measured and logged. It does not
	// apply to the life of connections. operation is the name that the span would have. query
	// is the call's query, or "" if it has none. Filter runs on the goroutine of the call,
	// before the call.
	Filter func(ctx context.Context, operation, query string) bool

	// ContextAttributes, if not nil, returns attributes for the span of the call with context
	// ctx. Samplers see them; metrics do not have them.
	ContextAttributes func(ctx context.Context) []attribute.KeyValue

	// MeterProvider measures calls and connections. If nil, the global provider measures
	// them; it may be installed or replaced at any time.
	MeterProvider metric.MeterProvider

	// DurationBuckets are the boundaries of db.client.operation.duration, in seconds. Nil
	// means [DurationBuckets], as the conventions require. [FineDurationBuckets] has more
	// boundaries for short calls.
	DurationBuckets []float64

	// PoolName is db.client.connection.pool.name. Empty means the database's namespace.
	// [Source].Pool takes precedence.
	PoolName string

	// Exceptions emits each failed call to LoggerProvider, as a log record named
	// db.client.operation.exception. It is off by default.
	Exceptions bool

	// LoggerProvider receives the exceptions. Nil means the global provider.
	LoggerProvider log.LoggerProvider

	// Logger, if not nil, logs failed calls at level Warn, or Info if the caller canceled the
	// call. It also logs calls that take SlowCall or longer, at Warn. A log line has the
	// summary, duration, rows, connection, trace and span. If SlowCall is zero, no call is
	// slow.
	Logger   *slog.Logger
	SlowCall time.Duration

	// LogArgument, if not nil, returns what Logger may show of an argument of such a call.
	// value is the argument that the program passed. For a prepared statement, it is the
	// driver value that database/sql has made of it. If LogArgument is nil, no argument is
	// shown.
	LogArgument func(value any) (shown string, ok bool)
}

// Acquire selects which acquires have a span.
type Acquire uint8

const (
	// AcquireAll makes a span for every acquire. It is the default.
	AcquireAll Acquire = iota

	// AcquireWaited makes a span only for an acquire that takes time: one that has to open a
	// connection or, in package pool, to wait for its turn.
	AcquireWaited

	// AcquireNone makes no acquire span. A connect span is then a child of the caller's span.
	AcquireNone
)

// QueryText selects what db.query.text shows.
type QueryText uint8

const (
	// QueryTextSafe shows a statement that binds arguments as written. It shows any other
	// query with "?" for its literals and without its comments. That includes a query of
	// several statements, because no driver binds arguments to such a query. It is the default, as the
	// conventions require.
	QueryTextSafe QueryText = iota

	// QueryTextSanitized always replaces literals by "?".
	QueryTextSanitized

	// QueryTextOff omits the query; the summary remains.
	QueryTextOff
)

// A Tracer makes the spans of any number of databases.
// It is safe for concurrent use.
type Tracer struct {
	cfg Config

	// current is the tracer of the provider that was used last. A program may install the
	// global provider late, or replace it.
	current  atomic.Pointer[providedTracer]
	measured atomic.Pointer[instruments]

	// watched guards limits. It is locked while instruments are made, so that their callbacks
	// move to the new provider together.
	watched struct {
		sync.Mutex
		limits map[*limitsWatch]bool
	}
}

type providedTracer struct {
	provider trace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer for cfg. It returns a [ConfigError] with the field and its value if
// cfg is invalid.
func New(cfg Config) (*Tracer, error) {
	if cfg.QueryText > QueryTextOff {
		return nil, &ConfigError{Field: "QueryText", Value: cfg.QueryText, Remedy: "use QueryTextSafe, QueryTextSanitized or QueryTextOff"}
	}
	if cfg.Acquire > AcquireNone {
		return nil, &ConfigError{Field: "Acquire", Value: cfg.Acquire, Remedy: "use AcquireAll, AcquireWaited or AcquireNone"}
	}
	if cfg.SlowCall < 0 {
		return nil, &ConfigError{Field: "SlowCall", Value: cfg.SlowCall, Remedy: "use a duration above zero, or zero for no call"}
	}
	if !slices.IsSorted(cfg.DurationBuckets) {
		return nil, &ConfigError{Field: "DurationBuckets", Value: cfg.DurationBuckets, Remedy: "give the boundaries in ascending order"}
	}
	for _, kv := range cfg.Attributes {
		if !kv.Valid() {
			return nil, &ConfigError{Field: "Attributes", Value: kv, Remedy: "give every attribute a key and a value"}
		}
	}
	return &Tracer{cfg: cfg}, nil
}

// Default returns the Tracer of the zero Config. All callers share it.
func Default() *Tracer { return defaultTracer }

var defaultTracer = &Tracer{}

// Details reports whether [Config].Details is set.
func (t *Tracer) Details() bool { return t.cfg.Details }

// spans returns the provider of spans, or nil if no SDK would receive a span. Every call
// checks it first, so that a program without an SDK pays for two loads and no allocation.
func (t *Tracer) spans() trace.TracerProvider {
	if t.cfg.TracerProvider != nil {
		return t.cfg.TracerProvider
	}
	if p := otel.GetTracerProvider(); !isPlaceholder(p) {
		return p
	}
	return nil
}

func (t *Tracer) provider() trace.TracerProvider {
	if t.cfg.TracerProvider != nil {
		return t.cfg.TracerProvider
	}
	return otel.GetTracerProvider()
}

// enabled reports whether an SDK would receive a span.
func (t *Tracer) enabled() bool { return t.spans() != nil }

// start starts a span made by provider. Every span starts here.
func (t *Tracer) start(ctx context.Context, provider trace.TracerProvider, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.provided(provider).Start(ctx, name, opts...)
}

func (t *Tracer) provided(provider trace.TracerProvider) trace.Tracer {
	if p := t.current.Load(); p != nil && same(p.provider, provider) {
		return p.tracer
	}
	tracer := provider.Tracer(ScopeName,
		trace.WithInstrumentationVersion(version()),
		trace.WithSchemaURL(schemaURL))
	t.current.Store(&providedTracer{provider, tracer})
	return tracer
}

// same reports whether a and b are the same provider. A provider of a type that is not
// comparable is never the same as another. It makes a new tracer for each span.
func same[P any](a, b P) bool {
	typ := reflect.TypeOf(a)
	return typ == reflect.TypeOf(b) && typ.Comparable() && any(a) == any(b)
}

// isPlaceholder reports whether p is OpenTelemetry's global provider from before an SDK is
// installed. Its spans are discarded.
func isPlaceholder(p trace.TracerProvider) bool {
	return reflect.TypeOf(p) == placeholderType
}

var placeholderType = placeholderOf(reflect.TypeOf(otel.GetTracerProvider()))

// placeholderOf returns typ if it is OpenTelemetry's placeholder type. Otherwise it returns
// nil, which equals no provider's type: a real provider was installed before this package was
// initialized.
func placeholderOf(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Pointer && typ.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global" {
		return typ
	}
	return nil
}

// version returns this module's version from the program's build information.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const module = "github.com/sqlitemw/sqlitemw"
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
})
