package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// live runs a program with a wrapped fake in a synctest bubble, and returns the story of its
// connections.
func live(t *testing.T, program func(*testing.T, *fake.Base, *sql.DB)) []string {
	t.Helper()
	var story []string
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's"), Sets: 1}
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
		program(t, f, db)
		f.Off()
		db.Close()
		synctest.Wait()
		if err := events.check(false); err != nil {
			t.Errorf("%v\n%s", err, events)
		}
		story = events.story()
	})
	return story
}

// Each way in which database/sql closes a connection has its reason.
func TestCloseReasons(t *testing.T) {
	use := func(t *testing.T, db *sql.DB) {
		t.Helper()
		if _, err := db.Exec("q"); err != nil {
			t.Error(err)
		}
	}
	once := []string{"1 connect", "1 acquire", "1 release"}
	for _, tc := range []struct {
		name    string
		program func(*testing.T, *fake.Base, *sql.DB)
		want    []string
	}{
		{"database closed", func(t *testing.T, f *fake.Base, db *sql.DB) {
			use(t, db)
		}, append(once, "1 close database closed derived")},
		{"idle time", func(t *testing.T, f *fake.Base, db *sql.DB) {
			db.SetConnMaxIdleTime(10 * time.Minute)
			use(t, db)
			time.Sleep(21 * time.Minute)
		}, append(once, "1 close expired derived")},
		{"lifetime", func(t *testing.T, f *fake.Base, db *sql.DB) {
			db.SetConnMaxLifetime(time.Hour)
			use(t, db)
			time.Sleep(2 * time.Hour)
		}, append(once, "1 close expired derived")},
		{"lifetime, at the next use", func(t *testing.T, f *fake.Base, db *sql.DB) {
			use(t, db)
			time.Sleep(2 * time.Hour)
			db.SetConnMaxLifetime(time.Hour)
			use(t, db)
		}, append(once, "1 close expired derived", "2 connect", "2 acquire", "2 release", "2 close database closed derived")},
		{"lifetime, while in use", func(t *testing.T, f *fake.Base, db *sql.DB) {
			db.SetConnMaxLifetime(time.Hour)
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			conn.Close()
		}, append(once, "1 close surplus derived")},
		{"surplus", func(t *testing.T, f *fake.Base, db *sql.DB) {
			db.SetMaxIdleConns(-1)
			use(t, db)
		}, append(once, "1 close surplus derived")},
		{"shrunk", func(t *testing.T, f *fake.Base, db *sql.DB) {
			use(t, db)
			db.SetMaxIdleConns(-1)
		}, append(once, "1 close shrunk derived")},
		{"closed while in use", func(t *testing.T, f *fake.Base, db *sql.DB) {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
			conn.Close()
		}, append(once, "1 close surplus derived")},
		{"bad", func(t *testing.T, f *fake.Base, db *sql.DB) {
			f.On(func(_ context.Context, n int) error {
				if n == 0 {
					return driver.ErrBadConn
				}
				return nil
			}, "ExecContext")
			use(t, db)
		}, []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad", "2 connect", "2 acquire", "2 release", "2 close database closed derived"}},
		{"bad, says the parent's IsValid", func(t *testing.T, f *fake.Base, db *sql.DB) {
			f.On(fake.Fail(driver.ErrBadConn), "IsValid")
			use(t, db)
		}, []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad"}},
		{"bad, when reset", func(t *testing.T, f *fake.Base, db *sql.DB) {
			use(t, db)
			f.On(func(_ context.Context, n int) error {
				if n == 0 {
					return driver.ErrBadConn
				}
				return nil
			}, "ResetSession")
			use(t, db)
		}, append(once, "1 close bad", "2 connect", "2 acquire", "2 release", "2 close database closed derived")},
		{"panic", func(t *testing.T, f *fake.Base, db *sql.DB) {
			f.On(fake.Panic("fake"), "ExecContext")
			func() {
				defer func() { recover() }()
				db.Exec("q")
			}()
		}, []string{"1 connect", "1 acquire", "1 discard panic", "1 close panic"}},
		{"panic in Raw", func(t *testing.T, f *fake.Base, db *sql.DB) {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() { recover() }()
				conn.Raw(func(any) error { panic("program") })
			}()
			conn.Close()
		}, []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad"}},
		{"no connection", func(t *testing.T, f *fake.Base, db *sql.DB) {
			f.On(fake.Fail(errors.New("secret")), "Connect")
			db.Ping()
		}, []string{"0 connect error *errors.errorString"}},
		{"close fails", func(t *testing.T, f *fake.Base, db *sql.DB) {
			use(t, db)
			f.On(fake.Fail(errors.New("secret")), "Close")
			db.SetMaxIdleConns(-1)
		}, append(once, "1 close shrunk error *errors.errorString derived")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := live(t, tc.program); !slices.Equal(got, tc.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tc.want, "\n\t"))
			}
		})
	}
}

