package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// watched keeps the calls of a database.
type watched struct {
	mu    sync.Mutex
	calls []driver.Call
}

func watch(t *testing.T, db *sql.DB) *watched {
	t.Helper()
	w := &watched{}
	detach, err := driver.Watch(db, func(c driver.Call) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls = append(w.calls, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(detach)
	return w
}

// take returns the calls since the last take.
func (w *watched) take() []driver.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// story returns a call in a line.
func story(c driver.Call) string {
	s := "exec "
	if c.Query {
		s = "query "
	}
	s += c.Text
	for _, n := range []struct {
		name string
		n    int
	}{{"rows", int(c.Rows)}, {"scan", c.FullScanSteps}, {"sorts", c.Sorts}, {"auto", c.AutoIndexRows}} {
		if n.n > 0 {
			s += fmt.Sprintf(" %s=%d", n.name, n.n)
		}
	}
	if c.Err != nil {
		s += " " + c.Err.Error()
	}
	return s
}

// watchables open a database with a table t of 100 rows, whose only index is that of its key.
var watchables = map[string]func(t *testing.T) *sql.DB{
	"sqlitemw": func(t *testing.T) *sql.DB {
		db, err := sql.Open("sqlitemw", file(t))
		return filled(t, db, err)
	},
	"connector": func(t *testing.T) *sql.DB { return filled(t, open(t, file(t), driver.Config{}), nil) },
	"with details": func(t *testing.T) *sql.DB {
		db := open(t, file(t), driver.Config{Tracing: withDetails(t)})
		return filled(t, db, nil)
	},
	"without cache": func(t *testing.T) *sql.DB {
		return filled(t, open(t, file(t), driver.Config{StatementCache: -1}), nil)
	},
	"mattn": func(t *testing.T) *sql.DB {
		db, err := sql.Open("sqlitemw-mattn", file(t))
		return filled(t, db, err)
	},
	"modernc": func(t *testing.T) *sql.DB {
		db, err := sql.Open("sqlitemw-modernc", file(t))
		return filled(t, db, err)
	},
	"in memory": func(t *testing.T) *sql.DB {
		db, err := sql.Open("sqlitemw", ":memory:")
		db.SetMaxOpenConns(1)
		return filled(t, db, err)
	},
	"sqlitemw-pool": func(t *testing.T) *sql.DB {
		db, err := sql.Open("sqlitemw-pool", file(t))
		return filled(t, db, err)
	},
	"pool.Open": func(t *testing.T) *sql.DB { return filled(t, openPool(t).DB(), nil) },
	"NewDB":     func(t *testing.T) *sql.DB { return filled(t, openPool(t).NewDB(), nil) },
}

func withDetails(t *testing.T) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(), Details: true})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func openPool(t *testing.T) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{Path: file(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func filled(t *testing.T, db *sql.DB, err error) *sql.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT)")
	exec(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, i % 7, 'x' || i FROM n")
	return db
}

// Every kind of call is seen once, with its own counters, also if its statement is cached.
func TestWatch(t *testing.T) {
	for name, open := range watchables {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			read := func(rows *sql.Rows, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				for rows.Next() {
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
			}
			prepared, err := db.Prepare("SELECT a FROM t WHERE b = ?")
			if err != nil {
				t.Fatal(err)
			}
			defer prepared.Close()
			insert, err := db.Prepare("INSERT INTO t(b) SELECT count(b) FROM t WHERE b = ?")
			if err != nil {
				t.Fatal(err)
			}
			defer insert.Close()
			ctx := t.Context()
			read(db.Query("SELECT b FROM t ORDER BY b")) // unwatched: its counters stay in the statement
			read(prepared.Query(3))
			w := watch(t, db)
			for _, tc := range []struct {
				name string
				call func()
				want []string
			}{
				{"scan and sort", func() { read(db.Query("SELECT b FROM t ORDER BY b")) }, []string{"query SELECT b FROM t ORDER BY b rows=100 scan=99 sorts=1"}},
				{"again", func() { read(db.Query("SELECT b FROM t ORDER BY b")) }, []string{"query SELECT b FROM t ORDER BY b rows=100 scan=99 sorts=1"}},
				{"by key", func() { value[int](t, db, "SELECT b FROM t WHERE a = ?", 7) }, []string{"query SELECT b FROM t WHERE a = ? rows=1"}},
				{"prepared", func() { read(prepared.Query(3)) }, []string{"query SELECT a FROM t WHERE b = ? rows=14 scan=99"}},
				{"prepared again", func() { read(prepared.Query(3)) }, []string{"query SELECT a FROM t WHERE b = ? rows=14 scan=99"}},
				{"transaction", func() {
					tx, err := db.BeginTx(ctx, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					exec(t, tx, "UPDATE t SET c = 'y' WHERE b = 1")
					read(tx.Stmt(prepared).Query(3))
				}, []string{"exec UPDATE t SET c = 'y' WHERE b = 1 scan=99", "query SELECT a FROM t WHERE b = ? rows=14 scan=99"}},
				{"connection", func() {
					conn, err := db.Conn(ctx)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					read(conn.QueryContext(ctx, "SELECT a FROM t LIMIT 3"))
				}, []string{"query SELECT a FROM t LIMIT 3 rows=3 scan=2"}},
				{"returning", func() { read(db.Query("UPDATE t SET c = 'z' WHERE a < ? RETURNING a", 3)) },
					[]string{"query UPDATE t SET c = 'z' WHERE a < ? RETURNING a rows=2"}},
				{"several", func() { exec(t, db, "UPDATE t SET b = b; UPDATE t SET c = c") },
					[]string{"exec UPDATE t SET b = b; UPDATE t SET c = c scan=198"}},
				{"constraint", func() { db.Exec("INSERT INTO t(a) VALUES (?)", 1) }, []string{"exec INSERT INTO t(a) VALUES (?) sqlite3: constraint failed: UNIQUE constraint failed: t.a"}},
				{"syntax", func() { db.Exec("SELEC 1") }, []string{`exec SELEC 1 sqlite3: SQL logic error: near "SELEC": syntax error`}},
				{"error in a row", func() {
					rows, err := db.Query("SELECT abs(-9223372036854775808 + (a - 1) * 0 + CASE a WHEN 1 THEN 5 ELSE 0 END) FROM t")
					if err == nil {
						for rows.Next() {
						}
						rows.Close()
					}
				}, []string{"query SELECT abs(-9223372036854775808 + (a - 1) * 0 + CASE a WHEN 1 THEN 5 ELSE 0 END) FROM t rows=1 scan=1 sqlite3: SQL logic error: integer overflow"}},
				{"no rows", func() { db.QueryRow("SELECT a FROM t WHERE a = 1000").Scan(new(int)) }, []string{"query SELECT a FROM t WHERE a = 1000"}},
				{"automatic index", func() {
					read(db.Query("SELECT count(*) FROM t AS x JOIN t AS y ON x.b = y.c AND y.a > 0"))
				}, []string{"query SELECT count(*) FROM t AS x JOIN t AS y ON x.b = y.c AND y.a > 0 rows=1 auto=99"}},
				{"insert", func() { // the last, because it changes the number of rows
					if _, err := insert.Exec(2); err != nil {
						t.Fatal(err)
					}
				}, []string{"exec INSERT INTO t(b) SELECT count(b) FROM t WHERE b = ? scan=99"}},
			} {
				tc.call()
				var got []string
				for _, c := range w.take() {
					got = append(got, story(c))
					switch {
					case c.VMSteps == 0 && (c.Err == nil || c.Rows > 0):
						t.Errorf("%s: no step of the virtual machine", tc.name)
					case c.Start.IsZero() || c.Duration < 0 || c.Duration > time.Minute:
						t.Errorf("%s: started at %v, took %v", tc.name, c.Start, c.Duration)
					case !slices.ContainsFunc(functions(c), func(f string) bool { return strings.Contains(f, "TestWatch") }):
						t.Errorf("%s: the stack is without the test: %q", tc.name, functions(c))
					}
				}
				if strings.HasSuffix(name, "sqlitemw-pool") || strings.HasPrefix(name, "pool") {
					for i := range got {
						got[i], _, _ = strings.Cut(got[i], ": SQL: ")
					}
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("%s:\ngot  %q\nwant %q", tc.name, got, tc.want)
				}
			}
		})
	}
}

// functions returns the names of the functions on the call's stack.
func functions(c driver.Call) (names []string) {
	frames := runtime.CallersFrames(c.Stack)
	for {
		frame, more := frames.Next()
		names = append(names, frame.Function)
		if !more {
			return names
		}
	}
}

// A call has the span of its caller's context, also if the pool runs it.
func TestWatchTrace(t *testing.T) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	for name, open := range watchables {
		db := open(t)
		w := watch(t, db)
		ctx := trace.ContextWithSpanContext(t.Context(), span)
		db.ExecContext(ctx, "UPDATE t SET b = 1 WHERE a = 1")
		db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
		calls := w.take()
		if len(calls) != 2 || !calls[0].Trace.Equal(span) || !calls[1].Trace.Equal(span) {
			t.Errorf("%s: got %+v", name, calls)
		}
	}
}

