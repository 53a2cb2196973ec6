package core

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// This file finds deadlocks: callers that hold connections and wait for each other. They may
// involve all pools of the process: a caller can hold a connection of one pool and wait for
// another's. Nothing is recorded for this. The graph is built from the holders and waiters of
// the moment. What it finds is a deadlock only if the holders have also done nothing for some
// time; see confirms.

// A pendingWait is a caller's wait for a turn in a lane.
type pendingWait struct {
	caller callerID
	lane   *Lane
	ctx    context.Context // of the caller
}

// A graph maps each queue to the holders of its turns and the waits of the same callers.
type graph map[*Queue][]edge

// An edge is a holder of a turn, and the waits of the same caller.
type edge struct {
	holder sighting
	waits  []pendingWait
}

// A stuck holder waits for something that it never gets.
type stuck struct {
	sighting
	waits pendingWait
}

// deadlock returns the holders that form a cycle with a wait, or nil. A caller that gets its
// turn meanwhile may appear both as waiter and as holder, and so seem to wait for itself. That
// does not happen twice, so deadlock builds the graph twice.
func deadlock(of pendingWait) []stuck {
	first := drawGraph(of).deadlock(of.lane)
	if first == nil {
		return nil
	}
	again := drawGraph(of).deadlock(of.lane)
	if !contains(again, first) {
		return nil
	}
	return again
}

func contains(list, part []stuck) bool {
	for _, s := range part {
		if !slices.ContainsFunc(list, func(other stuck) bool { return s.same(other.sighting) }) {
			return false
		}
	}
	return true
}

// confirms reports whether the holders of a cycle are those of an earlier look, and have done
// nothing since then.
func confirms(earlier, now []stuck) bool {
	if len(now) == 0 {
		return false
	}
	for _, s := range now {
		i := slices.IndexFunc(earlier, func(other stuck) bool { return s.same(other.sighting) })
		if i < 0 || s.isActive() || s.does.Steps != earlier[i].does.Steps {
			return false
		}
	}
	return true
}

func (s sighting) isActive() bool { return s.does.Running || s.does.Unseen || s.use.byPool }

// areCertain reports whether nothing but the failure of a wait can end the cycle. That is so if
// all callers have names, which are of callers that do one thing at a time, and if neither
// database/sql nor the pool takes a connection away from its holder. database/sql ends rows and
// transactions when their context ends, which must not be before the holder's own wait ends.
func areCertain(cycle []stuck) bool {
	for _, s := range cycle {
		switch {
		case s.use.owner == "" || s.waits.caller.owner == "":
			return false
		case s.isActive():
			return false
		case s.lane.opts.Stalls == StallsExtend: // the pool lets in another reader
			return false
		case !endsWith(s.use.ctx, s.waits.ctx):
			return false
		}
		for _, limit := range s.lane.cfg.Limits {
			if limit > 0 {
				return false
			}
		}
	}
	return true
}

// drawGraph builds the graph. It includes a wait that may no longer be in the queue. For a turn
// whose holder is unknown, it adds an empty edge.
func drawGraph(of pendingWait) graph {
	g := graph{}
	waits := []pendingWait{of}
	for _, l := range allLanes() {
		for _, w := range l.Queue().waits(l) {
			waits = append(waits, pendingWait{w.caller, l, w.ctx})
		}
		for _, s := range l.appendLeases(nil, math.MaxInt) {
			if s.hasTurn {
				g[l.Queue()] = append(g[l.Queue()], edge{holder: s})
			}
		}
	}
	for q, edges := range g {
		for i := range edges {
			who := edges[i].holder.use.caller()
			for _, w := range waits {
				if w.caller.is(who) && !slices.ContainsFunc(edges[i].waits, func(other pendingWait) bool { return other.lane == w.lane }) {
					edges[i].waits = append(edges[i].waits, w)
				}
			}
		}
		if q.count().taken > len(edges) {
			g[q] = append(edges, edge{})
		}
	}
	return g
}

// deadlock returns the holders that block lane l and are themselves blocked forever. It returns
// nil if one of them can continue.
func (g graph) deadlock(l *Lane) []stuck {
	// Assume first that no queue's turns are ever released. Then remove each queue with a holder
	// that does not wait for a remaining queue, until nothing changes.
	dead := map[*Queue]bool{}
	for q := range g {
		dead[q] = true
	}
	stuckIn := func(e edge) *pendingWait {
		for i := range e.waits {
			if dead[e.waits[i].lane.Queue()] {
				return &e.waits[i]
			}
		}
		return nil
	}
	for changed := true; changed; {
		changed = false
		for q := range dead {
			if slices.ContainsFunc(g[q], func(e edge) bool { return stuckIn(e) == nil }) {
				delete(dead, q)
				changed = true
			}
		}
	}
	if !dead[l.Queue()] {
		return nil
	}
	var found []stuck
	seen := []*Queue{l.Queue()}
	for i := 0; i < len(seen); i++ {
		for _, e := range g[seen[i]] {
			wants := stuckIn(e)
			found = append(found, stuck{e.holder, *wants})
			if !slices.Contains(seen, wants.lane.Queue()) {
				seen = append(seen, wants.lane.Queue())
			}
		}
	}
	return found
}

// title names the lane and its pool.
func (l *Lane) title() string { return fmt.Sprintf("%s of %q", l.opts.Name, l.cfg.Name) }
