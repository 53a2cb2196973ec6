package driver

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Connector opens connections to one database. It is safe for concurrent use.
type Connector struct {
	config   Config
	dsn      *DSN
	settings settings
	base     driver.Connector // opens the first connection with the plain driver
	opener   *wrap.Opener
	cache    cacheCounters
	location *location
	watches  bool
	watchers *Watchers
	opened   atomic.Int64 // number of connections opened

	mu    sync.Mutex       // guards later
	later driver.Connector // opens later connections with the plain driver; nil until needed
}

var (
	_ driver.Connector = &Connector{}
	_ io.Closer        = &Connector{}
)

// NewConnector returns a Connector for the DSN name and cfg, for [sql.OpenDB] and other
// uses. It opens no file. It fails with [ErrDSN] if name is invalid, and with a
// [*PragmaError] if a pragma in cfg is invalid.
func NewConnector(name string, cfg Config) (*Connector, error) {
	d, err := DSNReader{Compat: cfg.Compat}.Parse(name)
	if err != nil {
		return nil, err
	}
	return d.NewConnector(cfg)
}

// NewConnector returns a Connector for d and cfg, like the function NewConnector. The
// Compat of the DSN replaces cfg.Compat.
func (d *DSN) NewConnector(cfg Config) (*Connector, error) {
	cfg.Compat = d.compat
	if d.compat != CompatNone {
		d = d.clone()
		d.deferBegin()
		if d.dbConfig.quotes == nil {
			d.dbConfig.quotes = new(bool)
			*d.dbConfig.quotes = true // as in the other drivers' builds of SQLite
		}
	}
	s, err := newSettings(cfg, d)
	if err != nil {
		return nil, err
	}
	if err := checkMemory(cfg.MemoryLimit); err != nil {
		return nil, fmt.Errorf("sqlitemw: %w", err)
	}
	base, err := plainConnector(d.forBase(s.forBase()))
	if err != nil {
		return nil, err
	}
	return &Connector{
		config:   cfg,
		dsn:      d,
		settings: s,
		base:     base,
		location: &location{},
		watchers: &Watchers{},
		opener: wrap.NewOpener(wrap.Config{
			Source: tracing.Source{
				System:    "sqlite",
				Namespace: d.Database(),
				Pool:      cfg.PoolName,
				Classify:  classify,
			},
			Tracing:      cfg.Tracing,
			Recorder:     cfg.Recorder,
			Interceptors: cfg.Interceptors,
		}),
	}, nil
}

// Connect opens and configures a connection. If it fails, it leaves nothing open. The error
// is an [*OpenError], also if memory runs out, or the context's own error, or
// [ErrFileLost].
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.opener.Open(ctx, c.dial)
	if err != nil {
		return nil, c.mapped(ctx, err)
	}
	made := newConn(conn)
	c.connected(made)
	return c.outermost(made), nil
}

// dial opens a connection. If the engine panics because it cannot allocate memory, dial
// returns that as an error; it lets any other panic pass.
func (c *Connector) dial(ctx context.Context) (conn driver.Conn, err error) {
	through := false
	defer func() {
		if through {
			return
		}
		v := recover()
		if v == nil {
			return // runtime.Goexit
		}
		if !isOutOfMemory(v) {
			panic(v)
		}
		conn, err = nil, c.openError(ctx, &memoryError{v.(error)})
	}()
	conn, err = c.open(ctx)
	through = true
	return conn, err
}

