package instrument

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Attributes of the metrics of pools.
const (
	busyReason        = attribute.Key("sqlite.busy.reason") // as on the spans of calls
	checkpointOutcome = attribute.Key("sqlitemw.wal.checkpoint.outcome")
	lookupResult      = attribute.Key("sqlitemw.statement_cache.result")
	poolState         = attribute.Key("sqlitemw.pool.state")
)

// poolInstruments are the instruments that a pool's statistics are read into when the meter
// provider collects.
type poolInstruments struct {
	walSize       metric.Int64ObservableUpDownCounter
	walLimit      metric.Int64ObservableUpDownCounter
	walFrames     metric.Int64ObservableUpDownCounter
	checkpoints   metric.Int64ObservableCounter
	syncs         metric.Int64ObservableCounter
	syncedCommits metric.Int64ObservableCounter
	syncTime      metric.Float64ObservableCounter
	oldestReader  metric.Float64ObservableGauge
	busy          metric.Int64ObservableCounter
	lookups       metric.Int64ObservableCounter
	evictions     metric.Int64ObservableCounter
	leaks         metric.Int64ObservableCounter
	leaked        metric.Int64ObservableUpDownCounter
	dirty         metric.Int64ObservableCounter
	overflows     metric.Int64ObservableCounter
	panics        metric.Int64ObservableCounter
	exceeded      metric.Int64ObservableCounter
	status        metric.Int64ObservableUpDownCounter
	all           []metric.Observable
}

func newPoolInstruments(m metric.Meter) *poolInstruments {
	p := &poolInstruments{}
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		c, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		handle(err)
		p.all = append(p.all, c)
		return c
	}
	upDown := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		c, err := m.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		handle(err)
		p.all = append(p.all, c)
		return c
	}
	var err error
	p.walSize = upDown("sqlitemw.wal.size", "By", "The size of the write-ahead log's file.")
	p.walLimit = upDown("sqlitemw.wal.limit", "By", "The size within which the pool keeps the content of the write-ahead log.")
	p.walFrames = upDown("sqlitemw.wal.frame.count", "{frame}", "The number of pages that fit into the write-ahead log's file.")
	p.checkpoints = counter("sqlitemw.wal.checkpoints", "{checkpoint}", "The number of checkpoints that the pool has run, by their outcome.")
	p.syncs = counter("sqlitemw.wal.syncs", "{sync}", "The number of syncs of the write-ahead log that commits have shared.")
	p.syncedCommits = counter("sqlitemw.wal.synced_commits", "{commit}", "The number of commits that these syncs have put on the disk.")
	p.syncTime, err = m.Float64ObservableCounter("sqlitemw.wal.sync.time", metric.WithUnit("s"), metric.WithDescription("The total time of these syncs."))
	handle(err)
	p.oldestReader, err = m.Float64ObservableGauge("sqlitemw.wal.oldest_reader.age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest reader has had its connection. The write-ahead log cannot be reset meanwhile."))
	handle(err)
	p.all = append(p.all, p.syncTime, p.oldestReader)
	p.busy = counter("sqlitemw.busy.failures", "{call}", "The number of calls that failed because the database was locked, by what locked it.")
	p.lookups = counter("sqlitemw.statement_cache.lookups", "{lookup}", "The number of calls that looked for their statement in a connection's cache, by the result.")
	p.evictions = counter("sqlitemw.statement_cache.evictions", "{statement}", "The number of statements removed from the caches to make room.")
	p.leaks = counter("sqlitemw.connection.leaks", "{leak}", "The number of connections that were held for so long that the pool reported a leak.")
	p.leaked = upDown("sqlitemw.connection.leaked.count", "{connection}", "The number of these connections that have not been given back.")
	p.dirty = counter("sqlitemw.connection.dirty_releases", "{release}", "The number of connections that were given back with an open transaction.")
	p.overflows = counter("sqlitemw.connection.overflows", "{connection}", "The number of readers that were let in beyond the limit, because callers waited for each other.")
	p.panics = counter("sqlitemw.pool.panics", "{panic}", "The number of panics of the program's functions that the pool has recovered.")
	p.exceeded = counter("sqlitemw.pool.exceeded_time_limits", "{time_limit}", "The number of statements, transactions and rows that exceeded a time limit.")
	p.status = upDown("sqlitemw.pool.status", "{pool}", "The number of pools that are in the state described by the state attribute.")
	return p
}

