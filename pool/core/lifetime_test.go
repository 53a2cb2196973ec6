package core_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// acquireAll returns n connections of a lane.
func acquireAll(t *testing.T, l *core.Lane, n int) (list []*core.Conn) {
	t.Helper()
	for range n {
		list = append(list, acquire(t, l))
	}
	return list
}

// TestMaxLifetime checks that a connection is closed at most an eighth of its lifetime after the
// lifetime has ended, but not while it is in use.
func TestMaxLifetime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{MaxLifetime: 80 * time.Second}, readers(2))
		l := e.lane()
		c := acquireAll(t, l, 2)
		l.Release(c[0])
		time.Sleep(79 * time.Second)
		checkOpen(t, c[0])
		time.Sleep(12 * time.Second)
		checkClosedFor(t, e, c[0], wrap.ReasonExpired)
		checkOpen(t, c[1]) // it is in use
		l.Release(c[1])
		checkClosedFor(t, e, c[1], wrap.ReasonExpired)
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonExpired] != 2 || s.Closes != 2 {
			t.Errorf("closed for %v", s.ClosedFor)
		}
	})
}

// TestExpiredConnectionIsNotLent checks that an acquire does not get an expired connection that
// the maintenance has not closed yet.
func TestExpiredConnectionIsNotLent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{MaxLifetime: 80 * time.Second}, writer())
		l := e.lane()
		time.Sleep(5 * time.Second) // the rounds are at multiples of ten seconds
		c := acquire(t, l)
		l.Release(c)
		time.Sleep(80*time.Second + 1)
		checkOpen(t, c)
		other := acquire(t, l)
		checkClosedFor(t, e, c, wrap.ReasonExpired)
		l.Release(other)
	})
}

// TestLifetimeJitter checks that lifetimes are shortened at random, by at most the fraction of
// LifetimeJitter. Of 100 lifetimes, a test fails by chance once in 10^30 times if all are in one
// half of the range.
func TestLifetimeJitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const count = 100
		e := started(t, core.Config{MaxLifetime: 1000 * time.Second, LifetimeJitter: 0.2, Limits: []time.Duration{8 * time.Second}}, readers(count))
		l := e.lane()
		for _, c := range acquireAll(t, l, count) {
			l.Release(c)
		}
		time.Sleep(800*time.Second - 1)
		if n := l.Count().Open; n != count {
			t.Errorf("%d of %d connections are open before the shortest lifetime", n, count)
		}
		time.Sleep(100 * time.Second)
		if n := l.Count().Open; n == 0 || n == count {
			t.Errorf("%d of %d connections are open in the middle of the jitter", n, count)
		}
		time.Sleep(101 * time.Second)
		if n := l.Count().Open; n != 0 {
			t.Errorf("%d connections are open after MaxLifetime", n)
		}
	})
}

// TestIdleTimeout checks that idle connections are closed, those used longest ago first, but not
// those that must be open.
func TestIdleTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(3)
		cfg.Keep = func() int { return 1 }
		e := started(t, core.Config{IdleTimeout: 80 * time.Second}, cfg)
		l := e.lane()
		c := acquireAll(t, l, 3)
		l.Release(c[1])
		time.Sleep(time.Second)
		l.Release(c[2])
		l.Release(c[0])
		time.Sleep(78 * time.Second)
		checkOpen(t, c[1])
		time.Sleep(time.Hour)
		checkClosedFor(t, e, c[1], wrap.ReasonIdle)
		checkClosedFor(t, e, c[2], wrap.ReasonIdle)
		checkOpen(t, c[0])
	})
}

// TestKeptConnections checks that a connection with state that the program would miss is not
// closed for its age, for being idle or because enough others are idle. It is closed if all
// connections are replaced.
func TestKeptConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(2)
		cfg.MaxIdle = 1
		e := started(t, core.Config{MaxLifetime: time.Minute, IdleTimeout: time.Minute}, cfg)
		l := e.lane()
		c := acquireAll(t, l, 2)
		toyOf(c[1]).kept.Store(true)
		l.Release(c[0])
		l.Release(c[1]) // beyond MaxIdle
		time.Sleep(time.Hour)
		checkClosedFor(t, e, c[0], wrap.ReasonIdle)
		checkOpen(t, c[1])
		if acquire(t, l) != c[1] {
			t.Error("the kept connection was not lent")
		}
		l.Release(c[1])
		checkOpen(t, c[1])
		l.Replace()
		time.Sleep(time.Minute)
		checkClosedFor(t, e, c[1], wrap.ReasonReset)
	})
}

