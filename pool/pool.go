package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Pool is a pool of connections to one database: one that writes and some that
// only read, or, where that is not possible, one for everything; see the package
// documentation. All its methods are safe for concurrent use.
type Pool struct {
	plan         *plan
	cfg          Config       // plan's, but for MaxConns
	maxOpen      atomic.Int64 // MaxConns; see Resize
	tracksStacks bool         // stacks are remembered
	guard        *guard
	logger       *slog.Logger
	logBox       *mailbox[logLine] // of logger
	recorder     driver.Recorder
	errors       wrap.ErrorMap          // of Config.Compat and Config.MapError
	recorderBox  *mailbox[driver.Event] // of Config.Recorder
	log          *EventLog
	sums         counters
	queries      queryCache
	steps        *stepGate
	file         *file
	path         string      // of the file; empty if it has none
	keeper       *keeper     // of a memory database
	lost         atomic.Bool // the file is, and that has been told
	pageSize     int64
	stopMetrics  func()

	writer  *lane
	readers *lane       // nil if there is one lane
	oneLane atomic.Bool // whatever readers is: the database is not in WAL mode

	writerCapabilities atomic.Pointer[string] // of the writer; nil if they are those of readers
	upkeep             *driver.Connector      // of the checkpointer's and backups' connections; nil if readers is

	marks        atomic.Uint32         // what stays in force on the writer's connection
	keepTurns    bool                  // whatever a checkout does: for tests of what else becomes of turns
	pendingDirty atomic.Pointer[error] // what the next statement is told; see DirtyFail

	db, readerDB, writerDB *sql.DB

	closing     atomic.Bool // it has been told to close; set with mu held
	mu          sync.Mutex
	drained     chan struct{} // closed when the last lease has ended after the pool was closed
	ended       chan struct{} // closed when Shutdown is through
	shutdown    error         // its result
	closer      *job
	maintain    *maintainer
	wals        walHook
	checkpoints *checkpointer // nil unless wals.keeper is keptByCheckpointer
	health      healthState
	failures    failures
}

// Open opens a pool: its connections that are to be there at least, configured
// and checked. It fails with [ErrInvalidConfig], with [ErrNotFound] if the file is
// missing and is not to be created, with an [*OpenError] that says why if it
// cannot be opened, and with [ErrHealthCheck] if it can, but not be read. It then
// leaves nothing open. ctx bounds Open alone.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	plan, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	return plan.open(ctx)
}

// open opens a pool as planned.
func (plan *plan) open(ctx context.Context) (*Pool, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pool: open: %w", err)
	}
	cfg := plan.config
	if file := plan.dsn.File(); cfg.MustExist && file != "" {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %q: create it, or leave MustExist unset", ErrNotFound, plan.dsn.Database())
		}
	}
	p := &Pool{
		plan:         plan,
		cfg:          cfg,
		tracksStacks: cfg.TrackStacks || cfg.LeakAfter > 0,
		log:          NewEventLog(cfg.Events),
		steps:        newStepGate(),
		ended:        make(chan struct{}),
	}
	p.errors = driver.Config{Compat: cfg.Compat, MapError: cfg.MapError}.ErrorMap()
	p.maxOpen.Store(int64(cfg.MaxConns))
	p.guard = newGuard(p)
	handler, lines := newLogger(p.guard, cfg.Logger.With("pool", cfg.Name))
	p.logger, p.logBox, p.guard.logger = slog.New(handler), lines, slog.New(handler.withoutPatience())
	if cfg.Recorder != nil {
		p.recorderBox = &mailbox[driver.Event]{guard: p.guard, place: placeRecorder, deliver: cfg.Recorder.Record}
	}
	p.recorder = &ledger{&p.sums, p.log, cfg.Recorder, p.recorderBox}
	p.health.job = p.guard.newJob("the health check")
	opened := false
	defer func() { // deferred, for a panic in Init or a hook
		if !opened {
			p.abandon()
		}
	}()
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	opened = true
	p.db = p.facade(wrap.LaneNone)
	p.readerDB = p.facade(wrap.LaneReader)
	p.writerDB = p.facade(wrap.LaneWriter)
	p.register()
	p.maintain = newMaintainer(p)
	p.checkpoints.start()
	p.closer = p.guard.newJob("closing the connections")
	if p.recorderBox != nil {
		p.recorderBox.flush(ctx) // what it is told of the first connections, before Open returns
	}
	p.logger.Info("pool: open", "max", cfg.MaxConns, "min", cfg.MinConns, "lanes", p.lanes())
	return p, nil
}

