package wrap_test

import (
	"database/sql"
	"runtime"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// The span of a query whose rows nobody closes ends when they are garbage.
func TestSpanOfRowsNobodyCloses(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	db := sql.OpenDB(wrap.NewConnector(newFake(), wrap.Config{Tracing: newTracer(t, spans)}))
	defer db.Close()
	func() {
		rows, err := db.Query("SELECT")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		for _, span := range spans.Ended() {
			if span.Name() == "SELECT" {
				if got := attr(span, "error.type"); got != "rows not closed" {
					t.Errorf("error.type %q", got)
				}
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the span does not end")
		}
	}
}
