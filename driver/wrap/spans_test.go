package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// startParent starts a span of the program that is recorded with the others.
func startParent(t *testing.T, spans *tracetest.SpanRecorder) (context.Context, trace.Span) {
	t.Helper()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	return provider.Tracer("program").Start(t.Context(), "program")
}

// ofKind returns the spans of one kind, in the order in which they started.
func ofKind(spans *tracetest.SpanRecorder, kind trace.SpanKind) []sdktrace.ReadWriteSpan {
	return slices.DeleteFunc(spans.Started(), func(s sdktrace.ReadWriteSpan) bool {
		return s.SpanKind() != kind || s.Name() == "program"
	})
}

func names[S sdktrace.ReadOnlySpan](spans []S) []string {
	names := make([]string, 0, len(spans))
	for _, s := range spans {
		names = append(names, s.Name())
	}
	return names
}

func attr(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// tracedDB returns a database on a new fake with recorded spans.
func tracedDB(t *testing.T, f *fake.Base) (*sql.DB, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans)}))
	t.Cleanup(func() { db.Close() })
	return db, spans
}

const selectText = "SELECT name FROM orders WHERE id = ?"

// Each call of the program is one span of kind client. Its parent is the caller's span. This
// holds whatever interfaces the driver has, and even if it returns ErrSkip.
func TestOneSpanPerCall(t *testing.T) {
	const sel, prep = "SELECT", "PREPARE SELECT" // the engine is unknown, so its SQL is not read
	read := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
	type call struct {
		name string
		want []string
		do   func(context.Context, *sql.DB) error
	}
	inTx := func(do func(context.Context, *sql.Tx) error) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := do(ctx, tx); err != nil {
				return err
			}
			return tx.Commit()
		}
	}
	inStmt := func(do func(context.Context, *sql.Stmt) error) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, db *sql.DB) error {
			stmt, err := db.PrepareContext(ctx, selectText)
			if err != nil {
				return err
			}
			return errors.Join(do(ctx, stmt), stmt.Close())
		}
	}
	calls := []call{
		{"exec", []string{sel}, func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, selectText, 1)
			return err
		}},
		{"query", []string{sel}, func(ctx context.Context, db *sql.DB) error {
			return read(db.QueryContext(ctx, selectText, 1))
		}},
		{"query row", []string{sel}, func(ctx context.Context, db *sql.DB) error {
			var id, name any
			return db.QueryRowContext(ctx, selectText, 1).Scan(&id, &name)
		}},
		{"prepared exec", []string{prep, sel, sel}, inStmt(func(ctx context.Context, stmt *sql.Stmt) error {
			_, err1 := stmt.ExecContext(ctx, 1)
			_, err2 := stmt.ExecContext(ctx, 2)
			return errors.Join(err1, err2)
		})},
		{"prepared query", []string{prep, sel}, inStmt(func(ctx context.Context, stmt *sql.Stmt) error {
			return read(stmt.QueryContext(ctx, 1))
		})},
		{"transaction", []string{"BEGIN", sel, sel, "COMMIT"}, inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, selectText, 1)
			return errors.Join(err, read(tx.QueryContext(ctx, selectText, 1)))
		})},
		{"rolled back", []string{"BEGIN", "ROLLBACK"}, func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		}},
		{"connection taken", nil, func(ctx context.Context, db *sql.DB) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			return errors.Join(conn.Raw(func(any) error { return nil }), conn.Close())
		}},
	}
	for _, skips := range []bool{false, true} {
		for _, f := range bases(fake.ConnKinds, fake.StmtKinds[:3], fake.RowsOf("SQLite's"), fake.RowsOf("all")) {
			calls, c := calls, fmt.Sprintf("connection %q, statements %q, rows %q", f.Conn.Name, f.Stmt.Name, f.Rows.Name)
			if fake.Has[driver.Pinger](f.Conn) {
				calls = append(slices.Clone(calls), call{"ping", []string{"PING"}, func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }})
			}
			if skips {
				f.On(fake.Fail(driver.ErrSkip), "Exec", "ExecContext", "Query", "QueryContext")
			}
			db, spans := tracedDB(t, f)
			if err := db.Ping(); err != nil { // opens the connection
				t.Fatal(err)
			}
			for _, call := range calls {
				spans.Reset()
				ctx, parent := startParent(t, spans)
				if err := call.do(ctx, db); err != nil {
					t.Errorf("%v: %s: %v", c, call.name, err)
				}
				parent.End()
				if err := checkSpans(spans); err != nil {
					t.Errorf("%v: %s: %v", c, call.name, err)
				}
				clients := ofKind(spans, trace.SpanKindClient)
				if got := names(clients); !slices.Equal(got, call.want) {
					t.Errorf("%v (skips: %t): %s must make the spans %q, got %q", c, skips, call.name, call.want, got)
				}
				for _, s := range append(clients, ofKind(spans, trace.SpanKindInternal)...) {
					if s.Parent().SpanID() != parent.SpanContext().SpanID() {
						t.Errorf("%v: %s: the parent of %q must be the caller's span", c, call.name, s.Name())
					}
					if s.Status().Code != codes.Unset {
						t.Errorf("%v: %s: %q was successful, but has the status %v", c, call.name, s.Name(), s.Status())
					}
				}
			}
		}
	}
}

