package engines_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// newTracer returns a tracer that records into spans.
func newTracer(t *testing.T, spans *tracetest.SpanRecorder) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// checkSpans checks that there are spans, that each has ended once, and that all have the
// system.
func checkSpans(t *testing.T, spans *tracetest.SpanRecorder, system string) {
	t.Helper()
	ended := make(map[string]int)
	for _, s := range spans.Ended() {
		ended[s.SpanContext().SpanID().String()]++
	}
	if len(ended) == 0 {
		t.Error("there are no spans")
	}
	for _, s := range spans.Started() {
		if n := ended[s.SpanContext().SpanID().String()]; n != 1 {
			t.Errorf("every span must end once, but %q ended %d times", s.Name(), n)
		}
		if got := attr(s, "db.system.name"); got != system {
			t.Errorf("every span must have the system %q, but %q has %q", system, s.Name(), got)
		}
	}
}

func attr(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// TestSpans checks all spans of a small program: their names, and the engine's code in those of
// errors.
func TestSpans(t *testing.T) {
	type span struct{ name, code, kind string }
	codes := map[string]string{"postgresql": "42601", "mysql": "1064", "sqlite": "1"}
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			p := program{name: "spans", play: func(r *run) {
				tx := r.begin(nil)
				r.say("commit: %s", showErr(tx.Commit()))
				r.say("ping: %s", showErr(r.db.PingContext(r.ctx)))
				r.query(r.db, "SELECT wrong")
				r.exec(r.db, "gibberish 'secret'")
			}}
			spans := tracetest.NewSpanRecorder()
			cfg := wrap.Config{Source: tracing.Source{System: e.system, Namespace: "orders", Classify: e.classify}, Tracing: newTracer(t, spans)}
			play(t, e, p, wrapped(byConnector, cfg))
			checkSpans(t, spans, e.system)
			code := codes[e.system]
			want := []span{
				{"acquire", "", "internal"}, {"connect", "", "internal"}, {"BEGIN", "", "client"}, {"COMMIT", "", "client"},
				{"acquire", "", "internal"}, {"PING", "", "client"},
				{"acquire", "", "internal"}, {"SELECT", code, "client"},
				{"acquire", "", "internal"}, {e.system, code, "client"}, // a query without a name
				{"close", "", "internal"},
			}
			var got []span
			for _, s := range spans.Started() {
				got = append(got, span{s.Name(), attr(s, "db.response.status_code"), s.SpanKind().String()})
				if ns := attr(s, "db.namespace"); ns != "orders" {
					t.Errorf("%q has the database %q", s.Name(), ns)
				}
				if strings.Contains(fmt.Sprint(s.Attributes(), s.Status(), s.Events()), "secret") {
					t.Errorf("%q shows a query without arguments", s.Name())
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got the spans %v\nwant %v", got, want)
			}
		})
	}
}
