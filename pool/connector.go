package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Name is the name under which this package registers its driver.
const Name = "sqlitemw-pool"

func init() { sql.Register(Name, &Driver{}) }

// Driver is the driver whose databases are pools of their own. The zero Driver is
// the one that is registered as [Name]; one with a Config of the program's is
//
//	sql.Register("mine", &pool.Driver{Config: pool.Config{...}})
//
// whose Path is the DSN's, and whose other fields the DSN's keys change. It is
// safe for concurrent use, and not to be changed once in use.
type Driver struct {
	Config Config

	of *connector // whose Driver method returned this Driver
}

var _ driver.DriverContext = &Driver{}

// Open opens a connection that belongs to no [sql.DB]: to a pool, which is closed
// with it.
func (d *Driver) Open(name string) (driver.Conn, error) {
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &lone{conn.(*shell), c.(*connector)}, nil
}

// lone is a shell that closes its pool.
type lone struct {
	*shell
	connector *connector
}

func (l *lone) Close() error {
	l.release()
	return l.connector.Close()
}

// OpenConnector checks the DSN and the configuration that it makes. It opens
// nothing: the pool is opened by the first call that needs a connection.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	cfg, err := parseDSN(name, d.Config)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ended, end := context.WithCancel(context.Background())
	return &connector{config: cfg, driver: d, owns: true, opening: make(chan struct{}, 1), ended: ended, end: end}, nil
}

// A connector makes shells over a pool: that of [Pool.DB] and the like over one
// that is open, that of sql.Open over one that it opens, owns and closes.
type connector struct {
	pinned wrap.Lane
	config Config
	driver *Driver
	owns   bool

	// Of one that owns its pool.
	opening chan struct{} // has room for one: who opens it
	ended   context.Context
	end     context.CancelFunc

	mu     sync.Mutex
	opened *Pool
}

var (
	_ driver.Connector = &connector{}
	_ io.Closer        = &connector{}
)

// Connect makes a shell. If there is no pool yet, it opens it; what fails then is
// tried again by the next.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	p, err := c.pool(ctx)
	if err != nil {
		return nil, err
	}
	if p.Closed() {
		return nil, ErrClosed
	}
	return &shell{pool: p, pinned: c.pinned}, nil
}

func (c *connector) pool(ctx context.Context) (*Pool, error) {
	if !c.owns {
		return c.opened, nil
	}
	if p := c.get(); p != nil {
		return p, nil // which says itself that it is closed
	}
	select {
	case c.opening <- struct{}{}: // no mutex: who waits may give up
		defer func() { <-c.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ended.Done():
		return nil, ErrClosed
	}
	if p := c.get(); p != nil {
		return p, nil
	}
	if c.ended.Err() != nil {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ended, cancel)()
	p, err := Open(ctx, c.config)
	switch {
	case c.ended.Err() == nil && err != nil:
		return nil, err
	case err != nil:
		return nil, ErrClosed
	case c.ended.Err() != nil: // too late for Close, which may wait no more
		return nil, errors.Join(ErrClosed, p.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened = p
	return p, nil
}

// get returns the pool, if it is open already.
func (c *connector) get() *Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// Driver returns a [*Driver] that leads back to the pool; see [Of].
func (c *connector) Driver() driver.Driver {
	d := &Driver{Config: c.config, of: c}
	if !c.owns && c.opened != nil { // one that is owned may just be being opened
		d.Config = c.opened.Config()
	}
	return d
}

// closeWithin is how long the close of a database that owns its pool waits for
// what is in use.
const closeWithin = 10 * time.Second

// Close closes the pool if it is the connector's own, and gives up an opening that
// is under way. database/sql calls it in (*sql.DB).Close, and has not waited for
// what is in use.
func (c *connector) Close() error {
	if !c.owns {
		return nil
	}
	c.end()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	select {
	case c.opening <- struct{}{}:
		defer func() { <-c.opening }()
	case <-ctx.Done():
		return fmt.Errorf("pool: close: the pool is still being opened: %w", ctx.Err())
	}
	if p := c.get(); p != nil {
		return p.Shutdown(ctx)
	}
	return nil
}

// Of returns the pool of a database that was opened through this package, or
// nil: also for one of sql.Open whose first call is still to come.
func Of(db *sql.DB) *Pool {
	d, ok := db.Driver().(*Driver)
	if !ok || d.of == nil {
		return nil
	}
	return d.of.get()
}
