package pool

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Readers may wait for each other, as nested queries do. If nothing has moved for stallAfter,
// one more reader is let in beyond the limit. After that, one more is let in every stallNext
// until no reader waits, up to maxExtra.
const (
	stallAfter = 20 * time.Millisecond
	stallNext  = time.Millisecond
	maxExtra   = 128
)

// maxExtraMemory limits the address space that connections beyond the limit reserve, in all
// pools together: extra readers, and extra writers (see turn.go). Each reserves as much as it
// may ever use. With 32-bit addresses, there are 2 to 4 GiB for everything, and a connection
// reserves 32 MiB unless Config.MemoryLimit says otherwise. With 64 bits, there is no limit.
const maxExtraMemory int64 = (512<<20)*(1-bits.UintSize/64) + math.MaxInt64*(bits.UintSize/64)

var extraMemory atomic.Int64 // reserved by extra readers

// addWaiting adds n to the number of waiters, and starts or stops the timer that detects
// stalls. It reports whether the lane refuses new acquires.
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

// resolveStall is called by the timer: callers wait, and nothing seems to move.
func (l *lane) resolveStall(of uint64) {
	if l.reads {
		l.resolveReaderStall(of)
	} else {
		l.resolveWriterStall(of)
	}
}

// resolveReaderStall lets in one more reader if all readers seem to wait for each other: no
// turn has been released, and no reader is inside SQLite. It chooses the last waiter. A caller
// that waits for its second connection came later than one that waits for its first.
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

// reserveLocked counts one more connection beyond the limit, and reports whether that is
// allowed. l.mu must be held.
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

// unreserveLocked undoes reserveLocked. l.mu must be held.
func (l *lane) unreserveLocked() {
	l.extra--
	extraMemory.Add(-l.pool.cfg.MemoryLimit)
}
