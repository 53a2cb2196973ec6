package driver_test

import (
	"context"
	"database/sql"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// sleep is an argument for call. It takes d of the test's synthetic time.
func sleep(d time.Duration) any { return goFunc(func() { time.Sleep(d) }) }

// A call is slow if its span lasts at least the threshold, including the program's time
// between rows.
func TestSlowCallsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry(t)
		tel.SlowCall = 100 * time.Millisecond
		db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Init: callable})
		db.SetMaxOpenConns(1)
		exec(t, db, "CREATE TABLE t(a)")
		ctx := tel.program(t)
		done := func(_ any, err error) error { return err }
		for name, tc := range map[string]struct {
			call   func() error
			took   time.Duration
			engine time.Duration
			rows   float64 // -1 if it is not a query
			logged bool
		}{
			"exec, just not": {func() error {
				return done(db.ExecContext(ctx, "INSERT INTO t VALUES (call(?))", sleep(99*time.Millisecond)))
			},
				99 * time.Millisecond, 0, -1, false},
			"exec": {func() error {
				return done(db.ExecContext(ctx, "INSERT INTO t VALUES (call(?))", sleep(100*time.Millisecond)))
			},
				100 * time.Millisecond, 0, -1, true},
			"query, of which most is the program's": {func() error {
				rows, err := db.QueryContext(ctx, "SELECT call(?) FROM (VALUES (1), (2), (3))", sleep(20*time.Millisecond))
				if err != nil {
					return err
				}
				for rows.Next() {
					time.Sleep(time.Second)
				}
				time.Sleep(time.Hour) // after the last row
				return rows.Close()
			}, 3060 * time.Millisecond, 60 * time.Millisecond, 3, true},
			"rows closed": {func() error {
				rows, err := db.QueryContext(ctx, "SELECT call(?) FROM (VALUES (1), (2), (3))", sleep(20*time.Millisecond))
				if err != nil {
					return err
				}
				rows.Next()
				time.Sleep(time.Second)
				return rows.Close()
			}, 1020 * time.Millisecond, 20 * time.Millisecond, 1, true},
			"quick query": {func() error { return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) },
				0, 0, 1, false},
		} {
			tel.forget(t)
			if err := tc.call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			span, lines, points := tel.spans.calls()[0], tel.lines.take(t), tel.collect(t).durations()
			if took := span.EndTime().Sub(span.StartTime()); took != tc.took || points[0].Sum != took.Seconds() {
				t.Errorf("%s: its span says %v, it is measured as %vs, want %v", name, took, points[0].Sum, tc.took)
			}
			if got := attr(span, "sqlitemw.engine.duration"); tc.rows >= 0 && got != strconv.FormatFloat(tc.engine.Seconds(), 'g', -1, 64) {
				t.Errorf("%s: %ss in the engine, want %v", name, got, tc.engine)
			}
			if !tc.logged {
				if len(lines) > 0 {
					t.Errorf("%s: logged %v", name, lines)
				}
				continue
			}
			want := map[string]any{
				"level":                  "WARN",
				"msg":                    "slow database call",
				"db.query.summary":       span.Name(),
				"db.namespace":           ":memory:",
				"duration":               float64(tc.took),
				"sqlitemw.connection.id": number(t, attr(span, "sqlitemw.connection.id")),
				"trace_id":               span.SpanContext().TraceID().String(),
				"span_id":                span.SpanContext().SpanID().String(),
			}
			if tc.rows >= 0 {
				want["db.response.returned_rows"] = tc.rows
			}
			if len(lines) != 1 || !reflect.DeepEqual(lines[0], want) {
				t.Errorf("%s: logged %v, want %v", name, lines, want)
			}
		}
	})
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Failures are logged. A caller that gave up is distinguished from a real failure, and the
// error's own text is not shown.
func TestFailuresAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := newTelemetry(t)
		db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), Init: callable})
		db.SetMaxOpenConns(1)
		exec(t, db, "CREATE TABLE t(a PRIMARY KEY)")
		exec(t, db, "INSERT INTO t VALUES ('secret')")
		ctx := tel.program(t)
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		brief, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		over := goFunc(func() { time.Sleep(2 * time.Second) })
		tx := func(call func(*sql.Tx)) func() {
			return func() {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				call(tx)
			}
		}
		for name, tc := range map[string]struct {
			call                          func()
			level, typ, text, status, exc string
		}{
			"constraint": {func() { db.ExecContext(ctx, "INSERT INTO t VALUES (?)", "secret") },
				"WARN", "1555", "sqlite3: constraint failed", "1555", "*sqlite3.Error"},
			"in a transaction": {tx(func(tx *sql.Tx) { tx.ExecContext(ctx, "INSERT INTO t VALUES (?)", "secret") }),
				"WARN", "1555", "sqlite3: constraint failed", "1555", "*sqlite3.Error"},
			"of a function": {func() { db.QueryRowContext(ctx, "SELECT fail(?)", "secret").Scan(new(int)) },
				"WARN", "1", "sqlite3: SQL logic error", "1", "*sqlite3.Error"},
			"no table": {func() { db.ExecContext(ctx, "DELETE FROM secret WHERE secret = 'secret'") },
				"WARN", "1", "sqlite3: SQL logic error", "1", "*sqlite3.Error"},
			"none of the engine's": {func() { db.ExecContext(ctx, "SELECT ?", "secret", "secret") },
				"WARN", "*errors.errorString", "", "", "*errors.errorString"},
			"cancelled": {func() { db.ExecContext(cancelled, untilCancelled, goFunc(cancel)) },
				"INFO", "context.Canceled", "sqlite3: interrupted", "9", "sqlite3.ExtendedErrorCode"},
			"too late": {func() { db.ExecContext(brief, untilCancelled, over) },
				"WARN", "context.DeadlineExceeded", "sqlite3: interrupted", "9", "sqlite3.ExtendedErrorCode"},
			"panic": {func() {
				defer func() { recover() }()
				db.ExecContext(ctx, "SELECT call(?)", goFunc(func() { panic("secret") }))
			}, "WARN", "panic", "panic", "", "panic"},
		} {
			tel.forget(t)
			tc.call()
			lines, records := tel.lines.take(t), tel.records.take()
			span := failed(t, tel)
			if len(lines) != 1 || len(records) != 1 {
				t.Errorf("%s: logged %v; %d records", name, lines, len(records))
				continue
			}
			want := map[string]any{
				"level":                  tc.level,
				"msg":                    "database call failed",
				"db.query.summary":       span.Name(),
				"db.namespace":           attr(span, "db.namespace"),
				"duration":               float64(span.EndTime().Sub(span.StartTime())),
				"sqlitemw.connection.id": number(t, attr(span, "sqlitemw.connection.id")),
				"error.type":             tc.typ,
				"error":                  tc.text,
				"trace_id":               span.SpanContext().TraceID().String(),
				"span_id":                span.SpanContext().SpanID().String(),
			}
			if name == "of a function" {
				want["db.response.returned_rows"] = float64(0)
			}
			if name == "in a transaction" {
				want["sqlitemw.transaction.id"] = number(t, attr(span, "sqlitemw.transaction.id"))
			}
			if !reflect.DeepEqual(lines[0], want) {
				t.Errorf("%s: logged %v, want %v", name, lines[0], want)
			}
			exception(t, name, records[0], span, tc.exc, tc.text)
		}
	})
}

