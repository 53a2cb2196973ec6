package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// telemetry receives everything that a tracer reports.
type telemetry struct {
	tracing.Config // exports everything to the telemetry

	spans   *strictProvider
	reader  *sdkmetric.ManualReader
	records recordLog
	lines   lineLog
}

// newTelemetry returns a telemetry. The test fails if a span is not ended exactly once, or
// is used after its end.
func newTelemetry(t *testing.T, opts ...sdktrace.TracerProviderOption) *telemetry {
	tel := &telemetry{
		spans: &strictProvider{sdk: sdktrace.NewTracerProvider(opts...)},
		// Collect returns what was counted since its last call.
		reader: sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(sdkmetric.DeltaTemporalitySelector)),
	}
	tel.TracerProvider = tel.spans
	tel.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader))
	tel.LoggerProvider = sdklog.NewLoggerProvider(sdklog.WithProcessor(&tel.records))
	tel.Exceptions = true
	tel.Logger = slog.New(slog.NewJSONHandler(&tel.lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		eventually(t, func() (bool, string) {
			wrong := tel.spans.wrong()
			return len(wrong) == 0, strings.Join(wrong, "\n")
		})
	})
	return tel
}

func (tel *telemetry) tracer(t *testing.T) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tel.Config)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// program starts a span of the program, which ends with the test.
func (tel *telemetry) program(t *testing.T) context.Context {
	ctx, span := tel.spans.sdk.Tracer("test").Start(t.Context(), "program")
	t.Cleanup(func() { span.End() })
	return ctx
}

// forget discards everything recorded so far.
func (tel *telemetry) forget(t *testing.T) {
	tel.spans.take()
	tel.collect(t)
	tel.records.take()
	tel.lines.take(t)
}

// collect returns what was measured since its last call.
func (tel *telemetry) collect(t *testing.T) measurements {
	t.Helper()
	var m measurements
	if err := tel.reader.Collect(context.Background(), &m.ResourceMetrics); err != nil {
		t.Fatal(err)
	}
	return m
}

// measurements are the result of one collection.
type measurements struct{ metricdata.ResourceMetrics }

func (m measurements) metric(name string) metricdata.Metrics {
	for _, scope := range m.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if metric.Name == name {
				return metric
			}
		}
	}
	return metricdata.Metrics{}
}

func (m measurements) durations() []metricdata.HistogramDataPoint[float64] {
	return m.seconds("db.client.operation.duration")
}

func (m measurements) seconds(name string) []metricdata.HistogramDataPoint[float64] {
	h, _ := m.metric(name).Data.(metricdata.Histogram[float64])
	return h.DataPoints
}

func (m measurements) rows() []metricdata.HistogramDataPoint[int64] {
	h, _ := m.metric("db.client.response.returned_rows").Data.(metricdata.Histogram[int64])
	return h.DataPoints
}

// connections returns the number of connections in each state.
func (m measurements) connections() map[string]int64 {
	n := make(map[string]int64)
	sum, _ := m.metric("db.client.connection.count").Data.(metricdata.Sum[int64])
	for _, p := range sum.DataPoints {
		state, _ := p.Attributes.Value("db.client.connection.state")
		n[state.AsString()] = p.Value
	}
	return n
}

// counted returns the number of measurements in all points.
func counted[N int64 | float64](points []metricdata.HistogramDataPoint[N]) (n uint64) {
	for _, p := range points {
		n += p.Count
	}
	return n
}

func encode(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }

// recordLog keeps OpenTelemetry's log records.
type recordLog struct {
	mu   sync.Mutex
	kept []sdklog.Record
}

func (l *recordLog) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (l *recordLog) Shutdown(context.Context) error                         { return nil }
func (l *recordLog) ForceFlush(context.Context) error                       { return nil }

func (l *recordLog) OnEmit(_ context.Context, r *sdklog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, r.Clone())
	return nil
}

func (l *recordLog) take() []sdklog.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept
	l.kept = nil
	return kept
}