// TestOneKeptConnection checks that of two connections with state that the program would miss, the
// one given back last stays, and that it is lent before others.
func TestOneKeptConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(3)
		cfg.MaxIdle = 1
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		c := acquireAll(t, l, 3)
		toyOf(c[1]).kept.Store(true)
		toyOf(c[2]).kept.Store(true)
		l.Release(c[1])
		time.Sleep(time.Second)
		l.Release(c[0]) // enough others are idle
		checkClosedFor(t, e, c[0], wrap.ReasonOverflow)
		l.Release(c[2])
		checkClosedFor(t, e, c[1], wrap.ReasonOverflow)
		checkOpen(t, c[2])
		if acquire(t, l) != c[2] {
			t.Error("the kept connection was not lent")
		}
		l.Release(c[2])
	})
}

// TestMaxIdle checks that a connection is closed when it is given back, if enough others are
// idle.
func TestMaxIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(3)
		cfg.MaxIdle = 2
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		c := acquireAll(t, l, 3)
		for _, c := range c {
			l.Release(c)
		}
		checkOpen(t, c[0])
		checkOpen(t, c[1])
		checkClosedFor(t, e, c[2], wrap.ReasonOverflow)
	})
}

// TestValidateAfter checks that a connection that has been idle for ValidateAfter is pinged
// before it is lent, and replaced if it does not answer.
func TestValidateAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{ValidateAfter: time.Minute}, writer())
		l := e.lane()
		c := acquire(t, l)
		l.Release(c)
		e.set(func(s *toyState) { s.pingErr = errors.New("no answer") })
		time.Sleep(time.Minute - 1)
		if acquire(t, l) != c {
			t.Error("a connection was pinged too early")
		}
		l.Release(c)
		time.Sleep(time.Minute)
		other := acquire(t, l)
		checkClosedFor(t, e, c, wrap.ReasonInvalid)
		l.Release(other)
		e.set(func(s *toyState) { s.pingErr = nil })
		time.Sleep(time.Minute)
		if acquire(t, l) != other {
			t.Error("a connection that answers was not lent")
		}
		l.Release(other)
		time.Sleep(time.Minute)
		e.set(func(s *toyState) { s.pingErr = context.Canceled })
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		c, err := l.Acquire(canceled, nil) // it is not to blame
		if c != other || err != nil {
			t.Errorf("with a canceled context: %v, %v", c == other, err)
		}
		l.Release(c)
	})
}

// TestKeepAlive checks that idle connections are pinged, and closed if they do not answer. Those
// in use are not pinged.
func TestKeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{KeepAlive: 80 * time.Second}, readers(3))
		l := e.lane()
		c := acquireAll(t, l, 3)
		l.Release(c[0])
		l.Release(c[1])
		time.Sleep(time.Hour)
		for _, c := range c {
			checkOpen(t, c)
		}
		if n := e.get().pings; n != 2*40 { // each after 80 s, in the next of the rounds every 10 s
			t.Errorf("%d pings in an hour, want 80", n)
		}
		e.set(func(s *toyState) { s.pingErr = errors.New("no answer") })
		time.Sleep(2 * time.Minute)
		checkClosedFor(t, e, c[0], wrap.ReasonInvalid)
		checkClosedFor(t, e, c[1], wrap.ReasonInvalid)
		checkOpen(t, c[2])
		l.Release(c[2])
		checkTurnsFree(t, l)
		e.set(func(s *toyState) { s.pingErr = nil })
	})
}

// TestKeepAliveKeepsOrder checks that a ping does not count as a use: the connection used last is
// still lent first.
func TestKeepAliveKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{KeepAlive: 80 * time.Second}, readers(2))
		l := e.lane()
		c := acquireAll(t, l, 2)
		l.Release(c[0])
		time.Sleep(40 * time.Second)
		l.Release(c[1])
		time.Sleep(60 * time.Second) // only the first one was pinged
		if since := c[0].IdleSince(); time.Since(since) != 100*time.Second {
			t.Errorf("the pinged connection has been idle for %s", time.Since(since))
		}
		if acquire(t, l) != c[1] {
			t.Error("the connection used last was not lent first")
		}
		l.Release(c[1])
	})
}

// TestKeep checks that the pool opens as many connections as must be open, and again after some
// have been closed.
func TestKeep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := readers(4)
		cfg.Keep = func() int { return 3 }
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := l.Count(); n.Idle != 3 || n.Open != 3 {
			t.Errorf("%+v, want 3 idle connections", n)
		}
		for _, event := range eventsOf(e.pool, wrap.KindConnect) {
			if !event.Background {
				t.Errorf("%+v is not marked as in the background", event)
			}
		}
		e.pool.Reset()
		if n := l.Count(); n.Open != 0 {
			t.Errorf("%+v after Reset", n)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := l.Count(); n.Idle != 3 {
			t.Errorf("%+v, want 3 idle connections again", n)
		}
		if len(eventsOf(e.pool, wrap.KindReset)) != 1 {
			t.Error("Reset has no event")
		}
	})
}

