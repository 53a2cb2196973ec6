package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// Pool is a pool of connections to one database: one writer and several readers. If readers are
// not possible, it has one connection for everything; see the package documentation. All
// methods are safe for concurrent use.
type Pool struct {
	core     *core.Pool
	plan     *plan
	cfg      Config // plan.config; MaxConns may have changed
	guard    *core.Guard
	logger   *slog.Logger
	recorder driver.Recorder
	errors   wrap.ErrorMap // of Config.Compat and Config.MapError
	places   places
	jobs     jobs

	queries queryCache
	steps   *stepGate
	base    base
	lanes   lanes
	routing routing

	db, readerDB, writerDB *sql.DB

	wals        walHook
	checkpoints *checkpointer // nil unless wals.keeper is keptByCheckpointer
	failures    failures
}

// A base is the open database.
type base struct {
	file        *file
	path        string      // of the file; empty if there is none
	keeper      *keeper     // of an in-memory database
	lost        atomic.Bool // the file is lost, and that has been reported
	pageSize    int64
	stopMetrics func()
}

// lanes are the pool's lanes.
type lanes struct {
	writer  *core.Lane
	readers *core.Lane          // nil if there is one lane
	one     atomic.Bool         // the database is not in WAL mode, even if readers is set
	upkeep  *dialer             // for checkpoints and backups; nil if readers is nil
	caches  []*driver.Connector // whose statement caches Stats counts
}

// routing is what decides the lane of a query, beside the query.
type routing struct {
	marks              atomic.Uint32          // session state of the writer's connection
	writerCapabilities atomic.Pointer[string] // nil if they are those of readers
	pendingDirty       atomic.Pointer[error]  // error for the next statement; see DirtyFail
	keepTurns          bool                   // checkouts never offer their turn; for tests
}

// places are the functions of the program that this package calls.
type places struct {
	init, term, beforeConnect, afterConnect, afterRelease, callback, meter *core.Place
}

// jobs are the regular work of this package.
type jobs struct{ limits, walChecks *core.Job }

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
	p := &Pool{plan: plan, cfg: cfg, steps: newStepGate()}
	p.errors = driver.Config{Compat: cfg.Compat, MapError: cfg.MapError}.ErrorMap()
	p.core = core.New(engine{p}, plan.core())
	p.guard, p.logger, p.recorder = p.core.Guard(), p.core.Logger(), p.core.Recorder()
	p.places = places{
		init:          p.guard.NewPlace("Config.Init", core.UsesConn),
		term:          p.guard.NewPlace("Config.Term", core.UsesConn),
		beforeConnect: p.guard.NewPlace("Config.Hooks.BeforeConnect", core.UsesNoConn),
		afterConnect:  p.guard.NewPlace("Config.Hooks.AfterConnect", core.UsesConn),
		afterRelease:  p.core.ReleasePlace(),
		callback:      p.guard.NewPlace("a callback of SQLite's", core.UsesConn),
		meter:         p.guard.NewPlace("the meter provider of Config.Tracing", core.NoHook),
	}
	p.jobs = jobs{
		limits:    p.guard.NewJob("ending transactions and rows that exceed their limits"),
		walChecks: p.guard.NewJob("checking the length of the WAL"),
	}
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
	p.checkpoints.start()
	p.core.Start(ctx)
	p.logger.Info("pool: open", "max", cfg.MaxConns, "min", cfg.MinConns, "lanes", p.countLanes())
	return p, nil
}

func (p *Pool) open(ctx context.Context) error {
	connector := func(s source) (*driver.Connector, error) {
		s.config.Recorder, s.config.Logger = p.recorder, p.logger
		return s.dsn.NewConnector(s.config)
	}
	writer, reader, upkeep := p.plan.writer, p.plan.reader, p.plan.upkeep
	for _, s := range []*source{&writer, &reader, &upkeep} {
		s.config.Init, s.config.Term = p.guarded(p.places.init, s.config.Init), p.guarded(p.places.term, s.config.Term)
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
		if p.base.keeper, err = newKeeper(ctx, w); err != nil {
			return err
		}
	}
	p.lanes.caches = append(p.lanes.caches, w)
	p.lanes.writer = p.core.AddLane(p.writerLane(w))
	// The first connection creates a missing file. Only then can the file be identified.
	c, err := leased(p.lanes.writer.Dial(ctx, nil))
	if err != nil {
		return err
	}
	if p.plan.dsn.File() != "" { // SQLite's name for it, with links resolved
		p.base.path = c.SQLite().Filename("main").String()
	}
	p.base.file = openFile(p, p.base.path)
	if !p.plan.readOnly { // a read-only pool never writes, so it need not wait for writers
		p.lanes.writer.SetQueue(p.base.file.writers)
	}
	if p.base.pageSize, err = pageSize(c.SQLite()); err != nil {
		p.lanes.writer.Close(&c.Conn, wrap.ReasonOther)
		return &OpenError{File: p.cfg.Name, Err: err}
	}
	p.lanes.writer.Push(&c.Conn)

	if n := p.plan.readers; n > 0 {
		r, err := connector(reader)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		r.Follow(w)
		r.Watch()
		u, err := connector(upkeep)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		u.Follow(w)
		p.lanes.upkeep = &dialer{u, p}
		p.lanes.caches = append(p.lanes.caches, r)
		p.lanes.readers = p.core.AddLane(p.readerLane(r, n))
		for range min(p.cfg.MinConns-1, n) {
			c, err := p.lanes.readers.Dial(ctx, nil)
			if err != nil {
				return err
			}
			p.lanes.readers.Push(c)
		}
	}
	p.base.stopMetrics = w.Limits(p.limits)
	return p.HealthCheck(ctx)
}

