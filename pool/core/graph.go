package core

import (
	"fmt"
	"slices"
)

// This file finds deadlocks: callers that hold connections and wait for each other. They may
// involve all pools of the process: a caller can hold a connection of one pool and wait for
// another's. Nothing is recorded for this. When a wait has failed, the graph is built from the
// holders and waiters at that moment.

// A pendingWait is a caller's wait for a turn in a lane.
type pendingWait struct {
	caller callerID
	lane   *Lane
}

// A graph maps each queue to the holders of its turns and the lanes that they wait for.
type graph map[*Queue][]edge

// An edge is a holder of a turn, and the lanes that the same caller waits in.
type edge struct {
	holder Holder
	waits  []*Lane
}

// deadlock returns the holders that form a cycle with a failed wait, or nil. A caller that gets
// its turn meanwhile may appear both as waiter and as holder, and so seem to wait for itself.
// That does not happen twice, so deadlock builds the graph twice.
func deadlock(failed pendingWait) []Holder {
	first := drawGraph(failed).deadlock(failed.lane)
	if first == nil {
		return nil
	}
	again := drawGraph(failed).deadlock(failed.lane)
	same := func(a, b Holder) bool { return a.Conn == b.Conn && a.since.Equal(b.since) }
	for _, h := range first {
		if !slices.ContainsFunc(again, func(other Holder) bool { return same(h, other) }) {
			return nil
		}
	}
	return again
}

// drawGraph builds the graph. It includes the failed wait, which is no longer in the queue. For
// a turn whose holder is unknown, it adds an empty edge.
func drawGraph(failed pendingWait) graph {
	g := graph{}
	waits := []pendingWait{failed}
	for _, l := range allLanes() {
		for _, w := range l.queue.waits(l) {
			waits = append(waits, pendingWait{w.caller, l})
		}
		for _, h := range l.Blockers() {
			g[l.queue] = append(g[l.queue], edge{holder: h})
		}
	}
	for q, edges := range g {
		for i := range edges {
			who := callerID{edges[i].holder.Trace, edges[i].holder.Owner}
			for _, w := range waits {
				if w.caller.is(who) && !slices.Contains(edges[i].waits, w.lane) {
					edges[i].waits = append(edges[i].waits, w.lane)
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
// nil if one of them can continue. It sets Holder.WaitsFor to the lane that each one waits for.
func (g graph) deadlock(l *Lane) []Holder {
	// Assume first that no queue's turns are ever released. Then remove each queue with a holder
	// that does not wait for a remaining queue, until nothing changes.
	dead := map[*Queue]bool{}
	for q := range g {
		dead[q] = true
	}
	stuckIn := func(e edge) *Lane {
		for _, l := range e.waits {
			if dead[l.queue] {
				return l
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
	if !dead[l.queue] {
		return nil
	}
	var found []Holder
	seen := []*Queue{l.queue}
	for i := 0; i < len(seen); i++ {
		for _, e := range g[seen[i]] {
			wants := stuckIn(e)
			e.holder.WaitsFor = wants.title()
			found = append(found, e.holder)
			if !slices.Contains(seen, wants.queue) {
				seen = append(seen, wants.queue)
			}
		}
	}
	return found
}

// title names the lane and its pool.
func (l *Lane) title() string { return fmt.Sprintf("%s of %q", l.opts.Name, l.cfg.Name) }
