package core

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// DefaultEvents is the default number of events that an [EventLog] keeps.
const DefaultEvents = 1024

// An EventLog keeps the latest events of connections and passes them to subscribers. The zero
// EventLog keeps [DefaultEvents] events and is ready to use. It must not be copied. All methods
// are safe for concurrent use.
type EventLog struct {
	mu      sync.Mutex // guards the fields below
	size    int
	ring    []wrap.Event // grows to size, then the oldest event is overwritten
	next    int          // index of the next event, once the ring is full
	seq     uint64       // of the latest event
	subs    []*Subscription
	dropped uint64
	closed  bool // new subscriptions are closed immediately
}

var _ wrap.Recorder = &EventLog{}

// NewEventLog returns an EventLog that keeps the latest size events. If size is zero or
// negative, it keeps [DefaultEvents].
func NewEventLog(size int) *EventLog {
	return &EventLog{size: size}
}

// Record implements [wrap.Recorder]. It numbers the event, and never waits for a subscriber.
// It allocates only until the log is full.
func (l *EventLog) Record(e wrap.Event) { l.add(&e) }

// add is Record, but sets the number in *e, which must be the caller's own copy.
func (l *EventLog) add(e *wrap.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	if l.size <= 0 {
		l.size = DefaultEvents
	}
	if len(l.ring) < l.size {
		l.ring = append(l.ring, *e)
	} else {
		l.ring[l.next] = *e
		l.next = (l.next + 1) % l.size
		l.dropped++
	}
	for _, s := range l.subs {
		s.offer(*e)
	}
}

// Events returns the events that are kept, the oldest first. Their Seq has no gaps.
func (l *EventLog) Events() []wrap.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := make([]wrap.Event, 0, len(l.ring))
	events = append(events, l.ring[l.next:]...)
	return append(events, l.ring[:l.next]...)
}

// Recorded returns how many events have been recorded.
func (l *EventLog) Recorded() uint64 {
	recorded, _ := l.counts()
	return recorded
}

// Dropped returns how many of the recorded events are no longer kept.
func (l *EventLog) Dropped() uint64 {
	_, dropped := l.counts()
	return dropped
}

// counts returns the results of Recorded and Dropped at one moment.
func (l *EventLog) counts() (recorded, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq, l.dropped
}

// Subscribe returns a subscription to every event from now on. It buffers up to buffer events
// that have not been received yet, at least one. If the buffer is full, the subscriber loses
// the event; the loss is counted.
func (l *EventLog) Subscribe(buffer int) *Subscription { return l.subscribe(buffer, nil) }

// subscribe is Subscribe. The subscriber closes finished, if not nil, when it has handled all
// events.
func (l *EventLog) subscribe(buffer int, finished chan struct{}) *Subscription {
	s := &Subscription{log: l, events: make(chan wrap.Event, max(buffer, 1)), finished: finished}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed { // no later call would close it
		close(s.events)
		return s
	}
	l.subs = append(l.subs, s)
	return s
}

// A Subscription receives the events of an [EventLog].
type Subscription struct {
	log    *EventLog
	events chan wrap.Event
	lost   atomic.Uint64

	finished chan struct{} // closed by the subscriber if it is the pool itself; else nil
}

// C returns the channel of events. Close closes it; events that are still in it can be received
// after that.
func (s *Subscription) C() <-chan wrap.Event { return s.events }

// Lost returns how many events did not fit into the buffer.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for i, other := range s.log.subs {
		if other == s {
			s.log.subs = append(s.log.subs[:i:i], s.log.subs[i+1:]...)
			close(s.events)
			return
		}
	}
}

// closeSubscriptions ends all current and later subscriptions. It waits for those of the pool
// itself as long as ctx allows, and reports whether they have finished.
func (l *EventLog) closeSubscriptions(ctx context.Context) (finished bool) {
	finished = true
	for _, s := range l.endSubscriptions() {
		if s.finished == nil {
			continue
		}
		select {
		case <-s.finished:
		case <-ctx.Done():
			finished = false
		}
	}
	return finished
}

func (l *EventLog) endSubscriptions() []*Subscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := l.subs
	for _, s := range ended {
		close(s.events)
	}
	l.subs, l.closed = nil, true
	return ended
}

// offer sends e if there is room. The log's mutex must be held, so that no event is sent after
// the close.
func (s *Subscription) offer(e wrap.Event) {
	select {
	case s.events <- e:
	default:
		s.lost.Add(1)
	}
}
