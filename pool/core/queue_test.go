package core

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// received returns what a waiter has received; ok is false if it still waits.
func received(w *waiter) (err error, ok bool) {
	select {
	case err := <-w.ready:
		return err, true
	default:
		return nil, false
	}
}

// TestQueueMatchesList checks that a queue behaves like a list under random operations.
// Turns go to the first waiter. A waiter that leaves takes no turn and no other's place. The
// limit holds, and a turn beyond the limit ends with its release.
func TestQueueMatchesList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 300 {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		lanes := []*Lane{{}, {}}
		limit, most := 1+r.IntN(3), r.IntN(6)
		q := NewQueue(limit)

		var list []*waiter // the waiters of the model
		var holders []bool // turns; true for one beyond the limit
		taken, given := 0, uint64(0)
		serve := func(step int, op string) {
			for len(list) > 0 && taken < limit {
				w := list[0]
				list = list[1:]
				taken++
				if err, ok := received(w); !ok || err != nil {
					t.Fatalf("seed %d, round %d, step %d, %s: the first waiter got %v, %v", seed, round, step, op, err, ok)
				}
				holders = append(holders, false)
			}
			for i, w := range list {
				if err, ok := received(w); ok {
					t.Fatalf("seed %d, round %d, step %d, %s: waiter %d of %d got %v", seed, round, step, op, i, len(list), err)
				}
			}
			if n := q.count(); n != (turnCount{limit, taken, len(list), given}) {
				t.Fatalf("seed %d, round %d, step %d, %s: %+v, want %+v", seed, round, step, op, n, turnCount{limit, taken, len(list), given})
			}
		}
		for step := range 400 {
			op := ""
			switch l := lanes[r.IntN(2)]; r.IntN(9) {
			case 0, 1, 2:
				op = "join"
				w, place, err := q.join(l, most)
				switch {
				case len(list) == 0 && taken < limit:
					if w != nil || err != nil {
						t.Fatalf("seed %d, round %d, step %d: a free turn was not given: %v, %v", seed, round, step, w, err)
					}
					taken++
					holders = append(holders, false)
				case most > 0 && len(list) >= most:
					if !errors.Is(err, ErrQueueFull) {
						t.Fatalf("seed %d, round %d, step %d: %d waiters, at most %d: %v", seed, round, step, len(list), most, err)
					}
				default:
					list = append(list, w)
					if err != nil || place != len(list) {
						t.Fatalf("seed %d, round %d, step %d: place %d, %v; want %d", seed, round, step, place, err, len(list))
					}
				}
			case 3:
				op = "try"
				free := len(list) == 0 && taken < limit
				if q.try() != free {
					t.Fatalf("seed %d, round %d, step %d: try returned %v", seed, round, step, !free)
				}
				if free {
					taken++
					holders = append(holders, false)
				}
			case 4, 5:
				op = "give"
				if len(holders) == 0 {
					continue
				}
				i := r.IntN(len(holders))
				extra := holders[i]
				holders = slices.Delete(holders, i, i+1)
				if !extra {
					taken--
				}
				given++
				q.release(extra)
			case 6:
				op = "leave"
				if len(list) == 0 {
					continue
				}
				i := r.IntN(len(list))
				if q.leave(list[i]) {
					t.Fatalf("seed %d, round %d, step %d: a waiter had a turn", seed, round, step)
				}
				list = slices.Delete(list, i, i+1)
			case 7:
				op = "resize"
				limit = 1 + r.IntN(4)
				q.resize(limit)
			case 8:
				if r.IntN(4) == 0 {
					op = "abort"
					gone := errors.New("gone")
					q.abort(l, gone)
					list = slices.DeleteFunc(list, func(w *waiter) bool {
						if w.lane != l {
							return false
						}
						if q.leave(w) {
							t.Fatalf("seed %d, round %d, step %d: an aborted waiter had a turn", seed, round, step)
						}
						return true
					})
					break
				}
				op = "serveLast"
				seen := given
				if r.IntN(4) == 0 {
					seen++
				}
				last := -1
				for i, w := range list {
					if w.lane == l {
						last = i
					}
				}
				if got, want := q.serveLast(l, seen), last >= 0 && seen == given; got != want {
					t.Fatalf("seed %d, round %d, step %d: serveLast returned %v", seed, round, step, got)
				} else if want {
					if err, ok := received(list[last]); !ok || err != nil || !list[last].extra {
						t.Fatalf("seed %d, round %d, step %d: the last waiter got %v, %v", seed, round, step, err, ok)
					}
					list = slices.Delete(list, last, last+1)
					holders = append(holders, true)
				}
			}
			serve(step, op)
		}
	}
}

