package pool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// The clock of these tests is a bubble's: what takes hours is over at once, and
// what takes a second takes exactly that.

// later lets time pass, and what is due then happen.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// leaseReaders leases so many readers at once and gives them back in their order.
func leaseReaders(t *testing.T, p *pool.Pool, n int) (ids []driver.ConnID) {
	t.Helper()
	var conns []*pool.Conn
	for range n {
		c, err := p.AcquireRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		ids = append(ids, c.ID())
	}
	for _, c := range conns {
		c.Release()
	}
	return ids
}

// Idle connections go down to MinConns when their time is over, those first that
// were used longest ago: what is used again is what was used last.
func TestIdleTimeout(t *testing.T) {
	for _, keepAlive := range []time.Duration{0, 20 * time.Second} {
		t.Run(fmt.Sprint("keep alive ", keepAlive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, l := pooled(t, pool.Config{MinConns: 3, MaxConns: 6, IdleTimeout: time.Minute, KeepAlive: keepAlive})
				ids := leaseReaders(t, p, 5)
				// Only the last is used from now on.
				for range 10 {
					if last := leaseReaders(t, p, 1); last[0] != ids[4] {
						t.Fatalf("connection %v was lent, of %v", last[0], ids)
					}
					later(5 * time.Second)
				}
				if s := p.Stats(); s.Open != 6 {
					t.Fatalf("after 50 s, %d are open", s.Open)
				}
				later(25 * time.Second)
				if s := p.Stats(); s.Open != 3 || s.Readers != 2 || s.Writers != 1 || l.closedFor(driver.ReasonIdle) != 3 {
					t.Fatalf("after 75 s: %d readers, %d writers, closed for %v", s.Readers, s.Writers, s.ClosedFor)
				}
				if left := leaseReaders(t, p, 2); left[0] != ids[4] || left[1] != ids[3] {
					t.Errorf("connections %v are left, of %v", left, ids)
				}
				later(time.Hour)
				if s := p.Stats(); s.Open != 3 || l.closedFor(driver.ReasonIdle) != 3 {
					t.Errorf("after an hour: %+v", s)
				}
			})
		})
	}
}

// A connection is replaced when its life is over, each a little earlier than that
// and none at the time of another; not while it is in use; and never if life has
// no end.
func TestMaxLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var ends []time.Duration
		p, l := pooled(t, pool.Config{
			MinConns: 8, MaxConns: 8, MaxLifetime: 1000 * time.Second, LifetimeJitter: 0.5, IdleTimeout: -1,
			Recorder: driver.RecorderFunc(func(e driver.Event) {
				if e.Kind == driver.KindClose && e.Reason == driver.ReasonExpired {
					ends = append(ends, e.Age)
				}
			}),
		})
		c, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		later(1100 * time.Second)
		if len(ends) < 7 || len(ends) != l.closedFor(driver.ReasonExpired) {
			t.Fatalf("after %v, %d have ended: %v", time.Since(began), len(ends), ends)
		}
		first := slices.Clone(ends[:7])
		slices.Sort(first)
		if first[0] < 500*time.Second || first[6] > 1030*time.Second { // the pool looks each half minute
			t.Errorf("ages %v", first)
		}
		if len(slices.Compact(first)) < 3 {
			t.Errorf("they went all at once: %v", first)
		}
		if s := p.Stats(); s.Writers != 1 || s.WritersInUse != 1 || s.Open != 8 {
			t.Errorf("%+v", s)
		}
		n := l.closedFor(driver.ReasonExpired)
		c.Release() // it is old by now
		if got := l.closedFor(driver.ReasonExpired); got != n+1 {
			t.Errorf("%d have ended, %d before", got, n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MinConns: 2, MaxLifetime: -1, IdleTimeout: -1})
		later(1000 * time.Hour)
		if s := p.Stats(); s.Open != 2 || l.count(driver.KindClose) != 1 { // the health check's
			t.Errorf("%+v", s)
		}
	})
}

