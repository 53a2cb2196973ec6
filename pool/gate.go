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
type stepGate struct {
	most    int32 // readers at once, while the writer is outside
	running atomic.Int32
	writing atomic.Int32 // writers inside: 0 or 1
	waiting atomic.Int32
	entered atomic.Uint64 // counts those who had to wait

	mu    sync.Mutex
	queue []chan struct{} // the first has waited longest
}

// patience is how long the bound is kept to.
const patience = 5 * time.Millisecond

func newStepGate() *stepGate { return &stepGate{most: int32(runtime.GOMAXPROCS(0))} }

func (g *stepGate) limit() int32 {
	if g.writing.Load() > 0 {
		return max(1, g.most-1)
	}
	return g.most
}

// enter lets a reader in.
func (g *stepGate) enter() {
	if g.waiting.Load() == 0 && g.try() {
		return
	}
	g.wait()
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
	g.mu.Lock()
	// Announced before it is tried again: who leaves looks after it has left.
	g.waiting.Add(1)
	if len(g.queue) == 0 && g.try() {
		g.waiting.Add(-1)
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{}, 1)
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	g.entered.Add(1)

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-turn:
		return
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.queue {
		if other == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.waiting.Add(-1)
			g.running.Add(1)
			return
		}
	}
	// It had been let in meanwhile.
}

// leave lets a reader out.
func (g *stepGate) leave() {
	g.running.Add(-1)
	if g.waiting.Load() > 0 {
		g.serve()
	}
}

// serve lets in who waits, while there is room.
func (g *stepGate) serve() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) > 0 && g.try() {
		turn := g.queue[0]
		g.queue = g.queue[1:]
		g.waiting.Add(-1)
		turn <- struct{}{}
	}
}

// enterWriter and leaveWriter are passed by the writer, who never waits.
func (g *stepGate) enterWriter() { g.writing.Add(1) }

func (g *stepGate) leaveWriter() {
	g.writing.Add(-1)
	if g.waiting.Load() > 0 {
		g.serve()
	}
}
