package page

import (
	"context"
	"sync"
	"time"
)

// freshness is how long a result is used for further requests.
const freshness = 250 * time.Millisecond

// A shared is a result that all viewers share. The first request that needs a new one builds it,
// on its own goroutine. Others that come meanwhile wait for it as long as their contexts allow.
type shared[T any] struct {
	build func() T

	mu       sync.Mutex    // guards the fields below
	building chan struct{} // closed when the running build has ended; nil if there is none
	built    time.Time     // when value was built; zero if there is none
	value    T
}

// get returns a result that is less than freshness old, or that was built meanwhile.
func (s *shared[T]) get(ctx context.Context) (value T, err error) {
	began := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return value, err
		}
		s.mu.Lock()
		if !s.built.IsZero() && began.Sub(s.built) < freshness {
			defer s.mu.Unlock()
			return s.value, nil
		}
		building := s.building
		if building == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-building:
		case <-ctx.Done():
			return value, ctx.Err()
		}
	}
	s.building = make(chan struct{})
	s.mu.Unlock()
	return s.rebuild(), nil
}

// rebuild builds a result. If that panics, a request that waits builds it instead.
func (s *shared[T]) rebuild() (value T) {
	done := false
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if done {
			s.built, s.value = time.Now(), value
		}
		close(s.building)
		s.building = nil
	}()
	value = s.build()
	done = true
	return value
}
