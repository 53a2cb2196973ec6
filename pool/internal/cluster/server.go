package cluster

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A server is a server of the cluster, and what the pool knows of it.
type server struct {
	Server
	guard *core.Guard
	job   *core.Job // asks the server
	role  func(context.Context, driver.Conn) (Role, error)
	probe driver.Conn // that the job asks on; nil if it is not open
	lost  bool        // an earlier probe has broken since the last answer

	kick     chan struct{} // makes the roster ask now
	epoch    atomic.Uint64 // connections of an older one must be replaced
	term     atomic.Uint64 // connections of an older one must not be used any more
	broken   atomic.Int64  // when a connection last broke; Unix nanoseconds
	replayed atomic.Uint64 // the furthest position that the server is known to have replayed

	answer answer // the last one; guarded by roster.mu
}

// An answer is a server's answer to the question for its role.
type answer struct {
	asked uint64 // roster.clock when it was asked; 0 means never
	role  Role
	err   error // why there is none
	moved bool  // a connection that the server was asked on before has broken
}

// answerGrace is how long a driver may take to notice that the time for its answer is over.
const answerGrace = 100 * time.Millisecond

// ask asks the server for its role, for at most timeout.
func (s *server) ask(ctx context.Context, timeout time.Duration) answer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, broke := make(chan answer, 1), make(chan struct{}, 1)
	if !s.guard.Start(ctx, s.job, func(ctx context.Context) {
		a := answer{err: errNoAnswer} // in case the driver panics
		defer func() { found <- a }()
		a = s.askNow(ctx, broke)
	}) {
		return answer{err: errNoAnswer} // the driver is still busy with the last question
	}
	limit := time.NewTimer(timeout + answerGrace)
	defer limit.Stop()
	for {
		select {
		case a := <-found:
			s.job.Ended(context.Background()) // it ends immediately; then it can be asked again
			return a
		case <-broke:
			limit.Reset(min(timeout, reconnectWithin))
		case <-limit.C: // the driver may not notice the end of its context
			return answer{err: errNoAnswer}
		}
	}
}

// reconnectWithin is how long a server may take to answer on another connection after the probe has
// broken, before that counts as an outage. A driver such as go-dqlite's waits for a leader when it
// opens a connection.
const reconnectWithin = 100 * time.Millisecond

// askNow asks on the probe. If that has broken, it says so, and opens another.
func (s *server) askNow(ctx context.Context, broke chan<- struct{}) answer {
	if s.probe != nil {
		role, err := s.role(ctx, s.probe)
		if err == nil {
			return answer{role: role}
		}
		s.dropProbe()
		s.lost = true
		s.broken.Store(time.Now().UnixNano())
		broke <- struct{}{}
	}
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return answer{err: err}
	}
	s.probe = c
	role, err := s.role(ctx, c)
	if err != nil {
		s.dropProbe()
		return answer{err: err}
	}
	a := answer{role: role, moved: s.lost}
	s.lost = false
	return a
}

// dropProbe closes the probe. Only the job calls it, or the end of the pool after the job.
func (s *server) dropProbe() {
	if c := s.probe; c != nil {
		s.probe = nil
		_ = c.Close() // it has broken, or the pool ends
	}
}

// recheck makes the roster ask the server now.
func (s *server) recheck() {
	select {
	case s.kick <- struct{}{}:
	default: // that is about to happen
	}
}

// damaged records that a connection to the server has broken. The others are checked before they
// are lent again.
func (s *server) damaged(now time.Time) {
	s.broken.Store(now.UnixNano())
	s.recheck()
}
