package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A stepGate bounds how many readers run inside SQLite at once: more of them than
// there are processors gain nothing, and take the processor from the writer,
// whom everybody waits for. It is passed for each step and never held between
// rows, so that the program's own time costs nobody a turn.
//
// The bound is soft: who has waited for patience goes in all the same, since what
// runs inside may wait for what is outside, as a user function that queries does.
// And it is in no order: who runs goes on, for to change over at each step would
// take longer than the step.
type stepGate struct {
	most    int32 // readers at once, while nobody writes
	running atomic.Int32
	writing atomic.Int32  // writers inside: 0 or 1
	writes  atomic.Uint64 // counts how often one has gone in
	writers atomic.Int32  // that have their turn, or wait for it
	waiting atomic.Int32
	waking  atomic.Bool   // one who waits has been told to try
	waits   atomic.Uint64 // counts those who had to wait

	mu    sync.Mutex
	queue []chan struct{} // the first has waited longest
}

// patience is how long the bound is kept to.
const readerPatience = 5 * time.Millisecond

func newStepGate() *stepGate { return &stepGate{most: int32(runtime.GOMAXPROCS(0))} }

// limit leaves a processor to who writes.
func (g *stepGate) limit() int32 {
	if g.writing.Load() > 0 {
		return max(1, g.most-1)
	}
	return g.most
}

// A connection that is used again within restless is used by readers that may never
// block; once it has been for stint, they are taken not to.
const (
	hotGap   = 30 * time.Microsecond
	hotAfter = 200 * time.Microsecond
)

// lend is told that a connection that reads is lent for a query. Readers that never
// block keep their processors for ten milliseconds each, and the next writer may
// only wait for one: so while somebody is to write, nobody is inside to, and nobody
// has been since the query before, that is the writer's first.
//
// It is not asked of readers that do block, however many come at once. Who yields
// goes to the runtime's global queue, and that is looked at by every 61st switch of a
// processor only, as long as it has somebody else to switch to: as it has where one
// writer makes the next one ready. That may take a millisecond.
func (g *stepGate) yieldToWriter(c *conn, now time.Time) {
	if g.shouldYield(c, now) {
		runtime.Gosched()
	}
}

func (g *stepGate) shouldYield(c *conn, now time.Time) bool {
	writes := g.writes.Load()
	stuck := writes == c.seenWrites && g.writers.Load() > 0 && g.writing.Load() == 0
	c.seenWrites = writes
	if now.Sub(c.idleSince) >= hotGap {
		c.hotSince = now
		return false
	}
	return stuck && now.Sub(c.hotSince) >= hotAfter
}

// enter lets a reader in.
func (g *stepGate) enter() {
	if !g.try() {
		g.wait()
	}
}

func (g *stepGate) try() bool {
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

func (g *stepGate) wait() {
	g.waits.Add(1)
	turn := make(chan struct{}, 1)
	timer := time.NewTimer(readerPatience)
	defer timer.Stop()
	g.mu.Lock()
	// Announced before it is tried again: who leaves looks after it has left.
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

// remove takes who waits out of the queue; who has been told to try is not in it,
// and has tried.
func (g *stepGate) remove(turn chan struct{}) {
	for i, other := range g.queue {
		if other == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return
		}
	}
	g.waking.Store(false)
}

// leave lets a reader out.
func (g *stepGate) leave() {
	g.running.Add(-1)
	g.serve()
}

// serve tells who has waited longest to try, if nobody has been told already.
func (g *stepGate) serve() {
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

// enterWriter and leaveWriter are passed by the writer, who never waits.
func (g *stepGate) enterWriter() {
	g.writing.Add(1)
	g.writes.Add(1)
}

func (g *stepGate) leaveWriter() {
	g.writing.Add(-1)
	g.serve()
}

// writer is told of those who come to write, and of those who have, or give up.
func (g *stepGate) addWriters(n int32) { g.writers.Add(n) }
