package pool

import (
	"database/sql"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Stats is how a pool stands. It is a copy, and does not change.
type Stats struct {
	// As database/sql counts them, at the time of the call.

	Max   int // most connections that may be open; 0 for any number
	Open  int // connections open or being opened
	InUse int // of them, in use or being opened
	Idle  int // of them, idle

	Waits    int64         // calls that waited for a connection
	WaitTime time.Duration // how long they have waited, all together

	// As the events since the observer was attached tell.

	Connects       uint64        // connections opened
	ConnectErrors  uint64        // connections that failed to open
	Acquires       uint64        // connections handed to a call
	Releases       uint64        // connections given back
	Discards       uint64        // connections thrown away in use
	Closes         uint64        // connections closed
	CloseErrors    uint64        // of them, with an error, which database/sql may not report
	ConnectTime    time.Duration // how long opening has taken, all together
	UseTime        time.Duration // how long connections have been in use, all together
	LongestConnect time.Duration
	LongestUse     time.Duration
	UseTimes       Histogram // of all uses
	PeakInUse      int       // most connections that were in use at once

	// As a [Pool] knows besides; zero for an [Observer].

	Writers, Readers           int           // connections open in each lane
	WritersInUse, ReadersInUse int           // of them, in use
	Waiting                    int           // acquires that wait now
	PeakWaiting                int           // most that ever have
	Timeouts                   uint64        // acquires that have waited too long
	Cancels                    uint64        // acquires whose context was over first
	Refusals                   uint64        // acquires that failed otherwise: queue full, closed, not opened
	Overflows                  uint64        // readers let in beyond the limit because all waited for each other, and turns to write taken from checkouts that asked for nothing
	Leaks, Unleaks             uint64        // connections reported as held for long, and given back after all
	TimeLimits                 uint64        // statements, transactions and readings that took longer than they may
	Warnings                   uint64        // data source names that have no effect in part, or one that may not be expected
	Dirty                      uint64        // connections given back with a transaction open
	Busy                       uint64        // calls that ended because SQLite found the database locked
	Panics                     uint64        // panics of the program's functions that the pool has recovered
	SessionChanges             uint64        // changes that stay in force on the connection that writes
	LongestWait                time.Duration // of an acquire
	WaitTimes                  Histogram     // of all acquires that got a connection
	StepWaits                  uint64        // steps of readers that waited for a processor
	Pages                      WALStats
	OldestReader               time.Duration // how long that reader has had its connection, of those with rows or a transaction open, who has it longest: the WAL is not reset meanwhile
	Health                     Health        // as it was found last
	Cache                      driver.CacheStats

	// ClosedFor is how many connections were closed for each reason.
	ClosedFor map[driver.Reason]uint64

	Events        uint64 // events recorded
	EventsDropped uint64 // of them, no longer kept
}

// Utilization returns how much of the pool is in use, from 0 to 1: of its limit
// if it has one, else of the connections that are open. It is 1 while more are in
// use than a limit allows that was lowered meanwhile.
func (s Stats) Utilization() float64 {
	of := s.Max
	if of == 0 {
		of = s.Open
	}
	if of == 0 {
		return 0
	}
	return min(1, float64(s.InUse)/float64(of))
}

// WALStats is how large a write-ahead log is.
type WALStats struct {
	Bytes  int64 // of the file; it is used again from its beginning after a checkpoint, and cut where above Config.JournalSizeLimit, or at rest
	Frames int64 // that fit into it: pages written since it was last empty, at most
}

// A Histogram counts durations: element i those below HistogramBounds()[i] and not
// below the bound before, and the last those beyond all.
type Histogram [13]uint64

var histogramBounds = [len(Histogram{}) - 1]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// HistogramBounds returns the bounds of a [Histogram].
func HistogramBounds() []time.Duration { return slices.Clone(histogramBounds[:]) }

func (h *Histogram) add(d time.Duration) {
	for i, bound := range histogramBounds {
		if d < bound {
			h[i]++
			return
		}
	}
	h[len(h)-1]++
}

// A ledger is told of every event once, for the sums and for the log.
type ledger struct {
	sums     *counters
	log      *EventLog
	recorder driver.Recorder // of the program's; nil for none

	// late is for also, of what is recorded on goroutines of the pool's own, and of
	// all that comes after, as long as that has not been handed over, so that nothing
	// is told before what came before it. It is nil for none.
	box *mailbox[driver.Event]
}

// recorderPatience is how long a call waits, once, for a Recorder that it outruns. Without,
// it would lose events to a scheduler that leaves the mailbox's goroutine out for a
// hundredth of a second; for ever, it would wait for a Recorder that blocks.
const recorderPatience = time.Second

// Record implements [driver.Recorder].
func (l ledger) Record(e driver.Event) {
	switch {
	case l.recorder == nil:
	case l.box != nil && e.Background:
		l.box.put(e)
	case l.box != nil && l.box.working.Load():
		l.box.putWhenRoom(e, recorderPatience)
	default:
		l.recorder.Record(e)
	}
	l.sums.add(&e)
	l.log.add(&e)
}

// counters sum events up.
type counters struct {
	mu    sync.Mutex
	stats Stats
	inUse int
}

// waits is told of acquires that begin or end to wait.
func (c *counters) addWaiting(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Waiting += n
	c.stats.PeakWaiting = max(c.stats.PeakWaiting, c.stats.Waiting)
}

// overflowed is told of a reader that was let in beyond the limit.
func (c *counters) addOverflow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Overflows++
}

