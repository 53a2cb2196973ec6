package instrument

import (
	"context"
	"reflect"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// instruments are the instruments of one meter provider.
type instruments struct {
	provider metric.MeterProvider

	duration     metric.Float64Histogram
	returnedRows metric.Int64Histogram

	connections metric.Int64UpDownCounter
	createTime  metric.Float64Histogram
	useTime     metric.Float64Histogram

	// Only for pools that measure their acquires.
	meter    metric.Meter
	pending  metric.Int64UpDownCounter
	timeouts metric.Int64Counter
	waitTime metric.Float64Histogram
	max      metric.Int64ObservableUpDownCounter
	idleMin  metric.Int64ObservableUpDownCounter
	idleMax  metric.Int64ObservableUpDownCounter
	stats    *poolInstruments
}

// measures reports whether an SDK would receive a measurement.
func (t *tracer) measures() bool {
	return t.cfg.MeterProvider != nil || !isMeterPlaceholder(otel.GetMeterProvider())
}

// isMeterPlaceholder is [isPlaceholder] for meter providers.
func isMeterPlaceholder(p metric.MeterProvider) bool { return reflect.TypeOf(p) == meterPlaceholder }

var meterPlaceholder = placeholderOf(reflect.TypeOf(otel.GetMeterProvider()))

// instruments returns the instruments of the current provider, or nil if there is no provider.
func (t *tracer) instruments() *instruments {
	provider := t.cfg.MeterProvider
	if provider == nil {
		provider = otel.GetMeterProvider()
		if isMeterPlaceholder(provider) {
			return nil
		}
	}
	if i := t.measured.Load(); i != nil && same(i.provider, provider) {
		return i
	}
	// Without the lock, because an SDK makes no instruments while it collects. Instruments that two
	// goroutines make are the same to it.
	i := newInstruments(provider, t.cfg.DurationBuckets)
	t.watched.Lock()
	defer t.watched.Unlock()
	if i := t.measured.Load(); i != nil && same(i.provider, provider) {
		return i // another goroutine has made them
	}
	for w := range t.watched.all {
		w.observeWith(i)
	}
	t.measured.Store(i)
	return i
}

func newInstruments(provider metric.MeterProvider, buckets []float64) *instruments {
	if len(buckets) == 0 { // the SDK's default is for milliseconds
		buckets = tracing.DurationBuckets()
	}
	m := provider.Meter(tracing.ScopeName, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(schemaURL))
	i := &instruments{provider: provider, meter: m}
	seconds := func(name, description string, boundaries ...float64) metric.Float64Histogram {
		opts := []metric.Float64HistogramOption{metric.WithUnit("s"), metric.WithDescription(description)}
		if len(boundaries) > 0 {
			opts = append(opts, metric.WithExplicitBucketBoundaries(boundaries...))
		}
		h, err := m.Float64Histogram(name, opts...)
		handle(err)
		return h
	}
	var err error
	i.duration = seconds("db.client.operation.duration", "Duration of database client operations.", buckets...)
	i.createTime = seconds("db.client.connection.create_time", "The time it took to create a new connection.", tracing.FineDurationBuckets()...)
	i.useTime = seconds("db.client.connection.use_time", "The time between borrowing a connection and returning it to the pool.", tracing.FineDurationBuckets()...)
	i.returnedRows, err = m.Int64Histogram("db.client.response.returned_rows", metric.WithUnit("{row}"),
		metric.WithDescription("The actual number of records returned by the database operation."),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000))
	handle(err)
	i.connections, err = m.Int64UpDownCounter("db.client.connection.count", metric.WithUnit("{connection}"),
		metric.WithDescription("The number of connections that are currently in the state described by the state attribute."))
	handle(err)
	i.pool()
	return i
}

// pool makes the instruments for pools that know their waiters and limits.
func (i *instruments) pool() {
	var err error
	i.pending, err = i.meter.Int64UpDownCounter("db.client.connection.pending_requests", metric.WithUnit("{request}"),
		metric.WithDescription("The number of current pending requests for an open connection."))
	handle(err)
	i.timeouts, err = i.meter.Int64Counter("db.client.connection.timeouts", metric.WithUnit("{timeout}"),
		metric.WithDescription("The number of connection timeouts that have occurred trying to obtain a connection from the pool."))
	handle(err)
	i.waitTime, err = i.meter.Float64Histogram("db.client.connection.wait_time", metric.WithUnit("s"),
		metric.WithDescription("The time it took to obtain an open connection from the pool."),
		metric.WithExplicitBucketBoundaries(tracing.FineDurationBuckets()...))
	handle(err)
	limit := func(name, description string) metric.Int64ObservableUpDownCounter {
		c, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit("{connection}"), metric.WithDescription(description))
		handle(err)
		return c
	}
	i.max = limit("db.client.connection.max", "The maximum number of open connections allowed.")
	i.idleMin = limit("db.client.connection.idle.min", "The minimum number of idle open connections allowed.")
	i.idleMax = limit("db.client.connection.idle.max", "The maximum number of idle open connections allowed.")
	i.stats = newPoolInstruments(i.meter)
}

