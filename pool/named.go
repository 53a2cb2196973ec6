package pool

import (
	"context"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// This file finds the connection for a query that names session state.

// forWriteOf leases the writer for a query. If the query names session state that a checkout has
// left, that is the connection that has it: on another one, the query might find something else of
// that name.
func (s *shell) forWriteOf(ctx context.Context, t *route.Query) (*conn, error) {
	kept, began := s.writer, time.Now()
	for {
		c, err := s.forWrite(ctx, t)
		if err != nil {
			return nil, err
		}
		name, other := s.elsewhere(c, t)
		if other == nil {
			return c, nil
		}
		if c == kept || c.reads {
			return nil, &SessionError{name, errElsewhere}
		}
		s.giveBack(&s.writer)
		if err := s.pool.waitForState(ctx, other, name, began); err != nil {
			return nil, err
		}
	}
}

// mayUse returns the error of a query in the open transaction that names session state of another
// connection.
func (s *shell) mayUse(t *route.Query) error {
	name, other := s.elsewhere(s.tx, t)
	switch {
	case other == nil:
		return nil
	case s.tx.reads:
		return &SessionError{name, errReadOnlyTx}
	}
	return &SessionError{name, errElsewhere}
}

// elsewhere returns a name in a query that belongs to session state that another connection than c
// has, and that connection, or nil.
func (s *shell) elsewhere(c *conn, t *route.Query) (name string, other *conn) {
	if s.pinned == wrap.LaneReader || t.Marks&route.Temp != 0 {
		return "", nil
	}
	return s.pool.routing.elsewhere(c, t.Text)
}

const (
	stateIdle = 100 * time.Millisecond // how long the holder of session state may do nothing while others wait
	statePoll = 2 * time.Millisecond   // how often it is looked at
)

// waitForState waits until the holder of a connection with session state gives it back. It fails
// if the holder does nothing for stateIdle, because it may wait for the caller: rows may be open
// around the query. It also fails at AcquireTimeout, and when ctx ends.
func (p *Pool) waitForState(ctx context.Context, of *conn, name string, began time.Time) error {
	since, used := of.UsedSince()
	steps, idle := of.doing.steps.Load(), time.Now()
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for used {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &SessionError{name, context.Cause(ctx)}
		}
		now, n := time.Now(), of.doing.steps.Load()
		if n != steps || n%2 == 1 {
			steps, idle = n, now
		}
		if d := p.cfg.AcquireTimeout; now.Sub(idle) >= stateIdle || d > 0 && now.Sub(began) >= d {
			return &SessionError{name, errElsewhere}
		}
		again := since
		if since, used = of.UsedSince(); !since.Equal(again) {
			return nil
		}
	}
	return nil
}
