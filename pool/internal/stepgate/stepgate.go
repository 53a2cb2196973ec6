// Package stepgate limits how many readers run inside SQLite at the same time.
package stepgate

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Gate limits how many readers run inside SQLite at the same time. More readers than
// processors gain nothing, and they take the processor from the writer, for which all other
// callers wait. A reader passes the gate for each step and never holds it between rows. So the
// program's own time does not block others.
//
// The limit is soft: a reader that has waited for readerPatience enters anyway. The reason is
// that a step may wait for a reader outside, as a user function that queries does. The limit
// has no order either: a running reader goes on, because switching at each step would take
// longer than the step.
type Gate struct {
	most    int32 // readers at the same time, while no writer is inside
	running atomic.Int32
	writing atomic.Int32  // writers inside: 0 or 1
	writes  atomic.Uint64 // counts entries of writers
	writers atomic.Int32  // writers that have their turn or wait for it
	waiting atomic.Int32
	waking  atomic.Bool   // a waiting reader has been woken and has not tried yet
	waits   atomic.Uint64 // counts readers that had to wait

	mu    sync.Mutex      // guards queue
	queue []chan struct{} // the first has waited longest
}

// readerPatience is how long a reader respects the limit.
const readerPatience = 5 * time.Millisecond

func New() *Gate { return &Gate{most: int32(runtime.GOMAXPROCS(0))} }

// limit returns the current limit. It leaves a processor to a running writer.
func (g *Gate) limit() int32 {
	if g.writing.Load() > 0 {
		return max(1, g.most-1)
	}
	return g.most
}

// A connection that is leased again within hotGap may be used by readers that never block. When
// this has gone on for hotAfter, yieldToWriter assumes that they do not.
const (
	hotGap   = 30 * time.Microsecond
	hotAfter = 200 * time.Microsecond
)

// A Reader is what the gate knows of a reader's connection. The zero value is a new one.
type Reader struct {
	hotSince   time.Time // start of use without pauses
	seenWrites uint64    // the gate's count of writes at the last lease
}

// YieldToWriter is called when a reader's connection is leased. Readers that never block keep
// their processors for ten milliseconds each, while the next writer may only need a processor.
// So the reader yields to it under these conditions: a writer is waiting or has its turn, none
// is inside, and none has been inside since the reader's last query. rest is how long the
// connection was idle.
//
// Readers that do block need not yield, however many there are. Yielding puts the goroutine
// into the runtime's global queue. A processor looks there only at every 61st switch, as long
// as it has other goroutines to run. That is the case where one writer makes the next one
// ready. Yielding may then take a millisecond.
//
// On two cores, with 32 writers and 8 readers that never block (the workload contention-tx of
// conformance/bench), writers commit 1.08 times as often as with the plain driver and 0.63 times
// without yielding; their slowest hundredth takes 0.60 times as long, and 1.27 times without.
// Readers pay for that: 14 times the plain driver's reads instead of 22.
func (g *Gate) YieldToWriter(r *Reader, rest time.Duration, now time.Time) {
	if g.shouldYield(r, rest, now) {
		runtime.Gosched()
	}
}

func (g *Gate) shouldYield(r *Reader, rest time.Duration, now time.Time) bool {
	writes := g.writes.Load()
	stuck := writes == r.seenWrites && g.writers.Load() > 0 && g.writing.Load() == 0
	r.seenWrites = writes
	if rest >= hotGap {
		r.hotSince = now
		return false
	}
	return stuck && now.Sub(r.hotSince) >= hotAfter
}

// Enter lets a reader in.
func (g *Gate) Enter() {
	if !g.try() {
		g.wait()
	}
}

func (g *Gate) try() bool {
	for {
		n := g.running.Load()
		if n >= g.limit() {
			return false
		}
		if g.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *Gate) wait() {
	g.waits.Add(1)
	turn := make(chan struct{}, 1)
	timer := time.NewTimer(readerPatience)
	defer timer.Stop()
	g.mu.Lock()
	// Count it before trying again: a leaving reader looks at waiting after it has left.
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	g.queue = append(g.queue, turn)
	for !g.try() {
		g.mu.Unlock()
		select {
		case <-turn:
			g.mu.Lock()
			g.waking.Store(false)
			g.queue = append([]chan struct{}{turn}, g.queue...) // it has waited longest
		case <-timer.C:
			g.mu.Lock()
			g.remove(turn)
			g.running.Add(1)
			g.mu.Unlock()
			return
		}
	}
	g.remove(turn)
	g.mu.Unlock()
}

// remove removes a waiting reader from the queue. A reader that has been woken is not in the
// queue any more, and has tried.
func (g *Gate) remove(turn chan struct{}) {
	for i, other := range g.queue {
		if other == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return
		}
	}
	g.waking.Store(false)
}

// Leave lets a reader out.
func (g *Gate) Leave() {
	g.running.Add(-1)
	g.serve()
}

// serve wakes the first waiting reader, unless another one has been woken already.
func (g *Gate) serve() {
	if g.waiting.Load() == 0 || g.waking.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 && !g.waking.Load() {
		turn := g.queue[0]
		g.queue = g.queue[1:]
		g.waking.Store(true)
		turn <- struct{}{}
	}
}

// EnterWriter and LeaveWriter are called around each step of the writer, which never waits.
func (g *Gate) EnterWriter() {
	g.writing.Add(1)
	g.writes.Add(1)
}

func (g *Gate) LeaveWriter() {
	g.writing.Add(-1)
	g.serve()
}

// AddWriters adds n to the number of writers that have their turn or wait for it.
func (g *Gate) AddWriters(n int32) { g.writers.Add(n) }

// Running reports whether a reader is inside.
func (g *Gate) Running() bool { return g.running.Load() > 0 }

// Waits returns how many readers have had to wait.
func (g *Gate) Waits() uint64 { return g.waits.Load() }
