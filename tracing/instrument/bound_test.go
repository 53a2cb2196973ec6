package instrument

import (
	"database/sql/driver"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// TestTextsOfOtherSystems checks queries of systems other than SQLite. They are shown only if
// they have a placeholder and an argument binds a value.
func TestTextsOfOtherSystems(t *testing.T) {
	value := []driver.NamedValue{{Ordinal: 1, Value: int64(7)}}
	for _, tc := range []struct {
		system, text string
		args         []driver.NamedValue
		shown        bool
	}{
		{"postgresql", "SELECT 'x', $1", value, true},
		{"postgresql", "SELECT 's3cr3t', $1", nil, false},
		{"postgresql", "SELECT 's3cr3t'", value, false},
		{"postgresql", "SELECT 's3cr3t' -- $1", value, false},
		{"mysql", "SELECT 'x', ?", value, true},
		{"mysql", "SELECT 's3cr3t' # ?", value, false},
		{"mysql", `SELECT "s3cr3t"`, value, false},
		{"some_engine", "SELECT 's3cr3t', ?", value, false},
		{"", "SELECT 's3cr3t', $1", value, false},
	} {
		rec := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
		tracer, err := tracing.New(tracing.Config{TracerProvider: provider})
		if err != nil {
			t.Fatal(err)
		}
		dial := NewDatabase(tracer, tracing.Source{System: tc.system}).Dial(t.Context())
		if _, err := dial.Done(1).ConnExecContext(t.Context(), execer{}, tc.text, tc.args); err != nil {
			t.Fatal(err)
		}
		for _, span := range rec.Ended() {
			shown := false
			for _, kv := range span.Attributes() {
				shown = shown || kv.Key == "db.query.text" && kv.Value.AsString() == tc.text
				if strings.Contains(kv.Value.String(), "s3cr3t") {
					t.Errorf("%s: %s: %s is %s", tc.system, tc.text, kv.Key, kv.Value.String())
				}
			}
			if shown != tc.shown {
				t.Errorf("%s: %s: shown %t", tc.system, tc.text, shown)
			}
		}
	}
}
