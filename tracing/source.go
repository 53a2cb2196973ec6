package tracing

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// A Source describes one database to a Tracer.
// The package that knows the engine gives it.
type Source struct {
	// System is db.system.name, a value of the conventions' list,
	// such as "sqlite". Empty means "other_sql".
	//
	// For a system that is not "sqlite", a summary is only the text's first
	// keyword. A text is shown only if it binds arguments and has a placeholder for
	// one, which this package finds in the languages of "postgresql", "cockroachdb",
	// "mysql" and "mariadb"; a text of any other system is never shown.
	System string

	// Namespace is db.namespace: for SQLite, the database's file as the DSN
	// names it. Empty leaves the attribute out.
	Namespace string

	// Pool is db.client.connection.pool.name. Empty means [Config].PoolName, or
	// else the Namespace.
	Pool string

	// Classify reads an error. Nil knows no class.
	// It is called only for errors, on the goroutine of the call.
	Classify func(error) ErrorClass
}

// An ErrorClass is what may be shown of an error.
// It holds nothing of the error's own text, which may quote the program's data.
type ErrorClass struct {
	// StatusCode is db.response.status_code: the engine's most specific code.
	// Empty means that the error is none of the engine's.
	StatusCode string

	// Description is the engine's fixed text for the code.
	Description string

	// Interrupted says that this is how the engine reports a call that its
	// caller's context has ended, if that context has ended.
	Interrupted bool

	// Sick says that the connection will not recover from this error, and is
	// better closed.
	Sick bool
}

// A Database makes the spans of one [Source]. It is safe for concurrent use.
type Database struct {
	tracer    *Tracer
	namespace string
	classify  func(error) ErrorClass
	attrs     []attribute.KeyValue
	common    trace.SpanStartOption // attrs, ready for a span
	texts     statements
	system    string
	sqlite    bool // its texts can be read

	pool      poolLabels
	summaries struct {
		sync.Mutex
		seen map[string]bool
	}

	begin, commit, rollback, ping *operation
}

// Database returns what makes the spans of src.
func (t *Tracer) Database(src Source) *Database {
	if src.System == "" {
		src.System = "other_sql"
	}
	if src.Classify == nil {
		src.Classify = func(error) ErrorClass { return ErrorClass{} }
	}
	attrs := sourceAttributes(src, t.cfg.Attributes)
	d := &Database{
		tracer:    t,
		namespace: src.Namespace,
		classify:  src.Classify,
		system:    src.System,
		sqlite:    src.System == "sqlite",
		attrs:     attrs,
		common:    trace.WithAttributes(attrs...),
		pool:      newPoolLabels(attrs, cmp.Or(src.Pool, t.cfg.PoolName, src.Namespace, src.System)),
	}
	d.begin = d.operation("BEGIN")
	d.commit = d.operation("COMMIT")
	d.rollback = d.operation("ROLLBACK")
	d.ping = d.operation("PING")
	return d
}

// An operation is a span's name and the attributes known before it starts:
// built once, since they are the same for every such call.
type operation struct {
	name    string
	attrs   []attribute.KeyValue
	options []trace.SpanStartOption // with attrs
	once    bool                    // it is of a text that is not kept

	labels   []attribute.KeyValue // what it is measured by: the same, but for texts
	measured atomic.Pointer[[]metric.RecordOption]
}

func newOperation(name string, attrs, labels []attribute.KeyValue) *operation {
	return &operation{
		name:    name,
		attrs:   attrs,
		options: []trace.SpanStartOption{kindClient, trace.WithAttributes(attrs...)},
		labels:  labels,
	}
}

// bytes is what a connection takes to keep the options of the operation: its text, and as much
// as was measured for the rest.
func (o *operation) bytes() int {
	n := 512
	for _, kv := range o.attrs {
		n += len(kv.Value.AsString())
	}
	return n
}

func (d *Database) operation(name string) *operation {
	attrs := d.with(operationAttribute(name))
	return newOperation(name, attrs, attrs)
}

// recorded is labels for a measurement, built for the first one.
func (o *operation) recorded() []metric.RecordOption {
	if opts := o.measured.Load(); opts != nil {
		return *opts
	}
	opts := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(slices.Clone(o.labels)...))}
	o.measured.Store(&opts)
	return opts
}

// with is the database's attributes and more.
func (d *Database) with(more ...attribute.KeyValue) []attribute.KeyValue {
	return append(d.attrs[:len(d.attrs):len(d.attrs)], more...)
}

// traced reports whether a span of a connection's life may be made: only within
// a trace of the program's, and one that is kept.
func (d *Database) traced(ctx context.Context) bool {
	return d.tracer.enabled() && trace.SpanContextFromContext(ctx).IsSampled()
}

// ErrorType returns the error.type of err, not knowing its caller's context.
func (d *Database) ErrorType(err error) string {
	call := Call{db: d}
	typ, _ := call.judge(err)
	return typ
}
