package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A panic in any call of the engine retires its connection when it is released. The program
// recovers the original value of the panic.
func TestPanicRetires(t *testing.T) {
	type panicked struct{}
	for _, tc := range []struct {
		op   string
		call func(*testing.T, *sql.DB)
	}{
		{"ExecContext", func(t *testing.T, db *sql.DB) { db.Exec("q") }},
		{"PrepareContext", func(t *testing.T, db *sql.DB) { db.Prepare("q") }},
		{"rows.Next", func(t *testing.T, db *sql.DB) {
			rows, err := db.Query("q")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			rows.Next()
		}},
		{"rows.Columns", func(t *testing.T, db *sql.DB) {
			rows, err := db.Query("q")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			rows.Columns()
		}},
		{"rows.NextResultSet", func(t *testing.T, db *sql.DB) {
			rows, err := db.Query("q")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			rows.NextResultSet()
		}},
	} {
		t.Run(tc.op, func(t *testing.T) {
			f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("all"), Sets: 2}
			events := &recorder{}
			spans := tracetest.NewSpanRecorder()
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events, Tracing: newTracer(t, spans)}))
			f.On(fake.Panic(panicked{}), tc.op)
			func() {
				defer func() {
					if p := recover(); p != (panicked{}) {
						t.Errorf("recovered %v: a panic must pass unchanged", p)
					}
				}()
				tc.call(t, db)
			}()
			f.Off()
			db.Close()
			want := []string{"1 connect", "1 acquire", "1 discard panic", "1 close panic"}
			if got := events.story(); !slices.Equal(got, want) {
				t.Errorf("a connection that a panic passed through must be retired: got %v, want %v", got, want)
			}
			if err := checkSpans(spans); err != nil {
				t.Error(err)
			}
			for _, s := range spans.Ended() {
				if s.Status().Description != "panic" {
					t.Errorf("a span that a panic passed through must have the status panic, but %q has %v", s.Name(), s.Status())
				}
			}
		})
	}
}

// A panic of the parent's Connect passes unchanged. It leaves no event and no open span.
func TestPanicInConnect(t *testing.T) {
	f := &fake.Base{Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("none")}
	events := &recorder{}
	spans := tracetest.NewSpanRecorder()
	tracer := newTracer(t, spans)
	connector := wrap.NewConnector(f, wrap.Config{Recorder: events, Tracing: tracer})
	f.On(fake.Panic("fake: connect"), "Connect")
	ctx, parent := startParent(t, spans)
	func() {
		defer func() {
			if p := recover(); p != "fake: connect" {
				t.Errorf("recovered %v: a panic must pass unchanged", p)
			}
		}()
		connector.Connect(ctx)
	}()
	parent.End()
	if err := checkSpans(spans); err != nil {
		t.Error(err)
	}
	if n := len(spans.Ended()); n != 3 { // the parent, acquire and connect
		t.Errorf("%d spans ended, want 3", n)
	}
	if got := events.story(); len(got) != 0 {
		t.Errorf("a connection that was never opened must have no events, got %v", got)
	}
}

// If an error is classified as sick, its connection is retired when it is released, whatever
// call returned the error.
func TestSickRetires(t *testing.T) {
	errSick := errors.New("fake: sick")
	classify := func(err error) tracing.ErrorClass {
		return tracing.ErrorClass{Sick: errors.Is(err, errSick)}
	}
	query := func(db *sql.DB) error {
		rows, err := db.Query("q")
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		if err := rows.Close(); err != nil {
			return err
		}
		return rows.Err()
	}
	tx := func(end func(*sql.Tx) error) func(*sql.DB) error {
		return func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			return end(tx)
		}
	}
	stmt := func(db *sql.DB) error {
		stmt, err := db.Prepare("q")
		if err != nil {
			return err
		}
		defer stmt.Close()
		_, err = stmt.Exec()
		return err
	}
	for op, call := range map[string]func(*sql.DB) error{
		"ExecContext":      func(db *sql.DB) error { _, err := db.Exec("q"); return err },
		"QueryContext":     query,
		"PrepareContext":   stmt,
		"stmt.ExecContext": stmt,
		"rows.Next":        query,
		"rows.Close":       query,
		"Ping":             func(db *sql.DB) error { return db.Ping() },
		"BeginTx":          tx((*sql.Tx).Commit),
		"Commit":           tx((*sql.Tx).Commit),
		"Rollback":         tx((*sql.Tx).Rollback),
	} {
		t.Run(op, func(t *testing.T) {
			f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
			events := &recorder{}
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events, Source: tracing.Source{Classify: classify}}))
			f.On(func(context.Context, int) error { return fmt.Errorf("%w of %s", errSick, op) }, op)
			if err := call(db); !errors.Is(err, errSick) {
				t.Fatalf("the program must get the error, got %v", err)
			}
			f.Off()
			db.Close()
			if err := events.check(false); err != nil {
				t.Error(err)
			}
			got := events.story()
			if want := []string{"1 discard sick", "1 close sick"}; len(got) < 2 || !slices.Equal(got[len(got)-2:], want) {
				t.Errorf("a sick connection must be retired: got the last events %v, want %v", got, want)
			}
		})
	}
}

