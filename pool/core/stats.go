package core

import (
	"database/sql"
	"maps"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Stats are the counters of a pool or an [Observer]. They are a copy and do not change.
type Stats struct {
	// As database/sql counts them, at the time of the call.

	Max   int // connections that may be open; 0 for any number
	Open  int // connections open or being opened
	InUse int // of Open, in use or being opened
	Idle  int // of Open, idle

	Waits    int64         // calls that waited for a connection
	WaitTime time.Duration // total time of these waits

	// From the events since the pool was opened, or since the Observer was attached.

	Connects       uint64        // connections opened
	ConnectErrors  uint64        // connections that failed to open
	Acquires       uint64        // connections acquired by a call
	Releases       uint64        // connections given back
	Discards       uint64        // connections discarded while in use
	Closes         uint64        // connections closed
	CloseErrors    uint64        // of Closes, with an error, which database/sql may not report
	ConnectTime    time.Duration // total time of opening connections
	UseTime        time.Duration // total time in which connections were in use
	LongestConnect time.Duration
	LongestUse     time.Duration
	UseTimes       Histogram // of all uses
	PeakInUse      int       // largest number of connections in use at the same time

	// Only from a [Pool]; zero for an [Observer].

	Writers, Readers           int // connections open in each lane
	WritersInUse, ReadersInUse int // of these, in use

	Waiting           int           // acquires that wait now
	PeakWaiting       int           // largest number of acquires that waited at the same time
	Timeouts          uint64        // acquires that waited for too long
	Cancels           uint64        // acquires whose context ended first
	Refusals          uint64        // acquires that failed for another reason
	Overflows         uint64        // readers let in beyond the limit, because callers waited for each other
	TurnsTaken        uint64        // turns taken from checkouts that ran nothing
	Leaks, LeaksEnded uint64        // connections held for LeakAfter; of these, given back
	TimeLimits        uint64        // statements, transactions and rows that exceeded a time limit
	Warnings          uint64        // data source names with no or an unexpected effect
	Dirty             uint64        // connections given back with an open transaction
	Busy              uint64        // calls that failed because the database was locked; see BusyFor
	Panics            uint64        // panics of the program's functions that the pool has recovered
	SessionChanges    uint64        // changes of session state on the writer
	LongestWait       time.Duration // of an acquire
	WaitTimes         Histogram     // of all acquires that got a connection
	StepWaits         uint64        // steps of readers that waited for a processor
	Pages             WALStats

	// Checkpoints that the pool has completed, and those that failed. A checkpoint that another
	// connection blocked is in neither, nor are those that SQLite runs by itself.
	Checkpoints, CheckpointsFailed uint64

	// Of a pool whose commits share syncs; zero otherwise. SyncedCommits / Syncs is the number of
	// commits for each sync.

	SyncWaiting   int           // calls that wait for a sync now; those of *sql.DB hold no connection
	Syncs         uint64        // syncs of the WAL that calls of this pool have made
	SyncedCommits uint64        // commits that these have put on the disk, also those of other pools of the file
	SyncTime      time.Duration // total time of the syncs
	LongestSync   time.Duration

	// OldestReader is the longest lease of a reader that has rows or a transaction open. Such a
	// reader keeps the WAL from being reset.
	OldestReader time.Duration

	Health Health // result of the last check, with current failures
	Cache  CacheStats

	// ClosedFor counts the closed connections for each reason.
	ClosedFor map[wrap.Reason]uint64

	// BusyFor counts the calls of Busy for each blocker.
	BusyFor map[wrap.Blocker]uint64

	Events        uint64 // events recorded
	EventsDropped uint64 // of Events, no longer kept
}

// Utilization returns the fraction of the pool in use, from 0 to 1. The base is Max, or Open if
// there is no limit. It is 1 while more connections are in use than a lowered limit allows.
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

// WALStats is the size of a write-ahead log. Bytes and Frames are zero if there is none.
type WALStats struct {
	// Bytes is the size of the file. After a checkpoint, SQLite reuses the file from its beginning.
	// The file is truncated if it exceeds Config.JournalSizeLimit, or when writes have paused.
	Bytes int64

	Frames int64 // that fit into the file: at most the pages written since it was last empty

	// Limit is the size in bytes within which the pool keeps the content of the WAL: the one of
	// Config.JournalSizeLimit, or its default. It is 0 if there is no limit, or no file.
	Limit int64
}

// CacheStats count the uses of the connections' statement caches. They are zero if there are
// none.
type CacheStats struct {
	Hits          uint64 // calls that used a cached statement
	Misses        uint64 // calls that had to prepare a statement of a kind that may be cached
	Evictions     uint64 // statements removed to make room
	Invalidations uint64 // statements removed because the schema or the connection may have changed
}

// A Histogram counts durations. It is a copy and does not change.
type Histogram struct {
	counts [len(histogramBounds) + 1]uint64
}

// A Bucket is a part of a [Histogram].
type Bucket struct {
	Below time.Duration // the durations are below this, and not below that of the bucket before; 0 for the last, which has no bound
	Count uint64
}

var histogramBounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Buckets returns the buckets, with the shortest durations first. There may be others in a later
// version.
func (h Histogram) Buckets() []Bucket {
	buckets := make([]Bucket, len(h.counts))
	for i, n := range h.counts {
		buckets[i].Count = n
		if i < len(histogramBounds) {
			buckets[i].Below = histogramBounds[i]
		}
	}
	return buckets
}

// Count returns how many durations there are.
func (h Histogram) Count() (n uint64) {
	for _, count := range h.counts {
		n += count
	}
	return n
}

func (h *Histogram) add(d time.Duration) {
	for i, bound := range histogramBounds {
		if d < bound {
			h.counts[i]++
			return
		}
	}
	h.counts[len(h.counts)-1]++
}

// A ledger records every event once: in the sums, in the log, and for the program's Recorder.
type ledger struct {
	sums     *counters
	log      *EventLog
	recorder wrap.Recorder // the program's; nil if there is none

	// box passes events of the pool's own goroutines to recorder. While it is not empty, it also
	// takes all later events, so that the order is kept. It is nil if there is no recorder.
	box *mailbox[wrap.Event]
}

// recorderPatience is how long a call waits, once, for a Recorder that is slower than the
// events. Without it, events would be lost whenever the scheduler keeps the mailbox's goroutine
// from running for 10 ms. Without a limit, a call would wait forever for a Recorder that
// blocks.
const recorderPatience = time.Second

// Record implements [wrap.Recorder].
func (l ledger) Record(e wrap.Event) {
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

// counters add up events.
type counters struct {
	mu    sync.Mutex // guards the fields below
	stats Stats
	inUse int
}

// addWaiting adds n to the number of waiting acquires.
func (c *counters) addWaiting(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Waiting += n
	c.stats.PeakWaiting = max(c.stats.PeakWaiting, c.stats.Waiting)
}

// addExtra counts a reader let in beyond the limit.
func (c *counters) addExtra() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Overflows++
}

// addTaken counts a turn taken from a checkout.
func (c *counters) addTaken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.TurnsTaken++
}

