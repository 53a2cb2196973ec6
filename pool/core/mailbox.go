package core

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A mailbox passes values of the pool to a function of the program, one after the other and in
// order. It does so on its own goroutine, which exists only while there are values. So the pool
// does not wait for the function, and the function may panic. If the function is too slow or
// never returns, values that do not fit are lost; the loss is counted.
type mailbox[T any] struct {
	guard   *Guard
	place   *Place
	deliver func(T)
	onLost  func(n uint64) // delivered in place of lost values; nil for nothing

	working atomic.Bool // the goroutine is running; set with mu held
	gaveUp  atomic.Bool // a wait has timed out; no call waits again until the mailbox is empty

	mu    sync.Mutex // guards the fields below
	queue []T
	lost  uint64 // values without room, since the last call of onLost

	empty chan struct{} // closed when the goroutine ends; nil while no call waits for that
}

// mailboxSize is how many values a mailbox has room for, as many as a subscription of
// LogEvents.
const mailboxSize = DefaultEvents

// put adds v if there is room.
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
		if !finished { // the program's function has called runtime.Goexit
			go m.work()
		}
	}()
	for {
		do := m.next()
		if do == nil {
			finished = true
			return
		}
		func() {
			m.place.enter()
			defer m.place.leave()
			_ = m.guard.Recover(m.place, do)
		}()
	}
}

// next returns the next piece of work, or nil when there is none.
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

// putWhenRoom is put, but first waits up to patience if the mailbox is full.
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

// putAndWait is put, but then waits up to patience until v has been delivered.
func (m *mailbox[T]) putAndWait(v T, patience time.Duration) {
	m.put(v)
	m.wait(patience)
}

// wait waits up to patience until everything has been delivered. It does not wait if an earlier
// wait has timed out and the mailbox has not been empty since.
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

// flush waits until everything has been delivered. It returns false if ctx ends first.
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
