package dbtest_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/dbtest"
)

// A function may make as many calls as its budget allows, and not one more.
func TestAtMost(t *testing.T) {
	for name, open := range shops {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			two := func() {
				read(t, db, "SELECT name FROM customers WHERE id = ?", 1)
				exec(t, db, "UPDATE orders SET total = 1 WHERE id = 1")
			}
			ft := &fakeT{}
			dbtest.AtMost(ft, db, 2, two)
			dbtest.AtMost(ft, db, 0, func() {})
			dbtest.AtMost(ft, db, 1, two, dbtest.Allow("update orders set total = 2 where id = 3"))
			compare(t, "within", ft.end())

			ft = &fakeT{}
			dbtest.AtMost(ft, db, 2, func() {
				two()
				two()
			})
			compare(t, "beyond", ft.end(), `dbtest: 4 calls, but at most 2 are allowed
2 calls:
	SELECT name FROM customers WHERE id = ?
	plan:
		SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)
	called at helpers_test.go:N, from budget_test.go:N
2 calls:
	UPDATE orders SET total = 1 WHERE id = 1
	plan:
		SEARCH orders USING INTEGER PRIMARY KEY (rowid=?)
	called at helpers_test.go:N, from budget_test.go:N`)

			ft = &fakeT{}
			dbtest.AtMost(ft, db, 1, two)
			if got := ft.end(); len(got) != 1 || !strings.HasPrefix(got[0], "dbtest: 2 calls, but at most 1 is allowed\n") {
				t.Errorf("one too many: %q", got)
			}
			ft = &fakeT{}
			dbtest.AtMost(ft, db, 1, func() { read(t, db, "SELECT 1") })
			two()
			compare(t, "calls after the function", ft.end())
		})
	}
}

// The calls of a write whose plan is not needed leave what changes() returns.
func TestAtMostChanges(t *testing.T) {
	db := openShop(t, "sqlitemw")
	db.SetMaxOpenConns(1)
	ft := &fakeT{}
	dbtest.AtMost(ft, db, 2, func() {
		exec(t, db, "UPDATE orders SET total = 1 WHERE id < 3")
		if got := read(t, db, "SELECT changes()"); got[0] != "2" {
			t.Errorf("changes() returns %s", got)
		}
	})
	compare(t, "two calls", ft.end())
}

// Rows that the function leaves open count when they are closed. Queries from before do not
// count, and neither do queries from after.
func TestAtMostLateRows(t *testing.T) {
	db := openShop(t, "sqlitemw")
	before, err := db.Query("SELECT id FROM customers")
	if err != nil {
		t.Fatal(err)
	}
	ft := &fakeT{}
	dbtest.AtMost(ft, db, 0, func() { before.Close() })
	compare(t, "opened before", ft.end())

	dbtest.AtMost(ft, db, 0, func() {
		rows, err := db.Query("SELECT id FROM customers WHERE id = 1")
		if err != nil {
			t.Fatal(err)
		}
		ft.Cleanup(func() { rows.Close() })
	})
	if len(ft.failures) != 0 {
		t.Errorf("too early: %q", ft.failures)
	}
	read(t, db, "SELECT id FROM orders")
	got := ft.end()
	compare(t, "closed after", got, `dbtest: 1 call, but at most 0 are allowed
1 call:
	SELECT id FROM customers WHERE id = 1
	plan:
		SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)
	called at budget_test.go:N`)
}

// A function that panics is not watched any more, and reports nothing but its panic.
func TestAtMostPanic(t *testing.T) {
	db := openShop(t, "sqlitemw")
	ft := &fakeT{}
	func() {
		defer func() {
			if v := recover(); v != "on purpose" {
				t.Errorf("recovered %v", v)
			}
		}()
		dbtest.AtMost(ft, db, 0, func() { panic("on purpose") })
	}()
	read(t, db, "SELECT 1")
	compare(t, "panic", ft.end())
}
