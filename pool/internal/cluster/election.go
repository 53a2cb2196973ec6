package cluster

import (
	"errors"
	"fmt"
	"slices"
)

// An election is what the servers' answers say about which of them is the primary. It is a plain
// value without locks: the roster guards it.
//
// What can be known: a server that was promoted later has a newer timeline. So of two primaries, the
// one with the newer timeline is the primary, and the other one is out of date, whoever else still
// writes to it. If the timelines are the same or unknown, nothing tells which one is right, and
// neither is used. Who promotes a server, and stops the old primary, is not the pool's affair.
type election struct {
	servers []*server

	primary *server // nil if there is none
	last    *server // the last one that there was
	refusal error   // ErrTwoPrimaries while there are two
	reigned uint64  // the timeline of last
	newest  uint64  // the newest timeline of a server that said that it is the primary
	system  string  // of the first primary

	clock    uint64 // counts questions and changes
	since    uint64 // clock when the search for a primary began
	conflict uint64 // clock when two primaries were first seen; 0 if there are none
}

// A change is what an answer has changed.
type change struct {
	retired []*server // their connections must not be used any more
	moved   []*server // their connections must be replaced
	found   bool      // there is a primary again
	lost    bool      // there is none any more
	search  bool      // all servers should be asked now
}

// tick returns a time that is later than all before.
func (e *election) tick() uint64 {
	e.clock++
	return e.clock
}

// isForeign reports whether the server is of another cluster.
func (e *election) isForeign(s *server) bool {
	system := s.answer.role.System
	return s.answer.err == nil && system != "" && e.system != "" && system != e.system
}

// claims reports whether the server says that it is the primary.
func (e *election) claims(s *server) bool {
	return s.answer.asked > 0 && s.answer.err == nil && s.answer.role.Primary && !e.isForeign(s)
}

// isStale reports whether the server says that it is the primary, but there has been a newer one.
func (e *election) isStale(s *server) bool {
	return e.claims(s) && s.answer.role.Timeline < e.newest
}

// isStandby reports whether the server can be used as a standby.
func (e *election) isStandby(s *server) bool {
	return s.answer.asked > 0 && s.answer.err == nil && !s.answer.role.Primary && !e.isForeign(s)
}

// record records an answer, and decides again.
func (e *election) record(s *server, a answer) (c change) {
	wasPrimary := e.claims(s)
	s.answer = a
	if a.moved || a.err == nil && wasPrimary != a.role.Primary {
		c.moved = append(c.moved, s)
	}
	e.decide(&c)
	return c
}

// decide decides which server is the primary.
func (e *election) decide(c *change) {
	if e.system == "" && e.differ() {
		e.dispute(e.claimants(), c)
		return
	}
	for _, s := range e.servers {
		if e.claims(s) {
			e.newest = max(e.newest, s.answer.role.Timeline)
		}
	}
	switch top := e.claimants(); len(top) {
	default:
		e.dispute(top, c)
	case 1:
		e.conflict, e.refusal = 0, nil
		// A server that was the primary before, or was promoted after all others, needs no answers
		// of the others, which may never come.
		known := top[0] == e.last || e.last != nil && top[0].answer.role.Timeline > e.reigned
		if top[0] != e.primary && (known || e.allAnswered() || e.primary != nil) {
			e.elect(top[0], c)
		}
		if top[0] == e.primary {
			e.reigned = top[0].answer.role.Timeline
		}
	case 0:
		e.conflict, e.refusal = 0, nil
		if e.primary != nil {
			e.lose(c)
		}
	}
}

// claimants returns the servers that say that they are the primary, and are not out of date.
func (e *election) claimants() (list []*server) {
	for _, s := range e.servers {
		if e.claims(s) && !e.isStale(s) {
			list = append(list, s)
		}
	}
	return list
}

// differ reports whether primaries of different clusters have answered.
func (e *election) differ() bool {
	system := ""
	for _, s := range e.servers {
		if !e.claims(s) || s.answer.role.System == "" {
			continue
		}
		if system != "" && system != s.answer.role.System {
			return true
		}
		system = s.answer.role.System
	}
	return false
}

// dispute handles several primaries. Their answers may be of different times, around a planned
// change. So each is asked again before none of them is used.
func (e *election) dispute(claimants []*server, c *change) {
	if e.conflict == 0 {
		e.conflict = e.tick()
		c.search = true
		return
	}
	for _, s := range claimants {
		if s.answer.asked < e.conflict {
			return
		}
	}
	if e.refusal != nil {
		return
	}
	e.refusal = ErrTwoPrimaries
	c.retired = append(c.retired, claimants...)
	c.lost = e.primary != nil
	e.primary, e.since = nil, e.tick()
}

// allAnswered reports whether every server has answered, or failed to, since the search began.
func (e *election) allAnswered() bool {
	return !slices.ContainsFunc(e.servers, func(s *server) bool { return s.answer.asked <= e.since })
}

func (e *election) elect(s *server, c *change) {
	if e.last != nil && e.last != s {
		c.retired = append(c.retired, e.last)
	}
	c.lost, c.found = e.primary != nil, true
	e.primary, e.last = s, s
	if e.system == "" {
		e.system = s.answer.role.System
	}
}

// lose handles that the primary does not say any more that it is. If it does not answer, its
// connections may still work, or break by themselves.
func (e *election) lose(c *change) {
	if e.primary.answer.err == nil {
		c.retired = append(c.retired, e.primary)
	}
	e.primary, e.since = nil, e.tick()
	c.lost, c.search = true, true
}

// mayBePrimary reports whether a server with this role, just asked on a new connection, is the
// primary as far as is known.
func (e *election) mayBePrimary(r Role) bool {
	return r.Primary && r.Timeline >= e.newest && (r.System == "" || e.system == "" || r.System == e.system)
}

// why returns why there is no primary.
func (e *election) why(describe func(error) string) *primaryError {
	err := &primaryError{why: ErrNoPrimary}
	if e.refusal != nil {
		err.why = e.refusal
	}
	for _, s := range e.servers {
		err.servers = append(err.servers, fmt.Sprintf("%q %s", s.Name, e.state(s, describe)))
		if s.answer.err != nil {
			err.causes = append(err.causes, s.answer.err)
		}
	}
	return err
}

// state says what is known of a server.
func (e *election) state(s *server, describe func(error) string) string {
	a := s.answer
	switch {
	case a.asked == 0:
		return "has not answered yet"
	case errors.Is(a.err, errNoAnswer):
		return "does not answer"
	case a.err != nil:
		return fmt.Sprintf("cannot be asked (%s)", describe(a.err))
	case e.isForeign(s):
		return fmt.Sprintf("belongs to another cluster, %q", a.role.System)
	case e.isStale(s):
		return fmt.Sprintf("is a primary of timeline %d, which is out of date since timeline %d", a.role.Timeline, e.newest)
	case a.role.Primary && e.system == "" && e.differ():
		return fmt.Sprintf("is a primary of the cluster %q", a.role.System)
	case a.role.Primary:
		return fmt.Sprintf("is a primary of timeline %d", a.role.Timeline)
	}
	return "is a standby"
}
