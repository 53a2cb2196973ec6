package core_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// bubble runs a test in a synctest bubble. There, time passes only while all goroutines wait,
// and every goroutine must have ended at the end. A test that waits for what never happens fails
// after three hours of that time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		end := time.AfterFunc(3*time.Hour, func() { panic("the test has waited for three hours in its bubble") })
		t.Cleanup(func() { end.Stop() }) // the last of all cleanups
		f(t)
	})
}

// started returns a toy whose pool is started. At the end of the test, the pool is shut down,
// and no connection and no turn may be left.
func started(t *testing.T, cfg core.Config, lanes ...core.LaneConfig) *toy {
	t.Helper()
	return start(t, newToy(cfg, lanes...))
}

// start is started for a toy that has been prepared.
func start(t *testing.T, e *toy) *toy {
	t.Helper()
	e.pool.Start(t.Context())
	t.Cleanup(func() { finish(t, e) })
	return e
}

// finish shuts down e's pool, and checks that nothing is left.
func finish(t *testing.T, e *toy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if !e.pool.Closed() {
		if err := e.pool.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	checkNothingLeft(t, e)
}

// checkNothingLeft checks that every connection has been closed once, that every turn is free,
// and that the counters agree with that.
func checkNothingLeft(t *testing.T, e *toy) {
	t.Helper()
	synctest.Wait()
	for i, c := range e.get().conns {
		if n := c.closes.Load(); n != 1 {
			t.Errorf("connection %d was closed %d times", i, n)
		}
	}
	for _, l := range e.pool.Lanes() {
		if n := l.Count(); n != (core.LaneCount{}) {
			t.Errorf("lane %s still has %+v", l.Name(), n)
		}
		if slices.Contains(l.Queue().Lanes(), l) {
			t.Errorf("lane %s is still known as one that uses its queue", l.Name())
		}
		checkTurnsFree(t, l)
	}
	s := e.pool.Stats()
	if s.Acquires != s.Releases+s.Discards {
		t.Errorf("%d acquires, but %d releases and %d discards", s.Acquires, s.Releases, s.Discards)
	}
	if s.Connects != s.Closes {
		t.Errorf("%d connects, but %d closes", s.Connects, s.Closes)
	}
	if s.Waiting != 0 || s.Open != 0 || s.InUse != 0 || s.Idle != 0 {
		t.Errorf("%d wait, %d connections are open, %d in use, %d idle", s.Waiting, s.Open, s.InUse, s.Idle)
	}
}

// checkTurnsFree checks that a lane has all of its turns, and no more.
func checkTurnsFree(t *testing.T, l *core.Lane) {
	t.Helper()
	free := 0
	for free <= l.Turns() && l.TryTurn() {
		free++
	}
	for range free {
		l.ReleaseTurn()
	}
	if free != l.Turns() {
		t.Errorf("%d turns of lane %s are free, want %d", free, l.Name(), l.Turns())
	}
}

// writer returns the configuration of a lane with one turn.
func writer() core.LaneConfig { return core.LaneConfig{Name: wrap.LaneWriter, Turns: 1} }

// readers returns the configuration of a lane of readers with so many turns.
func readers(turns int) core.LaneConfig {
	return core.LaneConfig{Name: wrap.LaneReader, Reads: true, Turns: turns}
}

// lane returns a pool's only lane, and the writers' if there is also one of readers.
func (e *toy) lane() *core.Lane { return e.pool.Lanes()[len(e.pool.Lanes())-1] }

// acquire returns a connection that must be available without a wait.
func acquire(t *testing.T, l *core.Lane) *core.Conn {
	t.Helper()
	return acquireAs(t, l, "")
}

// acquireAs is acquire for the caller of that name.
func acquireAs(t *testing.T, l *core.Lane, owner string) *core.Conn {
	t.Helper()
	began := time.Now()
	c, err := l.Acquire(core.WithOwner(t.Context(), owner), nil)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	if waited := time.Since(began); waited != 0 {
		t.Fatalf("acquire took %s", waited)
	}
	return c
}

// A call is a call of a pool on a goroutine of its own.
type call struct {
	cancel context.CancelCauseFunc
	done   atomic.Bool // the call has returned or panicked, and the fields below are set
	conn   *core.Conn
	err    error
	took   time.Duration
	panics any
}

// startAcquire is startCall with an acquire.
func startAcquire(ctx context.Context, l *core.Lane) *call {
	return startCall(ctx, func(ctx context.Context) (*core.Conn, error) { return l.Acquire(ctx, nil) })
}

// startCall calls f on a new goroutine. It returns when f has returned or waits.
func startCall(ctx context.Context, f func(context.Context) (*core.Conn, error)) *call {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{cancel: cancel}
	go func() {
		began := time.Now()
		defer func() {
			c.panics = recover()
			c.took = time.Since(began)
			c.done.Store(true)
		}()
		c.conn, c.err = f(ctx)
	}()
	synctest.Wait()
	return c
}

// begin starts an acquire.
func begin(t *testing.T, l *core.Lane) *call { return beginAs(t, l, "") }

// beginAs starts an acquire of the caller of that name.
func beginAs(t *testing.T, l *core.Lane, owner string) *call {
	return startAcquire(core.WithOwner(t.Context(), owner), l)
}

// reclaim starts a Reclaim.
func reclaim(t *testing.T, l *core.Lane, c *core.Conn) *call {
	return startCall(t.Context(), func(ctx context.Context) (*core.Conn, error) { return nil, l.Reclaim(ctx, c, nil) })
}

// shutdown starts a Shutdown with a timeout; 0 means none.
func shutdown(p *core.Pool, timeout time.Duration) *call {
	return startCall(context.Background(), func(ctx context.Context) (*core.Conn, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return nil, p.Shutdown(ctx)
	})
}

// got returns the connection of an acquire that must have succeeded.
func (c *call) got(t *testing.T) *core.Conn {
	t.Helper()
	synctest.Wait()
	if !c.done.Load() || c.conn == nil {
		t.Fatalf("the acquire has no connection: done %v, error %v, panic %v", c.done.Load(), c.err, c.panics)
	}
	return c.conn
}

// waits checks that the call has not returned.
func (c *call) waits(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if c.done.Load() {
		t.Fatalf("the call has returned: connection %v, error %v, panic %v", c.conn != nil, c.err, c.panics)
	}
}

// fails returns the error of a call that must have failed.
func (c *call) fails(t *testing.T) error {
	t.Helper()
	synctest.Wait()
	if !c.done.Load() || c.err == nil {
		t.Fatalf("the call has not failed: done %v, connection %v, panic %v", c.done.Load(), c.conn != nil, c.panics)
	}
	return c.err
}

// returns checks that the call has returned without an error.
func (c *call) returns(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if !c.done.Load() || c.err != nil || c.panics != nil {
		t.Fatalf("the call has not returned nil: done %v, error %v, panic %v", c.done.Load(), c.err, c.panics)
	}
}

// explained returns the AcquireError that err must be.
func explained(t *testing.T, err error) *core.AcquireError {
	t.Helper()
	var e *core.AcquireError
	if !errors.As(err, &e) {
		t.Fatalf("%T is no AcquireError: %v", err, err)
	}
	return e
}

// toyOf returns the toy's connection of a lane's.
func toyOf(c *core.Conn) *toyConn { return c.Session().(*toyConn) }

// openRows opens rows on a connection in use.
func openRows(t *testing.T, c *core.Conn) driver.Rows {
	t.Helper()
	rows, err := toyOf(c).wrapped.QueryContext(t.Context(), "SELECT", nil)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// eventsOf returns the pool's events of a kind.
func eventsOf(p *core.Pool, kind wrap.Kind) []wrap.Event {
	return slices.DeleteFunc(p.Events(), func(e wrap.Event) bool { return e.Kind != kind })
}

// checkClosedFor checks that a connection is closed, and for which reason.
func checkClosedFor(t *testing.T, e *toy, c *core.Conn, why wrap.Reason) {
	t.Helper()
	synctest.Wait()
	if n := toyOf(c).closes.Load(); n != 1 {
		t.Errorf("the connection was closed %d times, want once, for reason %q", n, why)
		return
	}
	for _, event := range eventsOf(e.pool, wrap.KindClose) {
		if event.Conn == toyOf(c).Lease().ID() && event.Reason != why {
			t.Errorf("the connection was closed for reason %q, want %q", event.Reason, why)
		}
	}
}

// checkOpen checks that a connection is open.
func checkOpen(t *testing.T, c *core.Conn) {
	t.Helper()
	synctest.Wait()
	if toyOf(c).closes.Load() != 0 {
		t.Error("the connection was closed")
	}
}

// panicOf returns the value of f's panic.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}