// writerLane returns the lane of the writer, or of the connection for everything.
func (p *Pool) writerLane(w *driver.Connector) core.LaneConfig {
	stalls := core.StallsTakeOffers
	if p.plan.readers == 0 {
		stalls = core.StallsWait // no checkout offers its turn
	}
	return core.LaneConfig{
		Name:   wrap.LaneWriter,
		Source: &dialer{w, p},
		Turns:  1,
		// The writer counts as the first connection, because closing the last one of a file removes
		// its WAL.
		Keep:    func() int { return min(p.cfg.MinConns, 1) },
		MaxIdle: 1,
		Stalls:  stalls,
		Demand:  func(n int) { p.steps.addWriters(int32(n)) },
		Timeout: sqlite3.BUSY,
	}
}

// readerLane returns the lane of at most n readers.
func (p *Pool) readerLane(r *driver.Connector, n int) core.LaneConfig {
	return core.LaneConfig{
		Name:   wrap.LaneReader,
		Reads:  true,
		Source: &dialer{r, p},
		Turns:  n,
		Keep: func() int {
			if p.forReaders() != p.lanes.readers {
				return 0
			}
			return min(p.cfg.MinConns-1, p.lanes.readers.Turns())
		},
		Most:    func() int { return p.core.MaxConns() - 1 },
		Stalls:  core.StallsExtend,
		Running: func() bool { return p.steps.running.Load() > 0 },
	}
}

// guarded returns Init or Term wrapped in the guard. The context of SQLite's connection tells
// the guard which goroutine runs it.
func (p *Pool) guarded(at *core.Place, f func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	if f == nil {
		return nil
	}
	return func(raw *sqlite3.Conn) error {
		return p.guard.Call(raw.GetInterrupt(), at, func() error { return f(raw) })
	}
}

// abandon closes everything that a failed Open has opened.
func (p *Pool) abandon() {
	if p.base.stopMetrics != nil {
		p.base.stopMetrics()
	}
	p.checkpoints.stop(context.Background())
	p.core.Abandon(func() {
		p.base.keeper.close()
		if p.base.file != nil {
			p.base.file.close(p)
		}
	})
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
	cfg.MaxConns = p.core.MaxConns()
	cfg.MinConns = min(cfg.MinConns, cfg.MaxConns)
	return cfg
}

// Closed reports whether Shutdown or Close has been called.
func (p *Pool) Closed() bool { return p.core.Closed() }

// forReaders returns the lane for queries that only read. That is the writer's lane if there is
// only one.
func (p *Pool) forReaders() *core.Lane {
	if p.lanes.readers == nil || p.lanes.one.Load() || p.core.MaxConns() == 1 {
		return p.lanes.writer
	}
	return p.lanes.readers
}

func (p *Pool) countLanes() int {
	if p.forReaders() == p.lanes.writer {
		return 1
	}
	return 2
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
	e := driver.Event{Time: time.Now(), Kind: driver.KindBusy, Conn: c.ID(), Lane: c.lane.Name(), Err: c.Lease().Status(err)}
	e.Trace = c.Trace()
	if e.Blocker, e.Holder = c.BlockedBy(err); e.Blocker == "" {
		e.Derived = true
		e.Blocker, e.Holder = p.blockedBy(c)
	}
	p.recorder.Record(e)
}

// blockedBy guesses what blocked c, from the holders of the writer's turn.
func (p *Pool) blockedBy(c *conn) (driver.Blocker, driver.ConnID) {
	for _, l := range p.base.file.writers.Lanes() {
		for _, h := range l.Blockers() {
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
	summary, trace := c.summary(), c.Trace()
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindDirty, Conn: c.ID(), Lane: c.lane.Name(), Reason: why, Trace: trace})
	p.logger.Error("pool: a transaction that a query began outside BeginTx was left open; it is rolled back",
		"conn", c.ID(), "lane", c.lane.Name(), "last", summary, "trace", trace)
	if p.cfg.Dirty == DirtyFail {
		err := error(&DirtyError{Last: summary})
		p.routing.pendingDirty.Store(&err)
	}
}

// takeDirtyErr returns the pending error of DirtyFail once, and nil after that.
func (p *Pool) takeDirtyErr() error {
	if p.routing.pendingDirty.Load() == nil {
		return nil
	}
	if err := p.routing.pendingDirty.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// String returns the pool's name, as errors show it.
func (p *Pool) String() string { return fmt.Sprintf("pool: %q", p.cfg.Name) }

// recoverPanics calls f and reports its panic; see [core.Guard.Recover].
func (p *Pool) recoverPanics(at *core.Place, f func()) { _ = p.guard.Recover(at, f) }

func (p *Pool) hookError(hook string, err error) error {
	return &OpenError{File: p.cfg.Name, Err: fmt.Errorf("Config.Hooks.%s: %w", hook, err)}
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