// open opens a connection of the plain driver and configures it.
func (c *Connector) open(ctx context.Context) (_ driver.Conn, err error) {
	base, err := c.connect(c.limited(ctx))
	if err != nil {
		return nil, c.openError(ctx, err)
	}
	s := &session{baseConn: base.(baseConn), location: c.location, times: timeFormatsOf(c.dsn.timefmt), dialect: c.dsn.dialect(), queryOnly: c.settings.queryOnly(), watchers: c.watchers}
	if c.dsn.mayWantKey() && !c.settings.keyed() {
		s.explainMissingKey = func(err error) error {
			if explained := c.explainKey(err); explained != err {
				return &OpenError{File: c.dsn.Database(), Err: explained}
			}
			return err
		}
	}
	s.cache.size, s.cache.counters = cmp.Or(c.dsn.cacheSize, c.config.StatementCache, DefaultStatementCache), &c.cache
	through, opened := false, false
	defer func() {
		switch {
		case !through: // a panic, for example in Init
			_ = s.CloseAfterPanic()
		case !opened:
			s.Close()
		}
	}()

	raw := s.baseConn.Raw()
	old := raw.SetInterrupt(ctx)
	defer raw.SetInterrupt(old)
	err = c.registerFile(s)
	if err == nil {
		err = c.configure(s)
	}
	through = true
	if err != nil {
		return nil, c.openError(ctx, err)
	}
	if err := c.checkOpened(s); err != nil {
		return nil, c.openError(ctx, err)
	}
	opened = true
	if c.config.Tracing != nil {
		if cfg := c.config.Tracing.Config(); cfg.Details || cfg.Statements > 0 {
			s.locks = newLockWatch(raw, c.dsn, cfg.Details, c.config.Init != nil)
			return watchedSession{s}, nil
		}
	}
	return s, nil
}

// registerFile records which file the session has open. It must be called before anything
// is read from the file, because reading may recover a WAL or a journal.
func (c *Connector) registerFile(s *session) error {
	if c.dsn.File() == "" {
		return nil
	}
	f, err := openFile(s.baseConn.Raw())
	if err != nil {
		return err
	}
	if f != nil {
		s.file = f
		// If the program drops a connection without closing it, the runtime closes its
		// file.
		s.cleanup = runtime.AddCleanup(s, (*dbFile).leave, f)
	}
	if err := c.location.checkSame(f); err != nil || f == nil {
		return err
	}
	// Once this connection reads, it makes a -shm that was cut short as long as before.
	if err := f.check(); isLost(err) {
		return err
	}
	return nil
}

// checkOpened checks that the file is still the one that was opened.
func (c *Connector) checkOpened(s *session) error {
	if s.file == nil {
		return nil
	}
	if err := s.enterWAL(); err != nil {
		return err
	}
	if err := s.file.check(); isLost(err) {
		return err
	}
	return c.location.record(s.file, c.dsn.File())
}

func (c *Connector) configure(s *session) error {
	raw := s.baseConn.Raw()
	start := time.Now()
	if err := c.dsn.dbConfig.apply(raw); err != nil {
		return err
	}
	warn := func(n notice) { s.notices = append(s.notices, n) }
	if err := c.settings.apply(raw, warn); err != nil {
		return explainWAL(raw, err)
	}
	s.configured.took = time.Since(start)
	if err := c.usable(raw); err != nil {
		return err
	}
	if err := withoutWaiting(raw, s.seeContent); err != nil {
		return err
	}
	if c.watches { // before Init, whose own authorizer replaces it
		s.authorizer = &authorizer{}
		if err := raw.SetAuthorizer(s.authorizer.authorize); err != nil {
			return err
		}
	}
	if c.config.Init != nil {
		if err := c.init(s, raw); err != nil {
			return err
		}
	} else {
		s.term = c.config.Term
	}
	start = time.Now()
	err := c.settings.verify(raw, warn)
	if err == nil && c.dsn.deferFK {
		err = raw.Exec("PRAGMA defer_foreign_keys=on")
	}
	s.configured.took += time.Since(start)
	s.configured.pragmas = c.settings.names
	return err
}

// init calls Config.Init. Init must not change query_only. The plain driver has already
// read that pragma, and would restore its value after the first read-only transaction.
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

// usable returns an error if the database cannot be used.
func (c *Connector) usable(raw *sqlite3.Conn) error {
	if c.dsn.compat == CompatNone && (c.dsn.mode == "rw" || c.dsn.mode == "rwc") {
		if readOnly, _ := raw.ReadOnly("main"); readOnly {
			return &readOnlyError{mode: c.dsn.mode}
		}
	}
	if c.dsn.mayWantKey() && !c.settings.keyed() {
		return nil // Init or the program may still set a key; see explainKey
	}
	err := explainWAL(raw, readHeader(raw))
	if _, ok := err.(*walError); ok {
		return err
	}
	var code sqlite3.ErrorCode
	if errors.As(err, &code) {
		switch code {
		case sqlite3.NOTADB, sqlite3.CORRUPT, sqlite3.CANTOPEN, sqlite3.IOERR:
			return err
		}
	}
	// Any other error is temporary, or the first call will return it again. In particular,
	// a lock held by another process is no reason not to open.
	return nil
}

