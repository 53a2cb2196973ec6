package driver

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb" // for cache=shared

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Connector opens the connections of one database.
// It is safe for concurrent use.
type Connector struct {
	config   Config
	dsn      *dsn
	settings settings
	base     driver.Connector // the plain driver's
	opener   *wrap.Opener
	cache    cacheCounters
}

var (
	_ driver.Connector = &Connector{}
	_ io.Closer        = &Connector{}
)

// NewConnector returns a Connector for name and cfg, for [sql.OpenDB] or other
// uses. It opens no file. It fails with [ErrDSN] if name cannot be meant, and
// with a [*PragmaError] if a pragma of cfg cannot.
func NewConnector(name string, cfg Config) (*Connector, error) {
	d, err := parseDSN(name)
	if err != nil {
		return nil, err
	}
	s, err := newSettings(cfg, d)
	if err != nil {
		return nil, err
	}
	base, err := (&sqlite3driver.SQLite{}).OpenConnector(d.render(s.forBase()))
	if err != nil {
		return nil, dsnError("%w", err)
	}
	return &Connector{
		config:   cfg,
		dsn:      d,
		settings: s,
		base:     base,
		opener: wrap.NewOpener(wrap.Config{
			Source: tracing.Source{
				System:    "sqlite",
				Namespace: d.namespace(),
				Pool:      cfg.PoolName,
				Classify:  classify,
			},
			Tracing:      cfg.Tracing,
			Recorder:     cfg.Recorder,
			Interceptors: cfg.Interceptors,
		}),
	}, nil
}

// Connect opens and configures a connection. When it fails, it leaves nothing
// open. The error is an [*OpenError], but for the context's own.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.opener.Open(ctx, c.dial)
	if err != nil {
		return nil, err
	}
	return newConn(conn), nil
}

// dial opens a connection of the plain driver's and configures it.
func (c *Connector) dial(ctx context.Context) (_ driver.Conn, err error) {
	base, err := c.base.Connect(ctx)
	if err != nil {
		return nil, c.openError(ctx, err)
	}
	s := &session{baseConn: base.(baseConn), times: timeFormatsOf(c.dsn.timefmt)}
	s.cache.size, s.cache.counters = cmp.Or(c.dsn.cacheSize, c.config.StatementCache, DefaultStatementCache), &c.cache
	opened := false
	defer func() { // deferred for a panic in Init, too
		if !opened {
			s.Close()
		}
	}()

	raw := s.baseConn.Raw()
	old := raw.SetInterrupt(ctx)
	defer raw.SetInterrupt(old)
	if err := c.configure(s); err != nil {
		return nil, c.openError(ctx, err)
	}
	s.file = newOpenFile(raw, c.dsn)
	opened = true
	if c.config.Tracing != nil && c.config.Tracing.Details() {
		s.locks = newLockWatch(raw, c.dsn, c.config.Init != nil)
		return watchedSession{s}, nil
	}
	return s, nil
}

func (c *Connector) configure(s *session) error {
	raw := s.baseConn.Raw()
	start := time.Now()
	if err := c.settings.apply(raw); err != nil {
		return err
	}
	s.configured.took = time.Since(start)
	if err := c.usable(raw); err != nil {
		return err
	}
	if c.config.Init != nil {
		if err := c.init(s, raw); err != nil {
			return err
		}
	} else {
		s.term = c.config.Term
	}
	start = time.Now()
	err := c.settings.verify(raw)
	s.configured.took += time.Since(start)
	s.configured.pragmas = c.settings.names
	return err
}

// init runs Config.Init. What it may not do is to set query_only: the plain
// driver has asked for that already, and would undo it after the first
// read-only transaction.
func (c *Connector) init(s *session, raw *sqlite3.Conn) error {
	before, err := scalar(raw, "PRAGMA query_only")
	if err != nil {
		return err
	}
	if err := c.config.Init(raw); err != nil {
		return err
	}
	s.term = c.config.Term
	after, err := scalar(raw, "PRAGMA query_only")
	if err != nil {
		return err
	}
	if after != before {
		return &PragmaError{Name: "query_only", Want: before, Got: after, Hint: "Config.Init changed it: set it in Config.Pragmas or the DSN instead"}
	}
	return nil
}

// usable reports why the file cannot be used, if it cannot.
func (c *Connector) usable(raw *sqlite3.Conn) error {
	if c.dsn.mode == "rw" || c.dsn.mode == "rwc" {
		if readOnly, _ := raw.ReadOnly("main"); readOnly {
			return &readOnlyError{mode: c.dsn.mode}
		}
	}
	switch c.dsn.vfs {
	case "", "os", "memdb", "mvcc", "reader":
	default:
		return nil // it may want a key that Init or the program gives
	}
	err := readHeader(raw)
	var code sqlite3.ErrorCode
	if errors.As(err, &code) {
		switch code {
		case sqlite3.NOTADB, sqlite3.CORRUPT, sqlite3.CANTOPEN, sqlite3.IOERR:
			return err
		}
	}
	// Anything else will pass, or will be said again to the first call. In
	// particular, a lock that another process holds is no reason not to open.
	return nil
}

// readHeader reads the first page of the file without waiting for a lock.
func readHeader(raw *sqlite3.Conn) error {
	timeout, err := busyTimeout(raw)
	if err != nil {
		return err
	}
	if err := raw.BusyTimeout(0); err != nil {
		return err
	}
	_, err = scalar(raw, "PRAGMA schema_version")
	return errors.Join(err, raw.BusyTimeout(timeout))
}

type readOnlyError struct{ mode string }

func (e *readOnlyError) Error() string {
	return "it can only be read, and mode=" + e.mode + " asks to write: say mode=ro"
}

// Unwrap returns [sqlite3.READONLY].
func (e *readOnlyError) Unwrap() error { return sqlite3.READONLY }

// openError adds the file to an error, but leaves alone that of the caller's
// own context.
func (c *Connector) openError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil && err == ctxErr {
		return err
	}
	return &OpenError{File: c.dsn.namespace(), Err: err}
}

// Driver returns a [*Driver] with the connector's Config.
func (c *Connector) Driver() driver.Driver {
	return &Driver{Config: c.config, connector: c}
}

// Close releases what the connector holds, which is nothing yet. It leaves open
// connections alone. database/sql calls it in (*sql.DB).Close.
func (c *Connector) Close() error {
	if closer, ok := c.base.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Attach has r told of every event of the connector's connections from now on,
// until detach is called; see [Recorder] for what it must not do.
func (c *Connector) Attach(r Recorder) (detach func()) { return c.opener.Attach(r) }

// CacheStats counts what became of the statements of the connector's
// connections, those closed included.
func (c *Connector) CacheStats() CacheStats { return c.cache.stats() }
