package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// spans collects the spans of one program under one root span.
type spans struct {
	t    *testing.T
	db   *sql.DB
	ctx  context.Context
	root trace.Span
	rec  *tracetest.SpanRecorder
	seen int // number of ended spans already returned
	dsn  string
}

func newSpans(t *testing.T) *spans {
	tracer, provider, rec := recordSpans(t)
	s := &spans{t: t, rec: rec, dsn: file(t)}
	s.db = open(t, s.dsn, driver.Config{Tracing: tracer})
	s.db.SetMaxOpenConns(1)
	exec(t, s.db, "CREATE TABLE t(a PRIMARY KEY, b)")
	s.ctx, s.root = provider.Tracer("test").Start(t.Context(), "program")
	t.Cleanup(func() { s.root.End() })
	s.skip()
	return s
}

// client returns the CLIENT spans since the last call. It checks what applies to every
// span.
func (s *spans) client() []sdktrace.ReadOnlySpan {
	s.t.Helper()
	var client []sdktrace.ReadOnlySpan
	ended := s.rec.Ended()[s.seen:]
	s.seen += len(ended)
	for _, span := range ended {
		name := span.Name()
		if got, want := span.Parent().SpanID(), s.root.SpanContext().SpanID(); got != want {
			s.t.Errorf("%s: its parent is %s, want the program's span %s", name, got, want)
		}
		if got := attr(span, "db.system.name"); got != "sqlite" {
			s.t.Errorf("%s: db.system.name is %q", name, got)
		}
		if got, want := attr(span, "db.namespace"), strings.TrimPrefix(s.dsn, "file:"); got != want {
			s.t.Errorf("%s: db.namespace is %q, want %q", name, got, want)
		}
		if attr(span, "sqlitemw.connection.id") == "" {
			s.t.Errorf("%s has no connection", name)
		}
		if scope := span.InstrumentationScope(); scope.Name != tracing.ScopeName || !strings.HasSuffix(scope.SchemaURL, "/1.43.0") {
			s.t.Errorf("%s: scope %+v", name, scope)
		}
		if span.SpanKind() == trace.SpanKindClient {
			client = append(client, span)
		} else if span.SpanKind() != trace.SpanKindInternal || name != "acquire" {
			s.t.Errorf("%s has kind %s", name, span.SpanKind())
		}
	}
	return client
}

// skip skips the spans that have ended so far.
func (s *spans) skip() { s.seen = len(s.rec.Ended()) }