// add counts e. It does not change e.
func (c *counters) add(e *wrap.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.stats
	switch e.Kind {
	case wrap.KindConnect:
		if e.Err != "" {
			s.ConnectErrors++
			return
		}
		s.Connects++
		s.ConnectTime += e.Duration
		s.LongestConnect = max(s.LongestConnect, e.Duration)
	case wrap.KindAcquire:
		s.Acquires++
		c.inUse++
		s.PeakInUse = max(s.PeakInUse, c.inUse)
		if e.Lane != wrap.LaneNone { // without a lane, the wait is unknown
			s.WaitTimes.add(e.Wait)
		}
		s.waited(e)
	case wrap.KindRelease:
		s.Releases++
		c.inUse = max(0, c.inUse-1) // it may have been acquired before the observer was attached
		s.used(e.Duration)
	case wrap.KindDiscard:
		s.Discards++
		c.inUse = max(0, c.inUse-1) // as above
		s.used(e.Duration)
	case wrap.KindTimeout:
		s.Timeouts++
		s.waited(e)
	case wrap.KindCancel:
		s.Cancels++
		s.waited(e)
	case wrap.KindRefuse:
		s.Refusals++
	case wrap.KindLeak:
		s.Leaks++
	case wrap.KindLeakEnd:
		s.LeaksEnded++
	case wrap.KindTimeLimit:
		s.TimeLimits++
	case wrap.KindWarning:
		s.Warnings++
	case wrap.KindDirty:
		s.Dirty++
	case wrap.KindBusy:
		s.Busy++
		if s.BusyFor == nil {
			s.BusyFor = make(map[wrap.Blocker]uint64)
		}
		s.BusyFor[e.Blocker]++
	case wrap.KindSession:
		s.SessionChanges++
	case wrap.KindSync:
		if e.Err == "" {
			s.Syncs++
			s.SyncedCommits += e.Commits
			s.SyncTime += e.Duration
			s.LongestSync = max(s.LongestSync, e.Duration)
		}
	case wrap.KindClose:
		s.Closes++
		if e.Err != "" {
			s.CloseErrors++
		}
		if s.ClosedFor == nil {
			s.ClosedFor = make(map[wrap.Reason]uint64)
		}
		s.ClosedFor[e.Reason]++
	}
}

// waited counts the wait of an acquire, if it waited.
func (s *Stats) waited(e *wrap.Event) {
	if e.QueuePosition > 0 {
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

// sum returns a copy of the counters.
func (c *counters) sum() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ClosedFor = maps.Clone(s.ClosedFor)
	s.BusyFor = maps.Clone(s.BusyFor)
	return s
}

// with returns the counters, together with database/sql's statistics.
func (c *counters) with(db sql.DBStats) Stats {
	s := c.sum()
	s.Max, s.Open, s.InUse, s.Idle = db.MaxOpenConnections, db.OpenConnections, db.InUse, db.Idle
	s.Waits, s.WaitTime = db.WaitCount, db.WaitDuration
	return s
}