// failed returns the only failed span since the last call.
func failed(t *testing.T, tel *telemetry) sdktrace.ReadOnlySpan {
	t.Helper()
	calls := slices.DeleteFunc(tel.spans.calls(), func(s sdktrace.ReadOnlySpan) bool { return s.Status().Code != codes.Error })
	if len(calls) != 1 {
		t.Fatalf("%d calls have failed, want 1", len(calls))
	}
	return calls[0]
}

// exception checks the log record of a failed call.
func exception(t *testing.T, name string, r sdklog.Record, span sdktrace.ReadOnlySpan, typ, message string) {
	t.Helper()
	if r.EventName() != "db.client.operation.exception" || r.Severity() != otellog.SeverityWarn || r.Timestamp().IsZero() {
		t.Errorf("%s: record %q of severity %v at %v", name, r.EventName(), r.Severity(), r.Timestamp())
	}
	if sc := span.SpanContext(); r.TraceID() != sc.TraceID() || r.SpanID() != sc.SpanID() || r.TraceFlags() != sc.TraceFlags() {
		t.Errorf("%s: the record is of span %v, want %v", name, r.SpanID(), sc.SpanID())
	}
	if scope := r.InstrumentationScope(); scope.Name != tracing.ScopeName || !strings.HasSuffix(scope.SchemaURL, "/1.43.0") {
		t.Errorf("%s: scope %+v", name, scope)
	}
	want := map[string]string{"exception.type": typ}
	if message != "" {
		want["exception.message"] = message
	}
	for _, key := range []attribute.Key{"db.system.name", "db.namespace", "db.query.summary", "db.query.text", "db.operation.name"} {
		if v := attr(span, key); v != "" {
			want[string(key)] = v
		}
	}
	got := make(map[string]string)
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		got[string(kv.Key)] = kv.Value.String()
		return true
	})
	if !maps.Equal(got, want) {
		t.Errorf("%s: the record has %v, want %v", name, got, want)
	}
	if r.Body().String() != "" && r.Body().Type() != attribute.EMPTY {
		t.Errorf("%s: the record has a body: %v", name, r.Body())
	}
}

