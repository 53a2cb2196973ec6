package wrap_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// bases returns a new fake for each combination of these kinds.
func bases(conns []fake.ConnKind, stmts []fake.StmtKind, rows ...fake.RowsKind) []*fake.Base {
	var all []*fake.Base
	for _, c := range conns {
		for _, s := range stmts {
			for _, r := range rows {
				all = append(all, &fake.Base{Conn: c, Stmt: s, Rows: r})
			}
		}
	}
	return all
}

// newTracer returns a tracer that records its spans in spans.
func newTracer(t *testing.T, spans *tracetest.SpanRecorder) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// checkSpans checks that every span that was started has ended once.
func checkSpans(spans *tracetest.SpanRecorder) error {
	ended := make(map[string]int)
	for _, s := range spans.Ended() {
		ended[s.SpanContext().SpanID().String()]++
	}
	for _, s := range spans.Started() {
		if n := ended[s.SpanContext().SpanID().String()]; n != 1 {
			return fmt.Errorf("every span must end once, but %q ended %d times", s.Name(), n)
		}
	}
	return nil
}

// A strictProvider reports what the SDK tolerates: a span that is ended twice, or changed
// after its end.
type strictProvider struct {
	trace.TracerProvider // the SDK's
	mu                   sync.Mutex
	open                 int
	faults               []string
}

func (p *strictProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return strictTracer{p.TracerProvider.Tracer(name, opts...), p}
}

// check checks that every span has ended once and was not changed later.
func (p *strictProvider) check() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != 0 || len(p.faults) > 0 {
		return fmt.Errorf("every span must end once and not change after that; %d did not end; faults %q", p.open, p.faults)
	}
	return nil
}

type strictTracer struct {
	trace.Tracer
	provider *strictProvider
}

func (tr strictTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	tr.provider.mu.Lock()
	tr.provider.open++
	tr.provider.mu.Unlock()
	ctx, span := tr.Tracer.Start(ctx, name, opts...)
	s := &strictSpan{Span: span, provider: tr.provider, name: name}
	return trace.ContextWithSpan(ctx, s), s
}

type strictSpan struct {
	trace.Span
	provider *strictProvider
	name     string
	ended    bool
}

func (s *strictSpan) touch(how string) {
	s.provider.mu.Lock()
	defer s.provider.mu.Unlock()
	if s.ended {
		s.provider.faults = append(s.provider.faults, fmt.Sprintf("%s of %q after its end", how, s.name))
	}
	if how == "End" {
		s.ended = true
		s.provider.open--
	}
}

func (s *strictSpan) End(opts ...trace.SpanEndOption) {
	s.touch("End")
	s.Span.End(opts...)
}

func (s *strictSpan) SetAttributes(kv ...attribute.KeyValue) {
	s.touch("SetAttributes")
	s.Span.SetAttributes(kv...)
}

func (s *strictSpan) SetStatus(code codes.Code, description string) {
	s.touch("SetStatus")
	s.Span.SetStatus(code, description)
}

func (s *strictSpan) SetName(name string) {
	s.touch("SetName")
	s.Span.SetName(name)
}

func (s *strictSpan) AddEvent(name string, opts ...trace.EventOption) {
	s.touch("AddEvent")
	s.Span.AddEvent(name, opts...)
}

func (s *strictSpan) RecordError(err error, opts ...trace.EventOption) {
	s.touch("RecordError")
	s.Span.RecordError(err, opts...)
}
