package pool

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"

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

var (
	_ driver.DriverContext = &Driver{}
	_ sqlitemw.CallWatcher = &Driver{}
)

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
	return &connector{config: cfg, driver: d, watchers: plan.watchers, own: core.NewOpener(plan.open, cmp.Or(cfg.Logger, slog.Default()))}, nil
}

// A connector makes shells. Those of the facades use an open pool. Those of
// sql.Open open their own pool, and close it.
type connector struct {
	pinned wrap.Lane
	config Config
	driver *Driver
	opened *Pool               // nil if it owns its pool
	facade *facade             // of which it is the connector; nil if it is of NewDB or owns its pool
	own    *core.Opener[*Pool] // of the pool that it owns; nil if it owns none

	watchers *sqlitemw.Watchers // of the pool that it owns
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
	if c.own == nil {
		return c.opened, nil
	}
	return c.own.Wait(ctx)
}

// get returns the pool if it is open, or nil.
func (c *connector) get() *Pool {
	if c.own == nil {
		return c.opened
	}
	return c.own.Get()
}

// String describes the database.
func (c *connector) String() string { return fmt.Sprintf("pool: %v", c.config) }

// Driver returns a [*Driver] from which [Of] gets the pool.
func (c *connector) Driver() driver.Driver {
	d := &Driver{Config: c.config, of: c}
	if c.opened != nil { // an owned pool may still be being opened
		d.Config = c.opened.Config()
	}
	return d
}

// WatchCalls implements [sqlitemw.CallWatcher]: it calls f after every call of the pool, through
// any of its databases and connections.
func (d *Driver) WatchCalls(f func(sqlitemw.Call)) (detach func()) {
	switch {
	case d.of == nil:
		return nil
	case d.of.own == nil:
		return d.of.opened.plan.watchers.Add(f)
	}
	return d.of.watchers.Add(f)
}

// Close closes the pool if the connector owns it, and cancels an opening. (*sql.DB).Close calls
// it without waiting for connections in use.
func (c *connector) Close() error {
	if c.own == nil {
		c.opened.facadeClosed(c)
		return nil
	}
	return c.own.Close(closeWithin)
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
