package clients

import (
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// traced is sqlitemw with an OpenTelemetry SDK. Every span must end once, except those of rows
// that are never closed.
func traced(t *testing.T) setup {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := byConfig("traced", driver.Config{Tracing: tracer})
	s.check = func(t *testing.T, a *app) {
		t.Helper()
		// When a context has ended, a goroutine of database/sql closes its rows.
		// Closing the database does not wait for that goroutine.
		for deadline := time.Now().Add(2 * time.Minute); len(rec.Ended())+a.leaks < len(rec.Started()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				break
			}
		}
		ended := make(map[trace.SpanID]int)
		for _, s := range rec.Ended() {
			ended[s.SpanContext().SpanID()]++
		}
		var open []string
		for _, s := range rec.Started() {
			id := s.SpanContext().SpanID()
			switch n := ended[id]; n {
			case 0:
				open = append(open, s.Name())
			case 1:
			default:
				t.Errorf("span %q ended %d times", s.Name(), n)
			}
			delete(ended, id)
		}
		if len(rec.Started()) == 0 || len(open) != a.leaks || len(ended) > 0 {
			t.Errorf("%d spans started; %q have not ended, want %d of them; %d others have ended", len(rec.Started()), open, a.leaks, len(ended))
		}
		t.Logf("%d spans", len(rec.Started()))
	}
	return s
}
