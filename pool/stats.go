package pool

import (
	"database/sql"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
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

// counters is a Recorder that sums events up.
type counters struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counters) Record(e driver.Event) {
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
	case driver.KindRelease:
		s.Releases++
		s.used(e.Duration)
	case driver.KindDiscard:
		s.Discards++
		s.used(e.Duration)
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

func (s *Stats) used(d time.Duration) {
	s.UseTime += d
	s.LongestUse = max(s.LongestUse, d)
}

// with returns the sums, with what database/sql says of the pool.
func (c *counters) with(db sql.DBStats) Stats {
	c.mu.Lock()
	s := c.stats
	closed := make(map[driver.Reason]uint64, len(s.ClosedFor))
	for reason, n := range s.ClosedFor {
		closed[reason] = n
	}
	c.mu.Unlock()

	s.ClosedFor = closed
	s.Max, s.Open, s.InUse, s.Idle = db.MaxOpenConnections, db.OpenConnections, db.InUse, db.Idle
	s.Waits, s.WaitTime = db.WaitCount, db.WaitDuration
	return s
}