// MinConns are kept open in the background. While opening fails, it is tried less
// and less often; callers are told at once, and try as often as they like.
func TestMinConnsAreKeptWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := errors.New("no connection today")
		var fail atomic.Bool
		var tries []time.Time
		var log logged
		p, l := pooled(t, pool.Config{
			MinConns: 4, MaxConns: 4, IdleTimeout: 8 * time.Second, Logger: logger(&log),
			Hooks: pool.Hooks{BeforeConnect: func(context.Context) error {
				if fail.Load() {
					tries = append(tries, time.Now())
					return failing
				}
				return nil
			}},
		})
		if s := p.Stats(); s.Open != 4 || s.Idle != 4 {
			t.Fatalf("at first: %+v", s)
		}
		fail.Store(true)
		began := time.Now()
		p.Reset()
		if s := p.Stats(); s.Open != 0 {
			t.Fatalf("after a reset: %+v", s)
		}
		later(5 * time.Minute)
		if len(tries) < 8 || len(tries) > 12 {
			t.Errorf("%d tries in 5 minutes", len(tries))
		}
		var gaps []time.Duration
		for i := 1; i < len(tries); i++ {
			gaps = append(gaps, tries[i].Sub(tries[i-1]))
		}
		if !slices.IsSorted(gaps) || gaps[0] > 3*time.Second || gaps[len(gaps)-1] > 61*time.Second {
			t.Errorf("tried at %v, then after %v", tries[0].Sub(began), gaps)
		}
		if !log.has("in the background") {
			t.Error("nothing is logged")
		}
		if _, err := p.AcquireRead(t.Context()); !errors.Is(err, failing) {
			t.Errorf("a caller is told %v", err)
		}
		fail.Store(false)
		later(2 * time.Minute)
		if s := p.Stats(); s.Open != 4 || s.Idle != 4 {
			t.Errorf("at last: %+v", s)
		}
		l.settled(t, p)
	})
}

// asked counts the statements that each connection executes.
type asked struct {
	n map[*sqlite3.Conn]*atomic.Int64
}

func (a *asked) init(c *sqlite3.Conn) error {
	if a.n == nil {
		a.n = make(map[*sqlite3.Conn]*atomic.Int64)
	}
	n := new(atomic.Int64)
	a.n[c] = n
	return c.Trace(sqlite3.TRACE_STMT, func(sqlite3.TraceEvent, any, any) error {
		n.Add(1)
		return nil
	})
}

func (a *asked) reset() {
	for _, n := range a.n {
		n.Store(0)
	}
}

// An idle connection reads a page every KeepAlive, and no other does; each in
// a turn, so that a pool under load is left alone.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a asked
		p, _ := pooled(t, pool.Config{MinConns: 3, MaxConns: 3, KeepAlive: time.Minute, IdleTimeout: -1, MaxLifetime: -1, Init: a.init})
		later(10 * time.Minute) // and the health check's connection is gone
		a.reset()
		later(time.Hour)
		pinged := 0
		for _, n := range a.n {
			if n := n.Load(); n > 0 {
				pinged++
				if n < 50 || n > 60 {
					t.Errorf("one was asked %d times in an hour", n)
				}
			}
		}
		if pinged != 3 {
			t.Errorf("%d were asked", pinged)
		}
		c, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.reset()
		later(time.Hour)
		if err := c.Release(); err != nil {
			t.Fatal(err)
		}
		idle := 0
		for _, n := range a.n {
			if n.Load() > 30 {
				idle++
			}
		}
		if idle != 2 {
			t.Errorf("%d were asked while one was in use", idle)
		}
	})
}

