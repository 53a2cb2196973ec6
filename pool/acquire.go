package pool

import (
	"context"
	"database/sql"

	"github.com/ncruces/go-sqlite3"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
)

// A Conn is a checkout: a *sql.Conn of the pool's. It is to be closed, or
// released, which is the same.
type Conn struct {
	*sql.Conn
}

// Release gives the connection back.
func (c *Conn) Release() error { return c.Close() }

// ID returns the name of the connection that is leased, or 0 while there is none.
func (c *Conn) ID() sqlitemw.ConnID {
	var id sqlitemw.ConnID
	_ = c.Raw(func(dc any) error {
		id = shellOf(dc).ID()
		return nil
	})
	return id
}

// Acquire returns a checkout that goes, as a call of [Pool.DB] does, to the lane
// that is right for what it does first. It takes a connection only then, and so
// does not wait.
func (p *Pool) Acquire(ctx context.Context) (*Conn, error) {
	c, err := p.db.Conn(ctx)
	if err != nil {
		return nil, p.openError(err)
	}
	return &Conn{c}, nil
}

// AcquireRead waits for a connection that only reads.
func (p *Pool) AcquireRead(ctx context.Context) (*Conn, error) {
	return p.acquireFrom(ctx, p.readerDB, (*shell).forRead)
}

// AcquireWrite waits for the connection that writes.
func (p *Pool) AcquireWrite(ctx context.Context) (*Conn, error) {
	return p.acquireFrom(ctx, p.writerDB, (*shell).forWrite)
}

// TryAcquire returns the connection that writes, with which everything can be
// done, if it can be had at once.
func (p *Pool) TryAcquire(ctx context.Context) (_ *Conn, ok bool, err error) {
	c, err := p.acquireFrom(ctx, p.writerDB, func(s *shell, ctx context.Context) (*conn, error) {
		c, err := p.writer.tryAcquire(ctx)
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

// acquireFrom checks out a shell and leases what is asked for.
func (p *Pool) acquireFrom(ctx context.Context, db *sql.DB, lease func(*shell, context.Context) (*conn, error)) (*Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, p.openError(err)
	}
	err = c.Raw(func(dc any) error {
		_, err := lease(shellOf(dc), ctx)
		return err
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Conn{c}, nil
}

// openError is what database/sql says of a database that is closed, in our words.
func (p *Pool) openError(err error) error {
	if p.Closed() {
		return ErrClosed
	}
	return err
}

// Raw calls f with the SQLite connection of the one that writes, which f must not
// keep. Unlike a connection of (*sql.Conn).Raw, which any program that knows
// database/sql may have had, it is taken to be left as it was found: what is to
// hold for every connection belongs into Config.Init.
func (p *Pool) Raw(ctx context.Context, f func(*sqlite3.Conn) error) (err error) {
	c, err := p.writer.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.lane.release(c)
	if err := c.Enter(); err != nil {
		return err
	}
	c.recheckJournal = true // f may set another
	c.schemaChanging = true
	done := false
	defer func() {
		c.Leave()
		if !done {
			c.Wrapped().Break()
		}
	}()
	raw := c.PoolConn.Raw()
	old := raw.SetInterrupt(&leaseContext{Context: ctx, conn: c})
	defer raw.SetInterrupt(old)
	if err = f(raw); err != nil {
		c.recordWriteErr(err)
	}
	raw.SetInterrupt(context.Background())
	p.recordCapabilities(raw, true)
	done = true
	return err
}