// TestBackOff checks that the pool opens connections less and less often while that fails.
func TestBackOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Keep = func() int { return 1 }
		e := newToy(core.Config{Limits: []time.Duration{800 * time.Millisecond}}, cfg)
		var attempts atomic.Int32
		var works atomic.Bool
		e.opening = func(context.Context) error {
			attempts.Add(1)
			if works.Load() {
				return nil
			}
			return errors.New("no connection")
		}
		start(t, e)
		// A round is every 100 ms. After the first attempt, the next ones are 1, 2, 4, 8, 16 and 32
		// seconds later, and then every minute.
		time.Sleep(40 * time.Second)
		if n := attempts.Load(); n != 6 {
			t.Errorf("%d attempts in 40 s, want 6", n)
		}
		time.Sleep(10 * time.Minute)
		if n := attempts.Load(); n != 6+10 {
			t.Errorf("%d attempts in 640 s, want 16", n)
		}
		works.Store(true)
		time.Sleep(time.Minute)
		if n := e.lane().Count(); n.Idle != 1 {
			t.Errorf("%+v, want an idle connection", n)
		}
		if s := e.pool.Stats(); s.ConnectErrors != 16 || len(e.get().noticed) != 16 {
			t.Errorf("%d errors, %d noticed by the engine", s.ConnectErrors, len(e.get().noticed))
		}
	})
}

// TestShrink checks that a lane closes idle connections that it must no longer have, those used
// longest ago first, and the others when they are given back.
func TestShrink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		most := 4
		cfg := readers(4)
		cfg.Most = func() int { return most }
		e := started(t, core.Config{}, cfg)
		l := e.lane()
		c := acquireAll(t, l, 4)
		for _, c := range c[:3] {
			l.Release(c)
			time.Sleep(time.Second)
		}
		most = 2
		l.SetTurns(2)
		l.Shrink()
		checkClosedFor(t, e, c[0], wrap.ReasonShrunk)
		checkClosedFor(t, e, c[1], wrap.ReasonShrunk)
		checkOpen(t, c[2])
		most = 1
		l.Release(c[3])
		checkClosedFor(t, e, c[3], wrap.ReasonShrunk)
		checkOpen(t, c[2])
		if n := l.Count(); n.Open != 1 || n.Idle != 1 {
			t.Errorf("%+v, want 1 idle connection", n)
		}
	})
}

// TestReplace checks that all connections are replaced: idle ones before they are lent, and
// those in use when they are given back.
func TestReplace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, readers(3))
		l := e.lane()
		c := acquireAll(t, l, 3)
		l.Release(c[0])
		l.Release(c[1])
		l.Replace()
		fresh := acquire(t, l)
		checkClosedFor(t, e, c[0], wrap.ReasonReset)
		checkClosedFor(t, e, c[1], wrap.ReasonReset)
		checkOpen(t, c[2])
		l.Release(c[2])
		checkClosedFor(t, e, c[2], wrap.ReasonReset)
		l.Release(fresh)
		if acquire(t, l) != fresh {
			t.Error("the new connection was not kept")
		}
		l.Release(fresh)
	})
}

// TestCleanUpClosesConnection checks that a connection is closed for the reason that CleanUp
// returns.
func TestCleanUpClosesConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, writer())
		e.cleanUp = func() wrap.Reason { return wrap.ReasonDirty }
		l := start(t, e).lane()
		c := acquire(t, l)
		l.Release(c)
		checkClosedFor(t, e, c, wrap.ReasonDirty)
		if s := e.pool.Stats(); s.Discards != 1 || s.Releases != 0 {
			t.Errorf("%d discards, %d releases", s.Discards, s.Releases)
		}
	})
}

// TestTakeIdle checks that the pool itself gets a connection only if a turn and a connection are
// free, and opens one only if it may.
func TestTakeIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		if c, did, err := l.TakeIdle(t.Context(), false); c != nil || did || err != nil {
			t.Errorf("without a connection: %v, %v, %v", c, did, err)
		}
		checkTurnsFree(t, l)
		c, did, err := l.TakeIdle(t.Context(), true)
		if c == nil || !did || err != nil {
			t.Fatalf("TakeIdle opened no connection: %v, %v", did, err)
		}
		if other, did, err := l.TakeIdle(t.Context(), true); other != nil || did || err != nil {
			t.Errorf("without a turn: %v, %v, %v", other, did, err)
		}
		w := begin(t, l)
		w.waits(t)
		l.Push(c)
		l.ReleaseTurn()
		if w.got(t) != c {
			t.Error("the waiter got another connection")
		}
		l.Release(c)
		if again, did, err := l.TakeIdle(t.Context(), false); again != c || !did || err != nil {
			t.Errorf("TakeIdle did not take the idle connection: %v, %v", did, err)
		}
		l.Close(c, wrap.ReasonOther)
		l.ReleaseTurn()
	})
}