// A call that is retried after a bad connection has one span for each attempt, each with its
// own result.
func TestSpanPerTry(t *testing.T) {
	f := newFake()
	f.On(func(_ context.Context, n int) error {
		if n < 2 {
			return driver.ErrBadConn
		}
		return nil
	}, "ExecContext")
	db, spans := tracedDB(t, f)
	if _, err := db.Exec(selectText, 1); err != nil {
		t.Fatal(err)
	}
	var got []codes.Code
	for _, s := range spans.Ended() {
		got = append(got, s.Status().Code)
	}
	if want := []codes.Code{codes.Error, codes.Error, codes.Unset}; !slices.Equal(got, want) {
		t.Errorf("two bad connections and a good one: the spans have %v, want %v", got, want)
	}
}

// database/sql prepares a statement of the program again on another connection. That is not a
// call of the program, so it has no span.
func TestNoSpanForRepeatedPrepare(t *testing.T) {
	for _, conn := range []string{"none", "all with contexts"} {
		f := &fake.Base{Conn: fake.ConnOf(conn), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
		db, spans := tracedDB(t, f)
		stmt, err := db.Prepare(selectText)
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		prepared := func() int {
			return len(slices.DeleteFunc(f.Asked(), func(s string) bool { return !strings.Contains(s, " Prepare") }))
		}
		for i, do := range []func() error{
			func() error { _, err := stmt.Exec(1); return err },
			func() error {
				rows, err := stmt.Query(1)
				if err != nil {
					return err
				}
				return rows.Close()
			},
			func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				defer tx.Rollback()
				_, err = tx.Stmt(stmt).Exec(1)
				return err
			},
		} {
			// The test holds every idle connection, so that the call uses a new one.
			held, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			before := prepared()
			spans.Reset()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if n := prepared() - before; n != 1 {
				t.Fatalf("this test needs a statement that is prepared again, but it was prepared %d times", n)
			}
			for _, s := range spans.Ended() {
				if strings.HasPrefix(s.Name(), "PREPARE") {
					t.Errorf("connection %q, call %d: the program did not call %q", conn, i+1, s.Name())
				}
			}
			if err := checkSpans(spans); err != nil {
				t.Error(err)
			}
			db.SetMaxIdleConns(-1) // leaves no idle connection for the next case
			db.SetMaxIdleConns(2)
		}
	}
}

