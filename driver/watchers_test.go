package driver_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Watch refuses a database that it cannot watch, and names the driver and the remedy.
func TestWatchRefuses(t *testing.T) {
	db, err := sqlite3driver.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := driver.Watch(db, func(driver.Call) {}); err == nil || !strings.Contains(err.Error(), "*driver.SQLite") || !strings.Contains(err.Error(), `sql.Open("sqlitemw", ...)`) {
		t.Errorf("another driver: %v", err)
	}
	if _, err := driver.Watch(nil, func(driver.Call) {}); err == nil {
		t.Error("nil is no database")
	}
	if _, err := driver.Watch(open(t, ":memory:", driver.Config{}), nil); err == nil {
		t.Error("nil is no function")
	}
}

// Several functions watch a database, each until it is detached.
func TestWatchDetach(t *testing.T) {
	db := filled(t, open(t, file(t), driver.Config{}), nil)
	var counts [3]int
	var detachs [3]func()
	for i := range counts {
		detach, err := driver.Watch(db, func(driver.Call) {
			counts[i]++
			if i == 2 {
				detachs[2]() // by the function itself
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		detachs[i] = detach
	}
	value[int](t, db, "SELECT 1")
	detachs[0]()
	detachs[0]()
	value[int](t, db, "SELECT 1")
	detachs[1]()
	value[int](t, db, "SELECT 1")
	if want := [3]int{1, 2, 1}; counts != want {
		t.Errorf("got %v, want %v", counts, want)
	}
}

// A panic of a function does not reach the program, and loses no connection. The other
// functions are called all the same.
func TestWatchPanics(t *testing.T) {
	logger := slog.Default()
	defer slog.SetDefault(logger)
	var logged strings.Builder
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer func() {
		if n := strings.Count(logged.String(), "the function of driver.Watch panicked"); n != 6*len(watchables) {
			t.Errorf("%d panics were logged, want %d", n, 6*len(watchables))
		}
	}()
	for name, open := range watchables {
		db := open(t)
		db.SetMaxOpenConns(1)
		detach, err := driver.Watch(db, func(driver.Call) { panic("the function panics on purpose") })
		if err != nil {
			t.Fatal(err)
		}
		w := watch(t, db)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for range 3 {
			if _, err := db.ExecContext(ctx, "UPDATE t SET b = 1 WHERE a = 1"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := db.QueryRowContext(ctx, "SELECT b FROM t WHERE a = 1").Scan(new(int)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel()
		detach()
		if n := len(w.take()); n != 6 {
			t.Errorf("%s: %d calls, want 6", name, n)
		}
		if used := db.Stats().InUse; used != 0 {
			t.Errorf("%s: %d connections are in use", name, used)
		}
	}
}

// Watching costs one atomic value while nobody watches: no allocation.
func TestWatchAllocs(t *testing.T) {
	db := filled(t, open(t, file(t), driver.Config{}), nil)
	db.SetMaxOpenConns(1)
	st, err := db.Prepare("SELECT b FROM t WHERE a = 1")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	measure := func() float64 {
		return testing.AllocsPerRun(200, func() {
			st.QueryRow().Scan(new(int))
			db.Exec("UPDATE t SET b = 1 WHERE a = 1")
		})
	}
	before := measure()
	detach, err := driver.Watch(db, func(driver.Call) {})
	if err != nil {
		t.Fatal(err)
	}
	during := measure()
	detach()
	if after := measure(); after > before || during <= before {
		t.Errorf("%v allocations before, %v while watched, %v after", before, during, after)
	}
}

// Calls, watchers and detaching run at the same time.
func TestWatchConcurrently(t *testing.T) {
	db := filled(t, open(t, file(t, "_pragma=busy_timeout(10000)"), driver.Config{}), nil)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				if err := db.QueryRow("SELECT b FROM t WHERE a = 1").Scan(new(int)); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 50 {
				detach, err := driver.Watch(db, func(c driver.Call) {
					if c.Rows != 1 {
						t.Errorf("%d rows", c.Rows)
					}
				})
				if err != nil {
					t.Error(err)
				}
				detach()
			}
		})
	}
	group.Wait()
}
