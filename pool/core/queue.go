package core

import (
	"context"
	"sync"
	"time"
)

// A Queue hands out turns: at most limit at the same time, first come, first served. A newcomer
// never overtakes the first waiter, even when a turn has just been released.
//
// A Queue is safe for concurrent use. Its methods do not block; a waiter receives from its own
// channel. Several lanes may share it, such as those of the pools with the same file.
type Queue struct {
	mu          sync.Mutex // guards the fields below, and those of the waiters
	limit       int        // turns that may be taken at the same time
	taken       int
	first, last *waiter
	waiting     int
	released    uint64 // counts released turns, as a sign of progress
}

// A waiter is a caller that waits in a queue.
type waiter struct {
	lane       any // the caller's; a queue may serve several lanes
	caller     callerID
	query      Summarizer      // that the caller will execute; nil if it is unknown
	ctx        context.Context // of the caller
	since      time.Time
	ready      chan error
	prev, next *waiter
	queued     bool
	hasConn    bool // the caller has leased a connection already
	extra      bool // the turn is beyond the limit
}

// NewQueue returns a Queue with so many turns.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// join takes a turn and returns nil if one is free. Otherwise it adds a waiter and returns it
// with its place, from 1. It fails if there are most waiters already; zero means any number.
func (q *Queue) join(lane any, most int) (w *waiter, place int, err error) {
	return q.joinAs(lane, most, false)
}

// joinAs is join; hasConn says that the caller has leased a connection already.
func (q *Queue) joinAs(lane any, most int, hasConn bool) (w *waiter, place int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == nil && q.taken < q.limit {
		q.taken++
		return nil, 0, nil
	}
	if most > 0 && q.waiting >= most {
		return nil, 0, ErrQueueFull
	}
	w = &waiter{lane: lane, ready: make(chan error, 1), prev: q.last, queued: true, hasConn: hasConn}
	if q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
	q.waiting++
	return w, q.waiting, nil
}

// setCaller sets the caller of w, which waits from now on with the context ctx.
func (q *Queue) setCaller(w *waiter, ctx context.Context, who callerID, query Summarizer, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.ctx, w.caller, w.query, w.since = ctx, who, query, now
}

// A wait is a waiter, and its place in the queue, from 1.
type wait struct {
	caller callerID
	query  Summarizer
	ctx    context.Context // nil if it has only just joined
	place  int
	since  time.Time // zero if it has only just joined
}

// waits returns the waits of a lane, in the order in which they are served.
func (q *Queue) waits(lane any) (list []wait) {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := 0
	for w := q.first; w != nil; w = w.next {
		if place++; w.lane == lane {
			list = append(list, wait{w.caller, w.query, w.ctx, place, w.since})
		}
	}
	return list
}

// eachWaiter calls f with each waiter. f must not call the queue.
func (q *Queue) eachWaiter(f func(*waiter)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; w = w.next {
		f(w)
	}
}

// try takes a turn if one is free and no caller waits.
func (q *Queue) try() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first != nil || q.taken >= q.limit {
		return false
	}
	q.taken++
	return true
}

// leave ends the wait of w. It reports whether w had got a turn meanwhile, which the caller
// must then release.
func (q *Queue) leave(w *waiter) (turn bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.queued {
		q.remove(w)
		return false
	}
	return <-w.ready == nil
}

// release releases a turn, which goes to the first waiter. A turn beyond the limit (extra)
// ends.
func (q *Queue) release(extra bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released++
	if !extra {
		q.taken--
	}
	q.serve()
}

// serve gives the free turns to the first waiters. q.mu must be held.
func (q *Queue) serve() {
	for q.first != nil && q.taken < q.limit {
		q.taken++
		w := q.first
		q.remove(w)
		w.ready <- nil
	}
}

// resize changes the limit. Turns that are taken stay taken.
func (q *Queue) resize(limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
	q.serve()
}

// serveLast gives a turn beyond the limit to the last waiter of a lane, and reports whether it
// did. It does not if q.released differs from released, because then there is progress.
func (q *Queue) serveLast(lane any, released uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.released != released {
		return false
	}
	w := q.last
	for w != nil && w.lane != lane {
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

// abort ends the waits of the lane's waiters that have no connection yet, with err. abortAll ends
// those of all.
func (q *Queue) abort(lane any, err error) { q.abortWaiters(lane, err, false) }

func (q *Queue) abortAll(lane any, err error) { q.abortWaiters(lane, err, true) }

func (q *Queue) abortWaiters(lane any, err error, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; {
		next := w.next
		if w.lane == lane && (all || !w.hasConn) {
			q.remove(w)
			w.ready <- err
		}
		w = next
	}
}

func (q *Queue) remove(w *waiter) {
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

// A turnCount is a snapshot of a queue's counters.
type turnCount struct {
	limit, taken, waiting int
	released              uint64
}

func (q *Queue) count() turnCount {
	q.mu.Lock()
	defer q.mu.Unlock()
	return turnCount{q.limit, q.taken, q.waiting, q.released}
}

// A Summarizer is a query that can be summarized without its values.
type Summarizer interface{ Summary() string }
