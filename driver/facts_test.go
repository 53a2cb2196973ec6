package driver_test

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// With Details, a call's span has SQLite's counters for that call alone, even if its
// statement is cached.
func TestDetails(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)), Details: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, file(t), driver.Config{Tracing: tracer})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, i % 7 FROM n")
	insert, err := db.Prepare("INSERT INTO t(b) VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for _, tc := range []struct {
		name string
		call func()
		want map[string]string
	}{
		{"scan and sort", func() { columns(db, "SELECT b FROM t ORDER BY b") },
			map[string]string{"sqlite.fullscan_steps": "99", "sqlite.sorts": "1", "sqlite.read_only": "true"}},
		{"the same again", func() { columns(db, "SELECT b FROM t ORDER BY b") },
			map[string]string{"sqlite.fullscan_steps": "99", "sqlite.sorts": "1", "sqlite.read_only": "true"}},
		{"by key", func() { value[int](t, db, "SELECT b FROM t WHERE a = ?", 7) },
			map[string]string{"sqlite.fullscan_steps": "", "sqlite.sorts": "", "sqlite.read_only": "true"}},
		{"update of all", func() { exec(t, db, "UPDATE t SET b = ?", 1) },
			map[string]string{"sqlite.fullscan_steps": "99", "sqlite.read_only": "false"}},
		{"without arguments", func() { exec(t, db, "DELETE FROM t WHERE b = 5") },
			map[string]string{"sqlite.fullscan_steps": "99", "sqlite.read_only": "false"}},
		{"two statements", func() { exec(t, db, "UPDATE t SET b = 2; UPDATE t SET b = 3") },
			map[string]string{"sqlite.fullscan_steps": "198", "sqlite.read_only": "false"}},
		{"prepared", func() {
			if _, err := insert.Exec(1); err != nil {
				t.Fatal(err)
			}
		}, map[string]string{"sqlite.fullscan_steps": "", "sqlite.read_only": "false"}},
		{"returning", func() { columns(db, "DELETE FROM t WHERE b = ? RETURNING a", 1) },
			map[string]string{"sqlite.read_only": "false"}},
	} {
		before := len(rec.Ended())
		tc.call()
		span := rec.Ended()[len(rec.Ended())-1]
		if len(rec.Ended()) == before {
			t.Fatalf("%s: no span", tc.name)
		}
		for key, want := range tc.want {
			var got string
			for _, kv := range span.Attributes() {
				if string(kv.Key) == key {
					got = kv.Value.String()
				}
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", tc.name, key, got, want)
			}
		}
		if attr(span, "sqlite.vm_steps") == "" || attr(span, "sqlite.memory_used") == "0" {
			t.Errorf("%s: %v", tc.name, span.Attributes())
		}
	}
}
