package instrument

import (
	"database/sql/driver"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// TestTextsOfOtherSystems checks queries of systems other than SQLite. Their literals are never
// shown, whatever the arguments are. Nothing is shown of a system whose SQL is not read.
func TestTextsOfOtherSystems(t *testing.T) {
	value := driver.NamedValue{Ordinal: 1, Value: int64(7)}
	for _, tc := range []struct{ system, query, name, text string }{
		{"postgresql", "SELECT 's3cr3t', $1 FROM t", "SELECT t", "SELECT ?, $1 FROM t"},
		{"postgresql", "SELECT $$s3cr3t$$, $1", "SELECT", "SELECT ?, $1"},
		{"postgresql", "SELECT 's3cr3t' -- $1", "SELECT", "SELECT ?"},
		{"postgresql", `SELECT "t".a[1] FROM ONLY "t" WHERE b @> E'\'s3cr3t'`, `SELECT "t"`, `SELECT "t".a[?] FROM ONLY "t" WHERE b @> ?`},
		{"cockroachdb", "UPSERT INTO t VALUES ('s3cr3t')", "UPSERT t", "UPSERT INTO t VALUES (?)"},
		{"mysql", "SELECT 's3cr3t', ? FROM `t`", "SELECT `t`", "SELECT ?, ? FROM `t`"},
		{"mysql", `SELECT * FROM t WHERE a = "s3cr3t" # ?`, "SELECT t", "SELECT * FROM t WHERE a = ?"},
		{"mysql", `SELECT * FROM t WHERE a = 'it\'s' AND b = 's3cr3t'`, "SELECT t", "SELECT * FROM t WHERE a = ?"},
		{"mariadb", "INSERT t SET a = 0x733363723374, b = _utf8's3cr3t'", "INSERT t", "INSERT t SET a = ?, b = ?"},
		{"some_engine", "SELECT 's3cr3t', ?", "SELECT", ""},
		{"some_engine", "MERGE INTO t USING 's3cr3t'", "some_engine", ""},
		{"", "SELECT 's3cr3t', $1", "SELECT", ""},
	} {
		for _, args := range [][]driver.NamedValue{nil, {value}, {value, value}} {
			rec := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
			tracer, err := tracing.New(tracing.Config{TracerProvider: provider, Statements: 10})
			if err != nil {
				t.Fatal(err)
			}
			dial := NewDatabase(tracer, tracing.Source{System: tc.system}).Dial(t.Context())
			if _, err := dial.Done(1).ConnExecContext(t.Context(), execer{}, tc.query, args); err != nil {
				t.Fatal(err)
			}
			spans := rec.Ended()
			if len(spans) != 1 {
				t.Fatalf("%s: %s: %d spans", tc.system, tc.query, len(spans))
			}
			if name := spans[0].Name(); name != tc.name {
				t.Errorf("%s: %s: the span is %q, want %q", tc.system, tc.query, name, tc.name)
			}
			if text := attrOf(spans[0], "db.query.text"); text != tc.text {
				t.Errorf("%s: %s: the text is %q, want %q", tc.system, tc.query, text, tc.text)
			}
			for _, kv := range spans[0].Attributes() {
				if strings.Contains(kv.Value.String(), "s3cr3t") {
					t.Errorf("%s: %s: %s is %s", tc.system, tc.query, kv.Key, kv.Value.String())
				}
			}
			for _, st := range tracer.Statements() {
				if strings.Contains(st.Text+st.Summary, "s3cr3t") {
					t.Errorf("%s: %s: the statistics have %q", tc.system, tc.query, st.Text)
				}
			}
		}
	}
}
