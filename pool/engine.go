package pool

import (
	"context"
	"errors"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// An engine is SQLite for [core.Pool].
type engine struct{ *Pool }

var _ core.Engine = engine{}

// core returns the configuration of the core.
func (p *plan) core() core.Config {
	c := p.config
	return core.Config{
		Name:           c.Name,
		MaxConns:       c.MaxConns,
		MaxWaiters:     c.MaxWaiters,
		AcquireTimeout: c.AcquireTimeout,
		ValidateAfter:  c.ValidateAfter,
		MaxLifetime:    c.MaxLifetime,
		LifetimeJitter: c.LifetimeJitter,
		IdleTimeout:    c.IdleTimeout,
		KeepAlive:      c.KeepAlive,
		LeakAfter:      c.LeakAfter,
		HealthInterval: c.HealthInterval,
		Failures:       failureKinds,
		Limits:         []time.Duration{c.TxTimeout, c.MaxReadAge},
		Remedies:       core.Remedies{Statement: "set Config.StatementTimeout", Use: "set Config.TxTimeout or Config.MaxReadAge"},
		TrackStacks:    c.TrackStacks,
		Exclusive:      p.exclusive,
		ConnMemory:     c.MemoryLimit,
		Events:         c.Events,
		Logger:         c.Logger,
		LifecycleLevel: c.LifecycleLevel,
		Recorder:       c.Recorder,
		Hooks:          core.Hooks{BeforeAcquire: c.Hooks.BeforeAcquire, AfterRelease: c.Hooks.AfterRelease, BeforeClose: c.Hooks.BeforeClose},
	}
}

// Lost implements [core.Engine].
func (e engine) Lost() error { return e.lanes.writes.FileLost() }

// Noticed implements [core.Engine].
func (e engine) Noticed(err error) { e.recordFileLost(err) }

// Describe implements [core.Engine].
func (e engine) Describe(err error) string { return e.logErr(err) }

// Examine implements [core.Engine]. With probe, it retries a failing checkpoint immediately.
func (e engine) Examine(ctx context.Context, probe bool) HealthReport {
	r := e.examine(ctx)
	if probe && r.Health != HealthDown {
		e.wals.Probe(ctx)
	}
	return r
}

// Maintain implements [core.Engine].
func (e engine) Maintain(ctx context.Context, now time.Time) {
	if e.cfg.takesAway() {
		e.guard.Start(ctx, e.lanes.limits, func(context.Context) { e.enforceLimits(now) })
	}
	e.wals.Maintain(ctx)
	e.plans.maintain()
}

// Stop implements [core.Engine].
func (e engine) Stop(ctx context.Context) bool {
	ended := e.lanes.limits.Ended(ctx)
	ended = e.plans.stop(ctx) && ended
	return e.wals.Stop(ctx) && ended
}

// BeforeClose implements [core.Engine].
func (e engine) BeforeClose(ctx context.Context, lane wrap.Lane) {
	if lane == wrap.LaneWriter {
		e.optimize(ctx)
	}
}

// optimize runs PRAGMA optimize on the writer, which SQLite recommends before a long-lived
// connection is closed. It is limited in time, and its errors are ignored.
// https://sqlite.org/pragma.html#pragma_optimize
func (e engine) optimize(ctx context.Context) {
	if ctx.Err() != nil || e.sameFile() != nil { // it would write to a lost file
		return
	}
	lent := e.lanes.writer.Pop()
	if lent == nil {
		return
	}
	defer e.lanes.writer.Push(lent)
	ctx, cancel := context.WithTimeout(ctx, core.EngineTimeout)
	defer cancel()
	c := connOf(lent)
	_ = e.guard.Recover(e.places.callback, func() {
		c.Lease().Use(func() {
			raw := c.SQLite()
			old := raw.SetInterrupt(ctx)
			defer raw.SetInterrupt(old)
			if raw.BusyTimeout(0) == nil {
				_ = raw.Exec("PRAGMA analysis_limit=400; PRAGMA optimize")
			}
		})
	})
}

// Closed implements [core.Engine].
func (e engine) Closed(ctx context.Context) (err error) {
	_ = e.guard.Protect("closing the keeper of a memory database", func() { err = e.base.keeper.close() })
	e.base.file.close(e.Pool)
	err = errors.Join(err, e.closeFacades())
	// Last, because it calls the program's meter provider.
	_ = e.guard.Call(ctx, e.places.meter, func() error { e.base.stopMetrics(); return nil })
	e.base.name.Release()
	return err
}

// closeWithin is how long Close waits for connections in use.
const closeWithin = 10 * time.Second

// Close calls [Pool.Shutdown] with a timeout of ten seconds.
func (p *Pool) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown closes the pool. New and waiting acquires fail with [ErrClosed]. Connections in use
// may be used until ctx ends. Then Shutdown takes them away: their running calls end as if they
// were canceled, and later calls fail with ErrClosed. When Shutdown has finished, calls of DB,
// Reader, Writer and NewDB fail as on any closed *sql.DB. Readers are closed first. The writer then
// runs PRAGMA optimize. If it is the last connection to the file, closing it removes the WAL.
//
// Shutdown returns at most half a second after ctx has ended, whatever functions of the program
// do. If ctx has a deadline, the last tenth of a second before it is for running calls to end;
// for less than a second, it is the last tenth of the time. The error is a [*ShutdownError] if
// Shutdown had to take something away, or if something has not ended. It lists these with their
// holders. If a hook has panicked, Shutdown panics too, when everything is closed. If the pool
// is closed already, Shutdown waits for the first Shutdown and returns its result.
func (p *Pool) Shutdown(ctx context.Context) error { return p.core.Shutdown(ctx) }

// Reset replaces all connections of the pool by new ones. Idle connections are closed now,
// leased ones when they are given back. The session state of the writer is lost.
func (p *Pool) Reset() { p.core.Reset() }
