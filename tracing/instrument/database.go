package instrument

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A Database makes the spans of one [tracing.Source]. It is safe for concurrent use.
type Database struct {
	tracer    *tracer
	namespace string
	classify  func(error) tracing.ErrorClass
	attrs     []attribute.KeyValue
	common    trace.SpanStartOption // attrs as a span option
	texts     statements
	system    string
	dialect   sqltext.Dialect
	readable  bool // package summary can read its queries, which are in the dialect
	sqlite    bool

	pool      poolLabels // set by takeName, unless the pool has been named
	taken     *PoolName  // set by takeName; nil if the pool has been named
	naming    sync.Once  // of takeName
	summaries struct {
		sync.Mutex
		labels map[string]bool
	}

	servers struct { // guards known
		sync.Mutex
		known map[serverKey]*server
	}

	begin, commit, rollback, ping, acquire *operation

	onSlow atomic.Pointer[func(SlowStatement)] // see OnSlow
}

// NewDatabase returns the Database that makes the spans of src, as t is configured.
func NewDatabase(t *tracing.Tracer, src tracing.Source) *Database {
	return tracerOf(t).database(src)
}

func (t *tracer) database(src tracing.Source) *Database {
	if src.System == "" {
		src.System = "other_sql"
	}
	if src.Classify == nil {
		src.Classify = func(error) tracing.ErrorClass { return tracing.ErrorClass{} }
	}
	attrs := sourceAttributes(src, t.cfg.Attributes)
	dialect, readable := sqltext.DialectOf(src.System)
	d := &Database{
		tracer:    t,
		namespace: src.Namespace,
		classify:  src.Classify,
		system:    src.System,
		dialect:   dialect,
		readable:  readable,
		sqlite:    readable && dialect == sqltext.SQLite,
		attrs:     attrs,
		common:    trace.WithAttributes(attrs...),
	}
	if name := cmp.Or(src.Pool, t.cfg.PoolName); name != "" {
		d.naming.Do(func() { d.pool = newPoolLabels(attrs, name) })
	}
	d.begin = d.operation("BEGIN")
	d.commit = d.operation("COMMIT")
	d.rollback = d.operation("ROLLBACK")
	for _, op := range []*operation{d.begin, d.commit, d.rollback} {
		op.counts = true
	}
	t.instruments() // now, because an SDK makes none while it collects, perhaps by a query
	d.ping = d.operation("PING")
	d.acquire = d.operation("ACQUIRE")
	return d
}

// takeName gives the pool a name when it opens its first connection, unless it has been named.
// The name is free again after [Database.Close], or when the Database is garbage-collected.
func (d *Database) takeName() {
	d.naming.Do(func() {
		d.taken = TakePoolName(cmp.Or(d.namespace, d.system))
		d.pool = newPoolLabels(d.attrs, d.taken.String())
		runtime.AddCleanup(d, (*PoolName).Release, d.taken)
	})
}

// Close says that no more connections are opened, so that another pool may have the name of this
// one. Connections that are open may still be used.
func (d *Database) Close() {
	d.naming.Do(func() { d.pool = newPoolLabels(d.attrs, cmp.Or(d.namespace, d.system)) })
	if d.taken != nil {
		d.taken.Release()
	}
}

// An operation is a span's name, and the attributes that are known before the span starts. It
// is built once, because it is the same for every such call.
type operation struct {
	name    string
	attrs   []attribute.KeyValue
	options []trace.SpanStartOption // with attrs
	once    bool                    // it belongs to a query that is not kept

	tally     atomic.Pointer[tally] // nil if it has no statistics
	counts    bool                  // it is a statement by itself, such as COMMIT, and has a tally from its first call on
	labels    []attribute.KeyValue  // attrs for metrics: without the query
	measured  atomic.Pointer[[]metric.RecordOption]
	atServers atomic.Pointer[[]measuredAt]
}

func newOperation(name string, attrs, labels []attribute.KeyValue) *operation {
	return &operation{
		name:    name,
		attrs:   attrs,
		options: []trace.SpanStartOption{kindClient, trace.WithAttributes(attrs...)},
		labels:  labels,
	}
}

// bytes returns the memory that a connection uses for the options of o: the length of its
// strings, and 512 bytes for the rest, as measured.
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

// recorded returns the labels as an option for measurements. It builds them for the first
// one.
func (o *operation) recorded() []metric.RecordOption {
	if opts := o.measured.Load(); opts != nil {
		return *opts
	}
	opts := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(slices.Clone(o.labels)...))}
	o.measured.Store(&opts)
	return opts
}

// with returns the database's attributes followed by more.
func (d *Database) with(more ...attribute.KeyValue) []attribute.KeyValue {
	return append(d.attrs[:len(d.attrs):len(d.attrs)], more...)
}

// traced reports whether a connection's life may have spans under ctx: only if ctx has a
// sampled span of the program.
func (d *Database) traced(ctx context.Context) bool {
	return d.tracer.enabled() && trace.SpanContextFromContext(ctx).IsSampled()
}

// ErrorType returns the error.type of err for a call with context ctx. The background context
// stands for an unknown one.
func (d *Database) ErrorType(ctx context.Context, err error) string {
	call := Call{db: d, ctx: ctx}
	typ, _ := call.errorType(err)
	return typ
}
