package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/stepgate"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// Open opens a pool, with MinConns connections configured and checked. ctx limits only Open.
//
// Open fails with [ErrInvalidConfig], also if Config.DisableWAL is true and the file is in WAL
// mode. It fails with [ErrNotFound] if the file is missing and
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
	name := plan.takeName()
	plan = plan.withName(name.String())
	cfg = plan.config
	p := &Pool{plan: plan, cfg: cfg, base: base{name: name}, routing: routing{steps: stepgate.New()}}
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
	p.lanes.limits = p.guard.NewJob("ending transactions and rows that exceed their limits")
	p.plans = newPlanner(p)
	p.wals = walkeeper.New(walHost{p}, walkeeper.Config{Kind: plan.walKind(), Guard: p.guard, Limit: cfg.JournalSizeLimit})
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
	p.wals.Start()
	p.core.Start(ctx)
	p.logOpen(ctx)
	return p, nil
}

// takeName takes the name of the pool: Config.Name, or a default that no other pool has.
func (p *plan) takeName() *instrument.PoolName {
	if p.named {
		return instrument.SharePoolName(p.config.Name)
	}
	return instrument.TakePoolName(p.config.Name)
}

// logOpen writes the log line of an opened pool. It has what decides how calls wait and what a
// commit survives.
func (p *Pool) logOpen(ctx context.Context) {
	cfg, file := p.cfg, p.plan.dsn.Database()
	if p.base.path != "" {
		file = redact.Name(p.base.path)
	}
	attrs := []slog.Attr{slog.String("file", file), slog.Int("max", cfg.MaxConns), slog.Int("min", cfg.MinConns), slog.Int("lanes", p.countLanes())}
	if why := p.plan.whyOneLane; why != "" {
		attrs = append(attrs, slog.String("one_lane", why))
	}
	attrs = append(attrs, slog.String("journal_mode", p.base.opened.journalMode), slog.String("synchronous", p.base.opened.synchronous), slog.String("commit_sync", cfg.CommitSync.String()),
		slog.Any("busy_timeout", orNever(cfg.BusyTimeout)), slog.Any("acquire_timeout", orNever(cfg.AcquireTimeout)))
	p.logger.LogAttrs(ctx, cfg.LifecycleLevel, "pool: open", attrs...)
}

// orNever returns a duration of a resolved Config for a log line: itself, or "never".
func orNever(d time.Duration) any {
	if d < 0 {
		return "never"
	}
	return d
}

func (p *Pool) open(ctx context.Context) error {
	connector := func(s source) (*driver.Connector, error) {
		s.config.Recorder, s.config.Logger = p.recorder, p.logger
		c, err := s.dsn.NewConnector(s.config)
		if err == nil {
			c.ShareWatchers(p.plan.watchers)
		}
		return c, err
	}
	writer, reader, upkeep := p.plan.writer, p.plan.reader, p.plan.upkeep
	for _, s := range []*source{&writer, &reader, &upkeep} {
		s.config.Init, s.config.Term = p.guarded(p.places.init, s.config.Init), p.guarded(p.places.term, s.config.Term)
	}
	writer.config.Init = p.wals.Install(writer.config.Init)
	w, err := connector(writer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	if err := p.checkJournalMode(ctx); err != nil {
		return err
	}
	if p.plan.dsn.Memory() {
		if p.base.keeper, err = newKeeper(ctx, w); err != nil {
			return err
		}
	}
	p.lanes.writes = w
	p.lanes.writer = p.core.AddLane(p.writerLane(w))
	// The first connection creates a missing file. Only then can the file be identified.
	c, err := leased(p.lanes.writer.Dial(ctx, nil))
	if err != nil {
		return err
	}
	if err := p.refuseWAL(c); err != nil { // the file has changed since checkJournalMode
		p.lanes.writer.Close(&c.Conn, wrap.ReasonOther)
		return err
	}
	if p.plan.dsn.File() != "" { // SQLite's name for it, with links resolved
		p.base.path = c.SQLite().Filename("main").String()
	}
	p.base.file = openFile(p, p.base.path)
	if !p.plan.readOnly { // a read-only pool never writes, so it need not wait for writers
		p.lanes.writer.SetQueue(p.base.file.writers)
	}
	size, err := inspect.PageSize(c.SQLite())
	if err != nil {
		p.lanes.writer.Close(&c.Conn, wrap.ReasonOther)
		return &OpenError{File: p.plan.dsn.Database(), Err: err}
	}
	p.base.opened.journalMode, _ = inspect.JournalMode(c.SQLite())
	if s, ok := synchronousOf(inspect.Pragma(c.SQLite(), "synchronous")); ok {
		p.base.opened.synchronous = s.String()
	}
	c.initial.pragmas.Restore(c.SQLite())
	p.wals.Opened(p.base.path, size)
	p.warnOfLitestream(c)
	p.lanes.writer.Push(&c.Conn)

	if n := p.plan.readers; n > 0 {
		r, err := connector(reader)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		r.Follow(w)
		r.Watch()
		if p.lanes.upkeep, err = connector(upkeep); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
		}
		p.lanes.upkeep.Follow(w)
		p.lanes.reads = r
		w.OnSlow(p.plans.add)
		r.OnSlow(p.plans.add)
		p.lanes.readers = p.core.AddLane(p.readerLane(r, n))
		for range min(p.cfg.MinConns-1, n) {
			c, err := p.lanes.readers.Dial(ctx, nil)
			if err != nil {
				return err
			}
			p.lanes.readers.Push(c)
		}
	}
	p.base.stopMetrics = p.measure(w)
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
		Demand:  func(n int) { p.routing.steps.AddWriters(int32(n)) },
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
		Running: func() bool { return p.routing.steps.Running() },
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
	p.wals.Stop(context.Background())
	p.plans.stop(context.Background())
	p.core.Abandon(func() {
		p.base.keeper.close()
		if p.base.file != nil {
			p.base.file.close(p)
		}
		p.base.name.Release()
	})
}

// warnOfLitestream warns if Litestream has replicated the database, as a table of its shows, but
// the checkpoints are not left to it. Then a replica may miss commits; see the package
// documentation.
func (p *Pool) warnOfLitestream(c *conn) {
	if p.plan.readOnly || p.plan.walKind() == walkeeper.Outside {
		return
	}
	if _, _, _, _, _, err := c.SQLite().TableColumnMetadata("main", "_litestream_seq", "seq"); err != nil {
		return // there is no such table
	}
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindWarning, Reason: driver.ReasonLitestream, Conn: c.ID()})
	p.logger.Warn("pool: Litestream replicates the database, and may miss commits because the pool runs checkpoints too: set _pragma=wal_autocheckpoint(0)",
		"pool", redact.Name(p.cfg.Name))
}
