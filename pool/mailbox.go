package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A mailbox hands what the pool has to say to a function of the program's, in order
// and one after the other, on a goroutine of its own, which is there as long as there
// is something to hand over. So nobody of the pool's waits for that function, and it
// may panic. For what finds no room, because the function is too slow or never
// returns, there is a count.
type mailbox[T any] struct {
	guard   *guard
	place   place
	deliver func(T)
	onLost  func(n uint64) // is handed in the place of what was lost; nil for nothing

	working atomic.Bool // set with mu held
	gaveUp  atomic.Bool // somebody has waited in vain, and nobody does again until it is empty

	mu    sync.Mutex
	queue []T
	lost  uint64 // that found no room, since lost was called

	empty chan struct{} // closed when the goroutine ends; nil while nobody waits for that
}

// mailboxSize is how much a mailbox has room for, as a subscription of LogEvents.
const mailboxSize = DefaultEvents

// put takes v in, if there is room.
func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) >= mailboxSize {
		m.lost++
		return
	}
	m.queue = append(m.queue, v)
	if !m.working.Load() {
		m.working.Store(true)
		go m.work()
	}
}

func (m *mailbox[T]) work() {
	finished := false
	defer func() {
		if !finished { // runtime.Goexit by the program's function
			go m.work()
		}
	}()
	s := &m.guard.places[m.place]
	for {
		do := m.next()
		if do == nil {
			finished = true
			return
		}
		func() {
			s.enter()
			defer s.leave()
			_ = m.guard.recoverPanics(m.place, do)
		}()
	}
}

// next returns what is to be done next, or nil at the end.
func (m *mailbox[T]) next() func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.lost; n > 0 && m.onLost != nil {
		m.lost = 0
		return func() { m.onLost(n) }
	}
	if len(m.queue) == 0 {
		m.queue = nil
		m.working.Store(false)
		m.gaveUp.Store(false)
		if m.empty != nil {
			close(m.empty)
			m.empty = nil
		}
		return nil
	}
	v := m.queue[0]
	m.queue = m.queue[1:]
	return func() { m.deliver(v) }
}

// putOnceThereIsRoom is put for a caller that outruns the function: it waits for room, unless
// that takes too long.
func (m *mailbox[T]) putWhenRoom(v T, patience time.Duration) {
	if m.isFull() {
		m.wait(patience)
	}
	m.put(v)
}

func (m *mailbox[T]) isFull() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue) >= mailboxSize
}

// putAndWait is put for what is to be handed over before its caller goes on, unless
// that takes too long.
func (m *mailbox[T]) putAndWait(v T, patience time.Duration) {
	m.put(v)
	m.wait(patience)
}

// wait waits until everything is handed over, unless that takes too long, or has already.
func (m *mailbox[T]) wait(patience time.Duration) {
	if patience <= 0 || m.gaveUp.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !m.flush(ctx) {
		m.gaveUp.Store(true)
	}
}

// flush waits until everything is handed over, as long as ctx allows, and reports
// whether it is.
func (m *mailbox[T]) flush(ctx context.Context) bool {
	m.mu.Lock()
	if !m.working.Load() {
		m.mu.Unlock()
		return true
	}
	if m.empty == nil {
		m.empty = make(chan struct{})
	}
	empty := m.empty
	m.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-ctx.Done():
		return false
	}
}
