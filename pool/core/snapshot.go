package core

import (
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A snapshot is what the lanes of a queue were like at one moment. A waiter takes one when its
// wait begins, and another when the wait fails. The cause of the failure is what has happened
// between the two. Meanwhile it updates the first one; see lookAgain.
type snapshot struct {
	when     time.Time
	released uint64 // turns of the queue, until then
	refused  uint64 // connections of the waiter's lane that Hooks.BeforeAcquire has refused, until then
	leases   []sighting
}

// A sighting is what a lease was like at one moment.
type sighting struct {
	lane    *Lane
	conn    *Conn
	id      wrap.ConnID
	use     use
	does    Activity
	rows    int
	hasTurn bool // see Conn.hasTurn
	ended   bool // the context of the acquire has ended
	first   int  // number of the look that saw the lease first; 0 when the wait began
	quiet   quiet
}

// A quiet is the first look since which a holder has not called the engine.
type quiet struct {
	look    int
	when    time.Time
	steps   uint64
	running bool
}

// mostWatched is how many leases a waiter watches. There may be thousands of waiters, and a
// sighting takes 300 bytes. If more leases have turns, the first ones stand for all.
const mostWatched = 32

// look takes a snapshot of the lane's queue, with at most so many leases.
func (l *Lane) look(most int) snapshot {
	count := l.Queue().count()
	s := snapshot{when: time.Now(), released: count.released, refused: l.refused.Load(), leases: make([]sighting, 0, min(count.taken, most))}
	for _, other := range allLanes() {
		if other.Queue() == l.Queue() {
			s.leases = other.appendLeases(s.leases, most)
		}
	}
	for i := range s.leases {
		s.leases[i].setQuiet(0, s.when)
	}
	return s
}

// appendLeases appends the lane's leases to list, in the order in which their connections were
// opened, until there are most.
func (l *Lane) appendLeases(list []sighting, most int) []sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		if len(list) >= most {
			break
		}
		if s, ok := c.sight(l); ok {
			list = append(list, s)
		}
	}
	return list
}

func (s *sighting) setQuiet(look int, when time.Time) {
	s.quiet = quiet{look, when, s.does.Steps, s.does.Running}
}

// The looks of a wait after the first one.
const (
	lookHalf = 1 // after half of the time that it may take
	lookLate = 2 // after three quarters
)

// lookAgain adds the leases that have begun since the last look, and notes which of the others
// have called the engine since then.
func (s *snapshot) lookAgain(l *Lane, look int) {
	again := l.look(mostWatched)
	for _, now := range again.leases {
		was := s.find(now)
		switch {
		case was == nil:
			now.first = look
			now.setQuiet(look, again.when)
			s.leases = append(s.leases, now)
		case now.does.Running || now.does.Steps != was.quiet.steps:
			was.quiet = quiet{look, again.when, now.does.Steps, now.does.Running}
		}
	}
}

// noteEnded notes which leases are of calls whose contexts have ended. It calls functions of
// contexts, so no lock may be held.
func (s *snapshot) noteEnded() {
	for i := range s.leases {
		s.leases[i].ended = s.leases[i].use.ctx.Err() != nil
	}
}

// find returns the sighting of the same lease, or nil.
func (s *snapshot) find(of sighting) *sighting {
	for i := range s.leases {
		if s.leases[i].same(of) {
			return &s.leases[i]
		}
	}
	return nil
}

// same reports whether s and other are of the same lease.
func (s sighting) same(other sighting) bool {
	return s.conn == other.conn && s.use.number == other.use.number
}

// sight describes the current use of a connection of l. ok is false if there is none.
func (c *Conn) sight(l *Lane) (s sighting, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.use.on {
		return sighting{}, false
	}
	lease := c.session.Lease()
	return sighting{lane: l, conn: c, id: lease.ID(), use: c.use, does: c.session.Activity(), rows: lease.OpenRows(), hasTurn: c.hasTurn()}, true
}
