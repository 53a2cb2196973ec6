package cluster

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A shell is a connection as database/sql sees it. It leases a connection from the pool when it
// first needs one, and gives it back when database/sql gives back the shell. An idle shell costs
// nothing.
//
// The first call of a checkout decides its lane. Once it has leased the writer, it keeps that until
// the end, because later calls may depend on that connection.
type shell struct {
	pool   *Pool
	pinned wrap.Lane // the lane of Reader or Writer; LaneNone for DB

	writer, reader *conn // leased connections, or nil
	tx             *conn // connection of the open transaction, or nil
	calling        *conn // connection of the running call, or of a call that has panicked
	broken         bool  // a panic has passed, and its connection has been given back
}

// forCall leases the connection for a call with q, or without a query if q is nil.
func (s *shell) forCall(ctx context.Context, q *query, onlyReads bool) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.pinned == wrap.LaneReader, s.pinned == wrap.LaneNone && onlyReads:
		return s.forRead(ctx, q)
	}
	return s.forWrite(ctx, q)
}

// forTx leases the connection for a transaction. A hot standby cannot serialize, so that goes to the
// primary.
func (s *shell) forTx(ctx context.Context, opts driver.TxOptions) (*conn, error) {
	level := sql.IsolationLevel(opts.Isolation)
	reads := opts.ReadOnly && level != sql.LevelSerializable && level != sql.LevelLinearizable
	return s.forCall(ctx, s.pool.begin, reads)
}

// forWrite leases the writer. First it gives back the checkout's reader, unless that has open rows.
func (s *shell) forWrite(ctx context.Context, q *query) (*conn, error) {
	switch {
	case s.broken:
		return nil, errBroken
	case s.writer != nil:
		return s.writer, nil
	}
	if s.reader != nil && s.reader.Lease().OpenRows() == 0 {
		s.giveBack(&s.reader)
	}
	c, err := leased(s.pool.writers.Acquire(ctx, summarizer(q)))
	if err != nil {
		return nil, err
	}
	s.writer = c
	c.shell.Store(s)
	return c, nil
}

// forRead leases a reader that shows what the pool has written. If there is none in time, it leases
// the writer.
func (s *shell) forRead(ctx context.Context, q *query) (*conn, error) {
	switch {
	case s.broken:
		return nil, errBroken
	case s.writer != nil, !s.pool.hasReaders():
		return s.forWrite(ctx, q)
	}
	if s.reader == nil {
		c, err := leased(s.pool.readers.Acquire(ctx, summarizer(q)))
		switch {
		case errors.Is(err, errNoStandby) && ctx.Err() == nil:
			return s.forWrite(ctx, q)
		case err != nil:
			return nil, err
		}
		s.reader = c
		c.shell.Store(s)
	}
	s.calling = s.reader
	caughtUp := s.pool.replay.wait(ctx, s.reader)
	s.calling = nil
	if caughtUp || s.reader.Lease().OpenRows() > 0 {
		s.pool.recordReplay(caughtUp)
		return s.reader, nil
	}
	s.giveBack(&s.reader)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.pool.recordReplay(false)
	return s.forWrite(ctx, q)
}

// summarizer returns q, or nil itself if q is nil.
func summarizer(q *query) core.Summarizer {
	if q == nil {
		return nil
	}
	return q
}

// errBroken is the error of a checkout after a panic, when a call would lease another connection.
var errBroken = fmt.Errorf("pool: %w", wrap.ErrPanicked)

// panicked gives back the connections that a panic has passed through. It is deferred by calls, and
// called when a connection has ended. In most cases database/sql does not give them back, and the
// lane would lose them for ever.
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
			s.giveBack(leased)
		}
	}
}

// panickedOrLost is panicked for calls whose panic would make database/sql keep a lock for ever. It
// returns such a panic as an error.
func (s *shell) panickedOrLost(finished *bool, err *error) {
	s.panicked()
	if *finished || !wrap.Lost() {
		return
	}
	if v := recover(); v != nil {
		*err = wrap.NewPanicError(v)
	}
}

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
	s.giveBack(&s.reader)
	s.giveBack(&s.writer)
}
