package pool

import "sync"

// A queue hands out turns, so many at once, in the order in which they were
// asked for. Nobody passes the one who has waited longest, not even who comes
// when a turn has just been given back.
//
// It is safe for concurrent use. Nothing here waits: who waits does so on the
// waiter's channel.
type queue struct {
	mu          sync.Mutex
	limit       int // turns that may be taken at once
	taken       int
	first, last *waiter
	waiting     int
	released    uint64 // counts turns given back, as a sign that there is progress
}

// A waiter is somebody in a queue.
type waiter struct {
	lane       *lane // that asks: a queue may serve several
	caller     callerID
	ready      chan error
	prev, next *waiter
	queued     bool
	hasConn    bool // who waits has a connection, and is in use
	extra      bool // the turn is one beyond the limit
}

func newQueue(limit int) *queue { return &queue{limit: limit} }

// join takes a turn at once and returns nil, or queues up and returns a waiter
// and its place, from 1. With most waiters there already, it fails; zero is any
// number.
func (q *queue) join(l *lane, most int) (w *waiter, place int, err error) {
	return q.joinAs(l, most, false)
}

// enter is join; again says that it is for who has a connection already.
func (q *queue) joinAs(l *lane, most int, hasConn bool) (w *waiter, place int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == nil && q.taken < q.limit {
		q.taken++
		return nil, 0, nil
	}
	if most > 0 && q.waiting >= most {
		return nil, 0, ErrQueueFull
	}
	w = &waiter{lane: l, ready: make(chan error, 1), prev: q.last, queued: true, hasConn: hasConn}
	if q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
	q.waiting++
	return w, q.waiting, nil
}

// name says who waits.
func (q *queue) setCaller(w *waiter, who callerID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.caller = who
}

// try takes a turn if there is one that nobody waits for.
func (q *queue) try() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first != nil || q.taken >= q.limit {
		return false
	}
	q.taken++
	return true
}

// leave is for a waiter that waits no more. It reports whether it had been given
// a turn meanwhile, which is then the caller's to give back.
func (q *queue) leave(w *waiter) (turn bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.queued {
		q.remove(w)
		return false
	}
	return <-w.ready == nil
}

// give gives back a turn, which is the first waiter's. extra is whether it was
// beyond the limit; then it is nobody's any more.
func (q *queue) release(extra bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released++
	if !extra {
		q.taken--
	}
	q.serve()
}

// serve gives turns to those who wait, while there are any.
func (q *queue) serve() {
	for q.first != nil && q.taken < q.limit {
		q.taken++
		w := q.first
		q.remove(w)
		w.ready <- nil
	}
}

// resize changes how many turns may be taken at once. Those that are taken are
// left alone.
func (q *queue) resize(limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
	q.serve()
}

// serveLast gives a turn beyond the limit to the one of l's who came last, if
// nothing has been given back since given was so. It reports whether it did.
func (q *queue) serveLast(l *lane, released uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.released != released {
		return false
	}
	w := q.last
	for w != nil && w.lane != l {
		w = w.prev
	}
	if w == nil {
		return false
	}
	q.remove(w)
	w.extra = true
	w.ready <- nil
	return true
}

// abort has all of l's waiters told err that have no connection yet, and abortAll
// those that have, too.
func (q *queue) abort(l *lane, err error) { q.abortWaiters(l, err, false) }

func (q *queue) abortAll(l *lane, err error) { q.abortWaiters(l, err, true) }

func (q *queue) abortWaiters(l *lane, err error, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; {
		next := w.next
		if w.lane == l && (all || !w.hasConn) {
			q.remove(w)
			w.ready <- err
		}
		w = next
	}
}

func (q *queue) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.waiting--
}

// A turnCount is how a queue stands.
type turnCount struct {
	limit, taken, waiting int
	released              uint64
}

func (q *queue) count() turnCount {
	q.mu.Lock()
	defer q.mu.Unlock()
	return turnCount{q.limit, q.taken, q.waiting, q.released}
}
