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

// Config says how calls are traced. The zero Config is good: spans go to
// OpenTelemetry's global provider, and none are made while none is installed.
type Config struct {
	// TracerProvider makes the spans.
	// Nil means the global provider, whenever it gets installed or replaced.
	TracerProvider trace.TracerProvider

	// Attributes are put on every span, where samplers see them, and on all
	// that is measured.
	Attributes []attribute.KeyValue

	// QueryText says how much of a statement's text a span shows.
	// Zero means [QueryTextSafe].
	QueryText QueryText

	// Acquire says which acquires of a connection have a span.
	// Zero means [AcquireAll].
	Acquire Acquire

	// WithoutConnect and WithoutClose leave out the spans of opening and
	// closing connections.
	WithoutConnect, WithoutClose bool

	// OnlyWithParent makes a span only of calls whose context has one, so that
	// no call begins a trace. It is measured and logged all the same.
	OnlyWithParent bool

	// ReturnedRows puts db.response.returned_rows on the spans of queries. The
	// conventions have it off by default.
	ReturnedRows bool

	// Details puts what the engine itself tells of a call on its span: for
	// SQLite, how it found its rows, how long it waited for locks, and who was
	// in its way. It is off by default. Only connections with Details are known
	// to each other; and to measure a wait, it is a busy handler that waits, as
	// long as the busy timeout says: see package driver for what shows of that.
	Details bool

	// Filter, if it is not nil, is asked of each call whether it is to be
	// traced, measured and logged; not of what becomes of connections. operation is what its span would be called;
	// query is its text, or "" if it has none. It is called on the goroutine of
	// the call, before it.
	Filter func(ctx context.Context, operation, query string) bool

	// ContextAttributes, if it is not nil, returns attributes for the span of
	// the call that ctx is of. Samplers see them; metrics do not have them.
	ContextAttributes func(ctx context.Context) []attribute.KeyValue

	// MeterProvider measures calls and connections.
	// Nil means the global provider, whenever it gets installed or replaced.
	MeterProvider metric.MeterProvider

	// DurationBuckets are the boundaries of db.client.operation.duration, in
	// seconds. Nil means those of [DurationBuckets], as the conventions ask;
	// [FineDurationBuckets] tell short calls apart.
	DurationBuckets []float64

	// PoolName is db.client.connection.pool.name.
	// Empty means the database's namespace.
	PoolName string

	// Exceptions has each call that fails emitted as a log record,
	// db.client.operation.exception, to LoggerProvider. It is off by default.
	Exceptions bool

	// LoggerProvider takes exceptions. Nil means the global provider.
	LoggerProvider log.LoggerProvider

	// Logger, if it is not nil, is told of calls that fail, at level Warn
	// (Info if the caller cancelled the call), and of those that take SlowCall or
	// longer, at Warn: with their summary, duration, rows, connection, trace
	// and span. A SlowCall of zero makes none slow.
	Logger   *slog.Logger
	SlowCall time.Duration

	// LogArgument, if it is not nil, is asked what Logger may show of each
	// argument of such a call. It is as the program gave it, but for one of a
	// statement that the program has prepared, which database/sql has made a
	// driver's value of. Without LogArgument, no argument is shown.
	LogArgument func(value any) (shown string, ok bool)
}

// Acquire is a policy for acquire spans.
type Acquire uint8

const (
	// AcquireAll makes a span of every acquire. It is the default.
	AcquireAll Acquire = iota

	// AcquireWaited makes a span only of an acquire that took time: one for
	// which a connection had to be opened.
	AcquireWaited

	// AcquireNone makes none. A connect is then below the caller's span.
	AcquireNone
)

// QueryText is a policy for db.query.text.
type QueryText uint8

const (
	// QueryTextSafe shows a statement that binds arguments as it was written,
	// and any other text with its literals replaced by "?" and its comments
	// left out. No driver binds arguments to several statements in one text.
	// It is the default, as the conventions ask.
	QueryTextSafe QueryText = iota

	// QueryTextSanitized replaces literals always.
	QueryTextSanitized

	// QueryTextOff shows no text; the summary remains.
	QueryTextOff
)

// A Tracer makes the spans of any number of databases.
// It is safe for concurrent use.
type Tracer struct {
	cfg Config

	// current is what spans are made with: for the global provider, which a
	// program may install late and replace, the tracer of the one seen last.
	current  atomic.Pointer[providedTracer]
	measured atomic.Pointer[instruments]

	// watched is locked while instruments are made, or what they watch changes.
	watched struct {
		sync.Mutex
		limits map[*limitsWatch]bool
	}
}

type providedTracer struct {
	provider trace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer for cfg. It fails if cfg has a value it does not know,
// naming the field and the value.
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

// Default returns the Tracer of the zero Config, shared by all who ask.
func Default() *Tracer { return defaultTracer }

var defaultTracer = &Tracer{}

// Details reports whether the engine is to tell more of each call: whether
// [Config].Details is set.
func (t *Tracer) Details() bool { return t.cfg.Details }

// spans returns the provider of spans, or nil if a span could go nowhere. It is
// asked before anything else is done for a span, so that a program without an
// SDK pays two loads for each call and allocates nothing.
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

// enabled reports whether a span could go anywhere.
func (t *Tracer) enabled() bool { return t.spans() != nil }

// start is the only place where a span starts. It is made by provider.
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

// same reports whether two providers are one. A provider of a type that cannot
// be compared is never the same: it is asked for a tracer each time.
func same[P any](a, b P) bool {
	typ := reflect.TypeOf(a)
	return typ == reflect.TypeOf(b) && typ.Comparable() && any(a) == any(b)
}

// isPlaceholder reports whether p is what the global provider is before an SDK
// is installed: a type of OpenTelemetry's own, whose spans go nowhere.
func isPlaceholder(p trace.TracerProvider) bool {
	return reflect.TypeOf(p) == placeholderType
}

var placeholderType = placeholderOf(reflect.TypeOf(otel.GetTracerProvider()))

// placeholderOf returns typ if it is OpenTelemetry's own, else nil, equal to no
// provider's type: a real provider was installed before this package was
// initialised.
func placeholderOf(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Pointer && typ.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global" {
		return typ
	}
	return nil
}

// version is this module's version as the program's build records it.
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
