package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
	return &connector{config: cfg, driver: d, owns: true}, nil
}

// A connector makes shells over a pool: that of [Pool.DB] and the like over one
// that is open, that of sql.Open over one that it opens, owns and closes.
type connector struct {
	pinned wrap.Lane
	config Config
	driver *Driver
	owns   bool

	mu     sync.Mutex
	opened *Pool
	closed bool
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
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, ErrClosed
	case c.opened != nil:
		return c.opened, nil
	}
	p, err := Open(ctx, c.config)
	if err != nil {
		return nil, err
	}
	c.opened = p
	return p, nil
}

// Driver returns a [*Driver] that leads back to the pool; see [Of].
func (c *connector) Driver() driver.Driver {
	d := &Driver{Config: c.config, of: c}
	if c.opened != nil && !c.owns {
		d.Config = c.opened.Config()
	}
	return d
}

// closeWithin is how long the close of a database that owns its pool waits for
// what is in use.
const closeWithin = 10 * time.Second

// Close closes the pool if it is the connector's own. database/sql calls it in
// (*sql.DB).Close, and has not waited for what is in use.
func (c *connector) Close() error {
	if !c.owns {
		return nil
	}
	c.mu.Lock()
	c.closed = true
	p := c.opened
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return p.Shutdown(ctx)
}

// Of returns the pool of a database that was opened through this package, or
// nil: also for one of sql.Open whose first call is still to come.
func Of(db *sql.DB) *Pool {
	d, ok := db.Driver().(*Driver)
	if !ok || d.of == nil {
		return nil
	}
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	return d.of.opened
}