// PoolStats are the statistics of a pool, for metrics. Each counts from the opening of the pool.
type PoolStats struct {
	WALBytes, WALFrames            int64
	WALLimit                       int64 // 0 if there is none
	Checkpoints, CheckpointsFailed int64
	Syncs, SyncedCommits           int64
	SyncSeconds                    float64
	OldestReaderSeconds            float64

	// Busy has the calls that failed as busy for each reason. It must have the same few reasons
	// from the beginning, so that Prometheus sees the first increase of each.
	Busy map[string]int64

	CacheHits, CacheMisses, CacheEvictions int64
	Leaks, LeaksEnded                      int64
	Dirty, Overflows, Panics, TimeLimits   int64

	// States has 1 for the pool's state and 0 for all others.
	States map[string]int64
}

// add adds the statistics of another pool with the same name and database. Such pools have the
// same WAL.
func (s *PoolStats) add(o PoolStats) {
	s.WALBytes, s.WALFrames, s.WALLimit = max(s.WALBytes, o.WALBytes), max(s.WALFrames, o.WALFrames), max(s.WALLimit, o.WALLimit)
	s.OldestReaderSeconds = max(s.OldestReaderSeconds, o.OldestReaderSeconds)
	s.Checkpoints += o.Checkpoints
	s.CheckpointsFailed += o.CheckpointsFailed
	s.Syncs += o.Syncs
	s.SyncedCommits += o.SyncedCommits
	s.SyncSeconds += o.SyncSeconds
	s.CacheHits += o.CacheHits
	s.CacheMisses += o.CacheMisses
	s.CacheEvictions += o.CacheEvictions
	s.Leaks += o.Leaks
	s.LeaksEnded += o.LeaksEnded
	s.Dirty += o.Dirty
	s.Overflows += o.Overflows
	s.Panics += o.Panics
	s.TimeLimits += o.TimeLimits
	s.Busy, s.States = sums(s.Busy, o.Busy), sums(s.States, o.States)
}

// counters returns s of a closed pool: only what counters need, so that they never decrease.
func (s PoolStats) counters() PoolStats {
	s.WALBytes, s.WALFrames, s.WALLimit, s.OldestReaderSeconds = 0, 0, 0, 0
	s.LeaksEnded = s.Leaks
	s.States = nil
	return s
}

// sums returns the sums of a and b. It changes neither.
func sums(a, b map[string]int64) map[string]int64 {
	all := make(map[string]int64, len(a))
	for _, m := range []map[string]int64{a, b} {
		for key, n := range m {
			all[key] += n
		}
	}
	return all
}

// observe reports s with the attributes of set.
func (p *poolInstruments) observe(o metric.Observer, s PoolStats, set attribute.Set) {
	attrs := set.ToSlice()
	of := metric.WithAttributeSet(set)
	with := func(kv attribute.KeyValue) metric.ObserveOption {
		return metric.WithAttributeSet(attribute.NewSet(append(slices.Clone(attrs), kv)...))
	}
	o.ObserveInt64(p.walSize, s.WALBytes, of)
	o.ObserveInt64(p.walFrames, s.WALFrames, of)
	if s.WALLimit > 0 {
		o.ObserveInt64(p.walLimit, s.WALLimit, of)
	}
	o.ObserveInt64(p.checkpoints, s.Checkpoints, with(checkpointOutcome.String("done")))
	o.ObserveInt64(p.checkpoints, s.CheckpointsFailed, with(checkpointOutcome.String("failed")))
	o.ObserveInt64(p.syncs, s.Syncs, of)
	o.ObserveInt64(p.syncedCommits, s.SyncedCommits, of)
	o.ObserveFloat64(p.syncTime, s.SyncSeconds, of)
	o.ObserveFloat64(p.oldestReader, s.OldestReaderSeconds, of)
	for reason, n := range s.Busy {
		o.ObserveInt64(p.busy, n, with(busyReason.String(reason)))
	}
	o.ObserveInt64(p.lookups, s.CacheHits, with(lookupResult.String("hit")))
	o.ObserveInt64(p.lookups, s.CacheMisses, with(lookupResult.String("miss")))
	o.ObserveInt64(p.evictions, s.CacheEvictions, of)
	o.ObserveInt64(p.leaks, s.Leaks, of)
	o.ObserveInt64(p.leaked, s.Leaks-s.LeaksEnded, of)
	o.ObserveInt64(p.dirty, s.Dirty, of)
	o.ObserveInt64(p.overflows, s.Overflows, of)
	o.ObserveInt64(p.panics, s.Panics, of)
	o.ObserveInt64(p.exceeded, s.TimeLimits, of)
	for state, n := range s.States {
		o.ObserveInt64(p.status, n, with(poolState.String(state)))
	}
}
