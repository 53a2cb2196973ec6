package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/trace"

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

// stuck returns a configuration under which the SQL function stuck() does not
// return until let is closed: whoever calls it is inside SQLite all the while.
func stuck(cfg pool.Config) (_ pool.Config, let chan struct{}) {
	let = make(chan struct{})
	cfg.Init = func(c *sqlite3.Conn) error {
		return c.CreateFunction("stuck", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			<-let
			ctx.ResultInt(1)
		})
	}
	return cfg, let
}

// traced is a context within a trace.
func traced(ctx context.Context, id byte) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}, TraceFlags: trace.FlagsSampled,
	}))
}

// A wait for the writer ends when it is to, to the moment, with an error that
// names who has it; and for code that knows SQLite, the database is busy.
func TestAcquireTimeoutNamesTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{AcquireTimeout: 2 * time.Second, TrackStacks: true, Name: "shop"})
		must(t, p.DB(), "CREATE TABLE secrets(a)")
		ctx := traced(pool.WithOwner(t.Context(), "job 7"), 9)
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		must(t, tx, "INSERT INTO secrets VALUES ('hunter2'), ('*******')")
		rows, err := tx.Query("SELECT a FROM secrets")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		defer rows.Close()

		began := time.Now()
		later(time.Second)
		_, err = p.DB().Exec("DELETE FROM secrets")
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("it took %v", d)
		}
		var e *pool.AcquireError
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		var code sqlite3.ErrorCode
		if !errors.Is(err, pool.ErrAcquireTimeout) || !errors.Is(err, sqlite3.BUSY) || !errors.As(err, &code) || code != sqlite3.BUSY ||
			errors.Is(err, sqlite3.LOCKED) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pool.ErrClosed) {
			t.Errorf("it is none, or too much, of what it should be: %v", err)
		}
		if e.Pool != "shop" || e.Lane != "writer" || e.Waited != 2*time.Second || e.Place != 1 || e.Waiting != 0 || e.Cause != pool.CauseSlow || len(e.Holders) != 1 {
			t.Fatalf("%+v", e)
		}
		h := e.Holders[0]
		if h.Conn != c.ID() || h.Held != 3*time.Second || h.Owner != "job 7" || h.Trace != (trace.TraceID{9}) || !h.Tx || h.Rows != 1 || h.Last != "SELECT secrets" {
			t.Errorf("%+v", h)
		}
		if len(h.Stack) == 0 || !strings.Contains(h.Stack[0], "TestAcquireTimeoutNamesTheHolder") {
			t.Errorf("stack %q", h.Stack)
		}
		for _, part := range []string{"shop", "writer connection " + h.Conn.String(), "3s", "by job 7", "SELECT secrets", "in a transaction", "1 rows open", h.Trace.String(), "timers_test.go", "slow"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("it does not say %q: %v", part, err)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("it gives away what is stored: %v", err)
		}
		if n := l.count(driver.KindTimeout); n != 1 {
			t.Errorf("%d timeouts", n)
		}
	})
}

// A wait for a reader that ends is no sign of a locked database.
func TestAcquireTimeoutOfAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, let := stuck(pool.Config{MaxConns: 2, AcquireTimeout: time.Second})
		p, _ := pooled(t, cfg)
		done := make(chan error)
		go func() {
			_, err := p.Reader().ExecContext(t.Context(), "SELECT stuck()")
			done <- err
		}()
		synctest.Wait()
		_, err := p.AcquireRead(t.Context())
		var e *pool.AcquireError
		if !errors.As(err, &e) || !errors.Is(err, pool.ErrAcquireTimeout) || errors.Is(err, sqlite3.BUSY) || e.Lane != "reader" || e.Waited != time.Second {
			t.Errorf("%v", err)
		}
		var code sqlite3.ErrorCode
		if errors.As(err, &code) {
			t.Errorf("it has the code %v", code)
		}
		if n := p.Stats().Overflows; n != 0 {
			t.Errorf("%d were let in though one was at work", n)
		}
		close(let)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What an acquire seems to fail for.