func attr(span sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range span.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// describe returns a span as one line.
func describe(span sdktrace.ReadOnlySpan) string {
	s := span.Name()
	for _, key := range []attribute.Key{"db.operation.name", "db.query.summary", "db.query.text", "error.type", "db.response.status_code"} {
		if v := attr(span, key); v != "" {
			s += fmt.Sprintf(" | %s=%s", key, v)
		}
	}
	if d := span.Status(); d.Code != 0 {
		s += fmt.Sprintf(" | %s %q", d.Code, d.Description)
	}
	return s
}

// Every call of the program has one span.
func TestOneSpanForEachCall(t *testing.T) {
	s := newSpans(t)
	ctx, db := s.ctx, s.db
	done := func(_ any, err error) error { return err }
	stmt, err := db.PrepareContext(ctx, "SELECT b FROM t WHERE a = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if got := s.client(); len(got) != 1 || describe(got[0]) !=
		"PREPARE SELECT t | db.operation.name=PREPARE | db.query.summary=SELECT t | db.query.text=SELECT b FROM t WHERE a = ?" {
		t.Errorf("prepare: %v", got)
	}
	var tx *sql.Tx
	for _, tc := range []struct {
		call func() error
		want string
	}{
		{func() error { return done(db.ExecContext(ctx, "INSERT INTO t VALUES (?, ?)", 1, "secret")) },
			"INSERT t | db.query.summary=INSERT t | db.query.text=INSERT INTO t VALUES (?, ?)"},
		{func() error { return done(db.ExecContext(ctx, "INSERT INTO t VALUES (2, 'secret')")) },
			"INSERT t | db.query.summary=INSERT t | db.query.text=INSERT INTO t VALUES (?, ?)"},
		{func() error { return db.QueryRowContext(ctx, "SELECT b FROM t WHERE a = ?", 1).Scan(new(string)) },
			"SELECT t | db.query.summary=SELECT t | db.query.text=SELECT b FROM t WHERE a = ?"},
		{func() error { return stmt.QueryRowContext(ctx, 1).Scan(new(string)) },
			"SELECT t | db.query.summary=SELECT t | db.query.text=SELECT b FROM t WHERE a = ?"},
		{func() error { return done(stmt.ExecContext(ctx, 1)) },
			"SELECT t | db.query.summary=SELECT t | db.query.text=SELECT b FROM t WHERE a = ?"},
		{func() error { return db.PingContext(ctx) },
			"PING | db.operation.name=PING"},
		{func() (err error) { tx, err = db.BeginTx(ctx, nil); return err },
			"BEGIN | db.operation.name=BEGIN"},
		{func() error { return done(tx.ExecContext(ctx, "DELETE FROM t WHERE a = ?", 99)) },
			"DELETE t | db.query.summary=DELETE t | db.query.text=DELETE FROM t WHERE a = ?"},
		{func() error { return tx.Commit() },
			"COMMIT | db.operation.name=COMMIT"},
		{func() (err error) { tx, err = db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); return err },
			"BEGIN | db.operation.name=BEGIN"},
		{func() error { return tx.Rollback() },
			"ROLLBACK | db.operation.name=ROLLBACK"},
		{func() error { return done(db.ExecContext(ctx, "PRAGMA user_version = 77")) },
			"PRAGMA user_version | db.query.summary=PRAGMA user_version | db.query.text=PRAGMA user_version = ?"},
		{func() error { return mustFail(done(db.ExecContext(ctx, "INSERT INTO t VALUES (?, ?)", 1, "secret"))) },
			`INSERT t | db.query.summary=INSERT t | db.query.text=INSERT INTO t VALUES (?, ?) | error.type=1555 | db.response.status_code=1555 | Error "sqlite3: constraint failed"`},
		{func() error { return mustFail(done(db.ExecContext(ctx, "SELEC 'secret'"))) },
			`sqlite | db.query.text=? | error.type=1 | db.response.status_code=1 | Error "sqlite3: SQL logic error"`},
		{func() error {
			return mustFail(db.QueryRowContext(ctx, "SELECT abs(-9223372036854775808 + ?)", 0).Scan(new(int)))
		},
			`SELECT | db.query.summary=SELECT | db.query.text=SELECT abs(-9223372036854775808 + ?) | error.type=1 | db.response.status_code=1 | Error "sqlite3: SQL logic error"`},
		{func() error { return mustFail(done(db.ExecContext(ctx, "SELECT ?", 1, 2))) },
			`SELECT | db.query.summary=SELECT | db.query.text=SELECT ? | error.type=*errors.errorString | Error ""`},
	} {
		if err := tc.call(); err != nil {
			t.Errorf("%s: %v", tc.want, err)
		}
		got := s.client()
		if len(got) != 1 || describe(got[0]) != tc.want {
			t.Errorf("want %s", tc.want)
			for _, span := range got {
				t.Errorf(" got %s", describe(span))
			}
		}
	}
}

// A statement that the program prepared once has one PREPARE span, whatever connections it
// is used on.
func TestPrepareSpanOnlyWhenAsked(t *testing.T) {
	tracer, _, rec := recordSpans(t)
	db := open(t, file(t), driver.Config{Tracing: tracer})
	stmt, err := db.Prepare("SELECT ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	conn, err := db.Conn(t.Context()) // the connection on which it was prepared
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := stmt.QueryRow(1).Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := tx.Stmt(stmt).QueryRow(1).Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	if got, want := spanNames(rec), []string{"PREPARE SELECT", "SELECT", "BEGIN", "SELECT"}; !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
}

func mustFail(err error) error {
	if err == nil {
		return fmt.Errorf("no failure")
	}
	return nil
}

// A query has one span, which lasts as long as its rows, however they end.
func TestQuerySpanEndsWithItsRows(t *testing.T) {
	const query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT i FROM n"
	for name, end := range map[string]struct {
		rows func(*testing.T, *sql.Rows, context.CancelFunc)
		want string
	}{
		"exhausted": {func(t *testing.T, rows *sql.Rows, _ context.CancelFunc) {
			for rows.Next() {
			}
		}, ""},
		"closed": {func(t *testing.T, rows *sql.Rows, _ context.CancelFunc) {
			rows.Next()
			rows.Close()
			rows.Close()
		}, ""},
		"closed before the first": {func(t *testing.T, rows *sql.Rows, _ context.CancelFunc) { rows.Close() }, ""},
		"cancelled": {func(t *testing.T, rows *sql.Rows, cancel context.CancelFunc) {
			rows.Next()
			cancel()
			for rows.Next() {
			}
		}, "context.Canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpans(t)
			ctx, cancel := context.WithCancel(s.ctx)
			defer cancel()
			rows, err := s.db.QueryContext(ctx, query, 1000)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			if n := len(s.client()); n != 0 {
				t.Fatalf("%d spans have ended before the rows", n)
			}
			opened := time.Now()
			end.rows(t, rows, cancel)
			var got []sdktrace.ReadOnlySpan
			eventually(t, func() (bool, string) {
				got = append(got, s.client()...)
				return len(got) > 0, "the span has not ended"
			})
			rows.Close()
			got = append(got, s.client()...)
			if len(got) != 1 || attr(got[0], "error.type") != end.want {
				t.Errorf("want one span with error.type %q, got %d", end.want, len(got))
			}
			if got[0].EndTime().Before(opened) {
				t.Error("the span ended before the rows")
			}
		})
	}
}

// A deadline of the caller is distinguished from a lock held by another connection.
func TestErrorTypeOfContextAndLock(t *testing.T) {
	s := newSpans(t)
	const forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n WHERE i = ?"
	conn, err := s.db.Conn(s.ctx) // so that the deadline does not pass during the acquire
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Millisecond)
	defer cancel()
	s.skip()
	conn.ExecContext(ctx, forever, 2)
	got := s.client()
	if len(got) != 1 || attr(got[0], "error.type") != "context.DeadlineExceeded" || attr(got[0], "db.response.status_code") != "9" {
		t.Errorf("deadline: %v", got)
	}

	holder := open(t, s.dsn, driver.Config{})
	tx, err := holder.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 0")
	s.skip()
	conn.ExecContext(s.ctx, "INSERT INTO t VALUES (?, ?)", 1, 2)
	if got := s.client(); len(got) != 1 || attr(got[0], "error.type") != "5" || attr(got[0], "db.response.status_code") != "5" {
		t.Errorf("lock: %v", got)
	}
	conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 60000")
	// On a slow machine the deadline may pass before the wait starts, which gives an
	// interrupt. Then the test uses a longer one.
	for patience := 10 * time.Millisecond; ; patience *= 10 {
		s.skip()
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		conn.ExecContext(ctx, "INSERT INTO t VALUES (?, ?)", 1, 2)
		cancel()
		got := s.client()
		if len(got) == 1 && attr(got[0], "error.type") == "context.DeadlineExceeded" && attr(got[0], "db.response.status_code") == "5" {
			break
		}
		if patience > 10*time.Second {
			t.Errorf("deadline while waiting for a lock: %v", got)
			break
		}
	}
}

