package wrap

import (
	"context"
	"database/sql/driver"
	"io"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// Driver wraps parent. The connectors it opens are [NewConnector]'s.
func Driver(parent driver.Driver, cfg Config) driver.Driver {
	return &wrappedDriver{parent, cfg}
}

type wrappedDriver struct {
	parent driver.Driver
	cfg    Config
}

var _ driver.DriverContext = &wrappedDriver{}

func (d *wrappedDriver) Open(name string) (driver.Conn, error) {
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

func (d *wrappedDriver) OpenConnector(name string) (driver.Connector, error) {
	if dc, ok := d.parent.(driver.DriverContext); ok {
		parent, err := dc.OpenConnector(name)
		if err != nil {
			return nil, err
		}
		return &wrappedConnector{parent, NewOpener(d.cfg), d}, nil
	}
	return &wrappedConnector{nameConnector{d.parent, name}, NewOpener(d.cfg), d}, nil
}

// nameConnector is what database/sql makes of a driver that has no connectors.
type nameConnector struct {
	driver driver.Driver
	name   string
}

func (c nameConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }
func (c nameConnector) Driver() driver.Driver                        { return c.driver }

// NewConnector wraps parent. Closing it closes parent, if that can be closed.
func NewConnector(parent driver.Connector, cfg Config) driver.Connector {
	return &wrappedConnector{parent, NewOpener(cfg), &wrappedDriver{parent.Driver(), cfg}}
}

type wrappedConnector struct {
	parent driver.Connector
	opener *Opener
	driver *wrappedDriver
}

var _ io.Closer = &wrappedConnector{}

func (c *wrappedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.opener.Open(ctx, c.parent.Connect)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (c *wrappedConnector) Driver() driver.Driver { return c.driver }

func (c *wrappedConnector) Close() error {
	if closer, ok := c.parent.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// A Config says how a driver is wrapped. The zero Config is good.
type Config struct {
	// Source describes the database to tracing.
	Source tracing.Source

	// Tracing makes the spans. Nil means [tracing.Default].
	Tracing *tracing.Tracer

	// Recorder is told of every step in a connection's life. Nil means none.
	Recorder Recorder

	// Interceptors stand around every connection's calls, the first outermost;
	// tracing stands within them, so that a call that one of them repeats is
	// two spans, and one that it answers itself is none. They see the parent's
	// contexts, and what they pass on is what the parent sees. With any, Go
	// 1.27's scanning of columns by the rows themselves is not available.
	Interceptors []sqlmw.Interceptor
}
