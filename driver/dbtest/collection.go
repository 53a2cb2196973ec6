package dbtest

import (
	"database/sql"
	"slices"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Collect calls f, and returns the calls of db that finished in the meantime, in the order in
// which they finished. A query is among them if its rows were closed. With them, a test can
// check what no other function of this package checks. Call.Plan fails for them, because the calls
// are over.
func Collect(t TB, db *sql.DB, f func()) []driver.Call {
	t.Helper()
	var mu sync.Mutex
	var calls []driver.Call
	detach, err := driver.Watch(db, func(c driver.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	})
	if err != nil {
		t.Errorf("dbtest: %v", err)
		f()
		return nil
	}
	defer detach()
	f()
	detach()
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(calls)
}
