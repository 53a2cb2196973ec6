package pool

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/pool/internal/stepgate"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// Files in reading order: tx.go, manager.go, connector.go, mapped.go, acquire.go, open.go, engine.go,
// metrics.go, settings.go, stats.go, resize.go, shell.go, verdict.go, named.go, turn.go, backup.go, checkpoint.go, dial.go, cleanup.go,
// connstate.go, gate.go, planner.go, commitsync.go, health.go, walhost.go, journalmode.go,
// limits.go, filelost.go, failure.go, reading.go, ownconn.go, checkout.go, session.go, pool.go, facade.go, dsn.go,
// config.go, hooks.go, plan.go, names.go, aliases.go, conn.go, file.go and errors.go.

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
	places   places

	base    base
	lanes   lanes
	routing routing
	wals    *walkeeper.Keeper
	plans   *planner
	facades facades
}

// A base is the open database.
type base struct {
	name        *instrument.PoolName
	file        *file
	path        string       // of the file; empty if there is none
	keeper      *keeper      // of an in-memory database
	lost        atomic.Bool  // the file is lost, and that has been reported
	syncWaits   atomic.Int64 // calls that wait for the disk
	stopMetrics func()

	checkpoints, failedCheckpoints atomic.Uint64
	opened                         struct{ journalMode, synchronous string } // pragmas of the first connection
}

// lanes are the pool's lanes.
type lanes struct {
	writer  *core.Lane
	readers *core.Lane        // nil if there is one lane
	one     atomic.Bool       // the database is not in WAL mode, even if readers is set
	upkeep  *driver.Connector // for checkpoints and backups; nil if readers is nil
	writes  *driver.Connector // of writer
	reads   *driver.Connector // of readers; nil if readers is nil
	limits  *core.Job         // ends what exceeds its limits
}

// routing is what decides the lane of a query.
type routing struct {
	queries            route.Cache
	steps              *stepgate.Gate
	session                                   // of the writers' connections
	writerCapabilities atomic.Pointer[string] // nil if they are those of readers
	pendingDirty       atomic.Pointer[error]  // error for the next statement; see DirtyFail
	keepTurns          bool                   // checkouts never offer their turn; for tests
}

// places are the functions of the program that this package calls.
type places struct {
	init, term, beforeConnect, afterConnect, afterRelease, callback, meter *core.Place
}

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

func (p *Pool) hookError(hook string, err error) error {
	return &OpenError{File: p.plan.dsn.Database(), Err: fmt.Errorf("Config.Hooks.%s: %w", hook, err)}
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
	return core.Describe(err)
}
