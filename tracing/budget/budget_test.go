package budget_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
)

func TestBudget(t *testing.T) {
	b := budget.New(10, 15)
	one, two := b.Share(), b.Share()
	for _, step := range []struct {
		s    *budget.Share
		n    int
		want bool
	}{
		{one, 11, false}, {one, 6, true}, {one, 5, false}, {one, 4, true}, // limit of each
		{two, 6, false}, {two, 5, true}, {two, 1, false}, // limit of all
	} {
		if got := step.s.Take(step.n); got != step.want {
			t.Errorf("%d: %t", step.n, got)
		}
	}
	if one.Used() != 10 || two.Used() != 5 || b.Used() != 15 {
		t.Errorf("%d, %d of %d", one.Used(), two.Used(), b.Used())
	}
	if !one.CanTake(10) || one.CanTake(11) || !two.CanTake(5) || two.CanTake(6) {
		t.Error("CanTake does not match the free bytes")
	}
	one.Give(4)
	if !two.Take(4) || two.Take(1) || b.Used() != 15 {
		t.Errorf("%d of %d", two.Used(), b.Used())
	}
	runtime.KeepAlive(one)
	runtime.KeepAlive(two)
}

// A cache that is garbage-collected gives back its bytes.
func TestShareIsGarbageCollected(t *testing.T) {
	b := budget.New(10, 10)
	b.Share().Take(10)
	for deadline := time.Now().Add(time.Minute); b.Used() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still taken", b.Used())
		}
		runtime.GC()
	}
}
