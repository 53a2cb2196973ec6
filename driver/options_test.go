package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Calls that the filter rejects are not traced, measured or logged, whatever their result.
func TestFilter(t *testing.T) {
	type key struct{}
	tel := newTelemetry(t)
	var asked []string
	tel.Filter = func(ctx context.Context, operation, query string) bool {
		asked = append(asked, fmt.Sprintf("%v|%s|%s", ctx.Value(key{}), operation, query))
		return operation != "BEGIN" && operation != "PING" && !strings.Contains(query, "quiet")
	}
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Init: callable})
	db.SetMaxOpenConns(1)
	ctx := context.WithValue(t.Context(), key{}, "mine")
	var tx *sql.Tx
	for _, tc := range []struct {
		call func() error
		want string // the calls that the filter must see
		kept bool
	}{
		{func() error { _, err := db.ExecContext(ctx, "CREATE TABLE quiet(a)"); return err },
			"mine|CREATE TABLE quiet|CREATE TABLE quiet(a)", false},
		{func() error { return db.QueryRowContext(ctx, "SELECT 1 AS loud, ?", 1).Scan(new(int), new(int)) },
			"mine|SELECT|SELECT 1 AS loud, ?", true},
		{func() error { return db.QueryRowContext(ctx, "SELECT 1 AS quiet, ?", 1).Scan(new(int), new(int)) },
			"mine|SELECT|SELECT 1 AS quiet, ?", false},
		{func() error { return mustFail(db.QueryRowContext(ctx, "SELECT fail('quiet')").Scan(new(int))) },
			"mine|SELECT|SELECT fail('quiet')", false},
		{func() error { return mustFail(db.QueryRowContext(ctx, "SELECT fail('loud')").Scan(new(int))) },
			"mine|SELECT|SELECT fail('loud')", true},
		{func() error {
			return panics(func() { db.ExecContext(ctx, "SELECT call(?) AS quiet", goFunc(func() { panic("boom") })) })
		}, "mine|SELECT|SELECT call(?) AS quiet", false},
		{func() error { return db.PingContext(ctx) }, "mine|PING|", false},
		{func() (err error) { tx, err = db.BeginTx(ctx, nil); return err }, "mine|BEGIN|", false},
		{func() error { _, err := tx.ExecContext(ctx, "SELECT 1"); return err }, "mine|SELECT|SELECT 1", true},
		{func() error { return tx.Commit() }, "mine|COMMIT|", true},
	} {
		tel.forget(t)
		asked = nil
		if err := tc.call(); err != nil {
			t.Errorf("%s: %v", tc.want, err)
		}
		if !slices.Equal(asked, []string{tc.want}) {
			t.Errorf("asked %q, want %q", asked, tc.want)
		}
		want := 0
		if tc.kept {
			want = 1
		}
		spans, points, failure := tel.spans.calls(), tel.collect(t).durations(), strings.Contains(tc.want, "fail")
		if len(spans) != want || counted(points) != uint64(want) {
			t.Errorf("%s: %d spans, %d measurements, want %d", tc.want, len(spans), counted(points), want)
		}
		if lines, records := tel.lines.take(t), tel.records.take(); (len(lines) > 0) != (tc.kept && failure) || (len(records) > 0) != (tc.kept && failure) {
			t.Errorf("%s: %d lines, %d records", tc.want, len(lines), len(records))
		}
		if tc.kept && tx != nil && attr(spans[0], "sqlitemw.transaction.id") == "" {
			t.Errorf("%s: a transaction whose BEGIN is turned down has no id", tc.want)
		}
	}
}

// panics calls f, which must panic.
func panics(f func()) (err error) {
	defer func() {
		if recover() == nil {
			err = fmt.Errorf("no panic")
		}
	}()
	f()
	return nil
}

// With OnlyWithParent, no call starts a trace.
func TestOnlyWithParent(t *testing.T) {
	tel := newTelemetry(t)
	tel.OnlyWithParent = true
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	exec(t, db, "SELECT 1")
	value[int](t, db, "SELECT 1")
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	tx.Rollback()
	db.SetMaxIdleConns(-1)
	if spans := tel.spans.take(); len(spans) > 0 {
		t.Errorf("%d spans without a parent", len(spans))
	}
	if n := counted(tel.collect(t).durations()); n != 5 {
		t.Errorf("%d calls are measured, want 5", n)
	}
	db.ExecContext(tel.program(t), "SELECT 1")
	if spans := tel.spans.calls(); len(spans) != 1 || !spans[0].Parent().IsValid() {
		t.Errorf("%d spans with a parent, want 1", len(spans))
	}
}

