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

// The span of a query whose rows nobody closes ends when they are garbage, those
// that an earlier query has used among them.
func TestSpanOfRowsNobodyCloses(t *testing.T) {
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

// Rows that are closed are the next query's, and only the next's, however often
// they are closed. Those that a panic passed through are not, nor is their connection.
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
			t.Errorf("%s: rows that are closed are used again, by one query", kind.Name)
		}
		if n := len(again.Columns()); n == 0 {
			t.Errorf("%s: rows that are used again have no columns", kind.Name)
		}
		other.Close()
		again.Close()

		spoilt := query()
		f.On(fake.Panic("p"), "rows.Close")
		func() {
			defer func() { recover() }()
			spoilt.Close()
		}()
		f.Off()
		if err := spoilt.Close(); !errors.Is(err, wrap.ErrPanicked) {
			t.Errorf("%s: closing rows that panicked again says %v", kind.Name, err)
		}
		if _, err := c.(driver.QueryerContext).QueryContext(context.Background(), "q", nil); err != wrap.ErrPanicked {
			t.Errorf("%s: the next query says %v", kind.Name, err)
		}
		if err := c.Close(); err != wrap.ErrPanicked {
			t.Errorf("%s: the connection's Close says %v", kind.Name, err)
		}
		if n := len(spans.Ended()); n != 5 {
			t.Errorf("%s: %d spans of 5 have ended", kind.Name, n)
		}
	}
}