// A walError says why a database in WAL mode cannot be read.
type walError struct{ err error }

func (e *walError) Error() string {
	return "the database is in WAL mode, and reading it needs a writable -shm beside it: make its directory writable, or use immutable=1 if no process writes to it: " + e.err.Error()
}

// Unwrap returns SQLite's own error.
func (e *walError) Unwrap() error { return e.err }

// explainWAL returns a [*walError] if err comes from a read-only database in WAL mode for
// which no -shm can be created. Otherwise it returns err.
// https://sqlite.org/wal.html#readonly
func explainWAL(raw *sqlite3.Conn, err error) error {
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) || code != sqlite3.READONLY && code != sqlite3.CANTOPEN {
		return err
	}
	file, ok := handleOf(raw, sqlite3.FCNTL_FILE_POINTER).(io.ReaderAt)
	if !ok {
		return err
	}
	// https://sqlite.org/fileformat2.html#file_format_version_numbers
	var versions [2]byte
	if _, readErr := file.ReadAt(versions[:], 18); readErr != nil || versions[0] != 2 && versions[1] != 2 {
		return err
	}
	if readOnly, _ := raw.ReadOnly("main"); !readOnly {
		return err
	}
	if pragma := (*PragmaError)(nil); errors.As(err, &pragma) {
		err = pragma.Err // the pragma is not at fault: it was only the first to read the file
	}
	return &walError{err}
}

// withoutWaiting calls f with the busy timeout set to 0. It must be called before the
// program can install a busy handler.
func withoutWaiting(raw *sqlite3.Conn, f func()) error {
	timeout, err := busyTimeout(raw)
	if err != nil {
		return err
	}
	if err := raw.BusyTimeout(0); err != nil {
		return err
	}
	f()
	return raw.BusyTimeout(timeout)
}

// readHeader reads the first page of the file without waiting for a lock.
func readHeader(raw *sqlite3.Conn) (err error) {
	failed := withoutWaiting(raw, func() { _, err = scalar(raw, "PRAGMA schema_version") })
	return errors.Join(err, failed)
}

type readOnlyError struct{ mode string }

func (e *readOnlyError) Error() string {
	return "the database is read-only, but mode=" + e.mode + " asks for write access: use mode=ro"
}

// Unwrap returns [sqlite3.READONLY].
func (e *readOnlyError) Unwrap() error { return sqlite3.READONLY }

// openError adds the file name to err, and removes secrets of the DSN from err's text. It
// does not change ctx's own error, or the error of a lost file, which already names it.
func (c *Connector) openError(ctx context.Context, err error) error {
	if isLost(err) {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil && err == ctxErr {
		return err
	}
	err = c.explainKey(c.dsn.redacted(err))
	if ctxErr := ctx.Err(); ctxErr != nil && (errors.Is(err, sqlite3.INTERRUPT) || errors.Is(err, sqlite3.BUSY)) && !errors.Is(err, ctxErr) {
		err = fmt.Errorf("%w: %w", ctxErr, err)
	}
	return &OpenError{File: c.dsn.Database(), Err: err}
}

// String returns the database's name as errors show it.
func (c *Connector) String() string { return fmt.Sprintf("sqlitemw: %q", c.dsn.Database()) }

// Driver returns a [*Driver] with the connector's Config.
func (c *Connector) Driver() driver.Driver {
	return &Driver{Config: c.config, connector: c}
}

// Close closes the plain driver's connector, if it can be closed, and makes the name of the pool
// in metrics free for another Connector. It does not close open connections. database/sql calls it in (*sql.DB).Close.
func (c *Connector) Close() error {
	c.opener.Close()
	if closer, ok := c.base.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Attach registers r for every event of the connector's connections until detach is called.
// See [Recorder] for what r must not do.
func (c *Connector) Attach(r Recorder) (detach func()) { return c.opener.Attach(r) }

// CacheStats returns the statement cache counters of all the connector's connections,
// including closed ones.
func (c *Connector) CacheStats() CacheStats { return c.cache.stats() }