// database/sql opens a connection in the background for a waiter that has gone. The first
// call on that connection acquires it, whatever call it is.
func TestBackgroundConnect(t *testing.T) {
	for name, first := range map[string]func(context.Context, *sql.Conn) error{
		"exec": func(ctx context.Context, c *sql.Conn) error { _, err := c.ExecContext(ctx, "q"); return err },
		"begin": func(ctx context.Context, c *sql.Conn) error {
			tx, err := c.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"ping": func(ctx context.Context, c *sql.Conn) error { return c.PingContext(ctx) },
		"prepare": func(ctx context.Context, c *sql.Conn) error {
			stmt, err := c.PrepareContext(ctx, "q")
			if err != nil {
				return err
			}
			return stmt.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
				db.SetMaxOpenConns(1)
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { db.PingContext(ctx) }) // waits
				synctest.Wait()
				// The only connection is bad. While another one is opened for the waiter, the
				// waiter goes.
				f.On(func(context.Context, int) error { cancel(); wg.Wait(); return nil }, "Connect")
				conn.Raw(func(any) error { return driver.ErrBadConn })
				conn.Close()
				synctest.Wait()
				f.Off()
				next, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := first(t.Context(), next); err != nil {
					t.Error(err)
				}
				next.Close()
			})
			want := []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad",
				"2 connect background", "2 acquire derived"}
			if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("got\n\t%s\nwant at first\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		})
	}
}

// A connection that is handed to a waiter that has gone is neither acquired nor released.
func TestBouncedHandOff(t *testing.T) {
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		db.SetMaxOpenConns(1)
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { db.PingContext(ctx) })
		synctest.Wait()
		// The waiter goes while the connection is being validated for it.
		f.On(func(context.Context, int) error { cancel(); return nil }, "IsValid")
		conn.Close()
		wg.Wait()
		f.Off()
	})
	// The waiter may first see either its context's end or the connection. In both cases each
	// acquire has its release, which live checks, and there is only one connection.
	if got[0] != "1 connect" || got[len(got)-1] != "1 close database closed derived" {
		t.Errorf("got %v", got)
	}
}

// An attached Recorder records events until it is detached. A Recorder that is attached twice
// records them twice.
func TestAttach(t *testing.T) {
	f := &fake.Base{Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's"), Sets: 1}
	opener := wrap.NewOpener(wrap.Config{})
	events := &recorder{}
	first, second := opener.Attach(events), opener.Attach(events)
	conn, err := opener.Open(t.Context(), f.Connect)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(events.all()); n != 4 {
		t.Errorf("two events are recorded %d times by two attachments", n)
	}
	first()
	first()
	if conn.IsValid(); len(events.all()) != 5 {
		t.Errorf("%d events after one detach", len(events.all()))
	}
	second()
	if conn.Close(); len(events.all()) != 5 {
		t.Errorf("%d events after both detaches", len(events.all()))
	}
}

// Tee passes each event to all Recorders that are not nil.
func TestTee(t *testing.T) {
	a, b := &recorder{}, &recorder{}
	var calls int
	wrap.Tee(a, nil, wrap.RecorderFunc(func(wrap.Event) { calls++ }), b).Record(wrap.Event{Kind: wrap.KindAcquire})
	if len(a.all()) != 1 || len(b.all()) != 1 || calls != 1 {
		t.Errorf("recorded %d, %d and %d times", len(a.all()), len(b.all()), calls)
	}
}

// A panic in a step of rows ends the query's span, whether the rows are closed or not.
func TestSpanOfRowsThatPanic(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's"), Sets: 1}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans)}))
	defer db.Close()
	f.On(fake.Panic("fake"), "rows.Next")
	rows, err := db.Query("q")
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != "fake" {
				t.Errorf("recovered %v: a panic must pass unchanged", r)
			}
		}()
		rows.Next()
	}()
	ended := spans.Ended()
	if len(ended) != 1 || len(spans.Started()) != 1 {
		t.Fatalf("%d of %d spans have ended", len(ended), len(spans.Started()))
	}
	if d := ended[0].Status().Description; d != "panic" {
		t.Errorf("its status is %q", d)
	}
}

// A query with several result sets is one span, which ends with the last set.
func TestSpanOfResultSets(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("all"), Sets: 2}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: newTracer(t, spans)}))
	defer db.Close()
	rows, err := db.Query("q")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("the span ended with the first set")
	}
	if !rows.NextResultSet() {
		t.Fatal("there is no second set")
	}
	for rows.Next() {
	}
	if n := len(spans.Ended()); n != 1 {
		t.Errorf("%d spans have ended with the last set", n)
	}
}

// Without an SDK, no tracer is requested from OpenTelemetry. An SDK that is installed later
// receives spans from then on, and so does one that replaces it.
func TestGlobalProvider(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's"), Sets: 1}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Source: tracing.Source{System: "some_engine"}}))
	defer db.Close()
	if _, err := db.Exec("q"); err != nil {
		t.Fatal(err)
	}
	first, spans := tracetest.NewSpanRecorder(), tracetest.NewSpanRecorder()
	for _, rec := range []*tracetest.SpanRecorder{first, spans} { // the second one replaces the first
		otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)))
		if _, err := db.Exec("SELECT 'secret' -- q"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(first.Ended()); n != 1 {
		t.Errorf("%d spans of the first provider", n)
	}
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "SELECT" || ended[0].SpanKind() != trace.SpanKindClient {
		t.Fatalf("%d spans: %v", len(ended), ended)
	}
	for _, kv := range ended[0].Attributes() {
		if strings.Contains(kv.Value.String(), "secret") {
			t.Errorf("%s shows a query of an engine whose SQL is not read: %s", kv.Key, kv.Value)
		}
	}
}
