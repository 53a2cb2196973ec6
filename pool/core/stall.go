package core

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

// A stall is the watch over the callers that wait in a lane. The lane's mutex guards it.
type stall struct {
	timer    *time.Timer // nil if no caller waits
	id       uint64      // identifies the timer, because it may fire after Stop
	released uint64      // the queue's count of released turns when timer was set
	extended bool        // a caller has been let in beyond the limit by this timer
}

// addWaiting adds n to the number of waiters, and starts or stops the timer that detects
// stalls. It reports whether the lane refuses new acquires.
func (l *Lane) addWaiting(n int) (refusing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
	l.pool.sums.addWaiting(n)
	s := &l.stall
	switch {
	case l.cfg.Stalls == StallsWait:
	case l.waiting == 0:
		s.stop()
	case s.timer == nil:
		s.released = l.queue.count().released
		s.id++
		of := s.id
		first := stallAfter
		if l.cfg.Stalls == StallsTakeOffers {
			first = takeTurnAfter
		}
		s.timer = time.AfterFunc(first, func() { l.resolveStall(of) })
	}
	return l.refusing.Load()
}

func (s *stall) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer, s.extended = nil, false
	}
}

// resolveStall is called by the timer: callers wait, and nothing seems to move.
func (l *Lane) resolveStall(of uint64) {
	if l.cfg.Stalls == StallsExtend {
		l.extend(of)
	} else {
		l.takeOffers(of)
	}
}

// extend lets in one more caller if all seem to wait for each other: no turn has been released,
// and no connection is inside the engine. It chooses the last waiter. A caller that waits for
// its second connection came later than one that waits for its first.
func (l *Lane) extend(of uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.stall
	if s.timer == nil || s.id != of || l.closed {
		return
	}
	next := stallAfter
	if s.extended {
		next = stallNext
	}
	if (l.cfg.Running == nil || !l.cfg.Running()) && l.reserveLocked() {
		if l.queue.serveLast(l, s.released) {
			s.extended = true
			l.pool.sums.addOverflow()
			next = stallNext
		} else {
			l.unreserveLocked()
		}
	}
	s.released = l.queue.count().released
	s.timer.Reset(next)
}

// takeOffers gives an offered turn to the next waiter.
func (l *Lane) takeOffers(of uint64) {
	l.mu.Lock()
	s := &l.stall
	over := s.timer == nil || s.id != of || l.closed
	released := s.released
	l.mu.Unlock()
	if over {
		return
	}
	l.queue.takeOffer(released)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.timer != nil && s.id == of {
		s.released = l.queue.count().released
		s.timer.Reset(takeTurnAfter)
	}
}

// reserveLocked counts one more connection beyond the limit, and reports whether that is
// allowed. l.mu must be held.
func (l *Lane) reserveLocked() bool {
	if l.extra >= maxExtra {
		return false
	}
	if n := l.pool.cfg.ConnMemory; extraMemory.Add(n) > maxExtraMemory {
		extraMemory.Add(-n)
		return false
	}
	l.extra++
	return true
}

// unreserveLocked undoes reserveLocked. l.mu must be held.
func (l *Lane) unreserveLocked() {
	l.extra--
	extraMemory.Add(-l.pool.cfg.ConnMemory)
}
