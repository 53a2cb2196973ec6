package pool_test

import (
	"context"
	"database/sql"
	"math/bits"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool"
)

// crowd is the number of goroutines for ten connections. It is lower on 32-bit systems, where
// fewer goroutines can hold a connection at the same time.
const crowd = 24 + 40*(bits.UintSize/64)

// inCrowd runs f on many goroutines. It checks that no call waited too long, and that the
// connections beyond the limit are closed afterwards.
func inCrowd(t *testing.T, f func(t *testing.T, d door, i int) error) {
	t.Helper()
	eachDoor(t, pool.Config{MaxConns: 10}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "CREATE TABLE done (who)",
			"INSERT INTO t WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<20) SELECT i, i*i FROM n")
		var wg sync.WaitGroup
		for i := range crowd {
			wg.Go(func() {
				if err := f(t, d, i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s := d.pool.Stats()
		if s.Timeouts != 0 || s.Cancels != 0 || s.Refusals != 0 {
			t.Errorf("%d timeouts, %d cancels, %d refusals", s.Timeouts, s.Cancels, s.Refusals)
		}
		if s.Open > 10 || s.InUse != 0 {
			t.Errorf("%d connections are open afterwards, %d in use", s.Open, s.InUse)
		}
	})
}

// forRows calls f for each row of t.
func forRows(db *sql.DB, f func(a, b int) error) error {
	rows, err := db.Query("SELECT a, b FROM t ORDER BY a")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b int
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
		if err := f(a, b); err != nil {
			return err
		}
	}
	return rows.Err()
}

// TestE2NestedQueries checks programs that issue a query for each row of a query, without
// regard to a pool. None of them waits long.
func TestE2NestedQueries(t *testing.T) {
	inCrowd(t, func(t *testing.T, d door, _ int) error {
		return forRows(d.db, func(a, b int) error {
			var c int
			if err := d.db.QueryRow("SELECT b FROM t WHERE a = ?", a).Scan(&c); err != nil {
				return err
			}
			if c != b {
				t.Errorf("row %d: %d, want %d", a, c, b)
			}
			return nil
		})
	})
}

// TestE2SlowConsumers checks that all goroutines may hold rows at the same time, for as long as
// they like. Here each holds its rows until all do.
func TestE2SlowConsumers(t *testing.T) {
	var here sync.WaitGroup // for one door
	var once sync.Mutex
	waiting := 0
	inCrowd(t, func(t *testing.T, d door, _ int) error {
		once.Lock()
		if waiting == 0 {
			here.Add(crowd)
		}
		waiting = (waiting + 1) % crowd
		once.Unlock()
		arrived := false
		return forRows(d.db, func(a, _ int) error {
			if !arrived {
				arrived = true
				here.Done()
				here.Wait()
			}
			return nil
		})
	})
}

// TestE2TransactionsThatReadBesideReadersThatWrite checks a holder of the writer that wants a
// reader, beside a holder of a reader that wants the writer. They do not wait for each other.
func TestE2TransactionsThatReadBesideReadersThatWrite(t *testing.T) {
	inCrowd(t, func(t *testing.T, d door, i int) error {
		if i%2 == 0 {
			return d.pool.WithTx(context.Background(), nil, func(tx *sql.Tx) error {
				if _, err := tx.Exec("INSERT INTO done VALUES (?)", i); err != nil {
					return err
				}
				var n int
				return d.db.QueryRow("SELECT count(*) FROM t").Scan(&n)
			})
		}
		return forRows(d.db, func(a, _ int) error {
			if a%10 != 1 {
				return nil
			}
			_, err := d.db.Exec("INSERT INTO done VALUES (?)", i)
			return err
		})
	})
}

// TestE2WriteWithinRowsOfTheSameConn checks that, within a checkout, open rows do not prevent a
// write.
func TestE2WriteWithinRowsOfTheSameConn(t *testing.T) {
	inCrowd(t, func(t *testing.T, d door, i int) error {
		conn, err := d.db.Conn(context.Background())
		if err != nil {
			return err
		}
		defer conn.Close()
		rows, err := conn.QueryContext(context.Background(), "SELECT a FROM t")
		if err != nil {
			return err
		}
		defer rows.Close()
		n := 0
		for rows.Next() {
			if n++; n == 1 {
				if _, err := conn.ExecContext(context.Background(), "INSERT INTO done VALUES (?)", i); err != nil {
					return err
				}
			}
		}
		if n != 20 {
			t.Errorf("%d rows", n)
		}
		return rows.Err()
	})
}
