package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// attempts returns the name of each span in order, with the number of its attempt if it has one.
func attempts(spans *tracetest.SpanRecorder) (got []string) {
	for _, s := range spans.Started() {
		name := s.Name()
		if n := attr(s, "sqlitemw.call.attempt"); n != "" {
			name += " " + n
		}
		if s.SpanKind().String() == "client" {
			got = append(got, name)
		}
	}
	spans.Reset()
	return got
}

// failing returns a hook that fails the first n times.
func failing(n int, err error) fake.Hook {
	return func(_ context.Context, called int) error {
		if called < n {
			return err
		}
		return nil
	}
}

// The second and third attempt of a call that database/sql repeats have their numbers. So has
// nothing else.
func TestAttempts(t *testing.T) {
	const ins, sel, prep = "INSERT t", "SELECT t", "PREPARE INSERT t"
	exec := func(db *sql.DB) { db.Exec(insertText, 1) }
	for _, intercepted := range []bool{false, true} {
		for _, tc := range []struct {
			name string
			fail func(*fake.Base)
			do   func(*sql.DB)
			want []string
		}{
			{"no failure", func(*fake.Base) {}, exec, []string{ins}},
			{"one failure", func(f *fake.Base) { f.On(failing(1, driver.ErrBadConn), "ExecContext") }, exec, []string{ins, ins + " 2"}},
			{"two failures", func(f *fake.Base) { f.On(failing(2, driver.ErrBadConn), "ExecContext") }, exec, []string{ins, ins + " 2", ins + " 3"}},
			{"a wrapped error", func(f *fake.Base) { f.On(failing(1, fmt.Errorf("lost: %w", driver.ErrBadConn)), "ExecContext") }, exec, []string{ins, ins + " 2"}},
			{"another error", func(f *fake.Base) { f.On(failing(1, fake.ErrFault), "ExecContext") }, func(db *sql.DB) { exec(db); exec(db) }, []string{ins, ins}},
			{"all fail, and the program repeats", func(f *fake.Base) { f.On(failing(4, driver.ErrBadConn), "ExecContext") },
				func(db *sql.DB) { exec(db); exec(db) }, []string{ins, ins + " 2", ins + " 3", ins, ins + " 2"}},
			{"the repetition fails otherwise", func(f *fake.Base) {
				f.On(func(_ context.Context, n int) error { return []error{driver.ErrBadConn, fake.ErrFault, nil}[n] }, "ExecContext")
			}, func(db *sql.DB) { exec(db); exec(db) }, []string{ins, ins + " 2", ins}},
			{"no connection for the repetition", func(f *fake.Base) {
				f.On(failing(1, driver.ErrBadConn), "ExecContext")
				f.On(func(_ context.Context, n int) error { return []error{nil, fake.ErrFault, nil}[n] }, "Connect")
			}, func(db *sql.DB) { exec(db); exec(db) }, []string{ins, ins}},
			{"bad connections count as tries", func(f *fake.Base) {
				f.On(failing(1, driver.ErrBadConn), "ResetSession")
				f.On(func(_ context.Context, n int) error {
					return []error{nil, driver.ErrBadConn, driver.ErrBadConn, nil}[n]
				}, "ExecContext")
			}, func(db *sql.DB) { exec(db); exec(db); exec(db) }, []string{ins, ins, ins + " 2", ins}},
			{"query", func(f *fake.Base) { f.On(failing(2, driver.ErrBadConn), "QueryContext") }, func(db *sql.DB) {
				if rows, err := db.Query(readText, 1); err == nil {
					rows.Close()
				}
			}, []string{sel, sel + " 2", sel + " 3"}},
			{"begin", func(f *fake.Base) { f.On(failing(1, driver.ErrBadConn), "BeginTx") }, func(db *sql.DB) {
				if tx, err := db.Begin(); err == nil {
					tx.Rollback()
				}
			}, []string{"BEGIN", "BEGIN 2", "ROLLBACK"}},
			{"prepare", func(f *fake.Base) { f.On(failing(1, driver.ErrBadConn), "PrepareContext") }, func(db *sql.DB) {
				if stmt, err := db.Prepare(insertText); err == nil {
					stmt.Exec(1)
					stmt.Close()
				}
			}, []string{prep, prep + " 2", ins}},
			{"statement", func(f *fake.Base) { f.On(failing(2, driver.ErrBadConn), "stmt.ExecContext") }, func(db *sql.DB) {
				if stmt, err := db.Prepare(insertText); err == nil {
					stmt.Exec(1)
					stmt.Close()
				}
			}, []string{prep, ins, ins + " 2", ins + " 3"}},
			{"statement that cannot be prepared again", func(f *fake.Base) {
				f.On(failing(1, driver.ErrBadConn), "stmt.ExecContext")
				f.On(func(_ context.Context, n int) error { return []error{nil, driver.ErrBadConn, nil}[n] }, "PrepareContext")
			}, func(db *sql.DB) {
				if stmt, err := db.Prepare(insertText); err == nil {
					stmt.Exec(1)
					stmt.Close()
				}
			}, []string{prep, ins, ins + " 2"}},
			{"in a transaction nothing is repeated", func(f *fake.Base) { f.On(failing(1, driver.ErrBadConn), "ExecContext") }, func(db *sql.DB) {
				if tx, err := db.Begin(); err == nil {
					tx.Exec(insertText, 1)
					tx.Exec(insertText, 1)
					tx.Rollback()
				}
			}, []string{"BEGIN", ins, ins, "ROLLBACK"}},
			{"another call of the goroutine", func(f *fake.Base) { f.On(failing(3, driver.ErrBadConn), "ExecContext") }, func(db *sql.DB) {
				exec(db)
				db.Exec("DELETE FROM t")
				exec(db)
			}, []string{ins, ins + " 2", ins + " 3", "DELETE t", ins}},
		} {
			t.Run(fmt.Sprintf("%s, intercepted %t", tc.name, intercepted), func(t *testing.T) {
				f := newFake()
				spans := tracetest.NewSpanRecorder()
				cfg := wrap.Config{Source: tracing.Source{System: "sqlite"}, Tracing: newTracer(t, spans)}
				if intercepted {
					cfg.Interceptors = []sqlmw.Interceptor{sqlmw.NullInterceptor{}}
				}
				db := sql.OpenDB(wrap.NewConnector(f, cfg))
				defer db.Close()
				tc.fail(f)
				tc.do(db)
				if got := attempts(spans); !slices.Equal(got, tc.want) {
					t.Errorf("the calls are %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// A call is a repetition only on its own goroutine: the same call of another goroutine, with the
// same context, is none, although it is made between the attempts.
func TestAttemptsOfGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		db, spans := tracedDB(t, f)
		f.On(failing(1, driver.ErrBadConn), "ExecContext")
		f.On(func(_ context.Context, n int) error { // the connect for the repetition takes long
			if n == 1 {
				time.Sleep(time.Second)
			}
			return nil
		}, "Connect")
		var group sync.WaitGroup
		group.Go(func() { db.Exec(insertText, 1) })
		group.Go(func() {
			time.Sleep(time.Millisecond)
			db.Exec(insertText, 1)
		})
		group.Wait()
		if got, want := attempts(spans), []string{"INSERT", "INSERT", "INSERT 2"}; !slices.Equal(got, want) {
			t.Errorf("the calls are %q, want %q", got, want)
		}
	})
}

// A context that cannot be compared does no harm, and is never taken for another.
func TestAttemptsWithUncomparableContext(t *testing.T) {
	f := newFake()
	db, spans := tracedDB(t, f)
	f.On(failing(1, driver.ErrBadConn), "ExecContext")
	if _, err := db.ExecContext(uncomparable{context.Background(), nil}, insertText, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := attempts(spans), []string{"INSERT", "INSERT"}; !slices.Equal(got, want) {
		t.Errorf("the calls are %q, want %q", got, want)
	}
}

type uncomparable struct {
	context.Context
	_ []int
}