// A call without a trace is logged without one. An unsampled call is logged with its trace.
func TestLogsWithoutSpans(t *testing.T) {
	tel := newTelemetry(t, sdktrace.WithSampler(sdktrace.NeverSample()))
	tel.OnlyWithParent = true
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	db.Exec("SELEC")
	line, record := tel.lines.take(t)[0], tel.records.take()[0]
	if line["trace_id"] != nil || line["span_id"] != nil || record.TraceID().IsValid() {
		t.Errorf("a trace of none: %v, record %v", line, record.TraceID())
	}
	if d, _ := line["duration"].(float64); d <= 0 {
		t.Errorf("it took no time: %v", line)
	}
	ctx := tel.program(t)
	db.ExecContext(ctx, "SELEC")
	line, record = tel.lines.take(t)[0], tel.records.take()[0]
	started := tel.spans.take()
	want := started[len(started)-1].SpanContext()
	if line["trace_id"] != want.TraceID().String() || line["span_id"] != want.SpanID().String() || record.SpanID() != want.SpanID() {
		t.Errorf("span %v, logged %v, record %v", want.SpanID(), line, record.SpanID())
	}
}

// Nothing is logged by default, or below the logger's level.
func TestLogsAreOptions(t *testing.T) {
	records := new(recordLog)
	old := otel.GetLoggerProvider()
	defer otel.SetLoggerProvider(old)
	otel.SetLoggerProvider(sdklog.NewLoggerProvider(sdklog.WithProcessor(records)))
	for _, tc := range []struct {
		change         func(*tracing.Config)
		lines, records int // of the telemetry itself
		global         int
	}{
		{func(cfg *tracing.Config) {}, 1, 1, 0},
		{func(cfg *tracing.Config) { cfg.Logger = nil }, 0, 1, 0},
		{func(cfg *tracing.Config) { cfg.Exceptions = false }, 1, 0, 0},
		{func(cfg *tracing.Config) { cfg.LoggerProvider = nil }, 1, 0, 1},
		{func(cfg *tracing.Config) {
			*cfg = tracing.Config{Exceptions: true}
		}, 0, 0, 1},
		{func(cfg *tracing.Config) { *cfg = tracing.Config{} }, 0, 0, 0},
		{func(cfg *tracing.Config) { cfg.Filter = func(context.Context, string, string) bool { return false } }, 0, 0, 0},
		{func(cfg *tracing.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(failingWriter{t}, &slog.HandlerOptions{Level: slog.LevelError}))
		}, 0, 1, 0},
	} {
		tel := newTelemetry(t)
		tc.change(&tel.Config)
		db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
		exec(t, db, "SELECT 1")
		if _, err := db.Exec("SELEC"); err == nil {
			t.Fatal("it does not fail")
		}
		if lines, own, all := tel.lines.take(t), tel.records.take(), records.take(); len(lines) != tc.lines || len(own) != tc.records || len(all) != tc.global {
			t.Errorf("%d lines, %d records, %d of the global provider; want %d, %d, %d", len(lines), len(own), len(all), tc.lines, tc.records, tc.global)
		}
	}
}

type failingWriter struct{ t *testing.T }

func (w failingWriter) Write(p []byte) (int, error) {
	w.t.Errorf("logged %s", p)
	return len(p), nil
}

// The program decides, by type, which arguments are shown, and how.
func TestLogArgument(t *testing.T) {
	tel := newTelemetry(t)
	tel.LogArgument = func(v any) (string, bool) {
		switch v := v.(type) {
		case string:
			return strings.ToUpper(v), true
		case []byte:
			return strconv.Itoa(len(v)) + " bytes", true
		}
		return "hidden", false
	}
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Init: callable})
	db.SetMaxOpenConns(1)
	const query = "SELECT fail('x'), ?, ?, ?, ?, :name"
	stmt, err := db.Prepare(query)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	args := []any{"shown", int64(86753), []byte("secret"), nil, sql.Named("name", "named")}
	want := map[string]any{"1": "SHOWN", "2": "?", "3": "6 bytes", "4": "?", "name": "NAMED"}
	read := func(rows *sql.Rows, err error) {
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
		}
	}
	for name, call := range map[string]func(){
		"exec":           func() { db.Exec(query, args...) },
		"query":          func() { read(db.Query(query, args...)) },
		"prepared exec":  func() { stmt.Exec(args...) },
		"prepared query": func() { read(stmt.Query(args...)) },
	} {
		tel.forget(t)
		call()
		lines := tel.lines.take(t)
		if len(lines) != 1 || !reflect.DeepEqual(lines[0]["arguments"], want) {
			t.Errorf("%s: %v, want arguments %v", name, lines, want)
		}
	}
	tel.forget(t)
	db.Exec("SELEC")
	if lines := tel.lines.take(t); len(lines) != 1 || lines[0]["arguments"] != nil {
		t.Errorf("without arguments: %v", lines)
	}
}
