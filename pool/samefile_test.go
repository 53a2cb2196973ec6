package pool_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// twoDoors opens one file twice.
func twoDoors(t *testing.T, cfg pool.Config, f func(t *testing.T, a, b door)) {
	t.Run("pool.Open twice", func(t *testing.T) {
		path := newFile(t)
		f(t, openDoor(t, cfg, path), openDoor(t, cfg, path))
	})
	t.Run("sql.Open beside pool.Open", func(t *testing.T) {
		path := newFile(t)
		f(t, openDoor(t, cfg, path), sqlDoor(t, cfg, path))
	})
	t.Run("by another name", func(t *testing.T) {
		path := newFile(t)
		a := openDoor(t, cfg, path)
		wd, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		f(t, a, sqlDoor(t, cfg, filepath.Join(wd, "..", filepath.Base(wd), "test.db")))
	})
}

// E12: two pools of one file are one queue for who writes: first come, first
// served, whichever pool they came by.
func TestE12WritersOfTwoPoolsAreServedInOrder(t *testing.T) {
	twoDoors(t, pool.Config{}, func(t *testing.T, a, b door) {
		mustExec(t, a.db, "CREATE TABLE t (a INTEGER PRIMARY KEY, who)")
		tx, err := a.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var want []string
		for i := range 8 {
			d, name := a, fmt.Sprint("a", i)
			if i%3 != 0 {
				d, name = b, fmt.Sprint("b", i)
			}
			want = append(want, name)
			before := d.pool.Stats().Waiting
			wg.Go(func() {
				if _, err := d.db.Exec("INSERT INTO t (who) VALUES (?)", name); err != nil {
					t.Error(err)
				}
			})
			for d.pool.Stats().Waiting == before {
				runtime.Gosched()
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		var got []string
		rows, err := b.db.Query("SELECT who FROM t ORDER BY a")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var who string
			if err := rows.Scan(&who); err != nil {
				t.Fatal(err)
			}
			got = append(got, who)
		}
		if !slices.Equal(got, want) {
			t.Errorf("they wrote in the order %v, and came in the order %v", got, want)
		}
	})
}

// increments has many goroutines count in transactions that read, then write, on
// all of these.
func increments(t *testing.T, dbs ...*sql.DB) {
	const workers, each = 8, 10
	mustExec(t, dbs[0], "CREATE TABLE n (n)", "INSERT INTO n VALUES (0)")
	var wg sync.WaitGroup
	for i := range workers {
		db := dbs[i%len(dbs)]
		wg.Go(func() {
			for range each {
				err := func() error {
					tx, err := db.Begin()
					if err != nil {
						return err
					}
					defer tx.Rollback()
					var n int
					if err := tx.QueryRow("SELECT n FROM n").Scan(&n); err != nil {
						return err
					}
					if _, err := tx.Exec("UPDATE n SET n = ?", n+1); err != nil {
						return err
					}
					return tx.Commit()
				}()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, db := range dbs {
		if n := mustScan[int](t, db, "SELECT n FROM n"); n != workers*each {
			t.Errorf("%d of %d increments are left", n, workers*each)
		}
	}
}

// E12: between pools of one process SQLite is never asked for a lock that another
// has: nobody is told that the database is locked, even if none waits for that.
func TestE12TwoPoolsLoseNothingAndAreNeverBusy(t *testing.T) {
	twoDoors(t, pool.Config{BusyTimeout: -1}, func(t *testing.T, a, b door) { increments(t, a.db, b.db) })
}

// E12: a pool beside a database of driver's, which knows nothing of its queue,
// waits as any two handles do.
func TestE12PoolBesidePlainHandle(t *testing.T) {
	eachDoor(t, pool.Config{BusyTimeout: 10 * time.Minute, AcquireTimeout: 20 * time.Minute}, func(t *testing.T, d door) {
		plain, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(d.path)+"?_txlock=immediate&_pragma=busy_timeout(600000)")
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		increments(t, d.db, plain)
	})
}

// E12: when one pool is closed, the other goes on, and its queue is its own.
func TestE12ClosingOnePoolLeavesTheOther(t *testing.T) {
	path := newFile(t)
	a := openDoor(t, pool.Config{}, path)
	b := openDoor(t, pool.Config{}, path)
	mustExec(t, a.db, "CREATE TABLE t (a)")
	if err := a.pool.Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, b.db, "INSERT INTO t VALUES (1)")
	c := openDoor(t, pool.Config{}, path)
	mustExec(t, c.db, "INSERT INTO t VALUES (2)")
	if n := mustScan[int](t, b.db, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows of 2", n)
	}
}