func (p *Pool) open(ctx context.Context) error {
	connector := func(s source) (*driver.Connector, error) {
		s.config.Recorder, s.config.Logger = p.recorder, p.logger
		return s.dsn.NewConnector(s.config)
	}
	writer, reader, upkeep := p.plan.writer, p.plan.reader, p.plan.upkeep
	for _, s := range []*source{&writer, &reader, &upkeep} {
		s.config.Init, s.config.Term = p.guarded(placeInit, s.config.Init), p.guarded(placeTerm, s.config.Term)
	}
	p.wals = walHook{pool: p, keeper: p.plan.walKeeper()}
	if p.wals.keeper == keptByCheckpointer {
		p.checkpoints = newCheckpointer(p)
	}
	writer.config.Init = p.wals.install(writer.config.Init)
	w, err := connector(writer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	if p.plan.dsn.Memory() {
		if p.keeper, err = newKeeper(ctx, w); err != nil {
			return err
		}
	}
	p.writer = &lane{pool: p, name: wrap.LaneWriter, connector: w, queue: newQueue(1)}
	// The first connection makes the file, if it is not there, and so before it
	// can be told from other files.
	c, err := p.writer.dial(ctx, nil)
	if err != nil {
		return err
	}
	if p.plan.dsn.File() != "" { // by the name that SQLite has for it, links resolved
		p.path = c.SQLite().Filename("main").String()
	}
	p.file = openFile(p.path)
	if !p.plan.readOnly { // or it would wait for others that write, and need not
		p.writer.queue = p.file.writers
		p.file.addWriterLane(p.writer)
	}
	if p.pageSize, err = pageSize(c.SQLite()); err != nil {
		p.writer.close(c, wrap.ReasonOther)
		return &OpenError{File: p.cfg.Name, Err: err}
	}
	c.idleSince = time.Now()
	p.writer.push(c)

	if n := p.plan.readers; n > 0 {
		r, err := connector(reader)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		r.Follow(w)
		r.Watch()
		if p.upkeep, err = connector(upkeep); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		p.upkeep.Follow(w)
		p.readers = &lane{pool: p, name: wrap.LaneReader, reads: true, connector: r, queue: newQueue(n)}
		for range min(p.cfg.MinConns-1, n) {
			c, err := p.readers.dial(ctx, nil)
			if err != nil {
				return err
			}
			c.idleSince = time.Now()
			p.readers.push(c)
		}
	}
	p.stopMetrics = w.Limits(p.limits)
	return p.HealthCheck(ctx)
}

// guarded is Init or Term as the guard calls it: SQLite's connection has the context
// that says on whose goroutine that is.
func (p *Pool) guarded(at place, f func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	if f == nil {
		return nil
	}
	return func(raw *sqlite3.Conn) error {
		return p.guard.call(raw.GetInterrupt(), at, func() error { return f(raw) })
	}
}

// abandon closes what a pool that could not be opened has opened.
func (p *Pool) abandon() {
	if p.stopMetrics != nil {
		p.stopMetrics()
	}
	p.checkpoints.stop(context.Background())
	for _, l := range []*lane{p.readers, p.writer} {
		if l != nil {
			l.shut(context.Background())
		}
	}
	p.keeper.close()
	if p.file != nil {
		p.file.close(p.writer)
	}
	if p.recorderBox != nil { // so that the Recorder has had all before Open returns
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		p.recorderBox.flush(ctx)
	}
}

// facade is a *sql.DB over the pool, of this lane alone, or of both.
func (p *Pool) facade(pinned wrap.Lane) *sql.DB {
	db := sql.OpenDB(&connector{opened: p, pinned: pinned})
	db.SetMaxIdleConns(idleShells)
	return db
}

// idleShells is how many shells a facade keeps: they cost next to nothing, and
// to make one is dearer.
const idleShells = 256

// DB returns the database for all uses: each call goes to the lane that is right
// for it. It is the same at every call. To close it is to close the facade alone,
// and [Pool.Close] closes it, too.
func (p *Pool) DB() *sql.DB { return p.db }

// Reader returns the database for uses that only read. What writes fails there
// with sqlite3.READONLY, unless the pool has one lane.
func (p *Pool) Reader() *sql.DB { return p.readerDB }

// Writer returns the database all of whose calls go to the connection that
// writes.
func (p *Pool) Writer() *sql.DB { return p.writerDB }

// Config returns the configuration in force, defaults included.
func (p *Pool) Config() Config {
	cfg := p.cfg
	cfg.MaxConns = p.maxConns()
	cfg.MinConns = min(cfg.MinConns, cfg.MaxConns)
	return cfg
}

// Closed reports whether the pool has been told to close.
func (p *Pool) Closed() bool { return p.closing.Load() }

// forReaders returns the lane that reads.
func (p *Pool) forReaders() *lane {
	if p.readers == nil || p.oneLane.Load() || p.maxConns() == 1 {
		return p.writer
	}
	return p.readers
}

func (p *Pool) lanes() int {
	if p.forReaders() == p.writer {
		return 1
	}
	return 2
}

func (p *Pool) allLanes() []*lane {
	if p.readers == nil {
		return []*lane{p.writer}
	}
	return []*lane{p.readers, p.writer}
}

func pageSize(raw *sqlite3.Conn) (n int64, err error) {
	err = row(raw, "PRAGMA page_size", func(st *sqlite3.Stmt) { n = st.ColumnInt64(0) })
	return n, err
}

// row calls read with the one row that a text of the pool's own has.
func row(raw *sqlite3.Conn, query string, read func(*sqlite3.Stmt)) error {
	st, _, err := raw.Prepare(query)
	if err != nil {
		return err
	}
	defer st.Close()
	for st.Step() {
		read(st)
	}
	return st.Err()
}

// busy is told of a call that SQLite has ended because the database is locked.
func (p *Pool) recordBusy(c *conn, err error) {
	e := driver.Event{Time: time.Now(), Kind: driver.KindBusy, Conn: c.ID(), Lane: c.lane.name, Err: c.Wrapped().Status(err)}
	c.mu.Lock()
	e.Trace = c.lease.trace
	c.mu.Unlock()
	if e.Reason, e.Holder = c.InTheWay(err); e.Reason == "" {
		e.Derived = true
		e.Reason, e.Holder = p.blockedBy(c)
	}
	p.recorder.Record(e)
}

// inTheWay concludes from who has the turn to write what was in the way of c.
func (p *Pool) blockedBy(c *conn) (driver.Reason, driver.ConnID) {
	for _, l := range p.file.writerLanes() {
		for _, h := range l.turns() {
			if h.Conn != c.ID() {
				return driver.ReasonThisProcess, h.Conn
			}
		}
	}
	return driver.ReasonOutside, 0
}

// dirty is told of a connection that was given back with a transaction open,
// which has been rolled back, or else is closed.
func (p *Pool) recordDirty(c *conn, why wrap.Reason) {
	summary := c.summary()
	c.mu.Lock()
	trace := c.lease.trace
	c.mu.Unlock()
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindDirty, Conn: c.ID(), Lane: c.lane.name, Reason: why, Trace: trace})
	p.logger.Error("pool: a transaction was left open by a text that began one outside of BeginTx; it is rolled back",
		"conn", c.ID(), "lane", c.lane.name, "last", summary, "trace", trace)
	if p.cfg.Dirty == DirtyFail {
		err := error(&DirtyError{Last: summary})
		p.pendingDirty.Store(&err)
	}
}