func TestAcquireErrorCauses(t *testing.T) {
	hold := func(t *testing.T, p *pool.Pool, ctx context.Context) *pool.Conn {
		t.Helper()
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Release() })
		return c
	}
	for _, tc := range []struct {
		name  string
		cause pool.Cause
		run   func(t *testing.T, p *pool.Pool) error
	}{
		{"an owner waits for itself", pool.CauseCycle, func(t *testing.T, p *pool.Pool) error {
			ctx := pool.WithOwner(t.Context(), "me")
			hold(t, p, ctx)
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
		{"a trace waits for itself", pool.CauseCycle, func(t *testing.T, p *pool.Pool) error {
			ctx := traced(t.Context(), 1)
			hold(t, p, ctx)
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
		{"others do not", pool.CauseOverload, func(t *testing.T, p *pool.Pool) error {
			errs := make(chan error)
			first := hold(t, p, pool.WithOwner(traced(t.Context(), 1), "you"))
			go func() { // gets it meanwhile
				c, err := p.AcquireWrite(t.Context())
				if err == nil {
					time.Sleep(time.Hour)
					err = c.Release()
				}
				errs <- err
			}()
			synctest.Wait()
			go func() {
				time.Sleep(3 * time.Second)
				first.Release()
			}()
			_, err := p.DB().ExecContext(pool.WithOwner(traced(t.Context(), 2), "me"), "DELETE FROM t")
			if err := <-errs; err != nil {
				t.Error(err)
			}
			return err
		}},
		{"somebody keeps it and does nothing", pool.CauseLeak, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			later(time.Minute)
			_, err := p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"somebody is slow", pool.CauseSlow, func(t *testing.T, p *pool.Pool) error {
			tx, err := hold(t, p, t.Context()).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			later(time.Minute)
			_, err = p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"another pool has the file", pool.CauseOther, func(t *testing.T, p *pool.Pool) error {
			other, _ := pooled(t, pool.Config{Path: p.Config().Path})
			hold(t, other, t.Context())
			_, err := p.DB().Exec("DELETE FROM t")
			return err
		}},
		{"too many wait", pool.CauseQueueFull, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			done := make(chan error)
			for range 2 {
				go func() {
					_, err := p.DB().Exec("DELETE FROM t")
					done <- err
				}()
			}
			synctest.Wait()
			began := time.Now()
			_, err := p.DB().Exec("DELETE FROM t")
			if time.Since(began) != 0 {
				t.Error("it waited")
			}
			if !errors.Is(err, pool.ErrQueueFull) {
				t.Error(err)
			}
			for range 2 {
				if err := <-done; !errors.Is(err, pool.ErrAcquireTimeout) {
					t.Error(err)
				}
			}
			return err
		}},
		{"the caller gives up", pool.CauseCancelled, func(t *testing.T, p *pool.Pool) error {
			hold(t, p, t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t")
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: 5 * time.Second, MaxWaiters: 2})
				must(t, p.DB(), "CREATE TABLE t(a)")
				err := tc.run(t, p)
				var e *pool.AcquireError
				if !errors.As(err, &e) {
					t.Fatalf("%T: %v", err, err)
				}
				if e.Cause != tc.cause || !strings.Contains(err.Error(), string(tc.cause)) {
					t.Errorf("cause %q: %v", e.Cause, err)
				}
				if !errors.Is(err, sqlite3.BUSY) {
					t.Error("it is not BUSY")
				}
			})
		})
	}
}

