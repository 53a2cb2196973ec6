package pool_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// newRecordingTracer returns a tracer and the recorder of its spans.
func newRecordingTracer(t *testing.T, meters metric.MeterProvider) (*tracetest.SpanRecorder, *sdktrace.TracerProvider, *tracing.Tracer) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tracer, err := tracing.New(tracing.Config{TracerProvider: tp, MeterProvider: meters})
	if err != nil {
		t.Fatal(err)
	}
	return spans, tp, tracer
}

// openRecording opens a pool and records its spans and metrics.
func openRecording(t *testing.T, cfg pool.Config) (*pool.Pool, *tracetest.SpanRecorder, trace.Tracer, func() map[string]metricdata.Aggregation) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	spans, tp, tracer := newRecordingTracer(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	cfg.Tracing = tracer
	cfg.Path = filepath.Join(t.TempDir(), "a.db")
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, spans, tp.Tracer("test"), func() map[string]metricdata.Aggregation {
		var rm metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &rm); err != nil {
			t.Fatal(err)
		}
		all := map[string]metricdata.Aggregation{}
		for _, s := range rm.ScopeMetrics {
			for _, m := range s.Metrics {
				all[m.Name] = m.Data
			}
		}
		return all
	}
}

func sumOf(t *testing.T, a metricdata.Aggregation, with ...attribute.KeyValue) int64 {
	t.Helper()
	s, ok := a.(metricdata.Sum[int64])
	if !ok {
		t.Fatalf("the metric is a %T", a)
	}
	var n int64
next:
	for _, p := range s.DataPoints {
		for _, kv := range with {
			if v, _ := p.Attributes.Value(kv.Key); v != kv.Value {
				continue next
			}
		}
		n += p.Value
	}
	return n
}

func countOf(t *testing.T, a metricdata.Aggregation) (n uint64) {
	t.Helper()
	h, ok := a.(metricdata.Histogram[float64])
	if !ok {
		t.Fatalf("the metric is a %T", a)
	}
	for _, p := range h.DataPoints {
		n += p.Count
	}
	return n
}

// TestConnectionMetrics checks that all nine connection metrics of the semantic conventions
// exist, with the values of the pool's Stats.
func TestConnectionMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, _, collect := openRecording(t, pool.Config{Name: "shop", MaxConns: 4, MinConns: 2, AcquireTimeout: time.Second})
		holder, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waited := make(chan error)
		go func() {
			c, err := p.AcquireWrite(context.Background())
			if err == nil {
				c.Close()
			}
			waited <- err
		}()
		synctest.Wait()
		m := collect()
		if n := sumOf(t, m["db.client.connection.pending_requests"]); n != 1 {
			t.Errorf("one acquire waits, but %d requests are pending", n)
		}
		used := attribute.String("db.client.connection.state", "used")
		if n := sumOf(t, m["db.client.connection.count"], used); n != 1 {
			t.Errorf("one connection is in use, but %d are counted", n)
		}
		if err := <-waited; !errors.Is(err, pool.ErrAcquireTimeout) {
			t.Fatal(err)
		}
		holder.Close()
		if _, err := p.DB().Exec("CREATE TABLE t(a)"); err != nil {
			t.Fatal(err)
		}

		m, s := collect(), p.Stats()
		for name, want := range map[string]int64{
			"db.client.connection.pending_requests": 0,
			"db.client.connection.timeouts":         1,
			"db.client.connection.max":              4,
			"db.client.connection.idle.min":         2,
			"db.client.connection.idle.max":         4,
			"db.client.connection.count":            int64(s.Open),
		} {
			if n := sumOf(t, m[name]); n != want {
				t.Errorf("%s is %d, want %d", name, n, want)
			}
			if n := sumOf(t, m[name], attribute.String("db.client.connection.pool.name", "shop")); n != want {
				t.Errorf("%s with the pool's name is %d, want %d", name, n, want)
			}
		}
		for name, want := range map[string]uint64{
			"db.client.connection.wait_time":   s.Acquires + s.Timeouts,
			"db.client.connection.use_time":    s.Releases,
			"db.client.connection.create_time": s.Connects,
		} {
			if n := countOf(t, m[name]); n != want {
				t.Errorf("%s has %d, want %d", name, n, want)
			}
		}
	})
}

