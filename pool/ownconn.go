package pool

import (
	"context"
	"errors"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// This file has the connections that the pool uses for itself.

// withIdleWriter calls f with the writer, and reports whether it did. It does not if the writer
// is in use. If the writer's connection is not open, it opens it if open is set.
func (p *Pool) withIdleWriter(ctx context.Context, open bool, f func(*conn) error) (did bool, err error) {
	return withIdle(ctx, p.lanes.writer, open, f)
}

// withIdle is withIdleWriter for any lane.
func withIdle(ctx context.Context, l *core.Lane, open bool, f func(*conn) error) (did bool, err error) {
	lent, did, err := l.TakeIdle(ctx, open)
	if lent == nil {
		return did, err
	}
	defer l.ReleaseTurn()
	c := connOf(lent)
	defer func() {
		if c.Lease().Panicked() {
			l.CloseIn(ctx, lent, wrap.ReasonPanic)
		} else {
			l.Push(lent)
		}
	}()
	c.Lease().Use(func() { err = f(c) })
	return true, err
}

// errInUse means that the only possible connection is in use.
var errInUse = errors.New("pool: in use")

// withOwnConn calls f with a connection that no caller uses: a new one, or the keeper of an
// in-memory database. With locking_mode=exclusive, it is the writer if that is idle; otherwise
// the error is errInUse.
func (p *Pool) withOwnConn(ctx context.Context, f func(driver.PoolConn) error) error {
	switch {
	case p.base.keeper != nil:
		return p.base.keeper.use(f)
	case p.plan.exclusive:
		did, err := p.withIdleWriter(ctx, true, func(c *conn) error { return f(c) })
		if !did {
			return errInUse
		}
		return err
	}
	connector := p.lanes.writes
	if p.forReaders().Reads() {
		connector = p.lanes.reads
	}
	c, err := connector.Dial(ctx, nil)
	if err != nil {
		return err
	}
	inBackground(ctx, c)
	defer c.Lease().CloseFor(wrap.ReasonOther)
	c.Lease().Use(func() { err = f(c) })
	return err
}

// inBackground tells a connection that the pool itself uses it, with context ctx, which Term gets.
func inBackground(ctx context.Context, c driver.PoolConn) {
	if core.JobOf(ctx) == nil {
		return
	}
	c.Lease().InBackground()
	if !c.Lease().Panicked() {
		c.SQLite().SetInterrupt(context.WithoutCancel(ctx))
	}
}

// A keeper is a connection that keeps an in-memory database alive as long as the pool is open.
// No caller uses it. A nil keeper does nothing.
type keeper struct {
	mu   sync.Mutex      // held while conn is used
	conn driver.PoolConn // nil once closed
}

func newKeeper(ctx context.Context, c *driver.Connector) (*keeper, error) {
	conn, err := c.Dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &keeper{conn: conn}, nil
}

func (k *keeper) use(f func(driver.PoolConn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return ErrClosed
	}
	return f(k.conn)
}

func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	conn := k.conn
	k.conn = nil
	return conn.Lease().CloseFor(wrap.ReasonPoolClosed)
}
