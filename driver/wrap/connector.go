package wrap

import (
	"cmp"
	"context"
	"database/sql/driver"
	"io"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// NewDriver wraps parent. Its connectors are those of [NewConnector].
func NewDriver(parent driver.Driver, cfg Config) driver.Driver {
	return &wrappedDriver{parent: parent, cfg: cfg}
}

type wrappedDriver struct {
	parent driver.Driver
	cfg    Config
	opener *Opener // of the connector that has returned this driver; nil if none has
}

// Attach implements [Attacher].
func (d *wrappedDriver) Attach(r Recorder) (detach func()) {
	if d.opener == nil {
		return nil
	}
	return d.opener.Attach(r)
}

// An Attacher is a driver that leads back to the connector of a database. (*sql.DB).Driver
// returns it.
type Attacher interface {
	// Attach sends every event of the connector's connections to r until detach is called. It
	// returns nil if the driver belongs to no connector. See [Recorder] for what r must not do.
	Attach(r Recorder) (detach func())
}

var (
	_ driver.DriverContext = &wrappedDriver{}
	_ Attacher             = &wrappedDriver{}
)

func (d *wrappedDriver) Open(name string) (driver.Conn, error) {
	cfg := d.cfg
	cfg.Source.Pool = cfg.poolName() // one name for all such connections
	c, err := (&wrappedDriver{parent: d.parent, cfg: cfg}).OpenConnector(name)
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

// poolName returns the name of the pool without the suffix that makes it unique.
func (c Config) poolName() string {
	t := cmp.Or(c.Tracing, tracing.Default())
	return cmp.Or(c.Source.Pool, t.Config().PoolName, c.Source.Namespace, c.Source.System)
}

// nameConnector is a connector for a driver without connectors, like database/sql's own.
type nameConnector struct {
	driver driver.Driver
	name   string
}

func (c nameConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.name) }
func (c nameConnector) Driver() driver.Driver                        { return c.driver }

// NewConnector wraps parent. Closing the connector closes parent, if parent implements
// [io.Closer].
func NewConnector(parent driver.Connector, cfg Config) driver.Connector {
	return &wrappedConnector{parent, NewOpener(cfg), &wrappedDriver{parent: parent.Driver(), cfg: cfg}}
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

// Driver returns a driver that leads back to the connector; see [Attacher].
func (c *wrappedConnector) Driver() driver.Driver {
	return &wrappedDriver{parent: c.driver.parent, cfg: c.driver.cfg, opener: c.opener}
}

func (c *wrappedConnector) Close() error {
	c.opener.Close()
	if closer, ok := c.parent.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Config configures how a driver is wrapped. The zero Config wraps a driver with
// [tracing.Default] and no Recorder.
type Config struct {
	// Source describes the database to tracing.
	Source tracing.Source

	// Tracing makes the spans. Nil means [tracing.Default].
	Tracing *tracing.Tracer

	// Recorder records every event in a connection's life. Nil means none.
	Recorder Recorder

	// Interceptors are called around every call of a connection, the first one outermost.
	// Tracing runs inside of them: a call that an interceptor repeats has two spans, and a
	// call that it answers itself has none. Interceptors receive the caller's contexts, and
	// the parent receives the contexts that they pass on. With any interceptor, rows cannot
	// scan columns themselves (Go 1.27).
	Interceptors []sqlmw.Interceptor

	// Describe, if not nil, returns the server of a connection, for server.address and
	// server.port of its spans and of its calls' metrics. It is called once for each connection,
	// with the parent's, after that has been opened. It must not block. If it panics, the server
	// is not known.
	//
	// Metrics of one database have at most 64 different servers; calls of others are measured
	// without one. So return the address that the program has configured, not that of a node
	// which gets a new address whenever it restarts.
	Describe func(driver.Conn) Server

	// Broken, if not nil, reports whether a connection is dead, as *pgx.Conn's IsClosed does. It
	// is called with the parent's connection when the connection is released, and when it is
	// acquired again. A dead connection is discarded (KindDiscard, ReasonBad), and never given to
	// another call. It is for a parent that lacks [driver.Validator], whose dead connections
	// would be released, and only be noticed by their next call. Broken must not block. If it
	// panics, the connection counts as dead.
	Broken func(driver.Conn) bool

	// Once says that database/sql executes no write twice. It is off by default.
	//
	// When a call returns [driver.ErrBadConn], database/sql repeats it, up to two times. A driver
	// must return that error only if the server cannot have executed the call. Not every driver
	// keeps to that. go-dqlite returns it for a write that the server has applied: with a leader
	// that was paused for a while, a row was stored twice in 4 of 5 runs, and the program saw no
	// error. With Once it was in none. pgx (5.12.0) returns it for an Exec without arguments
	// whose answer was lost, and lib/pq does (https://github.com/lib/pq/issues/939).
	//
	// With Once, such a call fails with an [*OutcomeError], which says that its outcome is
	// unknown, and so does a commit. Nothing more is sent on the connection but a rollback, and it
	// is discarded. A call is repeated only if it is proven to be a read, by [sqltext.OnlyReads]
	// for the Source's System. So every query of an unknown system counts as a write, and so does
	// one that calls a function which is not known to only read. A begin and a prepare are
	// repeated, because they change no data. So is a call whose connection was bad when it was
	// acquired, because nothing was sent.
	//
	// The price: if the server has closed an idle connection, and the driver notices that only
	// when it sends, a write fails that could have been repeated. To avoid that, let
	// SetConnMaxIdleTime be shorter than the server's timeout. Interceptors receive the
	// OutcomeError. One that repeats calls must look for it, and one that returns
	// driver.ErrBadConn itself asks database/sql to repeat the call.
	Once bool
}
