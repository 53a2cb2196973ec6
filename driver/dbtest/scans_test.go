package dbtest_test

import (
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver/dbtest"
)

const (
	byCustomer = `dbtest: full scan: 1 call, 4 steps
	SELECT id FROM orders WHERE customer = ?
	full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
	plan:
		SCAN orders
	called at helpers_test.go:N, from scans_test.go:N`
	byName = `dbtest: full scan: 1 call, 3 steps
	SELECT id FROM customers WHERE name = ?
	full scan of customers: an index on the columns of WHERE, ON or ORDER BY would avoid it
	plan:
		SCAN customers
	called at scans_test.go:N`
)

// A full scan fails the test, whatever makes the call. Everything else does not.
func TestNoFullScans(t *testing.T) {
	for name, open := range shops {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			prepared, err := db.Prepare("SELECT id FROM orders WHERE customer = ?")
			if err != nil {
				t.Fatal(err)
			}
			defer prepared.Close()
			for _, tc := range []struct {
				name string
				call func()
				want []string
			}{
				{"nothing", func() {}, nil},
				{"by key", func() { read(t, db, "SELECT name FROM customers WHERE id = ?", 1) }, nil},
				{"count", func() { read(t, db, "SELECT count(*) FROM orders") }, nil},
				{"insert", func() { exec(t, db, "INSERT INTO countries(name) VALUES ('Peru')") }, nil},
				{"by column", func() { read(t, db, "SELECT id FROM orders WHERE customer = ?", 1) }, []string{byCustomer}},
				{"twice, from two lines", func() {
					read(t, db, "SELECT id FROM orders WHERE total = 10")
					db.QueryRow("SELECT id FROM orders WHERE total = 60").Scan(new(int))
				}, []string{strings.NewReplacer("1 call, 4", "2 calls, 8", "customer = ?", "total = 10", "scans_test.go:N", "scans_test.go:N (1 call)").Replace(byCustomer) + "\n\tcalled at scans_test.go:N (1 call)"}},
				{"row", func() { db.QueryRow("SELECT id FROM customers WHERE name = ?", "Zoe").Scan(new(int)) }, []string{byName}},
				{"transaction", func() {
					tx, err := db.Begin()
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					exec(t, tx, "CREATE TABLE drafts(a)")
					exec(t, tx, "INSERT INTO drafts VALUES (1), (2)")
					read(t, tx, "SELECT a FROM drafts ORDER BY a DESC")
				}, []string{`dbtest: full scan: 1 call, 1 step
	SELECT a FROM drafts ORDER BY a DESC
	full scan of drafts: an index on the columns of WHERE, ON or ORDER BY would avoid it
	temporary B-tree for ORDER BY: an index in this order would avoid it
	plan:
		SCAN drafts
		USE TEMP B-TREE FOR ORDER BY
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"connection", func() {
					conn, err := db.Conn(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					conn.QueryRowContext(t.Context(), "SELECT id FROM customers WHERE name = ?", "Zoe").Scan(new(int))
				}, []string{byName}},
				{"prepared", func() { prepared.QueryRow(9).Scan(new(int)) }, []string{strings.Replace(byCustomer, "helpers_test.go:N, from ", "", 1)}},
				{"update", func() { exec(t, db, "UPDATE orders SET total = total + 1 WHERE customer = 9") }, []string{`dbtest: full scan: 1 call, 4 steps
	UPDATE orders SET total = total + 1 WHERE customer = 9
	full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
	plan:
		SCAN orders
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"returning", func() { read(t, db, "DELETE FROM orders WHERE customer = ? RETURNING id", 9) }, []string{`dbtest: full scan: 1 call, 4 steps
	DELETE FROM orders WHERE customer = ? RETURNING id
	full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
	plan:
		SCAN orders
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"several statements", func() {
					exec(t, db, "UPDATE countries SET name = name WHERE id = 1;\nUPDATE orders SET total = total WHERE customer = 9")
				}, []string{`dbtest: full scan: 1 call, 4 steps
	UPDATE countries SET name = name WHERE id = 1;
	UPDATE orders SET total = total WHERE customer = 9
	full scan of orders: an index on the columns of WHERE, ON or ORDER BY would avoid it
	plan:
		SEARCH countries USING INTEGER PRIMARY KEY (rowid=?)
		SCAN orders
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"automatic index", func() {
					read(t, db, "SELECT c.name FROM countries c JOIN orders AS o ON c.id = 1 JOIN orders AS p ON p.customer = o.total WHERE o.id < 3")
				}, []string{`dbtest: full scan: 1 call, 0 steps, 4 rows put into automatic indexes
	SELECT c.name FROM countries c JOIN orders AS o ON c.id = 1 JOIN orders AS p ON p.customer = o.total WHERE o.id < 3
	automatic index on orders(customer), which each call builds from a full scan: create it, CREATE INDEX name ON orders(customer)
	plan:
		SEARCH c USING INTEGER PRIMARY KEY (rowid=?)
		SEARCH o USING INTEGER PRIMARY KEY (rowid<?)
		BLOOM FILTER ON p (customer=?)
		SEARCH p USING AUTOMATIC COVERING INDEX (customer=?)
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"an error after the scan", func() {
					rows, err := db.Query("SELECT abs(CASE id WHEN 3 THEN -9223372036854775808 ELSE 1 END) FROM customers")
					if err == nil {
						for rows.Next() {
						}
						rows.Close()
					}
				}, []string{`dbtest: full scan: 1 call, 2 steps
	SELECT abs(CASE id WHEN 3 THEN -9223372036854775808 ELSE 1 END) FROM customers
	full scan of customers
	plan:
		SCAN customers
	called at scans_test.go:N`}},
				{"max", func() { read(t, db, "SELECT max(total) FROM orders") }, []string{`dbtest: full scan: 1 call, 4 steps
	SELECT max(total) FROM orders
	perhaps a full scan of orders for its min or max: an index on that column would avoid it
	plan:
		SEARCH orders
	called at helpers_test.go:N, from scans_test.go:N`}},
				{"max of the key", func() { read(t, db, "SELECT max(id) FROM orders") }, nil},
				{"recursive", func() {
					read(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n")
				}, nil},
				{"materialized", func() {
					read(t, db, "WITH n AS MATERIALIZED (VALUES (1), (2), (3)) SELECT * FROM n AS a JOIN n AS b")
				}, nil},
				{"json", func() { read(t, db, "SELECT value FROM json_each('[1, 2, 3]')") }, nil},
			} {
				ft := &fakeT{}
				dbtest.NoFullScans(ft, db)
				tc.call()
				compare(t, tc.name, ft.end(), tc.want...)
			}
		})
	}
}

// A foreign key, a trigger and a view scan a table that the statement does not name.
func TestNoFullScansUnnamed(t *testing.T) {
	db := openShop(t, "sqlitemw")
	db.SetMaxOpenConns(1)
	exec(t, db, "PRAGMA foreign_keys = on")
	exec(t, db, "INSERT INTO customers VALUES (9, 'Eve', 1)")
	exec(t, db, "CREATE TABLE log(a)")
	exec(t, db, "CREATE TRIGGER logged AFTER INSERT ON log BEGIN UPDATE orders SET total = total WHERE customer = NEW.a; END")
	exec(t, db, "CREATE VIEW named AS SELECT name FROM customers")
	for text, want := range map[string]string{
		"DELETE FROM customers WHERE id = 9": `
	full scan of orders, which the statement does not name: a foreign key of orders needs an index on its columns, or a view scans it
	plan:
		SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)
		SCAN orders
	called at helpers_test.go:N, from scans_test.go:N`,
		"INSERT INTO log VALUES (9)": `
	called at helpers_test.go:N, from scans_test.go:N
	no table of the plan is scanned: a trigger scans one, which plans do not show`,
	} {
		ft := &fakeT{}
		dbtest.NoFullScans(ft, db)
		exec(t, db, text)
		compare(t, text, ft.end(), "dbtest: full scan: 1 call, 4 steps\n\t"+text+want)
	}
	ft := &fakeT{}
	dbtest.NoFullScans(ft, db)
	read(t, db, "SELECT name FROM named")
	if got := ft.end(); len(got) != 1 || !strings.Contains(got[0], "full scan of customers, which the statement does not name") {
		t.Errorf("view: %q", got)
	}
}

// The values of a program's texts make no difference, and neither do allowed tables, by their
// names, not their aliases. The other tables are still forbidden.
func TestNoFullScansAllow(t *testing.T) {
	db := openShop(t, "sqlitemw")
	for _, tc := range []struct {
		name string
		opts []dbtest.Option
		text string
		want int
	}{
		{"not allowed", nil, "SELECT name FROM countries", 1},
		{"table", []dbtest.Option{dbtest.Allow("Countries")}, "SELECT name FROM countries", 0},
		{"alias", []dbtest.Option{dbtest.Allow("countries")}, "SELECT c.name FROM main.countries AS c", 0},
		{"alias without AS", []dbtest.Option{dbtest.Allow("countries")}, "SELECT c.name FROM countries c", 0},
		{"quoted", []dbtest.Option{dbtest.Allow("countries")}, `SELECT c.name FROM "countries" c`, 0},
		{"the alias itself", []dbtest.Option{dbtest.Allow("c")}, "SELECT c.name FROM countries c", 1},
		{"another table", []dbtest.Option{dbtest.Allow("orders")}, "SELECT name FROM countries", 1},
		{"one of two", []dbtest.Option{dbtest.Allow("countries")}, "SELECT c.name FROM countries c, orders", 1},
		{"both", []dbtest.Option{dbtest.Allow("countries", "orders")}, "SELECT c.name FROM countries c, orders", 0},
		{"text", []dbtest.Option{dbtest.Allow("select id from orders where  total = 7;")}, "SELECT id FROM orders WHERE total = 8", 0},
		{"another text", []dbtest.Option{dbtest.Allow("SELECT id FROM orders WHERE customer = 7")}, "SELECT id FROM orders WHERE total = 8", 1},
		{"enough steps", []dbtest.Option{dbtest.UpTo(4)}, "SELECT id FROM orders WHERE total = 8", 0},
		{"too many steps", []dbtest.Option{dbtest.UpTo(3)}, "SELECT id FROM orders WHERE total = 8", 1},
	} {
		ft := &fakeT{}
		dbtest.NoFullScans(ft, db, tc.opts...)
		read(t, db, tc.text)
		if got := ft.end(); len(got) != tc.want {
			t.Errorf("%s: %d failures, want %d: %q", tc.name, len(got), tc.want, got)
		}
	}
}

// A database that is closed before the test ends is no obstacle, nor are rows closed late, and
// nothing is seen after the end.
func TestNoFullScansEnd(t *testing.T) {
	for _, name := range []string{"sqlitemw", "sqlitemw-pool"} {
		ft := &fakeT{}
		db := openShop(t, name)
		dbtest.NoFullScans(ft, db)
		rows, err := db.Query("SELECT id FROM customers WHERE name >= ?", "A")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			rows.Next()
		}
		ft.Cleanup(func() { rows.Close(); db.Close() })
		compare(t, name, ft.end(), strings.NewReplacer("3 steps", "2 steps", "name =", "name >=").Replace(byName))
	}
	db := openShop(t, "sqlitemw")
	ft := &fakeT{}
	dbtest.NoFullScans(ft, db)
	ft.end()
	read(t, db, "SELECT id FROM orders WHERE total = 8")
	compare(t, "after the end", ft.end())
}

// The calls of subtests belong to the test, and those of parallel tests with databases of their
// own do not.
func TestNoFullScansSubtests(t *testing.T) {
	db := openShop(t, "sqlitemw")
	var outer, inner fakeT
	dbtest.NoFullScans(&outer, db)
	t.Run("group", func(t *testing.T) {
		for range 4 {
			t.Run("parallel", func(t *testing.T) {
				t.Parallel()
				own := openShop(t, "sqlitemw-pool")
				ft := &fakeT{}
				dbtest.NoFullScans(ft, own)
				for range 10 {
					read(t, own, "SELECT id FROM orders WHERE id = 8")
				}
				compare(t, "own", ft.end())
			})
		}
	})
	t.Run("sub", func(t *testing.T) {
		dbtest.NoFullScans(&inner, db)
		db.QueryRow("SELECT id FROM customers WHERE name = ?", "Zoe").Scan(new(int))
		compare(t, "inner", inner.end(), byName)
	})
	compare(t, "outer", outer.end(), byName)
}

// Goroutines may call at the same time, in transactions that lock each other out.
func TestNoFullScansConcurrently(t *testing.T) {
	for name, open := range shops {
		db := open(t)
		ft := &fakeT{}
		dbtest.NoFullScans(ft, db)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 10 {
					tx, err := db.Begin()
					if err != nil {
						t.Error(err)
						return
					}
					db := queryer(tx)
					read(t, db, "SELECT id FROM customers WHERE name = ?", "Zoe")
					tx.Rollback()
				}
			})
		}
		group.Wait()
		want := strings.NewReplacer("1 call, 3", "80 calls, 240", "scans_test", "helpers_test.go:N, from scans_test").Replace(byName)
		compare(t, name, ft.end(), want)
	}
}

// A database that cannot be watched fails the test: no check passes because it sees nothing.
func TestOtherDrivers(t *testing.T) {
	db, err := sqlite3driver.Open(":memory:", func(*sqlite3.Conn) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	called := 0
	for name, check := range map[string]func(dbtest.TB, *sql.DB){
		"NoFullScans": func(t dbtest.TB, db *sql.DB) { dbtest.NoFullScans(t, db); called++ },
		"AtMost":      func(t dbtest.TB, db *sql.DB) { dbtest.AtMost(t, db, 1, func() { called++ }) },
		"NoRepeats":   func(t dbtest.TB, db *sql.DB) { dbtest.NoRepeats(t, db, func() { called++ }) },
		"Collect":     func(t dbtest.TB, db *sql.DB) { dbtest.Collect(t, db, func() { called++ }) },
	} {
		ft := &fakeT{}
		check(ft, db)
		if got := ft.end(); len(got) != 1 || !strings.Contains(got[0], "the database's driver is *driver.SQLite: open it with") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if called != 4 {
		t.Errorf("%d functions were called", called)
	}
}
