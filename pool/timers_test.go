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

// These tests run in synctest bubbles, with a fake clock: hours pass without delay, and a
// second takes exactly one second.

// later lets time pass, and then waits for everything that was due.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// leaseReaders leases n readers at the same time and releases them in the same order.
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

// TestIdleTimeout checks that idle connections are closed down to MinConns, least recently used
// first. Readers are reused most recently used first.
func TestIdleTimeout(t *testing.T) {
	for _, keepAlive := range []time.Duration{0, 20 * time.Second} {
		t.Run(fmt.Sprint("keep alive ", keepAlive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, l := pooled(t, pool.Config{MinConns: 3, MaxConns: 6, IdleTimeout: time.Minute, KeepAlive: keepAlive})
				ids := leaseReaders(t, p, 5)
				// From now on, only the connection used last is used.
				for range 10 {
					if last := leaseReaders(t, p, 1); last[0] != ids[4] {
						t.Fatalf("connection %v was leased, of %v", last[0], ids)
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

// TestMaxLifetime checks that each connection is replaced a little before MaxLifetime, at
// different times. A connection in use is not replaced. With a negative MaxLifetime, no
// connection is.
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
			t.Fatalf("after %v, %d have expired: %v", time.Since(began), len(ends), ends)
		}
		first := slices.Clone(ends[:7])
		slices.Sort(first)
		if first[0] < 500*time.Second || first[6] > 1030*time.Second { // the pool checks every half minute
			t.Errorf("ages %v", first)
		}
		if first[0] == first[6] { // by chance once in 24 million runs: there are 17 rounds
			t.Errorf("all expired at the same time: %v", first)
		}
		// A replacement may have expired in the last round. It is replaced in the next.
		for round := 0; p.Stats().Open != 8 && round < 10; round++ {
			later(30 * time.Second)
		}
		if s := p.Stats(); s.Writers != 1 || s.WritersInUse != 1 || s.Open != 8 {
			t.Errorf("%+v", s)
		}
		n := l.closedFor(driver.ReasonExpired)
		c.Release() // it has expired by now
		if got := l.closedFor(driver.ReasonExpired); got != n+1 {
			t.Errorf("%d have expired, %d before", got, n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MinConns: 2, MaxLifetime: -1, IdleTimeout: -1})
		later(1000 * time.Hour)
		if s := p.Stats(); s.Open != 2 || l.count(driver.KindClose) != 1 { // of the health check's connection
			t.Errorf("%+v", s)
		}
	})
}

// TestMinConnsAreKeptWarm checks that MinConns connections are opened in the background. While
// opening fails, the pool tries at growing intervals. Callers get the error immediately, and
// may try as often as they like.
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
			t.Errorf("%d attempts in 5 minutes", len(tries))
		}
		var gaps []time.Duration
		for i := 1; i < len(tries); i++ {
			gaps = append(gaps, tries[i].Sub(tries[i-1]))
		}
		if !slices.IsSorted(gaps) || gaps[0] > 3*time.Second || gaps[len(gaps)-1] > 61*time.Second {
			t.Errorf("attempts after %v, then at intervals of %v", tries[0].Sub(began), gaps)
		}
		if !log.has("in the background") {
			t.Error("no line is logged")
		}
		if _, err := p.AcquireRead(t.Context()); !errors.Is(err, failing) {
			t.Errorf("a caller gets %v", err)
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
type statementCounter struct {
	n map[*sqlite3.Conn]*atomic.Int64
}

func (a *statementCounter) init(c *sqlite3.Conn) error {
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

func (a *statementCounter) reset() {
	for _, n := range a.n {
		n.Store(0)
	}
}

// TestKeepAlive checks that an idle connection reads a page every KeepAlive, and that others do
// not. Each check needs a turn, so that a pool under load is not disturbed.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a statementCounter
		p, _ := pooled(t, pool.Config{MinConns: 3, MaxConns: 3, KeepAlive: time.Minute, IdleTimeout: -1, MaxLifetime: -1, Init: a.init})
		later(10 * time.Minute) // the health check's connection is closed by now
		a.reset()
		later(time.Hour)
		pinged := 0
		for _, n := range a.n {
			if n := n.Load(); n > 0 {
				pinged++
				if n < 50 || n > 60 {
					t.Errorf("one executed %d statements in an hour", n)
				}
			}
		}
		if pinged != 3 {
			t.Errorf("%d connections were checked", pinged)
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
			t.Errorf("%d connections were checked while one was in use", idle)
		}
	})
}

// TestInvalidConnectionsAreReplaced checks that KeepAlive and ValidateAfter close a connection
// that does not answer. Callers get another one.
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
		var a statementCounter
		p, l := pooled(t, pool.Config{MaxConns: 2, ValidateAfter: time.Minute, IdleTimeout: -1, Init: a.init})
		leaseReaders(t, p, 1)
		a.reset()
		later(30 * time.Second)
		ids := leaseReaders(t, p, 1)
		for _, n := range a.n {
			if n.Load() != 0 {
				t.Error("a connection was checked too early")
			}
		}
		later(time.Minute)
		if again := leaseReaders(t, p, 1); again[0] != ids[0] {
			t.Error("a connection was replaced though it answers")
		}
		remove(t, p)
		later(time.Minute)
		c, err := p.AcquireRead(t.Context())
		if !errors.Is(err, driver.ErrFileLost) || l.closedFor(driver.ReasonInvalid) != 1 {
			t.Errorf("a broken connection was leased again: %v, %v", c, err)
		}
	})
}

// TestCancelledValidationKeepsConn checks that a caller that is cancelled during the validation
// does not cause a good connection to be closed.
func TestCancelledValidationKeepsConn(t *testing.T) {
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
			t.Skipf("an open file cannot be removed on this system: %v", err)
		}
	}
}

// TestLeakAfter checks that a connection that is held too long is reported once, with the stack
// of its acquire. It is reported again when it is released.
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
			t.Error("it was reported too early")
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
			t.Errorf("%d leaks ended; logged %q", l.count(driver.KindLeakEnd), log.lines)
		}
		// The next lease starts anew.
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

// TestHealthInterval checks that with HealthInterval the pool detects a removed file without a
// call.
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
