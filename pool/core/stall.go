package core

import "time"

// Readers may wait for each other, as nested queries do. If nothing has moved for stallAfter,
// one more reader is let in beyond the limit. After that, one more is let in every stallNext
// until no reader waits, up to maxExtra.
const (
	stallAfter = 20 * time.Millisecond
	stallNext  = time.Millisecond
)

// addWaiting adds n to the number of waiters, and starts or stops the timer that detects
// stalls. It reports whether the lane refuses new acquires.
func (l *Lane) addWaiting(n int) (refusing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stall.waiting += n
	l.sums.addWaiting(n)
	s := &l.stall
	switch {
	case l.opts.Stalls == StallsWait:
	case l.stall.waiting == 0:
		s.stop()
	case s.timer == nil:
		s.released = l.Queue().count().released
		s.id++
		of := s.id
		first := stallAfter
		if l.opts.Stalls == StallsTakeOffers {
			first = takeTurnAfter
		}
		s.timer = time.AfterFunc(first, func() { l.resolveStall(of) })
	}
	return l.ending.refusing.Load()
}

func (s *stall) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer, s.extended = nil, false
	}
}

// resolveStall is called by the timer: callers wait, and nothing seems to move.
func (l *Lane) resolveStall(of uint64) {
	if l.opts.Stalls == StallsExtend {
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
	if s.timer == nil || s.id != of || l.ending.closed {
		return
	}
	next := stallAfter
	if s.extended {
		next = stallNext
	}
	if (l.opts.Running == nil || !l.opts.Running()) && l.reserveLocked() {
		if l.Queue().serveLast(l, s.released) {
			s.extended = true
			l.sums.addExtra()
			next = stallNext
		} else {
			l.unreserveLocked()
		}
	}
	s.released = l.Queue().count().released
	s.timer.Reset(next)
}

// takeOffers gives an offered turn to the next waiter.
func (l *Lane) takeOffers(of uint64) {
	l.mu.Lock()
	s := &l.stall
	over := s.timer == nil || s.id != of || l.ending.closed
	released := s.released
	l.mu.Unlock()
	if over {
		return
	}
	l.Queue().takeOffer(released)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.timer != nil && s.id == of {
		s.released = l.Queue().count().released
		s.timer.Reset(takeTurnAfter)
	}
}
