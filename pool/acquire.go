package pool

import (
	"context"
	"database/sql"

	"github.com/ncruces/go-sqlite3"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Conn is a checkout: a *sql.Conn of a pool. The caller must Close or Release it, which do
// the same.
type Conn struct {
	*sql.Conn
}

// Release gives the connection back.
func (c *Conn) Release() error { return c.Close() }

// ID returns the ID of the leased connection, or 0 if none is leased.
func (c *Conn) ID() sqlitemw.ConnID {
	var id sqlitemw.ConnID
	_ = c.Raw(func(dc any) error {
		id = shellOf(dc).ID()
		return nil
	})
	return id
}

// Acquire returns a checkout. As a call of [Pool.DB] does, it leases a connection at its first
// use, from the lane for that use. So Acquire does not wait.
func (p *Pool) Acquire(ctx context.Context) (*Conn, error) {
	c, err := p.ownDB().Conn(ctx)
	if err != nil {
		return nil, p.openError(err)
	}
	return &Conn{c}, nil
}

// AcquireRead waits for a reader and returns it.
func (p *Pool) AcquireRead(ctx context.Context) (*Conn, error) {
	return p.acquireFrom(ctx, p.facade(&p.facades.own.reader, wrap.LaneReader), func(s *shell) (*conn, error) { return s.forRead(ctx, nil) })
}

// AcquireWrite waits for the writer and returns it.
func (p *Pool) AcquireWrite(ctx context.Context) (*Conn, error) {
	return p.acquireFrom(ctx, p.facade(&p.facades.own.writer, wrap.LaneWriter), func(s *shell) (*conn, error) { return s.forWrite(ctx, nil) })
}

// TryAcquire returns the writer, which can do everything, if it is available immediately.
// Otherwise ok is false.
func (p *Pool) TryAcquire(ctx context.Context) (_ *Conn, ok bool, err error) {
	c, err := p.acquireFrom(ctx, p.facade(&p.facades.own.writer, wrap.LaneWriter), func(s *shell) (*conn, error) {
		c, err := leased(p.lanes.writer.TryAcquire(ctx))
		if c == nil || err != nil {
			return nil, err
		}
		s.writer, ok = c, true
		c.shell.Store(s)
		return c, nil
	})
	if err != nil || !ok {
		if c != nil {
			c.Close()
		}
		return nil, false, err
	}
	return c, true, nil
}

// acquireFrom checks out a shell of db and calls lease with it.
func (p *Pool) acquireFrom(ctx context.Context, db *sql.DB, lease func(*shell) (*conn, error)) (*Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, p.openError(err)
	}
	err = c.Raw(func(dc any) error {
		_, err := lease(shellOf(dc))
		return err
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Conn{c}, nil
}

// openError returns ErrClosed if the pool is closed, instead of database/sql's error.
func (p *Pool) openError(err error) error {
	if p.Closed() {
		return ErrClosed
	}
	return err
}

// Raw calls f with SQLite's connection of the writer, which f must not keep. What f leaves on the
// connection is session state; see the package documentation. To set something on every
// connection, use Config.Init.
func (p *Pool) Raw(ctx context.Context, f func(*sqlite3.Conn) error) (err error) {
	c, err := leased(p.lanes.writer.Acquire(ctx, nil))
	if err != nil {
		return err
	}
	defer c.release()
	if err := c.waitForAll(ctx); err != nil {
		return err
	}
	if err := c.Enter(); err != nil { // it defers no sync, because f may rely on its commits
		return err
	}
	c.doing.raw.Store(true)
	p.beforeRaw(c)
	done := false
	defer func() {
		c.Leave()
		if !done {
			c.Lease().Break()
		}
	}()
	raw := c.PoolConn.Raw()
	old := raw.SetInterrupt(&leaseContext{Context: ctx, conn: c})
	defer raw.SetInterrupt(old)
	if err = f(raw); err != nil {
		c.pool.recordNotSynced(err)
		c.recordWriteErr(err)
	}
	raw.SetInterrupt(context.Background())
	done = true
	return err
}
