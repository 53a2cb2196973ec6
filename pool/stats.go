package pool

import (
	"log/slog"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// Stats returns the pool's counters. It takes no connection.
func (p *Pool) Stats() Stats {
	s := p.core.Stats()
	s.Max = p.core.MaxConns()
	if p.countLanes() == 1 {
		s.Max = 1
	}
	for _, connector := range []*driver.Connector{p.lanes.writes, p.lanes.reads} {
		if connector == nil {
			continue
		}
		c := connector.CacheStats()
		s.Cache.Hits += c.Hits
		s.Cache.Misses += c.Misses
		s.Cache.Evictions += c.Evictions
		s.Cache.Invalidations += c.Invalidations
	}
	s.StepWaits = p.routing.steps.Waits()
	s.Pages = p.wals.Stats()
	if s.Pages.Bytes > 0 && p.cfg.JournalSizeLimit >= 0 {
		s.Pages.Limit = p.wals.Limit()
	}
	s.SyncWaiting = int(p.base.syncWaits.Load())
	s.Checkpoints, s.CheckpointsFailed = p.base.checkpoints.Load(), p.base.failedCheckpoints.Load()
	return s
}

// Health returns the result of the last check and the current failures: of writes, of
// checkpoints, or of keeping the WAL within Config.JournalSizeLimit. Each failure makes the
// pool degraded from its begin to its end, independently of checks.
func (p *Pool) Health() HealthReport { return p.core.Health() }

// Holders returns the current holders of connections, the longest first.
func (p *Pool) Holders() []Holder { return p.core.Holders() }

// Waiters returns the calls that wait for a connection, those that are served first first.
func (p *Pool) Waiters() []Waiter { return p.core.Waiters() }

// Name returns Config.Name, or its default.
func (p *Pool) Name() string { return p.core.Name() }

// Events returns the latest events, the oldest first.
func (p *Pool) Events() []driver.Event { return p.core.Events() }

// Subscribe returns a subscription to every event from now on; see [EventLog.Subscribe].
// Shutdown closes it.
func (p *Pool) Subscribe(buffer int) *Subscription { return p.core.Subscribe(buffer) }

// LogEvents writes every event from now on to logger, on a separate goroutine, until stop is
// called or the pool is shut down. If there are kinds, it writes only events of these. A nil
// logger means Config.Logger.
//
// The message of a line is "pool: " and the kind. It contains no text of the program. The level
// is
//
//   - warn for an error of any kind of event except cancel, and for timeout, refuse, leak,
//     dirty, busy, session, failing, file-lost, panic, time-limit and warning;
//   - info for health, reset, shutdown and recovered, which are rare;
//   - debug for everything else.
//
// The pool itself also logs session, dirty, leak, leak-end, health, reset, shutdown, failing,
// recovered, file-lost, panic and time-limit to Config.Logger.
//
// No call waits for the logger. There is room for [DefaultEvents] events that have not been
// written yet. Further events are lost, and a line at level warn counts them. stop waits until
// the remaining events are written; so does Shutdown, as long as its context allows. stop may
// be called more than once, but not by the logger. The logger must not use the pool, because
// each line would cause the next.
func (p *Pool) LogEvents(logger *slog.Logger, kinds ...driver.Kind) (stop func()) {
	return p.core.LogEvents(logger, kinds...)
}

var (
	_ core.View        = &Pool{}
	_ core.HoldersView = &Pool{}
	_ core.WaitersView = &Pool{}

	_ core.SettingsView = &Pool{}
)

// limits returns the limits for metrics.
func (p *Pool) limits() instrument.PoolLimits {
	most := p.core.MaxConns()
	if p.countLanes() == 1 {
		most = 1
	}
	return instrument.PoolLimits{Max: most, IdleMin: min(p.cfg.MinConns, most), IdleMax: most}
}
