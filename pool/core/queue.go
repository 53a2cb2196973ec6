package core

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
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
	released    uint64  // counts released turns, as a sign of progress
	lanes       []*Lane // those that use it; replaced, never changed
}

// A waiter is a caller that waits in a queue.
type waiter struct {
	lane       *Lane // the caller's; a queue may serve several lanes
	caller     callerID
	since      time.Time
	ready      chan error
	prev, next *waiter
	queued     bool
	hasConn    bool // the caller has leased a connection already
	extra      bool // the turn is beyond the limit
}

// NewQueue returns a Queue with so many turns.
func NewQueue(limit int) *Queue { return &Queue{limit: limit} }

// add adds a lane that uses the queue, and drop removes it.
func (q *Queue) add(l *Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lanes = append(slices.Clone(q.lanes), l)
}

func (q *Queue) drop(l *Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lanes = slices.DeleteFunc(slices.Clone(q.lanes), func(other *Lane) bool { return other == l })
}

// Lanes returns the lanes that use the queue.
func (q *Queue) Lanes() []*Lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes
}

// join takes a turn and returns nil if one is free. Otherwise it adds a waiter and returns it
// with its place, from 1. It fails if there are most waiters already; zero means any number.
func (q *Queue) join(l *Lane, most int) (w *waiter, place int, err error) {
	return q.joinAs(l, most, false)
}

// joinAs is join; hasConn says that the caller has leased a connection already.
func (q *Queue) joinAs(l *Lane, most int, hasConn bool) (w *waiter, place int, err error) {
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

// setCaller sets the caller of w, which waits from now on.
func (q *Queue) setCaller(w *waiter, who callerID, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.caller, w.since = who, now
}

// A Waiter is a call that waits for a connection.
type Waiter struct {
	Pool   string // name of the pool
	Lane   wrap.Lane
	Place  int // in the queue now, from 1
	Waited time.Duration
	Trace  trace.TraceID // of the call; zero if it is in no trace
	Owner  string        // name set by [WithOwner]
}

// waiters returns the waiters of lane l, in the order in which they are served.
func (q *Queue) waiters(l *Lane, now time.Time) (list []Waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := 0
	for w := q.first; w != nil; w = w.next {
		place++
		if w.lane == l && !w.since.IsZero() {
			list = append(list, Waiter{l.pool.cfg.Name, l.name, place, max(now.Sub(w.since), 0), w.caller.trace, w.caller.owner})
		}
	}
	return list
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

// serveLast gives a turn beyond the limit to the last waiter of lane l, and reports whether it
// did. It does not if q.released differs from released, because then there is progress.
func (q *Queue) serveLast(l *Lane, released uint64) bool {
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

// abort ends the waits of l's waiters that have no connection yet, with err. abortAll ends
// those of all.
func (q *Queue) abort(l *Lane, err error) { q.abortWaiters(l, err, false) }

func (q *Queue) abortAll(l *Lane, err error) { q.abortWaiters(l, err, true) }

func (q *Queue) abortWaiters(l *Lane, err error, all bool) {
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
