package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/internal/hook"
	"github.com/sqlitemw/sqlitemw/tracing/internal/summary"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
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
	// ctx. Samplers see them; metrics have only those that MetricAttributes names. It runs on
	// the goroutine of the call.
	ContextAttributes func(ctx context.Context) []attribute.KeyValue

	// MetricAttributes are the keys of the ContextAttributes that these metrics have too:
	// db.client.operation.duration, db.client.response.returned_rows and, in a pool that
	// measures its acquires, db.client.connection.wait_time and timeouts. Nil means none. Where
	// a metric has an attribute of the same key already, that one stays.
	//
	// Name only attributes with few values, such as a route, a job or a class of tenants:
	// each combination of values is a series of its own. An identifier of a user or a request
	// makes series without limit, until the SDK's cardinality limit merges them.
	MetricAttributes []attribute.Key

	// Statements is how many statements have statistics; see [Tracer.Statements]. Zero means none.
	// When there are more, those with the fewest calls are folded into one, named "others". Calls
	// of the same statement are those of one database whose queries differ only in literals, in
	// comments and white space, and in the length of lists after IN and of rows after VALUES.
	//
	// A statement takes about 3 KiB, and up to 4 KiB for its text. As with Details, SQLite counts
	// scans and sorts, and a busy handler measures waits for locks.
	Statements int

	// MeterProvider measures calls and connections. If nil, the global provider measures
	// them; it may be installed or replaced at any time.
	MeterProvider metric.MeterProvider

	// DurationBuckets are the boundaries of db.client.operation.duration, in seconds. Nil
	// means [DurationBuckets], as the conventions require. [FineDurationBuckets] has more
	// boundaries for short calls.
	DurationBuckets []float64

	// PoolName is db.client.connection.pool.name. Empty means the database's namespace, with a
	// suffix, as in "app.db#2", if another pool of the process has that name. All databases of
	// the Tracer share a PoolName, and so the series of their metrics. [Source].Pool takes
	// precedence.
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
	// QueryTextSafe shows a statement of SQLite that binds arguments as written. It shows any
	// other query with "?" for its literals and without its comments. That includes a query of
	// several statements, because no driver binds arguments to such a query. It also includes
	// every query of PostgreSQL and MySQL, whose drivers accept options as arguments: there,
	// an argument does not prove that a value is bound. It is the default, as the conventions
	// require. They also ask for queries that bind arguments as written; of these two engines,
	// the literals beside placeholders are missing.
	QueryTextSafe QueryText = iota

	// QueryTextSanitized always replaces literals by "?". To PostgreSQL and MySQL, it is the
	// same as QueryTextSafe.
	QueryTextSanitized

	// QueryTextOff omits the query; the summary remains.
	QueryTextOff
)

// A Tracer makes the spans of any number of databases.
// It is safe for concurrent use.
type Tracer struct {
	cfg  Config
	slot hook.Slot
}

func init() {
	hook.Of = func(t any) (any, *hook.Slot) { return &t.(*Tracer).cfg, &t.(*Tracer).slot }
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
	if cfg.Statements < 0 || cfg.Statements > maxStatements {
		return nil, &ConfigError{Field: "Statements", Value: cfg.Statements, Remedy: fmt.Sprintf("use a number up to %d, or zero for no statistics", maxStatements)}
	}
	if !slices.IsSorted(cfg.DurationBuckets) {
		return nil, &ConfigError{Field: "DurationBuckets", Value: cfg.DurationBuckets, Remedy: "give the boundaries in ascending order"}
	}
	for _, kv := range cfg.Attributes {
		if !kv.Valid() {
			return nil, &ConfigError{Field: "Attributes", Value: kv, Remedy: "give every attribute a key and a value"}
		}
	}
	for _, key := range cfg.MetricAttributes {
		if !key.Defined() {
			return nil, &ConfigError{Field: "MetricAttributes", Value: key, Remedy: "give every key a name"}
		}
	}
	if len(cfg.MetricAttributes) > 0 && cfg.ContextAttributes == nil {
		return nil, &ConfigError{Field: "MetricAttributes", Value: cfg.MetricAttributes, Remedy: "set ContextAttributes, which returns their values"}
	}
	cfg.MetricAttributes = slices.Clone(cfg.MetricAttributes)
	return &Tracer{cfg: cfg}, nil
}

// Default returns the Tracer of the zero Config. All callers share it.
func Default() *Tracer { return defaultTracer }

var defaultTracer = &Tracer{}

// Config returns the configuration of t.
func (t *Tracer) Config() Config { return t.cfg }

// Summary returns the db.query.summary of a query for SQLite: its operations and their
// tables, without any value. It returns "" if the query has no summary.
func Summary(query string) string { return summary.Describe(sqltext.SQLite, query, false).Summary }

// DurationBuckets returns the boundaries of db.client.operation.duration, in seconds, that
// the conventions require.
// https://opentelemetry.io/docs/specs/semconv/db/database-metrics/#metric-dbclientoperationduration
func DurationBuckets() []float64 { return []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10} }

// FineDurationBuckets returns boundaries that start at ten microseconds. Most calls of an
// embedded database take less than the first of [DurationBuckets], one millisecond.
func FineDurationBuckets() []float64 {
	return []float64{0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}