// The span of a query ends once, with its rows: when they are exhausted, fail, or are closed
// by the program or database/sql. Exhausted rows need not be closed.
func TestSpanOfRows(t *testing.T) {
	type how struct {
		name   string
		rows   string
		hooks  func(*fake.Base)
		end    func(t *testing.T, rows *sql.Rows, cancel func()) // ends the span; rows may stay open
		status codes.Code
		typ    string // error.type
	}
	next := func(n int) func(*testing.T, *sql.Rows, func()) {
		return func(t *testing.T, rows *sql.Rows, _ func()) {
			for range n {
				rows.Next()
			}
		}
	}
	hows := []how{
		{"exhausted, and not closed", "SQLite's", nil, next(3), codes.Unset, ""},
		{"exhausted, with an interface for more sets", "all", nil, next(3), codes.Unset, ""},
		{"closed immediately", "SQLite's", nil, func(_ *testing.T, rows *sql.Rows, _ func()) { rows.Close() }, codes.Unset, ""},
		{"closed early", "all", nil, func(_ *testing.T, rows *sql.Rows, _ func()) { rows.Next(); rows.Close() }, codes.Unset, ""},
		{"a step fails", "SQLite's", func(f *fake.Base) { f.On(fake.Fail(fake.ErrFault), "rows.Next") }, next(1), codes.Error, "*errors.errorString"},
		{"closing fails", "SQLite's", func(f *fake.Base) { f.On(fake.Fail(fake.ErrFault), "rows.Close") },
			func(_ *testing.T, rows *sql.Rows, _ func()) { rows.Close() }, codes.Error, "*errors.errorString"},
		{"the context ends", "SQLite's", nil, func(_ *testing.T, rows *sql.Rows, cancel func()) {
			rows.Next()
			cancel()
			synctest.Wait()
		}, codes.Error, "context.Canceled"},
		{"the context ends after they are exhausted", "SQLite's", nil, func(_ *testing.T, rows *sql.Rows, cancel func()) {
			for rows.Next() {
			}
			cancel()
			synctest.Wait()
		}, codes.Unset, ""},
		{"the next set fails", "all", func(f *fake.Base) { f.On(fake.Fail(fake.ErrFault), "rows.NextResultSet") },
			func(_ *testing.T, rows *sql.Rows, _ func()) { rows.NextResultSet() }, codes.Error, "*errors.errorString"},
		{"the next set panics", "all", func(f *fake.Base) {
			f.On(fake.Panic("fake: set"), "rows.NextResultSet")
		}, func(_ *testing.T, rows *sql.Rows, _ func()) {
			defer func() { recover() }()
			rows.NextResultSet()
		}, codes.Error, "panic"},
		{"a step panics", "SQLite's", func(f *fake.Base) {
			f.On(fake.Panic("fake: step"), "rows.Next")
		}, func(_ *testing.T, rows *sql.Rows, _ func()) {
			defer func() { recover() }()
			rows.Next()
		}, codes.Error, "panic"},
		{"closing panics", "SQLite's", func(f *fake.Base) {
			f.On(fake.Panic("fake: close"), "rows.Close")
		}, func(_ *testing.T, rows *sql.Rows, _ func()) {
			defer func() { recover() }()
			rows.Close()
		}, codes.Error, "panic"},
	}
	queries := map[string]func(context.Context, *sql.DB) (*sql.Rows, func(), error){
		"query": func(ctx context.Context, db *sql.DB) (*sql.Rows, func(), error) {
			rows, err := db.QueryContext(ctx, "SELECT ?", 1)
			return rows, func() {}, err
		},
		"prepared query": func(ctx context.Context, db *sql.DB) (*sql.Rows, func(), error) {
			stmt, err := db.Prepare("SELECT ?")
			if err != nil {
				return nil, nil, err
			}
			rows, err := stmt.QueryContext(ctx, 1)
			return rows, func() { stmt.Close() }, err
		},
	}
	for _, h := range hows {
		for name, query := range queries {
			for _, conn := range []string{"none", "all with contexts"} {
				t.Run(strings.Join([]string{h.name, name, conn}, "/"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := &fake.Base{Conn: fake.ConnOf(conn), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf(h.rows), Sets: 1}
						if strings.HasPrefix(h.name, "the next set") {
							f.Sets = 2
						}
						db, spans := tracedDB(t, f)
						if h.hooks != nil {
							h.hooks(f)
						}
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						rows, closeStmt, err := query(ctx, db)
						if err != nil {
							t.Fatal(err)
						}
						defer closeStmt()
						defer rows.Close()
						started := ofKind(spans, trace.SpanKindClient)
						span := started[len(started)-1]
						if !span.EndTime().IsZero() {
							t.Error("the span of a query must run as long as its rows, but it ended with the call")
						}
						h.end(t, rows, cancel)
						ended := slices.DeleteFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.SpanContext().SpanID() != span.SpanContext().SpanID() })
						if len(ended) != 1 {
							t.Fatalf("the span of a query must end once, with its rows, but ended %d times", len(ended))
						}
						if s := ended[0]; s.Status().Code != h.status || attr(s, "error.type") != h.typ {
							t.Errorf("status %v and error %q, want %v and %q", s.Status().Code, attr(s, "error.type"), h.status, h.typ)
						}
					})
				})
			}
		}
	}
}