// These do not retire a connection as sick: an error that is not sick, an end of rows, and a
// bad connection.
func TestSickIsNotEveryError(t *testing.T) {
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
	events := &recorder{}
	classified := 0
	classify := func(err error) tracing.ErrorClass {
		if err == nil {
			t.Error("Classify must be called only for errors")
		}
		classified++
		return tracing.ErrorClass{}
	}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events, Source: tracing.Source{Classify: classify}}))
	rows, err := db.Query("q")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if classified != 0 {
		t.Error("Classify was called for rows that were exhausted")
	}
	f.On(fake.Fail(fake.ErrFault), "ExecContext")
	db.Exec("q")
	f.On(func(_ context.Context, n int) error {
		if n == 0 {
			return driver.ErrBadConn
		}
		return nil
	}, "ExecContext")
	db.Exec("q")
	db.Close()
	want := []string{
		"1 connect", "1 acquire", "1 release", "1 acquire", "1 release", "1 acquire", "1 discard bad", "1 close bad",
		"2 connect", "2 acquire", "2 release", "2 close database closed derived",
	}
	if got := events.story(); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// After a panic, a connection is retired even if the program keeps it. Later calls on it do
// not change that.
func TestPanicIsNotForgotten(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(*fake.Base, *sql.Tx, *sql.Rows)
	}{
		{"nothing", func(*fake.Base, *sql.Tx, *sql.Rows) {}},
		{"a call that succeeds", func(_ *fake.Base, tx *sql.Tx, _ *sql.Rows) { tx.Exec("q") }},
		{"a call that fails", func(f *fake.Base, tx *sql.Tx, _ *sql.Rows) {
			f.On(fake.Fail(fake.ErrFault), "ExecContext")
			tx.Exec("q")
		}},
		{"a row", func(_ *fake.Base, _ *sql.Tx, rows *sql.Rows) { rows.Next() }},
		{"a row that fails", func(f *fake.Base, _ *sql.Tx, rows *sql.Rows) {
			f.On(fake.Fail(fake.ErrFault), "rows.Next")
			rows.Next()
		}},
		{"rows that fail to close", func(f *fake.Base, _ *sql.Tx, rows *sql.Rows) {
			f.On(fake.Fail(fake.ErrFault), "rows.Close")
			rows.Close()
		}},
		{"a result set that fails", func(f *fake.Base, _ *sql.Tx, rows *sql.Rows) {
			f.On(fake.Fail(fake.ErrFault), "rows.NextResultSet")
			rows.NextResultSet()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("all"), Sets: 2}
			events := &recorder{}
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			rows, err := tx.Query("q")
			if err != nil {
				t.Fatal(err)
			}
			f.On(fake.Panic("fake: panic"), "ExecContext")
			func() {
				defer func() { recover() }()
				tx.Exec("q")
			}()
			f.Off()
			tc.then(f, tx, rows)
			f.Off()
			rows.Close()
			tx.Rollback()
			db.Close()
			got := events.story()
			if want := []string{"1 discard panic", "1 close panic"}; !slices.Equal(got[len(got)-2:], want) {
				t.Errorf("a connection that a panic passed through must be retired, but its story is %v", got)
			}
		})
	}
}