// Savepoints and user functions see the caller's own context. A savepoint is not a call of
// its own.
func TestContextReachesTheBase(t *testing.T) {
	tracer, provider, rec := recordSpans(t)
	ctx, root := provider.Tracer("test").Start(t.Context(), "program")
	defer root.End()
	var seen context.Context
	db := open(t, file(t), driver.Config{Tracing: tracer, Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("seen", 0, 0, func(f sqlite3.Context, _ ...sqlite3.Value) {
			seen = f.Conn().GetInterrupt()
			f.ResultInt(1)
		})
	}})
	if err := db.QueryRowContext(ctx, "SELECT seen()").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	// database/sql derives no context for a query that only its own context can cancel.
	if seen == nil || trace.SpanContextFromContext(seen).SpanID() != root.SpanContext().SpanID() {
		t.Error("a function sees another span than the caller's")
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := len(rec.Started())
	sp := sqlite3driver.Savepoint(tx)
	if n := len(rec.Started()) - before; n != 0 {
		t.Errorf("a savepoint makes %d spans", n)
	}
	if err := sp.Rollback(); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

// A connection's connect span is in the trace of the call that needed it. Its close span is
// outside, and linked to the connect span.
func TestConnectionSpans(t *testing.T) {
	tracer, provider, rec := recordSpans(t)
	db := open(t, file(t), driver.Config{Tracing: tracer})
	exec(t, db, "CREATE TABLE t(a)") // no trace: a call without a parent
	db.SetMaxIdleConns(0)            // closes it
	if names := spanNames(rec); !slices.Equal(names, []string{"CREATE TABLE t"}) {
		t.Errorf("without a trace of the program's: %v", names)
	}
	rec.Reset()

	ctx, root := provider.Tracer("test").Start(t.Context(), "program")
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	root.End()
	var connect, acquire, closing sdktrace.ReadOnlySpan
	for _, span := range rec.Ended() {
		switch span.Name() {
		case "connect":
			connect = span
		case "acquire":
			acquire = span
		case "close":
			closing = span
		}
	}
	if connect == nil || acquire == nil || closing == nil {
		t.Fatalf("spans: %v", spanNames(rec))
	}
	if acquire.Parent().SpanID() != root.SpanContext().SpanID() || connect.Parent().SpanID() != acquire.SpanContext().SpanID() {
		t.Error("connect is not within acquire, or acquire not within the program's span")
	}
	if attr(acquire, "sqlitemw.connection.new") != "true" {
		t.Error("the acquire does not say that it opened the connection")
	}
	if closing.Parent().IsValid() || len(closing.Links()) != 1 || closing.Links()[0].SpanContext.SpanID() != connect.SpanContext().SpanID() {
		t.Error("close is no root that is linked to connect")
	}
	if got := attr(closing, "sqlitemw.connection.close_reason"); got != string(driver.ReasonSurplus) {
		t.Errorf("close_reason is %q", got)
	}
	for _, span := range []sdktrace.ReadOnlySpan{connect, acquire, closing} {
		if span.SpanKind() != trace.SpanKindInternal || attr(span, "sqlitemw.connection.id") == "" {
			t.Errorf("%s: kind %s, attributes %v", span.Name(), span.SpanKind(), span.Attributes())
		}
	}
}

func spanNames(rec *tracetest.SpanRecorder) []string {
	var names []string
	for _, span := range rec.Ended() {
		names = append(names, span.Name())
	}
	return names
}

// A failed connect is in the caller's trace, with SQLite's code and without text.
func TestConnectSpanOfAFailure(t *testing.T) {
	tracer, provider, rec := recordSpans(t)
	db := open(t, "file:"+filepath.ToSlash(t.TempDir()), driver.Config{Tracing: tracer})
	ctx, root := provider.Tracer("test").Start(t.Context(), "program")
	db.PingContext(ctx)
	root.End()
	if names := spanNames(rec); !slices.Equal(names, []string{"connect", "acquire", "program"}) {
		t.Fatalf("spans: %v", names)
	}
	for _, span := range rec.Ended()[:2] {
		if attr(span, "error.type") != "526" || span.Status().Description != "sqlite3: unable to open database file" {
			t.Errorf("%s: %s", span.Name(), describe(span))
		}
	}
}

// Without an SDK there are no spans, and a call has no more allocations than on the plain
// driver.
func TestAllocationsWithoutSDK(t *testing.T) {
	if _, ok := otel.GetTracerProvider().(*sdktrace.TracerProvider); ok {
		t.Fatal("a test has installed an SDK")
	}
	measure := func(name string) (query, insert float64) {
		db, err := sql.Open(name, file(t, "_pragma=journal_mode(wal)", "_pragma=synchronous(off)"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
		exec(t, db, "INSERT INTO t VALUES (1, 'x')")
		query = testing.AllocsPerRun(200, func() {
			var b string
			if err := db.QueryRow("SELECT b FROM t WHERE a = ?", 1).Scan(&b); err != nil {
				t.Fatal(err)
			}
		})
		insert = testing.AllocsPerRun(200, func() { exec(t, db, "INSERT INTO t(b) VALUES (?)", "y") })
		return query, insert
	}
	plainQuery, plainInsert := measure("sqlite3")
	query, insert := measure(driver.Name)
	t.Logf("allocations: query %v, plain %v; insert %v, plain %v", query, plainQuery, insert, plainInsert)
	if query > plainQuery {
		t.Errorf("a query takes %v allocations, on the plain driver %v", query, plainQuery)
	}
	if insert > plainInsert {
		t.Errorf("an insert takes %v allocations, on the plain driver %v", insert, plainInsert)
	}
}

// If a query fails in its first step, its span says so, even if the program closes the rows
// without asking for one.
func TestSpanOfFailureNobodyAskedFor(t *testing.T) {
	tracer, _, rec := recordSpans(t)
	db := open(t, file(t), driver.Config{Tracing: tracer})
	rows, err := db.Query("SELECT abs(?)", int64(-1<<63))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rows.Columns(); err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, span := range rec.Ended() {
		if span.Name() == "SELECT" {
			if code := attr(span, "db.response.status_code"); code != "1" {
				t.Errorf("the span has the status code %q", code)
			}
			return
		}
	}
	t.Error("there is no span")
}
