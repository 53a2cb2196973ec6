package pool

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Readers that wait for each other, as nested queries do, are let through beyond
// the limit once nothing has moved for stallAfter; then, for stallNext, until
// nobody waits.
const (
	stallAfter = 20 * time.Millisecond
	stallNext  = time.Millisecond
	maxExtra   = 128
)

// maxExtraMemory bounds the address space that the readers beyond the limit of all pools
// reserve, each as much as it may come to use, and that of the writers that are kept; see
// park. Where an address has 32 bits, there are 2 to 4 GiB for everything, and a connection
// reserves 32 MiB unless Config.MemoryLimit says otherwise.
const maxExtraMemory int64 = (512<<20)*(1-bits.UintSize/64) + math.MaxInt64*(bits.UintSize/64)

var extraMemory atomic.Int64 // reserved by readers

// waits counts those who wait, and watches over them while there are any. It
// reports whether nobody is to.
func (l *lane) addWaiting(n int) (refusing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
	l.pool.sums.addWaiting(n)
	if l.pool.readers == nil {
		return l.refusing.Load()
	}
	switch {
	case l.waiting == 0 && l.stall != nil:
		l.stall.Stop()
		l.stall, l.stalled = nil, false
	case l.waiting > 0 && l.stall == nil:
		l.stallSeen = l.queue.count().released
		l.stallID++
		of := l.stallID
		l.stall = time.AfterFunc(l.stallAfter(), func() { l.resolveStall(of) })
	}
	return l.refusing.Load()
}

func (l *lane) stallAfter() time.Duration {
	if l.reads {
		return stallAfter
	}
	return takeTurnAfter
}

// watch is called while somebody waits and nothing seems to move.
func (l *lane) resolveStall(of uint64) {
	if l.reads {
		l.resolveReaderStall(of)
	} else {
		l.resolveWriterStall(of)
	}
}

// unstall lets one more reader through if all those there are wait, it seems, for
// each other: no turn was given back, and nobody is inside SQLite. It is the one
// who came last, because who waits for a second connection came after who has
// only just come for a first.
func (l *lane) resolveReaderStall(of uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stall == nil || l.stallID != of || l.closed {
		return
	}
	next := stallAfter
	if l.stalled {
		next = stallNext
	}
	if l.pool.steps.running.Load() == 0 && l.reserveLocked() {
		if l.queue.serveLast(l, l.stallSeen) {
			l.stalled = true
			l.pool.sums.addOverflow()
			next = stallNext
		} else {
			l.unreserveLocked()
		}
	}
	l.stallSeen = l.queue.count().released
	l.stall.Reset(next)
}

// reserveLocked reports whether there may be one more connection beyond the limit, and
// counts it. l.mu must be held.
func (l *lane) reserveLocked() bool {
	if l.extra >= maxExtra {
		return false
	}
	if n := l.pool.cfg.MemoryLimit; extraMemory.Add(n) > maxExtraMemory {
		extraMemory.Add(-n)
		return false
	}
	l.extra++
	return true
}

// unreserveLocked gives up a connection beyond the limit. l.mu must be held.
func (l *lane) unreserveLocked() {
	l.extra--
	extraMemory.Add(-l.pool.cfg.MemoryLimit)
}
