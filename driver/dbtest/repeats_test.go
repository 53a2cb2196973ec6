package dbtest_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/dbtest"
)

// listOrders is a program with a query for each row of another.
func listOrders(t *testing.T, db *sql.DB) {
	for _, customer := range read(t, db, "SELECT customer FROM orders") {
//line store.go:42
		err := db.QueryRow("SELECT name FROM customers WHERE id = ?", customer).Scan(new(string))
		if err != nil {
			t.Fatal(err)
		}
	}
}

//line repeats_test.go:26

// A query in a loop fails the test. Queries that differ do not.
func TestNoRepeats(t *testing.T) {
	for name, open := range shops {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			ft := &fakeT{}
			dbtest.NoRepeats(ft, db, func() { listOrders(t, db) })
			if got := ft.end(); len(got) == 1 {
				got[0] = strings.ReplaceAll(got[0], directory(t)+"/", "")
				compare(t, "N+1", got, `dbtest: N+1: 5 calls of one statement, more than 2
	SELECT name FROM customers WHERE id = ?
	plan:
		SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)
	called at store.go:N, from repeats_test.go:N
	one statement for all rows would avoid them: JOIN, WHERE ... IN (...), or VALUES with several rows`)
			} else {
				t.Errorf("%d failures, want 1: %q", len(got), got)
			}

			prepared, err := db.Prepare("SELECT name FROM countries WHERE id = ?")
			if err != nil {
				t.Fatal(err)
			}
			defer prepared.Close()
			for _, tc := range []struct {
				name  string
				calls func()
				want  int
				opts  []dbtest.Option
			}{
				{"one query for all", func() { read(t, db, "SELECT name FROM customers JOIN orders ON customers.id = customer") }, 0, nil},
				{"twice", func() {
					read(t, db, "SELECT name FROM customers WHERE id = ?", 1)
					read(t, db, "SELECT name FROM customers WHERE id = ?", 2)
				}, 0, nil},
				{"limit", func() { listOrders(t, db) }, 0, []dbtest.Option{dbtest.UpTo(5)}},
				{"beyond the limit", func() { listOrders(t, db) }, 1, []dbtest.Option{dbtest.UpTo(4)}},
				{"allowed", func() { listOrders(t, db) }, 0, []dbtest.Option{dbtest.Allow("SELECT name FROM customers WHERE id=?")}},
				{"literals", func() {
					read(t, db, "SELECT name FROM customers WHERE id = 1")
					read(t, db, "SELECT name FROM customers WHERE id = 2")
					read(t, db, "SELECT name  FROM customers WHERE id = 3 -- a comment")
				}, 1, nil},
				{"lists", func() {
					read(t, db, "SELECT name FROM customers WHERE id IN (?, ?)", 1, 2)
					read(t, db, "SELECT name FROM customers WHERE id IN (?, ?, ?)", 1, 2, 3)
					read(t, db, "SELECT name FROM customers WHERE id IN (1)")
				}, 1, nil},
				{"prepared", func() {
					for i := range 3 {
						prepared.QueryRow(i).Scan(new(string))
					}
				}, 1, nil},
				{"writes", func() {
					for i := range 3 {
						exec(t, db, "UPDATE orders SET total = ? WHERE id = 1", i)
					}
				}, 1, nil},
				{"two loops", func() {
					listOrders(t, db)
					for i := range 3 {
						prepared.QueryRow(i).Scan(new(string))
					}
				}, 2, nil},
				{"no rows of tables", func() {
					for range 3 {
						read(t, db, "PRAGMA user_version")
					}
				}, 0, nil},
			} {
				ft := &fakeT{}
				dbtest.NoRepeats(ft, db, tc.calls, tc.opts...)
				if got := ft.end(); len(got) != tc.want {
					t.Errorf("%s: %d failures, want %d: %q", tc.name, len(got), tc.want, got)
				}
			}
		})
	}
}

// The calls of each trace count for themselves.
func TestNoRepeatsTraces(t *testing.T) {
	for name, open := range shops {
		db := open(t)
		request := func(id byte, calls int) {
			ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}}))
			for i := range calls {
				db.QueryRowContext(ctx, "SELECT name FROM customers WHERE id = ?", i).Scan(new(string))
			}
		}
		ft := &fakeT{}
		dbtest.NoRepeats(ft, db, func() {
			for id := range byte(9) {
				request(id+1, 2)
			}
		})
		compare(t, name, ft.end())
		dbtest.NoRepeats(ft, db, func() {
			request(1, 2)
			request(2, 3)
		})
		if got := ft.end(); len(got) != 1 || !strings.HasPrefix(got[0], "dbtest: N+1: 3 calls of one statement, more than 2, in the trace 02000000000000000000000000000000\n") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
