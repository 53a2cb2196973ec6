package stepgate

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestStepGateServesInOrder checks that as many readers enter as the limit allows, and that the
// others enter in order, as soon as one leaves.
func TestStepGateServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{most: 2}
		g.Enter()
		g.Enter()
		var order []int
		for i := range 3 {
			go func() {
				g.Enter()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatalf("%v entered beyond the limit", order)
		}
		for i := range 3 {
			g.Leave()
			synctest.Wait()
			if len(order) != i+1 || order[i] != i {
				t.Fatalf("after %d left: %v", i+1, order)
			}
		}
		if n := g.waits.Load(); n != 3 {
			t.Errorf("%d waits were counted", n)
		}
		g.Leave()
		g.Leave()
		if g.running.Load() != 0 || g.waiting.Load() != 0 {
			t.Errorf("%d inside, %d waiting", g.running.Load(), g.waiting.Load())
		}
	})
}

// TestStepGateLeavesRoomForWriter checks that the limit is lower by one while the writer is
// inside. When the writer leaves, a waiting reader enters.
func TestStepGateLeavesRoomForWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{most: 2}
		g.EnterWriter()
		g.Enter()
		in := false
		go func() {
			g.Enter()
			in = true
		}()
		synctest.Wait()
		if in {
			t.Fatal("a second reader entered beside the writer")
		}
		g.LeaveWriter()
		synctest.Wait()
		if !in {
			t.Fatal("the reader waits though the writer has left")
		}
		g.Leave()
		g.Leave()

		one := &Gate{most: 1}
		one.EnterWriter()
		one.Enter() // otherwise no reader could ever enter beside a writer
		one.Leave()
		one.LeaveWriter()
	})
}

// TestStepGateReadersYield checks that readers that never block yield to a writer that cannot
// get in, and only to such a writer. Yielding is expensive for a reader that has to come back.
func TestStepGateReadersYield(t *testing.T) {
	g, c := &Gate{most: 2}, &Reader{}
	now := time.Now()
	lend := func(rest time.Duration) bool {
		now = now.Add(rest)
		return g.shouldYield(c, rest, now)
	}
	run := func(d time.Duration) (yields int) {
		for until := now.Add(d); now.Before(until); {
			if lend(10 * time.Microsecond) {
				yields++
			}
		}
		return yields
	}

	if n := run(10 * hotAfter); n != 0 {
		t.Errorf("%d yields without a writer", n)
	}
	g.AddWriters(1)
	if !lend(time.Microsecond) {
		t.Error("readers that never block do not yield to a waiting writer")
	}
	g.EnterWriter()
	if n := run(10 * hotAfter); n != 0 {
		t.Errorf("%d yields to a writer that is inside", n)
	}
	g.LeaveWriter()
	if !lend(time.Microsecond) {
		t.Error("readers do not yield to the writer's next step")
	}
	g.EnterWriter()
	g.LeaveWriter()
	if lend(time.Microsecond) {
		t.Error("a reader yields though a writer has been inside since the last query")
	}
	if !lend(time.Microsecond) {
		t.Error("readers do not yield to a writer that has not been inside since")
	}
	if lend(time.Second) {
		t.Error("a reader that has rested yields")
	}
	if n := run(hotAfter - 20*time.Microsecond); n != 0 {
		t.Errorf("%d yields of readers that have been hot for less than hotAfter", n)
	}
	if n := run(hotAfter); n == 0 {
		t.Error("readers that never block do not yield")
	}
}

// TestStepGateIsPatient checks that a reader enters after readerPatience, whatever the limit
// is, because the readers inside may wait for it.
func TestStepGateIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gate{most: 1}
		g.Enter()
		began := time.Now()
		g.Enter()
		if d := time.Since(began); d != readerPatience {
			t.Errorf("it entered after %v", d)
		}
		if n := g.running.Load(); n != 2 {
			t.Errorf("%d are inside", n)
		}
		// The number is below the limit again only after both have left.
		g.Leave()
		in := false
		go func() {
			g.Enter()
			in = true
		}()
		synctest.Wait()
		if in {
			t.Error("a third reader entered beside the second")
		}
		g.Leave()
		synctest.Wait()
		if !in {
			t.Error("the third reader waits though the gate is free")
		}
		g.Leave()
	})
}

// TestStepGateStorm checks that no wake-up and no place is lost. After many readers have
// entered and left, some of them because of readerPatience, the gate is empty again.
func TestStepGateStorm(t *testing.T) {
	g := &Gate{most: 2}
	var wg sync.WaitGroup
	var slow atomic.Int32
	for range 16 {
		wg.Go(func() {
			for i := range 500 {
				if rand.IntN(50) == 0 {
					g.EnterWriter()
					runtime.Gosched()
					g.LeaveWriter()
					continue
				}
				g.Enter()
				if i%250 == 0 && slow.Add(1) < 8 {
					time.Sleep(2 * readerPatience) // so that some waits exceed readerPatience
				}
				runtime.Gosched()
				g.Leave()
			}
		})
	}
	wg.Wait()
	if g.running.Load() != 0 || g.waiting.Load() != 0 || g.writing.Load() != 0 || len(g.queue) != 0 {
		t.Errorf("%d inside, %d waiting, %d writing, queue %d", g.running.Load(), g.waiting.Load(), g.writing.Load(), len(g.queue))
	}
}
