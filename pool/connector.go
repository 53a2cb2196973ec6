package pool

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Name is the name under which this package registers its driver.
const Name = "sqlitemw-pool"

// The names for programs of github.com/mattn/go-sqlite3 and of modernc.org/sqlite; see
// [driver.Compat].
const (
	NameMattn   = "sqlitemw-pool-mattn"
	NameModernc = "sqlitemw-pool-modernc"
)

func init() {
	sql.Register(Name, &Driver{})
	sql.Register(NameMattn, &Driver{Config: Config{Compat: sqlitemw.CompatMattn}})
	sql.Register(NameModernc, &Driver{Config: Config{Compat: sqlitemw.CompatModernc}})
}

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
	if m, ok := conn.(*mappedShell); ok {
		return &ownPoolMappedConn{m, c.(*connector)}, nil
	}
	return &ownPoolConn{conn.(*shell), c.(*connector)}, nil
}

// lone is a shell that closes its pool.
type ownPoolConn struct {
	*shell
	connector *connector
}

// loneMapped is lone with errors mapped.
type ownPoolMappedConn struct {
	*mappedShell
	connector *connector
}

func (l *ownPoolMappedConn) Close() error {
	l.shell.release()
	return l.connector.errors().Map(context.Background(), l.connector.Close())
}

func (l *ownPoolConn) Close() error {
	l.release()
	return l.connector.Close()
}

// OpenConnector checks the DSN and the configuration that it makes. It opens
// nothing: the pool is opened by the first call that needs a connection.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	cfg, dsn, ps := parseDSN(name, d.Config)
	plan, err := newPlan(cfg, dsn, ps)
	if err != nil {
		return nil, err
	}
	ended, end := context.WithCancel(context.Background())
	return &connector{config: cfg, plan: plan, driver: d, owns: true, ended: ended, end: end}, nil
}

// A connector makes shells over a pool: that of [Pool.DB] and the like over one
// that is open, that of sql.Open over one that it opens, owns and closes.
type connector struct {
	pinned wrap.Lane
	config Config
	driver *Driver
	owns   bool

	// Of one that owns its pool.
	plan  *plan
	ended context.Context
	end   context.CancelFunc

	mu      sync.Mutex // guards the fields below
	opened  *Pool
	opening *poolOpening // nil unless it is under way
}

// A poolOpening is a pool that is being opened, on a goroutine of its own: a call that
// does not wait long enough leaves it to the next.
type poolOpening struct {
	done        chan struct{} // closed when it has ended, as the fields below say
	pool        *Pool
	err         error // nil also if it was closed at once, as closed says
	closed      error
	panicked    *any // what a hook or Init has panicked with
	panicRaised atomic.Bool
	waiting     atomic.Int64 // calls that do
}

var (
	_ driver.Connector = &connector{}
	_ io.Closer        = &connector{}
)

// Connect makes a shell. If there is no pool yet, it opens it; what fails then is
// tried again by the next.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	p, err := c.pool(ctx)
	if err == nil && p.Closed() {
		err = ErrClosed
	}
	if err != nil {
		return nil, c.errors().Map(ctx, err)
	}
	return outermost(&shell{pool: p, pinned: c.pinned}), nil
}

func (c *connector) errors() wrap.ErrorMap {
	return sqlitemw.Config{Compat: c.config.Compat, MapError: c.config.MapError}.ErrorMap()
}

func (c *connector) pool(ctx context.Context) (*Pool, error) {
	if !c.owns {
		return c.opened, nil
	}
	if p := c.get(); p != nil {
		return p, nil // which says itself that it is closed
	}
	o := c.start(ctx)
	defer o.waiting.Add(-1)
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, endOf(ctx)
	case <-c.ended.Done():
		return nil, ErrClosed
	}
	if o.panicked != nil {
		if o.panicRaised.Swap(true) || wrap.OnOwnGoroutine() {
			return nil, wrap.NewPanicError(*o.panicked)
		}
		panic(*o.panicked)
	}
	if c.ended.Err() != nil {
		return nil, ErrClosed
	}
	return o.pool, o.err
}

// start returns the opening that is under way, or begins one, for the call that ctx is
// of. What fails is tried again by the next.
func (c *connector) start(ctx context.Context) *poolOpening {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening != nil {
		c.opening.waiting.Add(1)
		return c.opening
	}
	o := &poolOpening{done: make(chan struct{}), pool: c.opened}
	o.waiting.Add(1)
	if c.opened != nil || c.ended.Err() != nil {
		close(o.done)
		return o
	}
	c.opening = o
	go c.open(context.WithoutCancel(ctx), o)
	return o
}

func (c *connector) open(ctx context.Context, o *poolOpening) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ended, cancel)()
	o.err = errGoexit // unless it returns
	defer func() {
		if v := recover(); v != nil {
			o.panicked = &v
			if o.waiting.Load() == 0 {
				cmp.Or(c.config.Logger, slog.Default()).Error("pool: a panic was recovered, and the next call opens the pool again", "in", "opening the pool", "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
			}
		}
		c.mu.Lock()
		late := c.ended.Err() != nil
		if !late {
			c.opened, c.opening = o.pool, nil
		}
		c.mu.Unlock()
		if late && o.pool != nil { // Close may wait no more
			o.closed = o.pool.Close()
		}
		close(o.done)
	}()
	o.pool, o.err = c.plan.open(ctx)
}

// get returns the pool, if it is open already.
func (c *connector) get() *Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// String says what the connector opens.
func (c *connector) String() string { return fmt.Sprintf("pool: %v", c.config) }

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
	c.mu.Lock()
	o := c.opening
	c.mu.Unlock()
	if o != nil {
		select {
		case <-o.done:
			if o.closed != nil {
				return o.closed
			}
		case <-ctx.Done():
			return fmt.Errorf("pool: close: the pool is still being opened: %w", ctx.Err())
		}
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
