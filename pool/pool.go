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

// Pool is a pool of connections to one database: one writer and several readers. If readers are
// not possible, it has one connection for everything; see the package documentation. All
// methods are safe for concurrent use.
type Pool struct {
	plan         *plan
	cfg          Config       // plan.config; MaxConns may have changed
	maxOpen      atomic.Int64 // MaxConns; see Resize
	tracksStacks bool         // stacks of holders are recorded
	guard        *guard
	logger       *slog.Logger
	logBox       *mailbox[logLine] // for logger
	recorder     driver.Recorder
	errors       wrap.ErrorMap          // of Config.Compat and Config.MapError
	recorderBox  *mailbox[driver.Event] // for Config.Recorder; nil if there is none
	log          *EventLog
	sums         counters
	queries      queryCache
	steps        *stepGate
	file         *file
	path         string      // of the file; empty if there is none
	keeper       *keeper     // of an in-memory database
	lost         atomic.Bool // the file is lost, and that has been reported
	pageSize     int64
	stopMetrics  func()

	writer  *lane
	readers *lane       // nil if there is one lane
	oneLane atomic.Bool // the database is not in WAL mode, even if readers is set

	writerCapabilities atomic.Pointer[string] // nil if they are those of readers
	upkeep             *driver.Connector      // for checkpoints and backups; nil if readers is nil

	marks        atomic.Uint32         // session state of the writer's connection
	keepTurns    bool                  // checkouts never offer their turn; for tests
	pendingDirty atomic.Pointer[error] // error for the next statement; see DirtyFail

	db, readerDB, writerDB *sql.DB

	closing     atomic.Bool   // Shutdown has begun; set with mu held
	mu          sync.Mutex    // guards drained, and every change of closing
	drained     chan struct{} // wakes drain; closed by wakeDrain
	ended       chan struct{} // closed when Shutdown has finished
	shutdown    error         // result of Shutdown; set before ended is closed
	closer      *job
	maintain    *maintainer
	wals        walHook
	checkpoints *checkpointer // nil unless wals.keeper is keptByCheckpointer
	health      healthState
	failures    failures
}

// Open opens a pool, with MinConns connections configured and checked. ctx limits only Open.
//
// Open fails with [ErrInvalidConfig]. It fails with [ErrNotFound] if the file is missing and
// must not be created. It fails with an [*OpenError] if the database cannot be opened, and with
// [ErrHealthCheck] if it cannot be read. After an error, nothing is left open.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	plan, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	return plan.open(ctx)
}