func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// measure records the call's duration, and how many rows it returned.
func (c *Call) measure(took time.Duration, typ string, class tracing.ErrorClass) {
	if !c.timed {
		return
	}
	i := c.db.tracer.instruments()
	if i == nil {
		return
	}
	var opts []metric.RecordOption
	var at *server
	if c.conn != nil {
		at = c.conn.server
	}
	if typ == "" && len(c.labels) == 0 {
		opts = c.op.recordedAt(at)
	} else {
		attrs := slices.Concat(c.op.labels, at.labels())
		if typ != "" {
			attrs = append(attrs, errorTypeAttribute(typ))
		}
		if class.StatusCode != "" {
			attrs = append(attrs, statusAttribute(class.StatusCode))
		}
		opts = []metric.RecordOption{withContext(c.labels, attrs)}
	}
	i.duration.Record(c.within, took.Seconds(), opts...)
	if c.query {
		i.returnedRows.Record(c.within, c.rows, opts...)
	}
}

// maxSummaries bounds the number of different summaries in the metrics of one database. A
// program may make up table names without limit. Calls with further summaries are measured
// without a summary.
const maxSummaries = 1000

// isLabel reports whether the summary may be a label. It admits the first maxSummaries.
func (d *Database) isLabel(summary string) bool {
	d.summaries.Lock()
	defer d.summaries.Unlock()
	if d.summaries.labels[summary] {
		return true
	}
	if len(d.summaries.labels) >= maxSummaries {
		return false
	}
	if d.summaries.labels == nil {
		d.summaries.labels = make(map[string]bool)
	}
	d.summaries.labels[summary] = true
	return true
}

// A ConnState is the state of a connection in the metrics.
type ConnState uint8

// The states. A connection that is not open has ConnNone.
const (
	ConnNone ConnState = iota // not opened yet, or closed
	ConnIdle
	ConnUsed
)

// usage is the state of a connection in the metrics.
type usage struct {
	state ConnState
	since time.Time    // start of the current use
	in    *instruments // the instruments that count the connection, unless state is ConnNone
}

// Moved records a change of the connection's state.
func (c *Conn) Moved(to ConnState) {
	i, u := c.db.tracer.instruments(), &c.usage
	if i == nil {
		if u.state == ConnNone {
			return
		}
		to = ConnNone
	}
	ctx := context.Background()
	if u.state != ConnNone {
		// Subtract where it was added, even if the provider has changed since.
		u.in.connections.Add(ctx, -1, c.db.pool.states[u.state]...)
	}
	if to != ConnNone {
		i.connections.Add(ctx, 1, c.db.pool.states[to]...)
	}
	switch {
	case to == ConnUsed:
		u.since = time.Now()
	case u.state == ConnUsed:
		u.in.useTime.Record(ctx, time.Since(u.since).Seconds(), c.db.pool.recorded...)
	}
	u.state, u.in = to, i
}

// poolLabels are the labels of connections' metrics.
type poolLabels struct {
	attrs    []attribute.KeyValue
	recorded []metric.RecordOption
	added    []metric.AddOption
	observed []metric.ObserveOption
	states   [3][]metric.AddOption
}

func newPoolLabels(attrs []attribute.KeyValue, name string) poolLabels {
	attrs = append(attrs[:len(attrs):len(attrs)], poolNameAttribute(name))
	set := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(attrs[:len(attrs):len(attrs)], more...)...))
	}
	p := poolLabels{
		attrs:    attrs,
		recorded: []metric.RecordOption{set()},
		added:    []metric.AddOption{set()},
		observed: []metric.ObserveOption{set()},
	}
	p.states[ConnIdle] = []metric.AddOption{set(connectionStateAttribute("idle"))}
	p.states[ConnUsed] = []metric.AddOption{set(connectionStateAttribute("used"))}
	return p
}
