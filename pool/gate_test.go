package pool

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Readers go in as many as there is room for, and then in their order, as soon as
// one is out.
func TestStepGateServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stepGate{most: 2}
		g.enter()
		g.enter()
		var order []int
		for i := range 3 {
			go func() {
				g.enter()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatalf("%v went in beyond the bound", order)
		}
		for i := range 3 {
			g.leave()
			synctest.Wait()
			if len(order) != i+1 || order[i] != i {
				t.Fatalf("after %d left: %v", i+1, order)
			}
		}
		if n := g.waits.Load(); n != 3 {
			t.Errorf("%d waits were counted", n)
		}
		g.leave()
		g.leave()
		if g.running.Load() != 0 || g.waiting.Load() != 0 {
			t.Errorf("%d inside, %d waiting", g.running.Load(), g.waiting.Load())
		}
	})
}

// While the writer is inside there is room for one reader less; when it leaves,
// who waits goes in.
func TestStepGateMakesRoomForTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stepGate{most: 2}
		g.enterWriter()
		g.enter()
		in := false
		go func() {
			g.enter()
			in = true
		}()
		synctest.Wait()
		if in {
			t.Fatal("a second reader went in beside the writer")
		}
		g.leaveWriter()
		synctest.Wait()
		if !in {
			t.Fatal("the reader waits though the writer is out")
		}
		g.leave()
		g.leave()

		one := &stepGate{most: 1}
		one.enterWriter()
		one.enter() // or nobody could ever read while somebody writes
		one.leave()
		one.leaveWriter()
	})
}

// Readers that never block make way where a writer is kept from going in, and only
// there: yielding is dear to who has to come back.
func TestStepGateReadersMakeWay(t *testing.T) {
	g, c := &stepGate{most: 2}, &conn{}
	now := time.Now()
	lend := func(rest time.Duration) bool {
		c.idleSince = now
		now = now.Add(rest)
		return g.shouldYield(c, now)
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
		t.Errorf("%d yields to nobody", n)
	}
	g.addWriters(1)
	if !lend(time.Microsecond) {
		t.Error("readers that never block do not make way for a writer that waits")
	}
	g.enterWriter()
	if n := run(10 * hotAfter); n != 0 {
		t.Errorf("%d yields to a writer that is inside", n)
	}
	g.leaveWriter()
	if !lend(time.Microsecond) {
		t.Error("no way is made for the writer's next step")
	}
	g.enterWriter()
	g.leaveWriter()
	if lend(time.Microsecond) {
		t.Error("a writer that has been inside since the query before is not kept from going in")
	}
	if !lend(time.Microsecond) {
		t.Error("no way is made for a writer that has not been inside since")
	}
	if lend(time.Second) {
		t.Error("who has rested yields")
	}
	if n := run(hotAfter - 20*time.Microsecond); n != 0 {
		t.Errorf("%d yields of readers that have only come at once", n)
	}
	if n := run(hotAfter); n == 0 {
		t.Error("readers that go on and on do not make way")
	}
}

// Who has waited for patience goes in whatever the bound: what is inside may wait
// for him.
func TestStepGateIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stepGate{most: 1}
		g.enter()
		began := time.Now()
		g.enter()
		if d := time.Since(began); d != readerPatience {
			t.Errorf("went in after %v", d)
		}
		if n := g.running.Load(); n != 2 {
			t.Errorf("%d are inside", n)
		}
		// There is room again only once both have left.
		g.leave()
		in := false
		go func() {
			g.enter()
			in = true
		}()
		synctest.Wait()
		if in {
			t.Error("a third went in beside the second")
		}
		g.leave()
		synctest.Wait()
		if !in {
			t.Error("the third waits for nobody")
		}
		g.leave()
	})
}

// No wake-up is lost, and no place: after many have come and gone, also by
// patience, everything is as it was.
func TestStepGateStorm(t *testing.T) {
	g := &stepGate{most: 2}
	var wg sync.WaitGroup
	var slow atomic.Int32
	for range 16 {
		wg.Go(func() {
			for i := range 500 {
				if rand.IntN(50) == 0 {
					g.enterWriter()
					runtime.Gosched()
					g.leaveWriter()
					continue
				}
				g.enter()
				if i%250 == 0 && slow.Add(1) < 8 {
					time.Sleep(2 * readerPatience) // so that some run out of it
				}
				runtime.Gosched()
				g.leave()
			}
		})
	}
	wg.Wait()
	if g.running.Load() != 0 || g.waiting.Load() != 0 || g.writing.Load() != 0 || len(g.queue) != 0 {
		t.Errorf("%d inside, %d waiting, %d writing, queue %d", g.running.Load(), g.waiting.Load(), g.writing.Load(), len(g.queue))
	}
}