// reproach returns, once, what a statement is to be told of the transaction that
// one before it has left open.
func (p *Pool) takeDirtyErr() error {
	if p.pendingDirty.Load() == nil {
		return nil
	}
	if err := p.pendingDirty.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// String names the pool, as errors do.
func (p *Pool) String() string { return fmt.Sprintf("pool: %q", p.cfg.Name) }

// quietly calls f, whose panics are told of; see guard.quietly.
func (p *Pool) recoverPanics(at place, f func()) { _ = p.guard.recoverPanics(at, f) }

func (p *Pool) hookError(hook string, err error) error {
	return &OpenError{File: p.cfg.Name, Err: fmt.Errorf("Config.Hooks.%s: %w", hook, err)}
}

func (p *Pool) closeFailed(c *conn, err error) {
	p.logger.Error("pool: close a connection", "conn", c.ID(), "lane", c.lane.name, "error", p.logErr(err))
}

// safe is what a log may say of an error: its type and code, not its text, which
// may quote what the program has written.
func (p *Pool) logErr(err error) string {
	var lost *driver.FileLostError
	if errors.As(err, &lost) {
		return lost.Error()
	}
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		return code.Error()
	}
	if blocked := (*BlockedError)(nil); errors.As(err, &blocked) {
		return blocked.Error()
	}
	if panicked := (*wrap.PanicError)(nil); errors.As(err, &panicked) {
		return fmt.Sprintf("panic: %T", panicked.Value)
	}
	return fmt.Sprintf("%T", err)
}
