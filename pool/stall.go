package pool

import "time"

// Readers that wait for each other, as nested queries do, are let through beyond
// the limit once nothing has moved for stallAfter; then, for stallNext, until
// nobody waits.
const (
	stallAfter = 20 * time.Millisecond
	stallNext  = time.Millisecond
	maxExtra   = 128
)

// waits counts those who wait, and watches over them while there are any. It
// reports whether nobody is to.
func (l *lane) waits(n int) (refusing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
	l.pool.sums.waits(n)
	if l.pool.readers == nil {
		return l.refusing.Load()
	}
	switch {
	case l.waiting == 0 && l.stall != nil:
		l.stall.Stop()
		l.stall, l.stalled = nil, false
	case l.waiting > 0 && l.stall == nil:
		l.stallSeen = l.queue.count().given
		l.stallOf++
		of := l.stallOf
		l.stall = time.AfterFunc(l.stallAfter(), func() { l.watch(of) })
	}
	return l.refusing.Load()
}

func (l *lane) stallAfter() time.Duration {
	if l.reads {
		return stallAfter
	}
	return parkAfter
}

// watch is called while somebody waits and nothing seems to move.
func (l *lane) watch(of uint64) {
	if l.reads {
		l.unstall(of)
	} else {
		l.unpark(of)
	}
}

// unstall lets one more reader through if all those there are wait, it seems, for
// each other: no turn was given back, and nobody is inside SQLite. It is the one
// who came last, because who waits for a second connection came after who has
// only just come for a first.
func (l *lane) unstall(of uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stall == nil || l.stallOf != of || l.closed {
		return
	}
	next := stallAfter
	if l.stalled {
		next = stallNext
	}
	if l.pool.steps.running.Load() == 0 && l.extra < maxExtra && l.queue.serveLast(l, l.stallSeen) {
		l.extra++
		l.stalled = true
		l.pool.sums.overflowed()
		next = stallNext
	}
	l.stallSeen = l.queue.count().given
	l.stall.Reset(next)
}