// Under a span of the program, a call shows the origin of its connection: an acquire, and a
// connect within it if the connection had to be opened. Closing the connection is a trace of
// its own, linked to that connect.
func TestLifecycleSpans(t *testing.T) {
	f := newFake()
	events := &recorder{}
	spans := tracetest.NewSpanRecorder()
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans), Recorder: events}))
	ctx, parent := startParent(t, spans)
	for range 2 {
		if _, err := db.ExecContext(ctx, selectText, 1); err != nil {
			t.Fatal(err)
		}
	}
	parent.End()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	internal := ofKind(spans, trace.SpanKindInternal)
	if got, want := names(internal), []string{"acquire", "connect", "acquire", "close"}; !slices.Equal(got, want) {
		t.Fatalf("got the spans %q, want %q", got, want)
	}
	if err := checkSpans(spans); err != nil {
		t.Error(err)
	}
	first, connect, second, closing := internal[0], internal[1], internal[2], internal[3]
	if first.Parent().SpanID() != parent.SpanContext().SpanID() || second.Parent().SpanID() != parent.SpanContext().SpanID() {
		t.Error("the parent of an acquire must be the caller's span")
	}
	if connect.Parent().SpanID() != first.SpanContext().SpanID() {
		t.Error("the parent of a connect must be its acquire")
	}
	if first.EndTime().Before(connect.EndTime()) {
		t.Error("an acquire must last as long as its connect")
	}
	if attr(first, "sqlitemw.connection.new") != "true" || attr(second, "sqlitemw.connection.new") != "false" {
		t.Errorf("the acquires have sqlitemw.connection.new %q and %q, want true and false",
			attr(first, "sqlitemw.connection.new"), attr(second, "sqlitemw.connection.new"))
	}
	if closing.Parent().IsValid() {
		t.Error("a close must have no parent")
	}
	if closing.SpanContext().TraceID() == connect.SpanContext().TraceID() {
		t.Error("a close must be a trace of its own")
	}
	if l := closing.Links(); len(l) != 1 || l[0].SpanContext.SpanID() != connect.SpanContext().SpanID() || l[0].SpanContext.TraceID() != connect.SpanContext().TraceID() {
		t.Errorf("a close must be linked to its connect, got the links %v", l)
	}
	if got := attr(closing, "sqlitemw.connection.close_reason"); got != string(wrap.ReasonDatabaseClosed) {
		t.Errorf("the close has the reason %q", got)
	}
	id := events.all()[0].Conn.String()
	for _, s := range spans.Ended() {
		if got := attr(s, "sqlitemw.connection.id"); s.Name() != "program" && got != id {
			t.Errorf("every span of the connection must have its ID %s, but %q has %q", id, s.Name(), got)
		}
	}
}

// Without a span of the program, only calls have spans, and these are roots. The program did
// not ask for a trace of the pool.
func TestNoLifecycleSpansWithoutParent(t *testing.T) {
	db, spans := tracedDB(t, newFake())
	for range 2 {
		if _, err := db.Exec(selectText, 1); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if got := names(ofKind(spans, trace.SpanKindInternal)); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	for _, s := range spans.Ended() {
		if s.Parent().IsValid() {
			t.Errorf("%q must be a root, but has the parent %v", s.Name(), s.Parent())
		}
	}
	if n := len(spans.Ended()); n != 2 {
		t.Errorf("two calls must have two spans, got %d", n)
	}
}

// A connection that is opened in the background has no connect and no close span. Its acquire
// by a call has one.
func TestNoSpansInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		f := newFake()
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans)}))
		ctx, parent := startParent(t, spans)
		held, waiter := hold(t, db, func() {
			if _, err := db.ExecContext(ctx, selectText, 1); err != nil {
				t.Error(err)
			}
		})
		discardHeld(held)
		waiter.Wait()
		db.Close()
		parent.End()
		if got, want := names(ofKind(spans, trace.SpanKindInternal)), []string{"acquire"}; !slices.Equal(got, want) {
			t.Errorf("got the spans %q, want %q", got, want)
		}
		if got, want := names(ofKind(spans, trace.SpanKindClient)), []string{"SELECT"}; !slices.Equal(got, want) {
			t.Errorf("got the spans %q, want %q", got, want)
		}
		if err := checkSpans(spans); err != nil {
			t.Error(err)
		}
	})
}