// TestPanicInAcquireOfBackup checks that the acquire of a backup also ends if Init panics in
// it.
func TestPanicInAcquireOfBackup(t *testing.T) {
	oops, fail := errors.New("oops"), false
	p, spans, tracer, collect := openRecording(t, pool.Config{Init: func(*sqlite3.Conn) error {
		if fail {
			panic(oops)
		}
		return nil
	}})
	ctx, span := tracer.Start(t.Context(), "request")
	fail = true
	func() {
		defer func() {
			if r := recover(); r != oops {
				t.Errorf("the panic is %v", r)
			}
		}()
		p.Backup(ctx, filepath.Join(t.TempDir(), "b.db"))
	}()
	fail = false
	span.End()
	if n := sumOf(t, collect()["db.client.connection.pending_requests"]); n != 0 {
		t.Errorf("%d requests are pending", n)
	}
	if started, ended := len(spans.Started()), len(spans.Ended()); started != ended {
		t.Errorf("%d spans started, %d ended", started, ended)
	}
}

// TestAcquireSpanIsTheWait checks that the acquire span lasts as long as the wait and is a
// child of the caller's span. Its attributes contain the lane and the first place in the queue.
func TestAcquireSpanIsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans, tracer, _ := openRecording(t, pool.Config{})
		holder, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, root := tracer.Start(context.Background(), "request")
		done := make(chan error)
		go func() {
			_, err := p.DB().ExecContext(ctx, "CREATE TABLE t(a)")
			done <- err
		}()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		holder.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		root.End()

		var acquires []sdktrace.ReadOnlySpan
		for _, s := range spans.Ended() {
			if s.Name() == "acquire" && s.Parent().SpanID() == root.SpanContext().SpanID() {
				acquires = append(acquires, s)
			}
		}
		if len(acquires) != 1 {
			t.Fatalf("the call has %d acquire spans, want 1", len(acquires))
		}
		s := acquires[0]
		if d := s.EndTime().Sub(s.StartTime()); d != 3*time.Second {
			t.Errorf("the span lasts %v, want 3s", d)
		}
		got := attribute.NewSet(s.Attributes()...)
		for _, want := range []attribute.KeyValue{
			attribute.String("sqlitemw.connection.lane", "writer"),
			attribute.Int("sqlitemw.acquire.queue_position", 1),
			attribute.Float64("sqlitemw.acquire.wait", 3),
			attribute.Bool("sqlitemw.connection.new", false),
		} {
			if v, _ := got.Value(want.Key); v != want.Value {
				t.Errorf("%s is %v, want %v", want.Key, v.String(), want.Value.String())
			}
		}
	})
}

// TestConnectSpanIsWithinAcquire checks that a connect span is a child of the acquire that
// needs it.
func TestConnectSpanIsWithinAcquire(t *testing.T) {
	p, spans, tracer, _ := openRecording(t, pool.Config{})
	ctx, root := tracer.Start(context.Background(), "request")
	var n int
	if err := p.DB().QueryRowContext(ctx, "SELECT 1").Scan(&n); err != nil {
		t.Fatal(err)
	}
	root.End()
	parent := map[string]trace.SpanID{}
	ids := map[string]trace.SpanID{}
	for _, s := range spans.Ended() {
		if s.SpanContext().TraceID() == root.SpanContext().TraceID() {
			parent[s.Name()], ids[s.Name()] = s.Parent().SpanID(), s.SpanContext().SpanID()
		}
	}
	if parent["acquire"] != ids["request"] || parent["connect"] != ids["acquire"] || parent["SELECT"] != ids["request"] || len(ids) != 4 {
		t.Errorf("the spans are %v below %v", ids, parent)
	}
}