// A connection that does not answer is closed, by KeepAlive and by ValidateAfter,
// and whoever acquires gets another.
func TestInvalidConnectionsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MinConns: 3, MaxConns: 3, KeepAlive: time.Minute, IdleTimeout: -1})
		remove(t, p)
		later(2 * time.Minute)
		if n := l.closedFor(driver.ReasonInvalid); n != 3 {
			t.Errorf("%d connections were closed", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var a asked
		p, l := pooled(t, pool.Config{MaxConns: 2, ValidateAfter: time.Minute, IdleTimeout: -1, Init: a.init})
		leaseReaders(t, p, 1)
		a.reset()
		later(30 * time.Second)
		ids := leaseReaders(t, p, 1)
		for _, n := range a.n {
			if n.Load() != 0 {
				t.Error("it was asked before its time")
			}
		}
		later(time.Minute)
		if again := leaseReaders(t, p, 1); again[0] != ids[0] {
			t.Error("it was replaced though it answers")
		}
		remove(t, p)
		later(time.Minute)
		c, err := p.AcquireRead(t.Context())
		if !errors.Is(err, driver.ErrFileLost) || l.closedFor(driver.ReasonInvalid) != 1 {
			t.Errorf("it was lent again: %v, %v", c, err)
		}
	})
}

// Who validates and is cancelled meanwhile does not have a good connection
// closed.
func TestValidateIsNotTheCallersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{ValidateAfter: time.Second, IdleTimeout: -1})
		later(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := p.Raw(ctx, func(*sqlite3.Conn) error { return nil })
		if n := l.closedFor(driver.ReasonInvalid); n != 0 {
			t.Errorf("a connection was closed: %v", err)
		}
	})
}

func remove(t *testing.T, p *pool.Pool) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(p.Config().Path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Skipf("a file that is open cannot be removed here: %v", err)
		}
	}
}

// A connection that is held for long is reported once, with the stack of who
// acquired it, and reported again if it comes back after all.
func TestLeakAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p, l := pooled(t, pool.Config{LeakAfter: 10 * time.Second, Logger: logger(&log)})
		must(t, p.DB(), "CREATE TABLE t(a)")
		c, err := p.AcquireWrite(pool.WithOwner(t.Context(), "job 7"))
		if err != nil {
			t.Fatal(err)
		}
		must(t, c, "INSERT INTO t VALUES ('hunter2')")
		later(9 * time.Second)
		if l.count(driver.KindLeak) != 0 {
			t.Error("it was reported early")
		}
		later(3 * time.Second)
		if l.count(driver.KindLeak) != 1 || l.count(driver.KindLeakEnd) != 0 || p.Stats().Leaks != 1 {
			t.Errorf("%d leaks", l.count(driver.KindLeak))
		}
		if !log.has("in use for long", "job 7", "INSERT t", "TestLeakAfter") || log.has("hunter2") {
			t.Errorf("logged %q", log.lines)
		}
		later(time.Hour)
		if l.count(driver.KindLeak) != 1 {
			t.Errorf("%d leaks", l.count(driver.KindLeak))
		}
		c.Release()
		if l.count(driver.KindLeakEnd) != 1 || !log.has("given back") {
			t.Errorf("%d came back; logged %q", l.count(driver.KindLeakEnd), log.lines)
		}
		// The next who has it begins anew.
		if c, err = p.AcquireWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
		later(9 * time.Second)
		c.Release()
		if l.count(driver.KindLeak) != 1 || l.count(driver.KindLeakEnd) != 1 {
			t.Error("it was reported again")
		}
	})
}

// HealthInterval has the pool find out by itself.
func TestHealthInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p, l := pooled(t, pool.Config{HealthInterval: time.Minute, Logger: logger(&log)})
		checked := p.Health().Checked
		later(90 * time.Second)
		if h := p.Health(); h.Health != pool.HealthOK || !h.Checked.After(checked) {
			t.Errorf("%+v", h)
		}
		remove(t, p)
		later(90 * time.Second)
		if h := p.Health(); h.Health != pool.HealthDown || !errors.Is(h.Err, driver.ErrFileLost) || !log.has("health", "down") {
			t.Errorf("%+v", h)
		}
		if n := l.count(driver.KindHealth); n != 2 { // ok, down
			t.Errorf("%d changes", n)
		}
	})
}
