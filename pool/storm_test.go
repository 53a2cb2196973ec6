package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestCancellationDuringHandOff checks, 10,000 times, a waiter that gives up at the moment when
// the writer is handed to it. The next waiter gets the writer, and no turn is lost.
func TestCancellationDuringHandOff(t *testing.T) {
	times := 10_000
	if testing.Short() {
		times = 2000
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	p, l := pooled(t, pool.Config{AcquireTimeout: -1})
	acquire := func(ctx context.Context) error {
		c, err := p.AcquireWrite(ctx)
		if err == nil {
			err = c.Release()
		}
		return err
	}
	waiting := func(n int) {
		for p.Stats().Waiting != n && ctx.Err() == nil {
			time.Sleep(time.Microsecond)
		}
	}
	got := 0
	for i := range times {
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fickle, giveUp := context.WithCancel(ctx)
		first, next := make(chan error, 1), make(chan error, 1)
		go func() { first <- acquire(fickle) }()
		waiting(1)
		go func() { next <- acquire(ctx) }()
		waiting(2)
		both := []func(){giveUp, func() { c.Release() }}
		var wg sync.WaitGroup
		wg.Go(both[i%2])
		wg.Go(both[1-i%2])
		wg.Wait()
		switch err := <-first; {
		case err == nil:
			got++
		case !errors.Is(err, context.Canceled):
			t.Fatal(err)
		}
		if err := <-next; err != nil {
			t.Fatal(err)
		}
		giveUp()
	}
	t.Logf("%d of %d got the writer before they gave up", got, times)
	if s := p.Stats(); int(s.Acquires) != 2*times+got || int(s.Cancels) != times-got {
		t.Errorf("%d acquires, %d cancels", s.Acquires, s.Cancels)
	}
	l.settled(t, p)
}

// TestOverloadThenRecovery checks that under overload, the writers that cannot be served in
// time fail at their timeout and are counted. The pool is normal again as soon as they are
// gone.
func TestOverloadThenRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 3, AcquireTimeout: 50 * time.Millisecond})
		must(t, p.DB(), "CREATE TABLE t(a)")
		before := p.Stats().Acquires
		const clients, each = 200, 10
		var done, late atomic.Int64
		began := time.Now()
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range each {
					asked := time.Now()
					err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
						if d := time.Since(asked); d > 50*time.Millisecond {
							t.Errorf("a writer was served after %v", d)
						}
						time.Sleep(time.Millisecond)
						_, err := tx.Exec("INSERT INTO t VALUES (1)")
						return err
					})
					switch {
					case err == nil:
						done.Add(1)
					case errors.Is(err, pool.ErrAcquireTimeout):
						late.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d were served, %d were not, in %v", done.Load(), late.Load(), time.Since(began))
		asked := time.Now()
		must(t, p.DB(), "INSERT INTO t VALUES (1)")
		if d := time.Since(asked); d != 0 {
			t.Errorf("the next writer waits for %v", d)
		}
		s := p.Stats()
		if done.Load()+late.Load() != clients*each || late.Load() == 0 || s.Timeouts != uint64(late.Load()) || s.Acquires != before+uint64(done.Load())+1 {
			t.Errorf("%d acquires, %d timeouts", s.Acquires, s.Timeouts)
		}
		// One write takes a millisecond. Waiters that gave up have cost the others no time.
		if least := int64(time.Since(began) / time.Millisecond); done.Load() < least-50 {
			t.Errorf("%d were served in %v", done.Load(), time.Since(began))
		}
		var n int64
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != done.Load()+1 {
			t.Errorf("%d rows, %v", n, err)
		}
		l.settled(t, p)
	})
}

// TestEverythingAtOnce checks goroutines that do everything at the same time. No commit is
// lost, the table has no other rows, and the counters agree.
func TestEverythingAtOnce(t *testing.T) {
	p, l := pooled(t, oops(pool.Config{
		MaxConns: 4, MinConns: 2, AcquireTimeout: 10 * time.Minute, IdleTimeout: 30 * time.Millisecond, MaxLifetime: 50 * time.Millisecond,
		KeepAlive: 20 * time.Millisecond, LeakAfter: 20 * time.Millisecond, ValidateAfter: time.Millisecond, HealthInterval: 50 * time.Millisecond,
	}))
	must(t, p.DB(), "CREATE TABLE t(a)")
	var rows atomic.Int64
	each := 80
	if testing.Short() {
		each = 30
	}
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for range each {
				if err := anything(p, &rows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var n int64
	if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != rows.Load() {
		t.Errorf("%d rows, of %d, %v", n, rows.Load(), err)
	}
	// The pool's own work may still be running.
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	l.settled(t, p)
	s := p.Stats()
	t.Logf("%d acquires, %d waits, %d cancels, %d overflows, %d closed for %v", s.Acquires, s.Waits, s.Cancels, s.Overflows+s.TurnsTaken, s.Closes, s.ClosedFor)
	if s.Timeouts != 0 || l.closedFor(driver.ReasonPanic) == 0 {
		t.Errorf("%d timeouts, closed for %v", s.Timeouts, s.ClosedFor)
	}
}

// anything does one of many things, and counts the rows that it has committed.
func anything(p *pool.Pool, rows *atomic.Int64) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wrote := func(err error) error {
		if committed := (*pool.CommitError)(nil); err == nil || errors.As(err, &committed) {
			rows.Add(1)
		}
		return err
	}
	cancelled := func(err error) error {
		if errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone) || errors.Is(err, sqlite3.INTERRUPT) {
			return nil
		}
		return err
	}
	insert := "INSERT INTO t VALUES (1)"
	switch rand.IntN(12) {
	case 0, 1:
		return p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int))
	case 2, 3:
		_, err := p.DB().Exec(insert)
		return wrote(err)
	case 4:
		return wrote(p.WithTx(ctx, nil, func(tx *sql.Tx) error {
			_, err := tx.Exec(insert)
			return err
		}))
	case 5: // cancelled after a random time
		time.AfterFunc(rand.N(time.Millisecond), cancel)
		_, err := p.DB().ExecContext(ctx, insert)
		return cancelled(wrote(err))
	case 6:
		time.AfterFunc(rand.N(time.Millisecond), cancel)
		tx, err := p.DB().BeginTx(ctx, nil)
		if err != nil {
			return cancelled(err)
		}
		if _, err := tx.Exec(insert); err != nil {
			tx.Rollback()
			return cancelled(err)
		}
		return cancelled(wrote(tx.Commit()))
	case 7:
		return nested(ctx, p.DB())
	case 8:
		panics(func() { p.DB().Exec("INSERT INTO t VALUES (oops())") })
		panics(func() { p.Reader().QueryRow("SELECT oops()").Scan(new(int)) })
	case 9:
		c, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int)); err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, insert)
		return wrote(err)
	case 10:
		c, ok, err := p.TryAcquire(ctx)
		if ok {
			_, err = c.ExecContext(ctx, insert)
			err = errors.Join(wrote(err), c.Release())
		}
		return err
	case 11:
		if rand.IntN(2) == 0 {
			p.Reset()
		} else {
			return p.Resize(2 + rand.IntN(5)) // with 1, nested queries would block until AcquireTimeout
		}
	}
	return nil
}
