package dbtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/dbtest"
	"github.com/sqlitemw/sqlitemw/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeT is a test that may fail.
type fakeT struct {
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

var _ dbtest.TB = &fakeT{}

func (t *fakeT) Helper() {}

func (t *fakeT) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

func (t *fakeT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// end ends the test, and returns its failures.
func (t *fakeT) end() []string {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	t.cleanups = nil
	return t.failures
}

// shops open a database with the tables customers, orders and countries. Only their keys have
// indexes.
var shops = map[string]func(t testing.TB) *sql.DB{
	"sqlitemw":      func(t testing.TB) *sql.DB { return openShop(t, "sqlitemw") },
	"sqlitemw-pool": func(t testing.TB) *sql.DB { return openShop(t, "sqlitemw-pool") },
	"pool.Open": func(t testing.TB) *sql.DB {
		p, err := pool.Open(context.Background(), pool.Config{Path: filepath.Join(t.TempDir(), "shop.db")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		fill(t, p.DB())
		return p.DB()
	},
	"one connection": func(t testing.TB) *sql.DB {
		c, err := driver.NewConnector(":memory:", driver.Config{})
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { db.Close() })
		fill(t, db)
		return db
	},
}

func openShop(t testing.TB, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open(name, filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	fill(t, db)
	return db
}

func fill(t testing.TB, db *sql.DB) {
	t.Helper()
	for _, query := range []string{
		"CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, country INTEGER)",
		"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, total INTEGER)",
		"CREATE TABLE countries(id INTEGER PRIMARY KEY, name TEXT)",
		"INSERT INTO countries VALUES (1, 'Chile'), (2, 'Kenya'), (3, 'Nepal')",
		"INSERT INTO customers VALUES (1, 'Ada', 1), (2, 'Ben', 2), (3, 'Cleo', 2), (4, 'Dan', 3)",
		"INSERT INTO orders VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30), (4, 3, 40), (5, 4, 50)",
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
}

type queryer interface {
	Query(query string, args ...any) (*sql.Rows, error)
}

// read reads all rows of a query, and returns their first columns.
func read(t testing.TB, db queryer, query string, args ...any) (values []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	dest := make([]any, len(columns))
	for i := range dest {
		dest[i] = new(sql.NullString)
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		values = append(values, dest[0].(*sql.NullString).String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func exec(t testing.TB, db interface {
	Exec(string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

var lineNumber = regexp.MustCompile(`(_test\.go|store\.go):\d+`)

// compare compares failures without the numbers of lines.
func compare(t *testing.T, name string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d failures, want %d:\n%s", name, len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i := range got {
		if g := lineNumber.ReplaceAllString(got[i], "$1:N"); g != want[i] {
			t.Errorf("%s: the failure is\n%s\nwant\n%s", name, g, want[i])
		}
	}
}