// A sampler sees the attributes that a span starts with.
func TestSamplerSeesAttributes(t *testing.T) {
	type key struct{}
	tenant := attribute.Key("tenant")
	var seen attribute.Set
	tel := newTelemetry(t, sdktrace.WithSampler(samplerFunc(func(p sdktrace.SamplingParameters) bool {
		seen = attribute.NewSet(p.Attributes...)
		name, _ := seen.Value(tenant)
		return name.AsString() != "noisy"
	})))
	tel.Attributes = []attribute.KeyValue{attribute.String("app", "shop")}
	tel.ContextAttributes = func(ctx context.Context) []attribute.KeyValue {
		name, ok := ctx.Value(key{}).(string)
		if !ok {
			return nil
		}
		return []attribute.KeyValue{tenant.String(name)}
	}
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	db.SetMaxOpenConns(1)
	exec(t, db, "SELECT 1")
	for _, name := range []string{"noisy", "quiet", "", "noisy", "other"} { // of one statement, again and again
		ctx := t.Context()
		want := "app=shop,db.namespace=:memory:,db.query.summary=SELECT,db.query.text=SELECT ?,db.system.name=sqlite,sqlitemw.connection.id="
		if name != "" {
			ctx = context.WithValue(ctx, key{}, name)
		}
		tel.forget(t)
		if _, err := db.ExecContext(ctx, "SELECT ?", 1); err != nil {
			t.Fatal(err)
		}
		id, _ := seen.Value("sqlitemw.connection.id")
		want += id.String()
		if name != "" {
			want += ",tenant=" + name
		}
		if got := encode(seen); got != want {
			t.Errorf("the sampler sees %s, want %s", got, want)
		}
		kept := 1
		if name == "noisy" {
			kept = 0
		}
		if n := len(tel.spans.calls()); n != kept {
			t.Errorf("%q: %d spans, want %d", name, n, kept)
		}
		points := tel.collect(t).durations()
		if counted(points) != 1 || points[0].Attributes.HasValue(tenant) {
			t.Errorf("%q: measured %d times, by %s", name, counted(points), encode(points[0].Attributes))
		}
	}

	// The span of a query gets the connection's ID at its end.
	rows, err := db.QueryContext(context.WithValue(t.Context(), key{}, "quiet"), "SELECT ?", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "app=shop,db.namespace=:memory:,db.query.summary=SELECT,db.query.text=SELECT ?,db.system.name=sqlite,tenant=quiet"
	if got := encode(seen); got != want {
		t.Errorf("of a query, the sampler sees %s, want %s", got, want)
	}
}

type samplerFunc func(sdktrace.SamplingParameters) bool

func (f samplerFunc) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	r := sdktrace.SamplingResult{Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	if f(p) {
		r.Decision = sdktrace.RecordAndSample
	}
	return r
}

func (samplerFunc) Description() string { return "of the test" }

// The configuration determines which spans a connection's life has.
func TestConnectionSpanOptions(t *testing.T) {
	for _, tc := range []struct {
		change func(*tracing.Config)
		want   string
	}{
		{func(*tracing.Config) {}, `
program
	acquire
		connect
	acquire
close -> connect`},
		{func(cfg *tracing.Config) { cfg.Acquire = tracing.AcquireWaited }, `
program
	acquire
		connect
close -> connect`},
		{func(cfg *tracing.Config) { cfg.Acquire = tracing.AcquireNone }, `
program
	connect
close -> connect`},
		{func(cfg *tracing.Config) { cfg.WithoutConnect = true }, `
program
	acquire
	acquire`},
		{func(cfg *tracing.Config) { cfg.WithoutClose = true }, `
program
	acquire
		connect
	acquire`},
		{func(cfg *tracing.Config) {
			cfg.WithoutConnect, cfg.WithoutClose, cfg.Acquire = true, true, tracing.AcquireNone
		}, `
program`},
		{func(cfg *tracing.Config) { cfg.OnlyWithParent = true }, `
program
	acquire
		connect
	acquire
close -> connect`},
	} {
		tel := newTelemetry(t)
		tc.change(&tel.Config)
		db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
		ctx, program := tel.spans.Tracer("test").Start(t.Context(), "program")
		for range 2 {
			conn, err := db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		program.End()
		db.SetMaxIdleConns(-1) // closes it
		if got := tree(tel.spans.take(), func(s sdktrace.ReadOnlySpan) string { return "" }); got != tc.want {
			t.Errorf("spans%s\nwant%s", got, tc.want)
		}
	}
}

// tree draws spans below their parents, in the order of their start. It adds their links
// and the result of more.
func tree(spans []*strictSpan, more func(sdktrace.ReadOnlySpan) string) string {
	var b strings.Builder
	names := make(map[trace.SpanID]string)
	for _, s := range spans {
		names[s.SpanContext().SpanID()] = s.name
	}
	var draw func(parent trace.SpanID, indent string)
	draw = func(parent trace.SpanID, indent string) {
		for _, s := range spans {
			span := s.Span.(sdktrace.ReadOnlySpan)
			if span.Parent().SpanID() != parent {
				continue
			}
			b.WriteString(indent + span.Name())
			for _, link := range span.Links() {
				b.WriteString(" -> " + names[link.SpanContext.SpanID()])
			}
			b.WriteString(more(span))
			draw(span.SpanContext().SpanID(), indent+"\t")
		}
	}
	draw(trace.SpanID{}, "\n")
	return b.String()
}

// All calls of a transaction have its ID, and no other call has one.
func TestTransactionID(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), Init: callable})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a UNIQUE)")
	stmt, err := db.Prepare("INSERT INTO t VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	exec(t, db, "CREATE TABLE parent(a PRIMARY KEY)")
	exec(t, db, "CREATE TABLE child(a REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	exec(t, db, "PRAGMA foreign_keys = on")
	begin := func(ctx context.Context) *sql.Tx {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	known := map[string]bool{}
	for _, tc := range []struct {
		name string
		call func()
		want string
	}{
		{"commit", func() {
			tx := begin(t.Context())
			exec(t, tx, "INSERT INTO t VALUES (?)", 1)
			value[int](t, tx, "SELECT a FROM t")
			tx.Stmt(stmt).Exec(2)
			tx.Exec("SELEC")
			tx.Commit()
		}, "BEGIN INSERT t SELECT t INSERT t sqlite COMMIT"},
		{"rollback", func() {
			tx := begin(t.Context())
			exec(t, tx, "DELETE FROM t")
			tx.Rollback()
		}, "BEGIN DELETE t ROLLBACK"},
		{"commit refused", func() {
			tx := begin(t.Context())
			exec(t, tx, "INSERT INTO child VALUES (1)")
			if tx.Commit() == nil {
				t.Error("the commit does not fail")
			}
		}, "BEGIN INSERT child COMMIT"},
		{"cancelled", func() {
			ctx, cancel := context.WithCancel(t.Context())
			exec(t, begin(ctx), "DELETE FROM t")
			cancel()
			eventually(t, func() (bool, string) { return db.Stats().InUse == 0, "the transaction goes on" })
		}, "BEGIN DELETE t ROLLBACK"},
		{"a panic", func() {
			panics(func() {
				tx := begin(t.Context())
				defer tx.Rollback()
				tx.Exec("SELECT call(?)", goFunc(func() { panic("boom") }))
			})
		}, "BEGIN SELECT ROLLBACK"},
	} {
		tel.forget(t)
		tc.call()
		var names, ids []string
		for _, span := range tel.spans.calls() {
			names = append(names, span.Name())
			ids = append(ids, attr(span, "sqlitemw.transaction.id"))
		}
		if got := strings.Join(names, " "); got != tc.want {
			t.Errorf("%s: spans %s, want %s", tc.name, got, tc.want)
		}
		if first := ids[0]; first == "" || known[first] || slices.ContainsFunc(ids, func(id string) bool { return id != first }) {
			t.Errorf("%s: ids %v, want one and a new one", tc.name, ids)
		}
		known[ids[0]] = true
		exec(t, db, "SELECT 1")
		if id := attr(tel.spans.calls()[0], "sqlitemw.transaction.id"); id != "" {
			t.Errorf("after %s, a call of no transaction has the id %s", tc.name, id)
		}
	}
}

// A statement whose context is in another trace than its transaction, or in none, is linked
// to the BEGIN. A statement in the same trace needs no link.
func TestTransactionLinks(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t)})
	exec(t, db, "CREATE TABLE t(a)")
	ctx, other := tel.program(t), tel.program(t)
	tel.forget(t)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []context.Context{ctx, other, t.Context()} {
		if _, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "DELETE FROM t")
	spans := tel.spans.calls()
	begun := spans[0].SpanContext()
	for i, linked := range []bool{false, false, true, true, false, false} {
		links := spans[i].Links()
		if linked != (len(links) == 1) || linked && links[0].SpanContext.SpanID() != begun.SpanID() {
			t.Errorf("%s has the links %v", spans[i].Name(), links)
		}
	}
}
