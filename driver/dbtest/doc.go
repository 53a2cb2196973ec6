// Package dbtest has checks for the tests of programs that use SQLite: a full scan of a table
// fails the test, and so does a query in a loop, or a function that makes too many calls.
//
//	func TestShop(t *testing.T) {
//		db, err := sql.Open("sqlitemw", filepath.Join(t.TempDir(), "shop.db"))
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer db.Close()
//		migrateAndFill(t, db)
//		dbtest.NoFullScans(t, db, dbtest.Allow("countries")) // from here to the end of the test
//		dbtest.NoRepeats(t, db, func() { listOrders(db) })   // no query for each row of another
//		dbtest.AtMost(t, db, 2, func() { showOrder(db, 1) }) // a budget
//	}
//
// The database must be of package driver ("sqlitemw" and its variants, a driver.Connector) or
// of package pool ("sqlitemw-pool", or the DB, Reader and Writer of a *pool.Pool). The program
// under test need not be changed. No Tracer and no OpenTelemetry SDK is needed.
//
// # Failures
//
// A failure names the statement, how often it was called, the line of the program that called
// it, the line of the test if that is another, the query plan, and what the plan means:
//
//	dbtest: full scan: 1 call, 99 steps
//		SELECT id FROM orders WHERE customer = ?
//		full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
//		plan:
//			SCAN orders
//		called at store.go:42, from store_test.go:17
//
// The line of the program is the first that is not of database/sql, of this module, or of a
// well-known package that wraps database/sql, such as sqlx or GORM. The plan is the one of
// EXPLAIN QUERY PLAN, on the connection of the call, without arguments; SQLite may choose
// another plan for a statement with arguments. Only SELECT, VALUES, WITH, INSERT, REPLACE,
// UPDATE and DELETE are explained. EXPLAIN executes nothing.
//
// # What the checks see
//
// The checks see what [driver.Watch] sees: each Exec, Query and QueryRow of the database and of
// its transactions, connections and prepared statements, by any goroutine. So two tests that
// run in parallel must not share a database. A query is seen when its rows are closed. All
// databases of one pool show the calls of the whole pool.
//
// # Full scans
//
// [NoFullScans] uses SQLite's own counters, not the plan. A full scan counts a step for
// each row after the first. So a scan of an empty table, or of one with a single row, does not
// fail: fill the tables of a test with at least two rows. A scan that ends early counts only the
// steps that it made: because of LIMIT, because the program closes the rows, or because QueryRow
// reads only the first row. So a QueryRow that finds its row first does not fail. Look for the
// last row of a table, or for a value that no row has. A query whose rows are never closed is not
// checked.
package dbtest
