package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Spans, measurements and log lines are correct, and show no more than they may, even for
// unusual programs.

// A chattyError is an error that puts its own type into its text.
type chattyError string

func (e chattyError) Error() string     { return string(e) }
func (e chattyError) ErrorType() string { return string(e) }

type chattyValue string

func (v chattyValue) Value() (sqldriver.Value, error) { return nil, chattyError(v) }

func TestErrorTypeIsNotTheErrorsOwnWord(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t)})
	for i := range 3 {
		if _, err := db.ExecContext(t.Context(), "SELECT ?", chattyValue(fmt.Sprint("secret ", i))); err == nil {
			t.Fatal("it did not fail")
		}
	}
	for _, span := range tel.spans.calls() {
		if typ := attr(span, "error.type"); typ != "driver_test.chattyError" {
			t.Errorf("the error.type is %q", typ)
		}
	}
}

// A query whose transaction is canceled has failed, whatever its own context is.
func TestQueryFailsWithItsTransaction(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i > ?", 0)
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	defer rows.Close()
	cancel()
	for rows.Next() {
	}
	if rows.Err() == nil {
		t.Fatal("the rows end well")
	}
	rows.Close()
	eventually(t, func() (bool, string) { return db.Stats().InUse == 0, "the transaction goes on" })
	for _, span := range tel.spans.calls() {
		if typ := attr(span, "error.type"); strings.HasPrefix(span.Name(), "SELECT") && typ != "context.Canceled" {
			t.Errorf("of %s, the error.type is %q", span.Name(), typ)
		}
	}
}

// Arguments for which a query has no parameter do not turn its literals into arguments.
func TestLiteralsBesideArguments(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t)})
	exec(t, db, "CREATE TABLE t(a)")
	tel.forget(t)
	if _, err := db.Exec("INSERT INTO t VALUES ('secret')", 1); err == nil {
		t.Fatal("it did not fail")
	}
	if _, err := db.Exec("INSERT INTO t VALUES ('shown' || ?)", 1); err != nil {
		t.Fatal(err)
	}
	spans := tel.spans.calls()
	for i, want := range []string{"INSERT INTO t VALUES (?)", "INSERT INTO t VALUES ('shown' || ?)"} {
		if text := attr(spans[i], "db.query.text"); text != want {
			t.Errorf("the text is %q", text)
		}
	}
}

// No cache keeps queries that are too long.
func TestLongTextsAreNotKept(t *testing.T) {
	tel := newTelemetry(t)
	tel.Config = tracing.Config{TracerProvider: tel.spans.sdk}
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), StatementCache: -1})
	db.SetMaxOpenConns(1)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	exec(t, db, "CREATE TABLE t(a)")
	before := heap()
	const texts, size = 50, 400 << 10
	for i := range texts {
		exec(t, db, fmt.Sprintf("SELECT %d AS %s", i, strings.Repeat("x", size)))
	}
	if more := int64(heap()) - int64(before); more > texts*size/4 {
		t.Errorf("of %d bytes, %d are kept", texts*size, more)
	}
}

// A query whose rows are never closed is measured when its span is ended.
func TestRowsNeverClosedAreMeasured(t *testing.T) {
	tel := newTelemetry(t)
	recorder := tracetest.NewSpanRecorder()
	tel.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	c, err := driver.NewConnector(file(t), driver.Config{Tracing: tel.tracer(t)})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c) // its connection is never returned
	t.Cleanup(func() { db.Close() })
	func() {
		rows, err := db.Query("SELECT 1 UNION ALL SELECT 2")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
	}()
	var spans []sdktrace.ReadOnlySpan
	eventually(t, func() (bool, string) {
		runtime.GC()
		spans = recorder.Ended()
		return len(spans) > 0, "no span of it ends"
	})
	if typ := attr(spans[0], "error.type"); typ != "rows not closed" {
		t.Errorf("the error.type is %q", typ)
	}
	eventually(t, func() (bool, string) {
		var said string
		for _, r := range tel.records.take() {
			r.WalkAttributes(func(kv attribute.KeyValue) bool {
				if kv.Key == "exception.type" {
					said = kv.Value.AsString()
				}
				return true
			})
		}
		return said == "rows not closed", fmt.Sprintf("the exception is %q", said)
	})
	eventually(t, func() (bool, string) {
		h, ok := tel.collect(t).metric("db.client.operation.duration").Data.(metricdata.Histogram[float64])
		return ok && slices.ContainsFunc(h.DataPoints, func(p metricdata.HistogramDataPoint[float64]) bool {
			typ, _ := p.Attributes.Value("error.type")
			return typ.AsString() == "rows not closed"
		}), "it is not measured"
	})
}

// Arguments are logged as they were passed, even if the caller reuses their memory before
// the call ends.
func TestLoggedArgumentsAreThoseOfTheCall(t *testing.T) {
	tel := newTelemetry(t)
	tel.SlowCall = 1
	tel.LogArgument = func(v any) (string, bool) {
		b, ok := v.([]byte)
		return string(b), ok
	}
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t)})
	buffer := []byte("argument")
	rows, err := db.Query("SELECT 1 WHERE ? IS NOT NULL", buffer)
	if err != nil {
		t.Fatal(err)
	}
	copy(buffer, "password")
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	lines := fmt.Sprint(tel.lines.take(t))
	if strings.Contains(lines, "password") || !strings.Contains(lines, "argument") {
		t.Errorf("logged: %s", lines)
	}
}
