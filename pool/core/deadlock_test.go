package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestDeadlockOfPools checks that a deadlock of two callers with two pools is reported as a
// cycle, with the lanes that the holders wait for.
func TestDeadlockOfPools(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := started(t, core.Config{Name: "a", AcquireTimeout: time.Second}, writer())
		b := started(t, core.Config{Name: "b"}, writer())
		atA, atB := acquireAs(t, a.lane(), "x"), acquireAs(t, b.lane(), "y")
		fromX := beginAs(t, b.lane(), "x")
		fromY := beginAs(t, a.lane(), "y")
		time.Sleep(time.Second)
		failure := explained(t, fromY.fails(t))
		if failure.Cause != core.CauseCycle || len(failure.Holders) != 2 {
			t.Fatalf("cause %q, holders %v", failure.Cause, failure.Holders)
		}
		for _, h := range failure.Holders {
			want := map[string]string{"x": `writer of "b"`, "y": `writer of "a"`}[h.Owner]
			if h.WaitsFor != want || !strings.Contains(failure.Error(), "waits for a "+want) {
				t.Errorf("holder %q waits for %q, want %q", h.Owner, h.WaitsFor, want)
			}
		}
		b.lane().Release(atB)
		b.lane().Release(fromX.got(t))
		a.lane().Release(atA)
	})
}

// TestNoDeadlockIfOneHolderContinues checks that a wait is no cycle if one of the holders does
// not wait, or is not known to be the same caller.
func TestNoDeadlockIfOneHolderContinues(t *testing.T) {
	for _, waits := range []string{"x", "z", ""} {
		t.Run("waits="+waits, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				e := started(t, core.Config{}, readers(2))
				l := e.lane()
				x, y := acquireAs(t, l, "x"), acquireAs(t, l, "y")
				w := beginAs(t, l, waits)
				w.cancel(nil)
				if cause := explained(t, w.fails(t)).Cause; cause != core.CauseCancelled {
					t.Errorf("cause %q", cause)
				}
				w, other := beginAs(t, l, "x"), beginAs(t, l, "y")
				w.cancel(nil)
				if cause := explained(t, w.fails(t)).Cause; cause != core.CauseCycle {
					t.Errorf("cause %q, want a cycle when both holders wait", cause)
				}
				l.Release(x)
				l.Release(other.got(t))
				l.Release(y)
			})
		})
	}
}

// TestNoDeadlockWithUnknownHolder checks that a wait is no cycle if the holder of one of the
// turns is not known, as for a turn of the pool itself.
func TestNoDeadlockWithUnknownHolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := started(t, core.Config{}, readers(2)).lane()
		c := acquireAs(t, l, "x")
		if !l.TryTurn() {
			t.Fatal("no turn is free")
		}
		w := beginAs(t, l, "x")
		w.cancel(nil)
		if cause := explained(t, w.fails(t)).Cause; cause != core.CauseCancelled {
			t.Errorf("cause %q", cause)
		}
		l.ReleaseTurn()
		l.Release(c)
	})
}

// TestDeadlockWithoutTurn checks that a holder whose turn was taken is not part of a cycle, and
// does not hide one.
func TestDeadlockWithoutTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := writer()
		cfg.Stalls = core.StallsTakeOffers
		l := started(t, core.Config{}, cfg).lane()
		x := acquireAs(t, l, "x")
		x.Offer()
		y := beginAs(t, l, "y")
		time.Sleep(2 * time.Millisecond)
		w := beginAs(t, l, "y") // waits for itself
		w.cancel(nil)
		failure := explained(t, w.fails(t))
		if failure.Cause != core.CauseCycle || len(failure.Holders) != 1 || failure.Holders[0].Owner != "y" {
			t.Errorf("cause %q, holders %v", failure.Cause, failure.Holders)
		}
		l.Release(y.got(t))
		l.Release(x)
	})
}
