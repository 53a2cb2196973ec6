package instrument

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNewRefuses checks that New's error names the invalid field and the remedy.
func TestNewRefuses(t *testing.T) {
	for field, cfg := range map[string]tracing.Config{
		"QueryText":  {QueryText: 9},
		"Acquire":    {Acquire: 9},
		"Attributes": {Attributes: []attribute.KeyValue{{}}},

		"MetricAttributes": {MetricAttributes: []attribute.Key{"http.route"}}, // nothing returns a value for it
	} {
		_, err := tracing.New(cfg)
		var e *tracing.ConfigError
		if !errors.As(err, &e) || e.Field != field || e.Remedy == "" || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	noKey := tracing.Config{MetricAttributes: []attribute.Key{""}, ContextAttributes: func(context.Context) []attribute.KeyValue { return nil }}
	if _, err := tracing.New(noKey); err == nil {
		t.Error("an empty key is accepted")
	}
	if _, err := tracing.New(tracing.Config{}); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
}

// record returns a database whose spans are recorded, and one of its connections.
func record(t *testing.T, cfg tracing.Config) (*Database, *Conn, *tracetest.SpanRecorder) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	cfg.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := NewDatabase(tracer, tracing.Source{System: "sqlite", Namespace: "app.db"})
	dial := db.Dial(t.Context())
	return db, dial.Done(1), rec
}

