package core_test

import (
	"errors"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestChecker checks that an idle connection is checked before it is lent, a new one is not, and
// that the caller gets another connection for each that must be closed.
func TestChecker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, readers(3))
		var checked []*toyConn
		bad := map[*toyConn]bool{}
		e.check = func(c *toyConn) wrap.Reason {
			checked = append(checked, c)
			if bad[c] {
				return wrap.ReasonBad
			}
			return ""
		}
		start(t, e)
		l := e.lane()
		a, b := acquire(t, l), acquire(t, l)
		if len(checked) != 0 {
			t.Errorf("%d new connections were checked", len(checked))
		}
		l.Release(a)
		l.Release(b)
		bad[toyOf(b)] = true
		c := acquire(t, l)
		if c != a || len(checked) != 2 || checked[0] != toyOf(b) || checked[1] != toyOf(a) {
			t.Errorf("the lane lent another connection than the good one, and checked %d", len(checked))
		}
		l.Release(c)
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonBad] != 1 || s.Connects != 2 {
			t.Errorf("closed for %v, %d connects; want one that was bad, and 2 connects", s.ClosedFor, s.Connects)
		}
	})
}

// TestInterrupter checks that a session learns once that its connection has been stopped.
func TestInterrupter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := newToy(core.Config{}, readers(2))
		var interrupted []*toyConn
		e.interrupt = func(c *toyConn) { interrupted = append(interrupted, c) }
		start(t, e)
		l := e.lane()
		a, b := acquire(t, l), acquire(t, l)
		why := errors.New("why")
		a.Stop(why, wrap.ReasonOther)
		a.Stop(errors.New("too late"), wrap.ReasonBad)
		since, _ := b.UsedSince()
		if b.StopIn(since, func() bool { return false }, why, wrap.ReasonOther) || !b.StopIn(since, func() bool { return true }, why, wrap.ReasonOther) {
			t.Error("StopIn does not do what its function says")
		}
		if len(interrupted) != 2 || interrupted[0] != toyOf(a) || interrupted[1] != toyOf(b) {
			t.Errorf("%d interrupts, want one of each connection", len(interrupted))
		}
		if a.Stopped() != why {
			t.Errorf("stopped because %v, want the first reason", a.Stopped())
		}
		l.Release(a)
		l.Release(b)
	})
}

// TestCloseIdle checks that CloseIdle closes the idle connections that are selected, and no other.
func TestCloseIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, readers(3))
		l := e.lane()
		a, b, c := acquire(t, l), acquire(t, l), acquire(t, l)
		l.Release(a)
		l.Release(b)
		l.CloseIdle(t.Context(), wrap.ReasonReset, func(s core.Session) bool { return s.Core() != b })
		if n := l.Count(); n.Open != 2 || n.Idle != 1 || toyOf(a).closes.Load() != 1 {
			t.Errorf("%+v, want one idle connection and one in use", n)
		}
		l.Release(c)
		if s := e.pool.Stats(); s.ClosedFor[wrap.ReasonReset] != 1 {
			t.Errorf("closed for %v", s.ClosedFor)
		}
	})
}
