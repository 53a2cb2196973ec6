package page

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

const (
	mostPools   = 1000 // that are listed
	mostOfPool  = 20   // holders of each pool that are listed, and waiters
	mostHolders = 500  // of all pools; also the most waiters
	mostEvents  = 500  // of one response
	keptEvents  = 8    // pools whose events a snapshot keeps
)

// A snapshot is the state of all pools, as requests within [freshness] see it.
type snapshot struct {
	pools []taken
	state state
	json  []byte // state

	mu     sync.Mutex // guards events
	events map[*taken][]wrap.Event
}

// takeSnapshot reads all pools.
func takeSnapshot(views []core.View, traceURL string, n *names) *snapshot {
	s := &snapshot{events: map[*taken][]wrap.Event{}}
	s.state.Taken, s.state.TraceURL = time.Now(), traceURL
	s.state.MorePools = max(0, len(views)-mostPools)
	views = views[:min(len(views), mostPools)]
	seen := make(map[string]int, len(views))
	s.pools = make([]taken, 0, len(views))
	for _, v := range views {
		if v == nil {
			continue
		}
		s.pools = append(s.pools, take(v, seen, n))
	}
	s.fill(n)
	// State has only texts, numbers and times, and so no error.
	s.json, _ = marshal(&s.state)
	return s
}

// fill makes the state from what was read.
func (s *snapshot) fill(n *names) {
	marks := findCycles(s.pools)
	st := &s.state
	st.Pools, st.Holders, st.Waiters = make([]poolLine, len(s.pools)), []holderLine{}, []waiterLine{}
	for i := range s.pools {
		p := &s.pools[i]
		st.Pools[i] = lineOf(p, n)
		for j := range p.holders[:min(len(p.holders), mostOfPool)] {
			st.Holders = append(st.Holders, holderOf(s.pools, p, &p.holders[j], marks, n))
		}
		for j := range p.waiters[:min(len(p.waiters), mostOfPool)] {
			st.Waiters = append(st.Waiters, waiterOf(p, &p.waiters[j], marks, n))
		}
		st.Pools[i].Cycle = marks.pools[i]
		st.MoreHolders += max(0, len(p.holders)-mostOfPool)
		st.MoreWaiters += max(0, len(p.waiters)-mostOfPool)
	}
	// Those that hold and wait longest are the most interesting ones, in whichever pool.
	slices.SortStableFunc(st.Holders, func(a, b holderLine) int { return cmp.Compare(b.Held, a.Held) })
	st.Holders, st.MoreHolders = cut(st.Holders, st.MoreHolders)
	slices.SortStableFunc(st.Waiters, func(a, b waiterLine) int { return cmp.Compare(b.Waited, a.Waited) })
	st.Waiters, st.MoreWaiters = cut(st.Waiters, st.MoreWaiters)
}

func cut[T any](list []T, more int) ([]T, int) {
	if n := len(list) - mostHolders; n > 0 {
		return list[:mostHolders], more + n
	}
	return list, more
}

// eventsOf returns the events of a pool. It reads the events of one pool at a time, because each
// reading copies all that the pool keeps.
func (s *snapshot) eventsOf(p *taken) []wrap.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if events, ok := s.events[p]; ok {
		return events
	}
	events := p.view.Events()
	if len(s.events) < keptEvents {
		s.events[p] = events
	}
	return events
}