func attrOf(span sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range span.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// A query is shown as configured, and a secret never is.
func TestQueryText(t *testing.T) {
	const insert, pragma = "INSERT INTO t VALUES ('secret', ?)", "PRAGMA key = 'secret'"
	for _, tc := range []struct {
		policy tracing.QueryText
		query  string
		bound  bool
		want   string
	}{
		{tracing.QueryTextSafe, insert, true, insert}, // as written, because an argument is bound
		{tracing.QueryTextSafe, insert, false, "INSERT INTO t VALUES (?, ?)"},
		// No driver binds arguments to two statements.
		{tracing.QueryTextSafe, insert + "; SELECT ?", true, "INSERT INTO t VALUES (?, ?); SELECT ?"},
		{tracing.QueryTextSafe, insert + "; ", true, insert + "; "},
		{tracing.QueryTextSafe, pragma, true, "PRAGMA key = ?"},
		{tracing.QueryTextSafe, pragma, false, "PRAGMA key = ?"},
		{tracing.QueryTextSanitized, insert, true, "INSERT INTO t VALUES (?, ?)"},
		{tracing.QueryTextOff, insert, true, ""},
		{tracing.QueryTextSafe, "SELECT \xff", true, "SELECT \uFFFD"},
	} {
		db, conn, rec := record(t, tracing.Config{QueryText: tc.policy, Attributes: []attribute.KeyValue{attribute.String("app", "shop")}})
		call := conn.begin(t.Context(), conn.sinks(), db.texts.get(db, statementKey{query: tc.query, bound: tc.bound}).execute, tc.query, nil, false)
		call.End(nil)
		span := rec.Ended()[0]
		if got := attrOf(span, "db.query.text"); got != tc.want {
			t.Errorf("policy %d, %s, bound %t: %q, want %q", tc.policy, tc.query, tc.bound, got, tc.want)
		}
		if attrOf(span, "app") != "shop" {
			t.Error("Config.Attributes are not on the span")
		}
	}
}

// The configured acquires have spans.
func TestAcquire(t *testing.T) {
	for policy, want := range map[tracing.Acquire]string{
		tracing.AcquireAll:    "connect acquire acquire ",
		tracing.AcquireWaited: "connect acquire ",
		tracing.AcquireNone:   "connect ",
	} {
		rec := tracetest.NewSpanRecorder()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
		tracer, err := tracing.New(tracing.Config{TracerProvider: provider, Acquire: policy})
		if err != nil {
			t.Fatal(err)
		}
		ctx, root := provider.Tracer("test").Start(t.Context(), "program")
		dial := NewDatabase(tracer, tracing.Source{}).Dial(ctx)
		conn := dial.Done(1)
		conn.Acquired(ctx)
		var got string
		for _, span := range rec.Ended() {
			got += span.Name() + " "
		}
		if got != want {
			t.Errorf("policy %d: spans %q, want %q", policy, got, want)
		}
		root.End()
	}
}

// The number of statements that a database keeps is bounded, and so is their length.
func TestStatementsAreBounded(t *testing.T) {
	db, _, _ := record(t, tracing.Config{})
	for i := range 3 * maxStatements {
		db.texts.get(db, statementKey{query: fmt.Sprintf("SELECT %d", i)})
	}
	if n := len(db.texts.kept); n != maxStatements {
		t.Errorf("%d statements are kept", n)
	}
	long := "SELECT " + strings.Repeat("1+", maxStatementText) + "1"
	if db.texts.get(db, statementKey{query: long}); db.texts.kept[statementKey{query: long}] != nil {
		t.Error("a very long query is kept")
	}
	first, second := db.texts.get(db, statementKey{query: "SELECT a"}), db.texts.get(db, statementKey{query: "SELECT a"})
	if first != second {
		t.Error("a query is read twice")
	}
}

// The bytes of statements are bounded: for each database, for each connection and for the
// process.
func TestBytesOfTextsAreBounded(t *testing.T) {
	provider := sdktrace.NewTracerProvider()
	defer provider.Shutdown(t.Context())
	tracer, err := tracing.New(tracing.Config{TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", maxStatementText-64)
	var kept []*Database
	for d := range 20 { // enough to exceed the limit of the process
		db := NewDatabase(tracer, tracing.Source{System: "sqlite"})
		kept = append(kept, db)
		for c := range 10 {
			dial := db.Dial(t.Context())
			conn := dial.Done(uint64(c))
			for i := range 30 {
				query := fmt.Sprintf("SELECT 1 AS %s_%d_%d_%d", pad, d, c, i)
				if _, err := conn.ConnExecContext(t.Context(), execer{}, query, nil); err != nil {
					t.Fatal(err)
				}
			}
			if conn.share == nil && d > 0 {
				continue // other connections have used up the limit
			}
			if n := conn.share.Used(); n > 256<<10 || d == 0 && n == 0 {
				t.Fatalf("a connection keeps %d bytes", n)
			}
		}
		if n := db.texts.share.Used(); n > 4<<20 || d == 0 && n < 3<<20 {
			t.Fatalf("a database keeps %d bytes", n)
		}
	}
	if n := statementBudget.Used(); n > 64<<20 {
		t.Errorf("all databases keep %d bytes", n)
	}
	if n := operationBudget.Used(); n > 32<<20 {
		t.Errorf("all connections keep %d bytes", n)
	}
	runtime.KeepAlive(kept)
	for deadline := time.Now().Add(time.Minute); statementBudget.Used() > 1<<20 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		runtime.GC() // so that other tests have room
	}
}

type execer struct{}

func (execer) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}

// A call ends only once.
func TestCallEndsOnce(t *testing.T) {
	_, conn, rec := record(t, tracing.Config{})
	call := conn.begin(t.Context(), conn.sinks(), conn.db.ping, "", nil, false)
	call.End(nil)
	call.End(errors.New("late"))
	call.Panicked()
	call.Closed(nil)
	if n := len(rec.Ended()); n != 1 {
		t.Errorf("the call ended %d times, want once", n)
	}
	var none *Call
	none.End(errors.New("no call"))
	none.Panicked()
	none.Closed(nil)
}

// The text of an error is never shown, because it may quote the program's data.
func TestErrorTextIsNotShown(t *testing.T) {
	_, conn, rec := record(t, tracing.Config{})
	call := conn.begin(t.Context(), conn.sinks(), conn.db.ping, "", nil, false)
	call.End(fmt.Errorf("near %q: syntax error", "secret"))
	if s := fmt.Sprintf("%v %v", rec.Ended()[0].Status(), rec.Ended()[0].Attributes()); strings.Contains(s, "secret") {
		t.Errorf("the span shows %s", s)
	}
}