// add does not change e.
func (c *counters) add(e *driver.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.stats
	switch e.Kind {
	case driver.KindConnect:
		if e.Err != "" {
			s.ConnectErrors++
			return
		}
		s.Connects++
		s.ConnectTime += e.Duration
		s.LongestConnect = max(s.LongestConnect, e.Duration)
	case driver.KindAcquire:
		s.Acquires++
		c.inUse++
		s.PeakInUse = max(s.PeakInUse, c.inUse)
		if e.Lane != wrap.LaneNone { // else nobody knows how long it waited
			s.WaitTimes.add(e.Wait)
		}
		s.waited(e)
	case driver.KindRelease:
		s.Releases++
		c.inUse = max(0, c.inUse-1) // it may have been acquired before anybody looked
		s.used(e.Duration)
	case driver.KindDiscard:
		s.Discards++
		c.inUse = max(0, c.inUse-1) // it may have been acquired before anybody looked
		s.used(e.Duration)
	case driver.KindTimeout:
		s.Timeouts++
		s.waited(e)
	case driver.KindCancel:
		s.Cancels++
		s.waited(e)
	case driver.KindRefuse:
		s.Refusals++
	case driver.KindLeak:
		s.Leaks++
	case driver.KindUnleak:
		s.Unleaks++
	case driver.KindTimeLimit:
		s.TimeLimits++
	case driver.KindWarning:
		s.Warnings++
	case driver.KindDirty:
		s.Dirty++
	case driver.KindBusy:
		s.Busy++
	case driver.KindSession:
		s.SessionChanges++
	case driver.KindClose:
		s.Closes++
		if e.Err != "" {
			s.CloseErrors++
		}
		if s.ClosedFor == nil {
			s.ClosedFor = make(map[driver.Reason]uint64)
		}
		s.ClosedFor[e.Reason]++
	}
}

// waited sums up the wait of an acquire, if it had one.
func (s *Stats) waited(e *driver.Event) {
	if e.Queue > 0 {
		s.Waits++
		s.WaitTime += e.Wait
		s.LongestWait = max(s.LongestWait, e.Wait)
	}
}

func (s *Stats) used(d time.Duration) {
	s.UseTime += d
	s.LongestUse = max(s.LongestUse, d)
	s.UseTimes.add(d)
}

// sum returns a copy of the sums.
func (c *counters) sum() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ClosedFor = maps.Clone(s.ClosedFor)
	return s
}

// with returns the sums, with what database/sql says of the pool.
func (c *counters) with(db sql.DBStats) Stats {
	s := c.sum()
	s.Max, s.Open, s.InUse, s.Idle = db.MaxOpenConnections, db.OpenConnections, db.InUse, db.Idle
	s.Waits, s.WaitTime = db.WaitCount, db.WaitDuration
	return s
}

// Stats returns how the pool stands. It takes no connection.
func (p *Pool) Stats() Stats {
	s := p.sums.sum()
	s.Max = p.maxConns()
	if p.lanes() == 1 {
		s.Max = 1
	}
	for _, l := range p.allLanes() {
		n := l.count()
		open, inUse := &s.Writers, &s.WritersInUse
		if l.reads {
			open, inUse = &s.Readers, &s.ReadersInUse
		}
		*open, *inUse = n.open, n.open-n.idle
		s.Idle += n.idle
		c := l.connector.CacheStats()
		s.Cache.Hits += c.Hits
		s.Cache.Misses += c.Misses
		s.Cache.Evictions += c.Evictions
		s.Cache.Invalidations += c.Invalidations
	}
	s.Open, s.InUse = s.Writers+s.Readers, s.WritersInUse+s.ReadersInUse
	s.Events, s.EventsDropped = p.log.counts()
	s.Panics = p.guard.panics.Load()
	s.StepWaits = p.steps.waits.Load()
	s.Health = p.Health().Health
	s.Pages = p.wal()
	for _, h := range p.Holders() {
		if h.Lane == wrap.LaneReader && (h.Rows > 0 || h.Tx) {
			s.OldestReader = max(s.OldestReader, h.Held)
		}
	}
	return s
}

// walHeader and frameHeader are what a WAL has besides pages.
// https://sqlite.org/fileformat2.html#walformat
const (
	walHeader   = 32
	frameHeader = 24
)

// wal looks at the log's file.
func (p *Pool) wal() WALStats {
	if p.path == "" {
		return WALStats{}
	}
	info, err := os.Stat(p.path + "-wal")
	if err != nil || info.Size() < walHeader {
		return WALStats{}
	}
	return WALStats{Bytes: info.Size(), Frames: (info.Size() - walHeader) / (p.pageSize + frameHeader)}
}

// limits are for metrics.
func (p *Pool) limits() tracing.PoolLimits {
	most := p.maxConns()
	if p.lanes() == 1 {
		most = 1
	}
	return tracing.PoolLimits{Max: most, IdleMin: min(p.cfg.MinConns, most), IdleMax: most}
}

// Events returns the latest events, the oldest first.
func (p *Pool) Events() []driver.Event { return p.log.Events() }

// Subscribe returns a subscription to every event from now on; see
// [EventLog.Subscribe]. Shutdown closes it.
func (p *Pool) Subscribe(buffer int) *Subscription { return p.log.Subscribe(buffer) }