// open opens the pool of the plan.
func (plan *plan) open(ctx context.Context) (*Pool, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pool: open: %w", err)
	}
	cfg := plan.config
	if file := plan.dsn.File(); cfg.MustExist && file != "" {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			remedy := "leave MustExist unset"
			if _, ok := plan.dsn.Param("mode"); ok {
				remedy = "write mode=rwc"
			}
			return nil, fmt.Errorf("%w: %q: create it, or %s", ErrNotFound, plan.dsn.Database(), remedy)
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
	defer func() { // also if Init or a hook panics
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
		p.recorderBox.flush(ctx) // the Recorder gets the events of opening before Open returns
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
	// The first connection creates a missing file. Only then can the file be identified.
	c, err := p.writer.dial(ctx, nil)
	if err != nil {
		return err
	}
	if p.plan.dsn.File() != "" { // SQLite's name for it, with links resolved
		p.path = c.SQLite().Filename("main").String()
	}
	p.file = openFile(p.path)
	if !p.plan.readOnly { // a read-only pool never writes, so it need not wait for writers
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

// guarded returns Init or Term wrapped in the guard. The context of SQLite's connection tells
// the guard which goroutine runs it.
func (p *Pool) guarded(at place, f func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	if f == nil {
		return nil
	}
	return func(raw *sqlite3.Conn) error {
		return p.guard.call(raw.GetInterrupt(), at, func() error { return f(raw) })
	}
}

// abandon closes everything that a failed Open has opened.
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
	if p.recorderBox != nil { // the Recorder gets all events before Open returns
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		p.recorderBox.flush(ctx)
	}
}

// facade returns a *sql.DB over the pool. It uses only the lane pinned, or all lanes if that is
// LaneNone.
func (p *Pool) facade(pinned wrap.Lane) *sql.DB {
	db := sql.OpenDB(&connector{opened: p, pinned: pinned})
	db.SetMaxIdleConns(idleShells)
	return db
}

// idleShells is how many idle shells a facade keeps. Keeping a shell costs almost nothing;
// creating one costs more.
const idleShells = 256

// DB returns the *sql.DB for all uses. It sends each call to the right lane. It is the same
// value every time. Closing it closes only this *sql.DB; [Pool.Close] closes it too.
func (p *Pool) DB() *sql.DB { return p.db }

// Reader returns the *sql.DB that uses only readers. Writes fail there with sqlite3.READONLY,
// unless the pool has one lane.
func (p *Pool) Reader() *sql.DB { return p.readerDB }

// Writer returns the *sql.DB that sends every call to the writer.
func (p *Pool) Writer() *sql.DB { return p.writerDB }

// Config returns the configuration in force, with all defaults resolved.
func (p *Pool) Config() Config {
	cfg := p.cfg
	cfg.MaxConns = p.maxConns()
	cfg.MinConns = min(cfg.MinConns, cfg.MaxConns)
	return cfg
}

// Closed reports whether Shutdown or Close has been called.
func (p *Pool) Closed() bool { return p.closing.Load() }

// forReaders returns the lane for queries that only read. That is the writer's lane if there is
// only one.
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

// row executes one of the pool's own queries and calls read for each row.
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

// recordBusy records an event for a call that failed because the database is locked.
func (p *Pool) recordBusy(c *conn, err error) {
	e := driver.Event{Time: time.Now(), Kind: driver.KindBusy, Conn: c.ID(), Lane: c.lane.name, Err: c.Lease().Status(err)}
	c.mu.Lock()
	e.Trace = c.lease.trace
	c.mu.Unlock()
	if e.Blocker, e.Holder = c.BlockedBy(err); e.Blocker == "" {
		e.Derived = true
		e.Blocker, e.Holder = p.blockedBy(c)
	}
	p.recorder.Record(e)
}

// blockedBy guesses what blocked c, from the holders of the writer's turn.
func (p *Pool) blockedBy(c *conn) (driver.Blocker, driver.ConnID) {
	for _, l := range p.file.writerLanes() {
		for _, h := range l.turns() {
			if h.Conn != c.ID() {
				return driver.BlockerThisProcess, h.Conn
			}
		}
	}
	return driver.BlockerOutside, 0
}

// recordDirty reports a connection that was given back with an open transaction. why is empty
// if the transaction was rolled back; otherwise the connection is closed for that reason.
func (p *Pool) recordDirty(c *conn, why wrap.Reason) {
	summary := c.summary()
	c.mu.Lock()
	trace := c.lease.trace
	c.mu.Unlock()
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindDirty, Conn: c.ID(), Lane: c.lane.name, Reason: why, Trace: trace})
	p.logger.Error("pool: a transaction that a query began outside BeginTx was left open; it is rolled back",
		"conn", c.ID(), "lane", c.lane.name, "last", summary, "trace", trace)
	if p.cfg.Dirty == DirtyFail {
		err := error(&DirtyError{Last: summary})
		p.pendingDirty.Store(&err)
	}
}

// takeDirtyErr returns the pending error of DirtyFail once, and nil after that.
func (p *Pool) takeDirtyErr() error {
	if p.pendingDirty.Load() == nil {
		return nil
	}
	if err := p.pendingDirty.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// String returns the pool's name, as errors show it.
func (p *Pool) String() string { return fmt.Sprintf("pool: %q", p.cfg.Name) }

// recoverPanics calls f and reports its panic; see guard.recoverPanics.
func (p *Pool) recoverPanics(at place, f func()) { _ = p.guard.recoverPanics(at, f) }

func (p *Pool) hookError(hook string, err error) error {
	return &OpenError{File: p.cfg.Name, Err: fmt.Errorf("Config.Hooks.%s: %w", hook, err)}
}

func (p *Pool) closeFailed(c *conn, err error) {
	p.logger.Error("pool: a connection was closed with an error", "conn", c.ID(), "lane", c.lane.name, "error", p.logErr(err))
}

// logErr returns what a log line may show of an error: its type and code. The text may quote
// values of the program.
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