// TestQueueLeaveDuringHandOff checks that a waiter that leaves at the moment it gets a turn
// learns that it has one. If it releases the turn, no turn is lost. The test does that 10,000
// times.
func TestQueueLeaveDuringHandOff(t *testing.T) {
	var had, left int
	q := NewQueue(1)
	l := &Lane{}
	for i := range 10_000 {
		if w, _, _ := q.join(l, 0); w != nil {
			t.Fatal("a turn was lost")
		}
		leaver, _, _ := q.join(l, 0)
		next, place, _ := q.join(l, 0)
		if place != 2 {
			t.Fatalf("place %d", place)
		}
		var wg sync.WaitGroup
		var start atomic.Int32
		meet := func() {
			for start.Add(1); start.Load() < 2; {
				runtime.Gosched()
			}
		}
		both := []func(){
			func() {
				meet()
				q.release(false)
			},
			func() {
				meet()
				if q.leave(leaver) {
					had++
					q.release(false)
				} else {
					left++
				}
			},
		}
		wg.Go(both[i%2])
		wg.Go(both[1-i%2])
		wg.Wait()
		if err, ok := received(next); err != nil || !ok {
			t.Fatalf("the next waiter got %v, %v", err, ok)
		}
		q.release(false)
	}
	t.Logf("%d got a turn before they left, %d left before", had, left)
	if n := q.count(); n.taken != 0 || n.waiting != 0 {
		t.Errorf("%+v", n)
	}
}

// TestQueueStorm checks that many goroutines that join, leave and release at the same time
// never hold more turns than the limit. No turn and no waiter is left at the end.
func TestQueueStorm(t *testing.T) {
	const limit, workers, each = 3, 64, 500
	q := NewQueue(limit)
	var held, most atomic.Int32
	var wg sync.WaitGroup
	for range workers {
		l := &Lane{}
		wg.Go(func() {
			for range each {
				w, _, err := q.join(l, workers/2)
				if err != nil {
					continue
				}
				if w != nil {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if rand.IntN(2) == 0 {
						go cancel()
					}
					select {
					case <-w.ready:
					case <-ctx.Done():
						if !q.leave(w) {
							continue
						}
					}
				}
				if n := held.Add(1); n > most.Load() {
					most.Store(n)
				}
				runtime.Gosched()
				held.Add(-1)
				q.release(false)
			}
		})
	}
	wg.Wait()
	if n := q.count(); n.taken != 0 || n.waiting != 0 || most.Load() > limit {
		t.Errorf("%+v, %d at the same time", n, most.Load())
	}
}

// TestQueueNewcomerDoesNotOvertake checks that a newcomer never overtakes waiters, not even just
// after a turn was released. That turn already belongs to the first waiter.
func TestQueueNewcomerDoesNotOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1)
		l := &Lane{}
		q.try()
		first, _, _ := q.join(l, 0)
		var got []string
		go func() {
			<-first.ready
			got = append(got, "first")
			q.release(false)
		}()
		synctest.Wait()
		q.release(false) // the first waiter has the turn, but has not run yet
		if q.try() {
			t.Error("try overtook the first waiter")
		}
		late, _, _ := q.join(l, 0)
		if late == nil {
			t.Fatal("join overtook the first waiter")
		}
		<-late.ready
		got = append(got, "late")
		if !slices.Equal(got, []string{"first", "late"}) {
			t.Errorf("served %v", got)
		}
	})
}
