package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestSoak runs 240 goroutines for 20 seconds; they read, write, give up and reset. It checks
// that no commit is lost, that no call waits in vain, and that the pool ends in its initial
// state. make soak runs it.
func TestSoak(t *testing.T) {
	if os.Getenv("SQLITEMW_SOAK") == "" {
		t.Skip("set SQLITEMW_SOAK=1, or make soak")
	}
	const writers, readers, fickle, length = 100, 100, 40, 20 * time.Second
	p, l := pooled(t, pool.Config{MaxConns: 9, MinConns: 3, AcquireTimeout: time.Minute, MaxLifetime: 2 * time.Second, IdleTimeout: time.Second, KeepAlive: time.Second, LeakAfter: 10 * time.Second})
	must(t, p.DB(), "CREATE TABLE accounts(id INTEGER PRIMARY KEY, n INTEGER)")
	must(t, p.DB(), "INSERT INTO accounts VALUES (0, 0), (1, 0)")

	var wrote, read, gaveUp atomic.Int64
	var mu sync.Mutex
	var writeWaits, readWaits []time.Duration
	waited := func(list *[]time.Duration, since time.Time) {
		d := time.Since(since)
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, d)
	}
	// move reads, and then changes both accounts in one transaction.
	move := func(ctx context.Context) error {
		return p.WithTx(ctx, nil, func(tx *sql.Tx) error {
			var n int64
			if err := tx.QueryRowContext(ctx, "SELECT n FROM accounts WHERE id = 0").Scan(&n); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE accounts SET n = ? WHERE id = 0", n+1); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "UPDATE accounts SET n = n - 1 WHERE id = 1")
			return err
		})
	}
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for time.Now().Before(end) {
				began := time.Now()
				if err := move(t.Context()); err != nil {
					t.Errorf("a writer: %v", err)
					return
				}
				wrote.Add(1)
				waited(&writeWaits, began)
			}
		})
	}
	for range readers {
		wg.Go(func() {
			for time.Now().Before(end) {
				began := time.Now()
				var sum int64
				if err := p.DB().QueryRow("SELECT sum(n) FROM accounts").Scan(&sum); err != nil || sum != 0 {
					t.Errorf("a reader sees %d, %v", sum, err)
					return
				}
				read.Add(1)
				waited(&readWaits, began)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range fickle {
		wg.Go(func() {
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Millisecond))
				switch err := move(ctx); {
				case err == nil:
					wrote.Add(1)
				case errors.Is(err, context.DeadlineExceeded), errors.Is(err, sqlite3.INTERRUPT), errors.Is(err, sql.ErrTxDone):
					gaveUp.Add(1)
				default:
					t.Errorf("a call that gives up: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(end) {
			time.Sleep(500 * time.Millisecond)
			p.Reset()
			if err := p.Resize(3 + rand.IntN(8)); err != nil {
				t.Error(err)
			}
			if err := p.HealthCheck(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()

	var a, b int64
	err := p.DB().QueryRow("SELECT max(n), min(n) FROM accounts").Scan(&a, &b)
	if err != nil || a != wrote.Load() || b != -a {
		t.Errorf("%d were committed, and the file has %d and %d, %v", wrote.Load(), a, b, err)
	}
	c, ok, err := p.TryAcquire(t.Context())
	if err != nil || !ok {
		t.Errorf("the writer cannot be acquired: %v", err)
	} else {
		c.Release()
	}
	s := p.Stats()
	if s.Timeouts != 0 {
		t.Errorf("%d timeouts", s.Timeouts)
	}
	t.Logf("%d written, %d read, %d given up; %d waits, %d cancels, %d overflows, closed for %v",
		wrote.Load(), read.Load(), gaveUp.Load(), s.Waits, s.Cancels, s.Overflows+s.TurnsTaken, s.ClosedFor)
	for name, list := range map[string][]time.Duration{"writers": writeWaits, "readers": readWaits} {
		if len(list) == 0 {
			t.Errorf("%s did nothing", name)
			continue
		}
		slices.Sort(list)
		at := func(q float64) time.Duration { return list[int(q*float64(len(list)-1))].Round(10 * time.Microsecond) }
		t.Logf("%s: p50 %v, p99 %v, p99.9 %v, worst %v", name, at(0.5), at(0.99), at(0.999), at(1))
	}
	if err := p.Close(); err != nil { // the pool's own work may still be running
		t.Error(err)
	}
	l.settled(t, p)
}
