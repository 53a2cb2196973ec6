package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// If rows are never closed, the query's span ends when they are garbage-collected. That also
// holds for rows that an earlier query has used.
func TestSpanOfRowsNeverClosed(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	db := sql.OpenDB(wrap.NewConnector(newFake(), wrap.Config{Tracing: newTracer(t, spans)}))
	defer db.Close()
	db.SetMaxOpenConns(1)
	func() {
		for range 2 {
			rows, err := db.Query("VALUES")
			if err != nil {
				t.Fatal(err)
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := db.Query("SELECT")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		runtime.GC()
		for _, span := range spans.Ended() {
			want := ""
			if span.Name() == "SELECT" {
				want = "rows not closed"
			}
			if got := attr(span, "error.type"); got != want {
				t.Errorf("%s: error.type %q, want %q", span.Name(), got, want)
			}
			if want != "" {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the span does not end")
		}
	}
}

// Closed rows are reused by the next query, but only by one, however often they are closed.
// Rows that a panic passed through are not reused, and neither is their connection.
func TestRowsAreUsedAgain(t *testing.T) {
	for _, kind := range fake.RowsKinds {
		spans := tracetest.NewSpanRecorder()
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: kind}
		c, err := wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans)}).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		query := func() driver.Rows {
			rows, err := c.(driver.QueryerContext).QueryContext(context.Background(), "q", nil)
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		first := query()
		for range 2 {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
		}
		again, other := query(), query()
		if again != first || other == first {
			t.Errorf("%s: closed rows must be reused, by exactly one query", kind.Name)
		}
		if n := len(again.Columns()); n == 0 {
			t.Errorf("%s: reused rows have no columns", kind.Name)
		}
		other.Close()
		again.Close()

		panicked := query()
		f.On(fake.Panic("p"), "rows.Close")
		func() {
			defer func() { recover() }()
			panicked.Close()
		}()
		f.Off()
		if err := panicked.Close(); !errors.Is(err, wrap.ErrPanicked) {
			t.Errorf("%s: closing rows again after a panic returns %v", kind.Name, err)
		}
		if _, err := c.(driver.QueryerContext).QueryContext(context.Background(), "q", nil); err != wrap.ErrPanicked {
			t.Errorf("%s: the next query returns %v", kind.Name, err)
		}
		if err := c.Close(); err != wrap.ErrPanicked {
			t.Errorf("%s: the connection's Close returns %v", kind.Name, err)
		}
		if n := len(spans.Ended()); n != 5 {
			t.Errorf("%s: %d spans have ended, want 5", kind.Name, n)
		}
	}
}
