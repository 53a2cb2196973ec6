package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// eightMegabytes is a query that needs 8 MB.
const eightMegabytes = "SELECT length(hex(zeroblob(4000000)))"

// fits reports whether eightMegabytes succeeds. The test fails if the query fails for
// another reason than lack of memory.
func fits(t *testing.T, ctx context.Context, db *sql.DB) bool {
	t.Helper()
	v := recovered(t, func() {
		var n int
		if err := db.QueryRowContext(ctx, eightMegabytes).Scan(&n); err != nil || n != 8000000 {
			t.Errorf("%d, %v", n, err)
		}
	})
	if err, ok := v.(error); v != nil && (!ok || err.Error() != "sqlite3: out of memory") {
		t.Errorf("it panicked with %v", v)
	}
	return v == nil
}

// The limit of Config or the DSN applies to every connection, whatever the opening context
// says. Without one, the context's limit applies, as on the plain driver.
func TestMemoryLimit(t *testing.T) {
	little := sqlite3.WithMaxMemory(t.Context(), 4<<20)
	much := sqlite3.WithMaxMemory(t.Context(), 1<<30)
	for _, tc := range []struct {
		name  string
		param string
		limit int64
		ctx   context.Context
		fits  bool
	}{
		{"none", "", 0, t.Context(), true},
		{"of the context", "", 0, little, false},
		{"of Config", "", 4 << 20, much, false},
		{"of Config, more", "", 16 << 20, little, true},
		{"of the DSN", "_memory_limit=4194304", 0, much, false},
		{"of both", "_memory_limit=4194304", 16 << 20, t.Context(), false},
		{"none in the DSN", "_memory_limit=0", 4 << 20, t.Context(), false},
		{"the least", "_memory_limit=1048576&_pragma=journal_mode(wal)", 0, t.Context(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			db := open(t, file(t, tc.param), driver.Config{MemoryLimit: tc.limit})
			for range 2 { // the second is opened because the first has panicked
				exec(t, connWith(t, tc.ctx, db), "CREATE TABLE IF NOT EXISTS t(a)")
				if fits(t, tc.ctx, db) != tc.fits {
					t.Errorf("it fits: %v", !tc.fits)
				}
			}
		})
	}
}

// connWith opens a connection with the given context, if no connection is open.
func connWith(t *testing.T, ctx context.Context, db *sql.DB) *sql.DB {
	t.Helper()
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	return db
}

func TestMemoryLimitRefused(t *testing.T) {
	for _, limit := range []int64{-1, 1, 1<<20 - 1, 4<<30 + 1} {
		if _, err := driver.NewConnector(":memory:", driver.Config{MemoryLimit: limit}); err == nil || !strings.Contains(err.Error(), "1048576") {
			t.Errorf("%d: %v", limit, err)
		}
	}
	for _, text := range []string{"-1", "1", "x", "", "1e9", "5000000000"} {
		if _, err := driver.NewConnector("file:a.db?_memory_limit="+text, driver.Config{}); !errors.Is(err, driver.ErrDSN) || !strings.Contains(err.Error(), "1048576") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
