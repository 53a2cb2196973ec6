package pool

import (
	"context"
	"fmt"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A shell is a connection as database/sql sees it. It leases a connection from the pool when it
// first needs one, and gives it back when database/sql gives back the shell. An idle shell
// costs nothing.
//
// The first request of a checkout decides its lane. Once the checkout has leased the writer, it
// keeps it until the end, because later queries may depend on that connection.
type shell struct {
	pool   *Pool
	pinned wrap.Lane // the lane of Reader or Writer; LaneNone for DB

	writer, reader *conn // leased connections, or nil
	tx             *conn // connection of the open transaction, or nil
	calling        *conn // connection of the running call, or of a call that has panicked
	broken         bool  // a panic has passed, and its connection has been given back

	// callMu is held during calls on the leased connections. So the pool does not take a
	// connection away during a call. database/sql makes one call at a time.
	callMu sync.Mutex
}

// forRead leases a reader. It uses the writer instead if the checkout has leased it. query is what
// a wait is for; nil if that is unknown.
func (s *shell) forRead(ctx context.Context, query core.Summarizer) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil, s.pinned == wrap.LaneWriter:
		return s.forWrite(ctx, query)
	case s.reader != nil:
		return s.refreshSchema(s.reader), nil
	}
	lane := s.pool.forReaders()
	if !lane.Reads() {
		return s.forWrite(ctx, query)
	}
	c, err := leased(lane.Acquire(ctx, query))
	if err != nil {
		return nil, err
	}
	s.reader = c
	c.shell.Store(s)
	return s.refreshSchema(c), nil
}

// forWrite leases the writer. First it gives back the checkout's reader, unless that has open
// rows. Otherwise callers that wait for a reader would also wait for the writer.
func (s *shell) forWrite(ctx context.Context, query core.Summarizer) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil:
		return s.reclaimTurn(ctx, query)
	case s.pinned == wrap.LaneReader && s.pool.forReaders().Reads():
		return s.forRead(ctx, query)
	}
	if s.reader != nil && s.reader.Lease().OpenRows() == 0 {
		s.giveBack(&s.reader)
	}
	c, err := leased(s.pool.lanes.writer.Acquire(ctx, query))
	if err != nil {
		return nil, err
	}
	s.writer = c
	c.shell.Store(s)
	return c, nil
}

// refreshSchema calls conn.refreshSchema as part of the running call.
func (s *shell) refreshSchema(c *conn) *conn {
	s.calling = c
	c.refreshSchema()
	s.calling = nil
	return c
}

// panicked gives back the connections that a panic has passed through. It is deferred by calls,
// and called when a connection has ended. In most cases database/sql does not give them back,
// and the lane would lose them forever.
//
// It also gives back the other leased connection, unless that has open rows or a transaction,
// which may go on. After that, the checkout fails every call.
//
// If a hook panics too when the connection is given back, the pool reports that panic. The
// program sees the first one.
func (s *shell) panicked() {
	if c := s.calling; c != nil {
		s.calling = nil
		if !c.Lease().Spared() {
			c.Lease().Break()
		}
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c.Lease().Ended() {
			s.broken = true
			_ = s.pool.guard.Recover(s.pool.places.afterRelease, func() { s.giveBack(leased) })
		}
	}
	if !s.broken {
		return
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c != s.tx && c.Lease().OpenRows() == 0 {
			_ = s.pool.guard.Recover(s.pool.places.afterRelease, func() { s.giveBack(leased) })
		}
	}
}

// panickedOrLost is panicked for calls whose panic would make database/sql keep a lock forever.
// It returns such a panic as an error.
func (s *shell) panickedOrLost(finished *bool, err *error) {
	s.panicked()
	if *finished || !wrap.Lost() {
		return
	}
	if v := recover(); v != nil {
		*err = wrap.NewPanicError(v)
	}
}

// errBroken is the error of a checkout after a panic, when a call would lease another
// connection.
var errBroken = fmt.Errorf("pool: %w", wrap.ErrPanicked)

func (s *shell) giveBack(leased **conn) {
	if c := *leased; c != nil {
		*leased = nil
		c.shell.Store(nil)
		c.release()
	}
}

// release ends the checkout.
func (s *shell) release() {
	s.tx = nil
	defer s.giveBack(&s.writer) // also if a hook panics
	s.giveBack(&s.reader)
}

// reclaimTurn returns the writer, with its turn. If another caller has taken the turn, it waits
// for a new one.
func (s *shell) reclaimTurn(ctx context.Context, query core.Summarizer) (*conn, error) {
	c := s.writer
	return c, c.lane.Reclaim(ctx, &c.Conn, query)
}
