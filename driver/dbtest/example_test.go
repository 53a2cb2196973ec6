package dbtest_test

import (
	"database/sql"
	"fmt"
	"log"

	_ "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/dbtest"
)

// printT stands for a *testing.T. It prints what a test would fail with.
type printT struct{ cleanups []func() }

func (t *printT) Helper()                           {}
func (t *printT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *printT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }

// end ends the test.
func (t *printT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// openExample opens a database of three customers and their orders.
func openExample() *sql.DB {
	db, err := sql.Open("sqlitemw", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(1) // each connection has an in-memory database of its own
	_, err = db.Exec(`
		CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
		CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER);
		INSERT INTO customers VALUES (1, 'Ada'), (2, 'Ben'), (3, 'Cleo');
		INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2), (4, 3)`)
	if err != nil {
		log.Fatal(err)
	}
	return db
}

// readAll reads the integers that a query returns.
func readAll(db *sql.DB, query string, args ...any) (values []int) {
	rows, err := db.Query(query, args...)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v int
		if err := rows.Scan(&v); err != nil {
			log.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	return values
}

// A query without an index fails the test.
func ExampleNoFullScans() {
	t := &printT{} // in a test, the *testing.T
	db := openExample()
	defer db.Close()

	dbtest.NoFullScans(t, db, dbtest.Allow("customers"))
	readAll(db, "SELECT id FROM customers WHERE name > 'B'")
	readAll(db, "SELECT id FROM orders WHERE customer = ?", 2)
	t.end()
	// Output:
	// dbtest: full scan: 1 call, 3 steps
	// 	SELECT id FROM orders WHERE customer = ?
	// 	full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
	// 	plan:
	// 		SCAN orders
	// 	called at example_test.go:46, from example_test.go:72
}

// A query for each row of another fails the test.
func ExampleNoRepeats() {
	t := &printT{} // in a test, the *testing.T
	db := openExample()
	defer db.Close()

	dbtest.NoRepeats(t, db, func() {
		for _, order := range readAll(db, "SELECT id FROM orders") {
			readAll(db, "SELECT customer FROM orders WHERE id = ?", order)
		}
	})
	// Output:
	// dbtest: N+1: 4 calls of one statement, more than 2
	// 	SELECT customer FROM orders WHERE id = ?
	// 	plan:
	// 		SEARCH orders USING INTEGER PRIMARY KEY (rowid=?)
	// 	called at example_test.go:46, from example_test.go:91
	// 	one statement for all rows would avoid them: JOIN, WHERE ... IN (...), or VALUES with several rows
}

// A function that exceeds its budget of calls fails the test.
func ExampleAtMost() {
	t := &printT{} // in a test, the *testing.T
	db := openExample()
	defer db.Close()

	dbtest.AtMost(t, db, 1, func() {
		readAll(db, "SELECT id FROM customers WHERE id = 1")
		readAll(db, "SELECT id FROM orders WHERE id = 1")
	})
	// Output:
	// dbtest: 2 calls, but at most 1 is allowed
	// 1 call:
	// 	SELECT id FROM customers WHERE id = 1
	// 	plan:
	// 		SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)
	// 	called at example_test.go:46, from example_test.go:110
	// 1 call:
	// 	SELECT id FROM orders WHERE id = 1
	// 	plan:
	// 		SEARCH orders USING INTEGER PRIMARY KEY (rowid=?)
	// 	called at example_test.go:46, from example_test.go:111
}

// A test can check the calls of a function itself.
func ExampleCollect() {
	t := &printT{} // in a test, the *testing.T
	db := openExample()
	defer db.Close()

	for _, c := range dbtest.Collect(t, db, func() { readAll(db, "SELECT id FROM customers ORDER BY name") }) {
		fmt.Println(c.Text, c.Rows, "rows", c.FullScanSteps, "steps", c.Sorts, "sort")
	}
	// Output:
	// SELECT id FROM customers ORDER BY name 3 rows 2 steps 1 sort
}