// An error is shown in its span by its class. No span quotes the text of an error.
func TestSpansOfErrors(t *testing.T) {
	secret := errors.New("secret")
	for _, tc := range []struct {
		op   string
		call func(context.Context, *sql.DB)
		want []string // the names of the spans that failed
	}{
		{"Connect", func(ctx context.Context, db *sql.DB) { db.PingContext(ctx) }, []string{"acquire", "connect"}},
		{"Close", func(ctx context.Context, db *sql.DB) { db.PingContext(ctx); db.SetMaxIdleConns(-1) }, []string{"close"}},
		{"ExecContext", func(ctx context.Context, db *sql.DB) { db.ExecContext(ctx, selectText, 1) }, []string{"SELECT"}},
		{"QueryContext", func(ctx context.Context, db *sql.DB) { db.QueryContext(ctx, selectText, 1) }, []string{"SELECT"}},
		{"PrepareContext", func(ctx context.Context, db *sql.DB) { db.PrepareContext(ctx, selectText) }, []string{"PREPARE SELECT"}},
		{"BeginTx", func(ctx context.Context, db *sql.DB) { db.BeginTx(ctx, nil) }, []string{"BEGIN"}},
		{"Ping", func(ctx context.Context, db *sql.DB) { db.PingContext(ctx) }, []string{"PING"}},
		{"Commit", func(ctx context.Context, db *sql.DB) {
			if tx, err := db.BeginTx(ctx, nil); err == nil {
				tx.Commit()
			}
		}, []string{"COMMIT"}},
		{"Rollback", func(ctx context.Context, db *sql.DB) {
			if tx, err := db.BeginTx(ctx, nil); err == nil {
				tx.Rollback()
			}
		}, []string{"ROLLBACK"}},
	} {
		t.Run(tc.op, func(t *testing.T) {
			f := newFake()
			db, spans := tracedDB(t, f)
			f.On(fake.Fail(secret), tc.op)
			ctx, parent := startParent(t, spans)
			tc.call(ctx, db)
			parent.End()
			f.Off()
			db.Close()
			var failed []string
			for _, s := range spans.Started() {
				if s.Status().Code == codes.Error {
					failed = append(failed, s.Name())
					if got := attr(s, "error.type"); got != "*errors.errorString" {
						t.Errorf("%q has the error %q, want the type", s.Name(), got)
					}
				}
				if text := fmt.Sprint(s.Name(), s.Status(), s.Attributes(), s.Events()); strings.Contains(text, "secret") {
					t.Errorf("%q quotes an error: %s", s.Name(), text)
				}
			}
			if !slices.Equal(failed, tc.want) {
				t.Errorf("the spans %q failed, want %q", failed, tc.want)
			}
			if err := checkSpans(spans); err != nil {
				t.Error(err)
			}
		})
	}
}

// A call's span uses its caller's context: if that has ended, an error of the engine for an
// interrupted call has the error.type of the context's error.
func TestSpanOfInterrupted(t *testing.T) {
	interrupted := errors.New("fake: interrupted")
	for _, ended := range []bool{false, true} {
		f := newFake()
		spans := tracetest.NewSpanRecorder()
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans), Source: tracing.Source{
			Classify: func(error) tracing.ErrorClass {
				return tracing.ErrorClass{StatusCode: "9", Description: "interrupted", Interrupted: true}
			},
		}}))
		defer db.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f.On(func(context.Context, int) error {
			if ended {
				cancel()
			}
			return interrupted
		}, "ExecContext")
		if _, err := db.ExecContext(ctx, selectText, 1); err != interrupted {
			t.Errorf("the program must get the parent's own error, got %v", err)
		}
		s := spans.Ended()[0]
		want := "9"
		if ended {
			want = "context.Canceled"
		}
		if got := attr(s, "error.type"); got != want || attr(s, "db.response.status_code") != "9" || s.Status().Description != "interrupted" {
			t.Errorf("interrupted, context ended %t: error %q, want %q; status %q %v", ended, got, want, attr(s, "db.response.status_code"), s.Status())
		}
	}
}

