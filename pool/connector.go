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

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

func init() {
	sql.Register(Name, &Driver{})
	sql.Register(NameMattn, &Driver{Config: Config{Compat: sqlitemw.CompatMattn}})
	sql.Register(NameModernc, &Driver{Config: Config{Compat: sqlitemw.CompatModernc}})
}

// Driver is a driver whose databases each have a pool of their own. The zero Driver is
// registered as [Name]. To use a Config, register another one:
//
//	sql.Register("mine", &pool.Driver{Config: pool.Config{...}})
//
// The DSN then sets Config.Path, and its keys override other fields. A Driver is safe for
// concurrent use. It must not be changed after its first use.
type Driver struct {
	Config Config

	of *connector // the connector that has returned this Driver
}

var _ driver.DriverContext = &Driver{}

// Open opens a connection without an [sql.DB]. The connection has a pool of its own, which its
// Close closes.
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

// ownPoolConn is a shell that closes its pool.
type ownPoolConn struct {
	*shell
	connector *connector
}

// ownPoolMappedConn is ownPoolConn with mapped errors.
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

// OpenConnector checks the DSN and the resulting configuration. It opens nothing: the first
// call that needs a connection opens the pool.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	cfg, dsn, ps := parseDSN(name, d.Config)
	plan, err := newPlan(cfg, dsn, ps)
	if err != nil {
		return nil, err
	}
	ended, end := context.WithCancel(context.Background())
	return &connector{config: cfg, plan: plan, driver: d, owns: true, ended: ended, end: end}, nil
}

// A connector makes shells. Those of [Pool.DB], Reader and Writer use an open pool. Those of
// sql.Open open their own pool, and close it.
type connector struct {
	pinned wrap.Lane
	config Config
	driver *Driver
	owns   bool

	// If it owns its pool.
	plan  *plan
	ended context.Context
	end   context.CancelFunc

	mu      sync.Mutex // guards the fields below
	opened  *Pool
	opening *poolOpening // nil if the pool is not being opened
}

// A poolOpening is a pool that is being opened on a separate goroutine. If a call does not wait
// until the end, the opening goes on for the next call.
type poolOpening struct {
	done        chan struct{} // closed when the opening has ended; then the fields below are set
	pool        *Pool
	err         error // also nil if the pool was closed immediately; see closed
	closed      error
	panicked    *any // the value of a panic in a hook or Init
	panicRaised atomic.Bool
	waiting     atomic.Int64 // number of calls that wait
}

var (
	_ driver.Connector = &connector{}
	_ io.Closer        = &connector{}
)

// Connect makes a shell. If there is no pool yet, it opens it. After an error, the next call
// tries again.
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
		return p, nil // its methods report that it is closed
	}
	o := c.start(ctx)
	defer o.waiting.Add(-1)
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, core.EndOf(ctx)
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

// start returns the current opening, or starts one for the call with context ctx. After an
// error, the next call starts another.
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
	o.err = core.ErrGoexit // in case plan.open does not return
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
		if late && o.pool != nil { // Close may have stopped waiting
			o.closed = o.pool.Close()
		}
		close(o.done)
	}()
	o.pool, o.err = c.plan.open(ctx)
}

// get returns the pool if it is open, or nil.
func (c *connector) get() *Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// String describes the database.
func (c *connector) String() string { return fmt.Sprintf("pool: %v", c.config) }

// Driver returns a [*Driver] from which [Of] gets the pool.
func (c *connector) Driver() driver.Driver {
	d := &Driver{Config: c.config, of: c}
	if !c.owns && c.opened != nil { // an owned pool may still be being opened
		d.Config = c.opened.Config()
	}
	return d
}

// Close closes the pool if the connector owns it, and cancels an opening. (*sql.DB).Close calls
// it without waiting for connections in use.
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

// Of returns the pool of a database that was opened through this package. It returns nil for
// any other database, and for one of sql.Open before its first call.
func Of(db *sql.DB) *Pool {
	d, ok := db.Driver().(*Driver)
	if !ok || d.of == nil {
		return nil
	}
	return d.of.get()
}