// lineLog keeps slog's lines.
type lineLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns the lines so far, without their times.
func (l *lineLog) take(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for line := range bytes.Lines(l.buf.Bytes()) {
		m := make(map[string]any)
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	l.buf.Reset()
	return lines
}

// callable adds two functions to a connection. call(f) calls a Go function passed as an
// argument by [goFunc], and fail(s) fails with the text s.
func callable(c *sqlite3.Conn) error {
	return errors.Join(
		c.CreateFunction("call", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			arg[0].Pointer().(func())()
			ctx.ResultInt(1)
		}),
		c.CreateFunction("fail", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			ctx.ResultError(errors.New(arg[0].Text()))
		}))
}

func goFunc(f func()) any { return sqlite3.Pointer(f) }

// A strictProvider makes spans that record a second end, or a use after their end. The SDK
// ignores both.
type strictProvider struct {
	embedded.TracerProvider
	sdk *sdktrace.TracerProvider

	mu      sync.Mutex
	started []*strictSpan
	taken   int
}

func (p *strictProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return &strictTracer{provider: p, sdk: p.sdk.Tracer(name, opts...)}
}

// take returns the spans started since its last call, including unrecorded ones.
func (p *strictProvider) take() []*strictSpan {
	p.mu.Lock()
	defer p.mu.Unlock()
	spans := slices.Clone(p.started[p.taken:])
	p.taken = len(p.started)
	return spans
}

// calls returns the CLIENT spans that were recorded and have ended.
func (p *strictProvider) calls() []sdktrace.ReadOnlySpan {
	var calls []sdktrace.ReadOnlySpan
	for _, s := range p.take() {
		if span, ok := s.Span.(sdktrace.ReadOnlySpan); ok && span.SpanKind() == trace.SpanKindClient && s.count() == 1 {
			calls = append(calls, span)
		}
	}
	return calls
}

func (p *strictProvider) wrong() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var wrong []string
	for _, s := range p.started {
		s.mu.Lock()
		if s.ends != 1 {
			wrong = append(wrong, fmt.Sprintf("span %q has ended %d times", s.name, s.ends))
		}
		if len(s.late) > 0 {
			wrong = append(wrong, fmt.Sprintf("span %q is touched after its end: %v", s.name, s.late))
		}
		s.mu.Unlock()
	}
	return wrong
}

type strictTracer struct {
	embedded.Tracer
	provider *strictProvider
	sdk      trace.Tracer
}

func (t *strictTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.sdk.Start(ctx, name, opts...)
	s := &strictSpan{Span: span, name: name}
	t.provider.mu.Lock()
	defer t.provider.mu.Unlock()
	t.provider.started = append(t.provider.started, s)
	return trace.ContextWithSpan(ctx, s), s
}

type strictSpan struct {
	trace.Span
	name string

	mu   sync.Mutex
	ends int
	late []string // methods called after the end
}

func (s *strictSpan) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends
}

func (s *strictSpan) called(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends > 0 {
		s.late = append(s.late, what)
	}
}

func (s *strictSpan) End(opts ...trace.SpanEndOption) {
	s.Span.End(opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends++
}

func (s *strictSpan) SetAttributes(kvs ...attribute.KeyValue) {
	s.called("SetAttributes")
	s.Span.SetAttributes(kvs...)
}

func (s *strictSpan) SetStatus(code codes.Code, description string) {
	s.called("SetStatus")
	s.Span.SetStatus(code, description)
}

func (s *strictSpan) AddEvent(name string, opts ...trace.EventOption) {
	s.called("AddEvent")
	s.Span.AddEvent(name, opts...)
}

func (s *strictSpan) AddLink(link trace.Link) {
	s.called("AddLink")
	s.Span.AddLink(link)
}

func (s *strictSpan) RecordError(err error, opts ...trace.EventOption) {
	s.called("RecordError")
	s.Span.RecordError(err, opts...)
}

func (s *strictSpan) SetName(name string) {
	s.called("SetName")
	s.Span.SetName(name)
}

// StartTime and EndTime return those of the SDK's span.
func (s *strictSpan) StartTime() time.Time { return s.Span.(sdktrace.ReadOnlySpan).StartTime() }
func (s *strictSpan) EndTime() time.Time   { return s.Span.(sdktrace.ReadOnlySpan).EndTime() }
