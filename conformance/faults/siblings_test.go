//go:build unix

package faults

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// A sibling is another process that writes continuously.
type sibling struct {
	other *other
	done  chan struct{}
	ended chan struct{}
	once  sync.Once

	mu  sync.Mutex
	ids []int64
	err error // the last error
}

// siblingFirst is the first id of a sibling. It is beyond the ids of all victims.
const siblingFirst = 1 << 30

func startSibling(t testing.TB, library, path string) *sibling {
	return siblingOf(startOther(t, library, path))
}

// siblingOf makes another process write from now on.
func siblingOf(o *other) *sibling {
	s := &sibling{other: o, done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for id := int64(siblingFirst); ; id++ {
			select {
			case <-s.done:
				return
			default:
			}
			_, err := s.other.do(fmt.Sprintf("INSERT INTO t(id, part, parts, body) VALUES (%d, 0, 1, randomblob(300))", id))
			s.mu.Lock()
			if s.err = err; err == nil {
				s.ids = append(s.ids, id)
			}
			s.mu.Unlock()
			time.Sleep(time.Millisecond) // gives the victim time to write
		}
	}()
	return s
}

// acked returns the ids whose commit the process has confirmed.
func (s *sibling) acked() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

// goesOn waits until two more ids are acknowledged.
func (s *sibling) goesOn() error {
	enough := len(s.acked()) + 2
	for began := time.Now(); len(s.acked()) < enough; {
		if time.Since(began) > patience {
			s.mu.Lock()
			defer s.mu.Unlock()
			return fmt.Errorf("it has written nothing for %v: %w", patience, s.err)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// halt stops the writes of the process.
func (s *sibling) halt() {
	s.once.Do(func() {
		close(s.done)
		<-s.ended
	})
}

// stop ends the process.
func (s *sibling) stop() {
	s.halt()
	s.other.stop()
}