// Interceptors run around tracing, the first one outermost. A call that an interceptor
// repeats has two spans, and a call that it answers itself has none.
func TestInterceptors(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	f := newFake()
	var order []string
	outer := &interceptor{name: "outer", order: &order}
	inner := &interceptor{name: "inner", order: &order}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
		Tracing:      newTracer(t, spans),
		Interceptors: []sqlmw.Interceptor{outer, inner},
	}))
	defer db.Close()
	exec := func() {
		t.Helper()
		order = nil
		spans.Reset()
		if _, err := db.Exec(selectText, 1); err != nil {
			t.Error(err)
		}
	}
	exec()
	if want := []string{"outer", "inner"}; !slices.Equal(order, want) || len(spans.Ended()) != 1 {
		t.Errorf("called %q with %d spans, want %q and 1", order, len(spans.Ended()), want)
	}
	inner.times = 2
	exec()
	if n := len(spans.Ended()); n != 2 {
		t.Errorf("a repeated call must have two spans, got %d", n)
	}
	outer.times = -1
	exec()
	if n := len(spans.Ended()); n != 0 || len(order) != 1 {
		t.Errorf("a call that an interceptor answers must have no span, got %d; called %q", n, order)
	}
}

type interceptor struct {
	sqlmw.NullInterceptor
	name  string
	order *[]string
	times int // how often it makes a call, at least once; negative: not at all
}

func (i *interceptor) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	*i.order = append(*i.order, i.name)
	if i.times < 0 {
		return driver.RowsAffected(0), nil
	}
	for range i.times - 1 {
		if res, err := conn.ExecContext(ctx, query, args); err != nil {
			return res, err
		}
	}
	return conn.ExecContext(ctx, query, args)
}

// Without an SDK, no tracer is even requested from OpenTelemetry's placeholder. That
// remembers its users and passes the requests on when an SDK is installed, which the test
// would see.
//
// This works only once in a process, so the test starts another one.
func TestNoSpansWithoutSDK(t *testing.T) {
	const inner = "SQLITEMW_TEST_NO_SDK"
	if os.Getenv(inner) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoSpansWithoutSDK$", "-test.v")
		cmd.Env = append(os.Environ(), inner+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	f := newFake()
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{}))
	defer db.Close()
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled}))
	all := func() {
		t.Helper()
		if err := db.PingContext(ctx); err != nil {
			t.Error(err)
		}
		if _, err := db.ExecContext(ctx, selectText, 1); err != nil {
			t.Error(err)
		}
		rows, err := db.QueryContext(ctx, selectText, 1)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		stmt, err := tx.PrepareContext(ctx, selectText)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stmt.ExecContext(ctx, 1); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		db.SetMaxIdleConns(-1)
		db.SetMaxIdleConns(2)
	}
	all()
	spans := tracetest.NewSpanRecorder()
	provider := &requestProvider{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))}
	otel.SetTracerProvider(provider)
	if len(provider.requests) != 0 {
		t.Errorf("without an SDK, no tracer must be requested, got requests for %q", provider.requests)
	}
	if n := len(spans.Started()); n != 0 {
		t.Errorf("%d spans were started before there was an SDK", n)
	}
	all()
	if got, want := names(ofKind(spans, trace.SpanKindClient)), []string{"PING", "SELECT", "SELECT", "BEGIN", "PREPARE SELECT", "SELECT", "COMMIT"}; !slices.Equal(got, want) {
		t.Errorf("with an SDK, got the spans %q, want %q", got, want)
	}
	if want := []string{tracing.ScopeName}; !slices.Equal(provider.requests, want) {
		t.Errorf("want one request for a tracer, %q, got %q", want, provider.requests)
	}
}

type requestProvider struct {
	trace.TracerProvider
	requests []string
}

func (p *requestProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	p.requests = append(p.requests, name)
	return p.TracerProvider.Tracer(name, opts...)
}
