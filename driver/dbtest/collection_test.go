package dbtest_test

import (
	"os"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/dbtest"
)

func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Collect returns the calls of its function, and no others.
func TestCollect(t *testing.T) {
	for name, open := range shops {
		db := open(t)
		ft := &fakeT{}
		calls := dbtest.Collect(ft, db, func() {
			exec(t, db, "UPDATE orders SET total = 1 WHERE customer = 1")
			read(t, db, "SELECT id FROM customers ORDER BY name")
		})
		read(t, db, "SELECT 1")
		compare(t, name, ft.end())
		if len(calls) != 2 || calls[0].Query || calls[0].FullScanSteps != 4 || calls[1].Rows != 4 || calls[1].Sorts != 1 {
			t.Errorf("%s: %+v", name, calls)
		}
	}
}
