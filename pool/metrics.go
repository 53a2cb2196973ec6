package pool

import (
	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// measure has the pool's limits and statistics measured until stop is called.
func (p *Pool) measure(w *driver.Connector) (stop func()) {
	limits, stats := w.Limits(p.limits), w.PoolStats(func() instrument.PoolStats { return measured(p.Stats()) })
	return func() {
		limits()
		stats()
	}
}

// busyReasons are the values of sqlite.busy.reason in the metrics.
var busyReasons = [...]driver.Blocker{
	driver.BlockerSnapshot, driver.BlockerRecovery, driver.BlockerTimeout, driver.BlockerThisConn,
	driver.BlockerThisProcess, driver.BlockerOtherProcess, driver.BlockerOutside,
}

// measured returns s for metrics.
func measured(s Stats) instrument.PoolStats {
	busy := make(map[string]int64, len(busyReasons))
	for _, reason := range busyReasons {
		busy[string(reason)] = int64(s.BusyFor[reason])
	}
	states := make(map[string]int64, 4)
	for _, h := range []Health{HealthUnknown, HealthOK, HealthDegraded, HealthDown} {
		states[h.String()] = 0
	}
	states[s.Health.String()] = 1
	return instrument.PoolStats{
		WALBytes: s.Pages.Bytes, WALFrames: s.Pages.Frames, WALLimit: s.Pages.Limit,
		Checkpoints: int64(s.Checkpoints), CheckpointsFailed: int64(s.CheckpointsFailed),
		Syncs: int64(s.Syncs), SyncedCommits: int64(s.SyncedCommits), SyncSeconds: s.SyncTime.Seconds(),
		OldestReaderSeconds: s.OldestReader.Seconds(),
		Busy:                busy,
		CacheHits:           int64(s.Cache.Hits), CacheMisses: int64(s.Cache.Misses), CacheEvictions: int64(s.Cache.Evictions),
		Leaks: int64(s.Leaks), LeaksEnded: int64(s.LeaksEnded),
		Dirty: int64(s.Dirty), Overflows: int64(s.Overflows), Panics: int64(s.Panics), TimeLimits: int64(s.TimeLimits),
		States: states,
	}
}