// The database of a lane shows the calls of the whole pool, which has one set of watchers. The
// pool's own work is not shown.
func TestWatchPool(t *testing.T) {
	p := openPool(t)
	filled(t, p.NewDB(), nil)
	for _, db := range []*sql.DB{p.DB(), p.Reader(), p.Writer()} {
		detachAll := watch(t, db)
		value[int](t, p.Reader(), "SELECT b FROM t WHERE a = 1")
		exec(t, p.Writer(), "UPDATE t SET b = 2 WHERE a = 1")
		if _, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); err != nil {
			t.Fatal(err)
		}
		if err := p.HealthCheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls := detachAll.take(); len(calls) != 2 {
			t.Errorf("%d calls, want 2: %v", len(calls), calls)
		}
	}
}

// A pool that its first call opens can be watched before.
func TestWatchUnopenedPool(t *testing.T) {
	db, err := sql.Open("sqlitemw-pool", file(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := watch(t, db)
	exec(t, db, "CREATE TABLE t(a)")
	if calls := w.take(); len(calls) != 1 {
		t.Errorf("%d calls, want 1", len(calls))
	}
}

// Calls that the caller's context ends have an error.
func TestWatchCancelled(t *testing.T) {
	db := filled(t, open(t, file(t), driver.Config{}), nil)
	w := watch(t, db)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := db.QueryContext(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	cancel()
	for rows.Next() {
	}
	rows.Close()
	eventually(t, func() (bool, string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.calls) == 1, "the call is not reported"
	})
	if c := w.take()[0]; c.Err == nil || c.Rows == 0 {
		t.Errorf("rows: %v", story(c))
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	db.ExecContext(ctx, "INSERT INTO t(b) "+endless)
	calls := w.take()
	if len(calls) != 1 || !errors.Is(calls[0].Err, sqlite3.INTERRUPT) {
		t.Errorf("exec: %v", calls)
	}
}

// A call that a panic ends has ErrPanicked, and the panic reaches the program.
func TestWatchPanickedCall(t *testing.T) {
	db := open(t, file(t), driver.Config{Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("panics", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { panic("the function panics on purpose") })
	}})
	w := watch(t, db)
	func() {
		defer func() {
			if v := recover(); v == nil {
				t.Error("the panic does not reach the program")
			}
		}()
		db.Exec("SELECT panics()")
	}()
	calls := w.take()
	if len(calls) != 1 || !errors.Is(calls[0].Err, driver.ErrPanicked) {
		t.Fatalf("got %v", calls)
	}
	if _, err := calls[0].Plan(); err == nil {
		t.Error("a call that is over has no plan")
	}
	value[int](t, db, "SELECT 1")
}

// ncruces' savepoints reach the connection by an empty query, which is no call.
func TestWatchSavepoint(t *testing.T) {
	db := filled(t, open(t, file(t), driver.Config{}), nil)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	w := watch(t, db)
	s := sqlite3driver.Savepoint(tx)
	if err := s.Rollback(); err != nil {
		t.Fatal(err)
	}
	if calls := w.take(); len(calls) != 0 {
		t.Errorf("got %v", calls)
	}
}
