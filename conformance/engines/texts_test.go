package engines_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// TestTextsWithLiterals checks that no literal of a query is shown, whatever the arguments are: an
// option of the driver is not a value, and a surplus argument has no placeholder.
func TestTextsWithLiterals(t *testing.T) {
	options := [][]any{nil, {7}, {pgx.QueryExecModeSimpleProtocol}, {pgx.QueryResultFormats{0}}, {pgx.QueryResultFormatsByOID{}}, {pgx.NamedArgs{}}, {pgx.QueryExecModeExec, "too many"}}
	for _, e := range engines {
		if e.system == "sqlite" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			cfg := wrap.Config{Source: tracing.Source{System: e.system, Classify: e.classify}, Tracing: newTracer(t, spans)}
			placeholder := map[string]string{"postgresql": "$1", "mysql": "?"}[e.system]
			shown := "select echo " + placeholder
			play(t, e, program{name: "texts", play: func(r *run) {
				for _, args := range options {
					r.query(r.db, "select 's3cr3t'", args...)
					r.exec(r.db, "insert 's3cr3t' -- "+placeholder, args...)
				}
				r.query(r.db, "select 's3cr3t', "+placeholder, pgx.QueryExecModeSimpleProtocol)
				r.query(r.db, shown, "it's")
			}}, wrapped(byConnector, cfg))
			found := false
			for _, s := range spans.Ended() {
				if text := fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events()); strings.Contains(text, "s3cr3t") {
					t.Error(text)
				}
				found = found || attr(s, "db.query.text") == shown
			}
			if !found {
				t.Errorf("%q is not shown", shown)
			}
		})
	}
}
