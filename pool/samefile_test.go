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

// TestE12WritersOfTwoPoolsAreServedInOrder checks that the writers of two pools with the same
// file share one queue: first come, first served, in whichever pool.
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
			t.Errorf("they wrote in the order %v, want %v", got, want)
		}
	})
}

// increments makes many goroutines increment a counter in transactions that read and then
// write, through all these databases.
func incrementConcurrently(t *testing.T, dbs ...*sql.DB) {
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

// TestE12TwoPoolsLoseNothingAndAreNeverBusy checks that pools of one process never wait for
// each other's locks in SQLite. So no call fails because the database is locked, even without a
// busy timeout.
func TestE12TwoPoolsLoseNothingAndAreNeverBusy(t *testing.T) {
	twoDoors(t, pool.Config{BusyTimeout: -1}, func(t *testing.T, a, b door) { incrementConcurrently(t, a.db, b.db) })
}

// TestE12PoolBesidePlainHandle checks a pool beside a database of package driver, which does
// not use the pool's queue. They wait for each other like any two handles.
func TestE12PoolBesidePlainHandle(t *testing.T) {
	eachDoor(t, pool.Config{BusyTimeout: 10 * time.Minute, AcquireTimeout: 20 * time.Minute}, func(t *testing.T, d door) {
		plain, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(d.path)+"?_txlock=immediate&_pragma=busy_timeout(600000)")
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		incrementConcurrently(t, d.db, plain)
	})
}

// TestE12ClosingOnePoolLeavesTheOther checks that after one pool is closed, the other one
// continues with its own queue.
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