// A context ends a wait with its own error and its cause, at its time, and takes
// nobody's turn along.
func TestAcquireEndsWithItsContext(t *testing.T) {
	why := errors.New("the user has gone")
	for _, tc := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		is   []error
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, []error{context.DeadlineExceeded}},
		{"deadline with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, why)
		}, []error{context.DeadlineExceeded, why}},
		{"cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}},
		{"cancel with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(why) })
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, why}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, l := pooled(t, pool.Config{})
				c, err := p.AcquireWrite(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				began := time.Now()
				_, err = p.AcquireWrite(ctx)
				if d := time.Since(began); d != time.Second {
					t.Errorf("it took %v", d)
				}
				for _, is := range tc.is {
					if !errors.Is(err, is) {
						t.Errorf("it is not %v: %v", is, err)
					}
				}
				if errors.Is(err, pool.ErrAcquireTimeout) || l.count(driver.KindCancel) != 1 || l.count(driver.KindTimeout) != 0 {
					t.Errorf("it is taken for a timeout: %v", err)
				}
				c.Release()
				if c, err = p.AcquireWrite(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.Release()
			})
		})
	}
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
		var open *pool.OpenError
		if !errors.As(err, &open) || l.closedFor(driver.ReasonInvalid) != 1 {
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
		if l.count(driver.KindLeak) != 1 || l.count(driver.KindUnleak) != 0 || p.Stats().Leaks != 1 {
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
		if l.count(driver.KindUnleak) != 1 || !log.has("given back") {
			t.Errorf("%d came back; logged %q", l.count(driver.KindUnleak), log.lines)
		}
		// The next who has it begins anew.
		if c, err = p.AcquireWrite(t.Context()); err != nil {
			t.Fatal(err)
		}
		later(9 * time.Second)
		c.Release()
		if l.count(driver.KindLeak) != 1 || l.count(driver.KindUnleak) != 1 {
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

// Shutdown waits for what is in use as long as it is told to, and then takes it
// away; who waits for a connection is told at once.
func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		p, err := pool.Open(t.Context(), pool.Config{Path: t.TempDir() + "/test.db", Recorder: &l, Logger: logger(&logged{})})
		if err != nil {
			t.Fatal(err)
		}
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		c, err := p.AcquireWrite(pool.WithOwner(t.Context(), "job 7"))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.DB().Query("SELECT a FROM t")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		waiter := make(chan error)
		began := time.Now()
		go func() {
			_, err := p.DB().Exec("DELETE FROM t")
			if time.Since(began) != 0 {
				t.Error("who waited was told late")
			}
			waiter <- err
		}()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		closed := make(chan error)
		go func() { closed <- p.Shutdown(ctx) }()
		if err := <-waiter; !errors.Is(err, pool.ErrClosed) || errors.Is(err, sqlite3.BUSY) {
			t.Errorf("who waited was told %v", err)
		}
		later(time.Second)
		must(t, c, "INSERT INTO t VALUES (3)") // there is time
		err = <-closed
		var e *pool.ShutdownError
		if d := time.Since(began); d != 4*time.Second { // and one for what was taken away
			t.Errorf("it took %v", d)
		}
		if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || len(e.Holders) != 2 || !strings.Contains(err.Error(), "job 7") {
			t.Errorf("%v", err)
		}
		if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (4)"); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("what was taken away can be used: %v", err)
		}
		if rows.Next() || !errors.Is(rows.Err(), pool.ErrClosed) {
			t.Errorf("rows that were taken away: %v", rows.Err())
		}
		rows.Close()
		c.Release()
		if n := l.open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
		if again := p.Shutdown(t.Context()); again != err {
			t.Errorf("the second says %v", again)
		}
		l.settled(t, p)
	})
}

// Readers that all wait for each other, as nested queries do, are let through once
// nothing has moved for a while: the last first, since whoever has a connection
// and waits for another came later than whoever waits for his first. The extra
// connections are gone when they are given back.
func TestStalledReadersAreLetThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 3, AcquireTimeout: time.Minute})
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		var outer []*sql.Rows
		for range 2 {
			rows, err := p.DB().Query("SELECT a FROM t")
			if err != nil || !rows.Next() {
				t.Fatal(err)
			}
			outer = append(outer, rows)
		}
		served := make(chan string, 2)
		go func() {
			c, err := p.AcquireRead(t.Context())
			served <- fmt.Sprint("first ", err)
			c.Release()
		}()
		synctest.Wait()
		began := time.Now()
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if d := time.Since(began); d == 0 || d > 100*time.Millisecond {
			t.Errorf("the inner query took %v", d)
		}
		if len(served) != 0 {
			t.Error("who came first was let in beyond the limit")
		}
		if s := p.Stats(); s.Overflows != 1 || l.closedFor(driver.ReasonOverflow) != 1 || s.Readers != 2 {
			t.Errorf("%d let in, %d closed, %d readers are left", s.Overflows, l.closedFor(driver.ReasonOverflow), s.Readers)
		}
		outer[0].Close()
		if got := <-served; got != "first <nil>" {
			t.Error(got)
		}
		outer[1].Close()
		l.settled(t, p)
	})
}

// Nested queries from many goroutines, all of which have their first connection
// before any asks for a second, come to an end without a timeout.
func TestNestedQueriesComeToAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 5, AcquireTimeout: time.Minute})
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2)")
		errs := make(chan error)
		const n = 64
		for range n {
			go func() { errs <- nested(t.Context(), p.DB()) }()
		}
		for range n {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if s := p.Stats(); s.Overflows == 0 || s.Readers > 4 || s.Timeouts != 0 {
			t.Errorf("%d let in, %d readers are left, %d timeouts", s.Overflows, s.Readers, s.Timeouts)
		}
		l.settled(t, p)
	})
}

// nested is a query for each row of a query, by somebody who takes his time.
func nested(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT a FROM t LIMIT 2")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		time.Sleep(time.Millisecond)
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil {
			return err
		}
	}
	return rows.Err()
}
