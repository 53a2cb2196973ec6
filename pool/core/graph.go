package core

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
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
	since  time.Time       // zero for the wait that looks for a deadlock
}

// A graph maps each queue to the holders of its turns and the waits of the same callers.
type graph map[*Queue][]*edge

// An edge is a holder of a turn, and the waits of the same caller.
type edge struct {
	holder sighting
	waits  []pendingWait // one for each lane
}

// add adds a wait, if there is none for its lane yet.
func (e *edge) add(w pendingWait) {
	if !slices.ContainsFunc(e.waits, func(other pendingWait) bool { return other.lane == w.lane }) {
		e.waits = append(e.waits, w)
	}
}

// A stuck holder waits for something that it never gets.
type stuck struct {
	sighting
	waits pendingWait
}

// deadlock returns the holders that form a cycle with a wait, or nil. The caller of the wait is
// one of them. A caller that gets its turn meanwhile may appear both as waiter and as holder, and
// so seem to wait for itself. That does not happen twice, so deadlock builds the graph twice.
func deadlock(of pendingWait) []stuck {
	if !of.caller.holdsTurn() { // as most waiters do not, although thousands may wait
		return nil
	}
	first := drawGraph(of).deadlock(of)
	if first == nil {
		return nil
	}
	again := drawGraph(of).deadlock(of)
	if !contains(again, first) {
		return nil
	}
	return again
}

// holdsTurn reports whether the caller holds a connection that has its turn, of any lane.
func (a callerID) holdsTurn() bool {
	return a.isKnown() && slices.ContainsFunc(allLanes(), func(l *Lane) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.ContainsFunc(l.all, func(c *Conn) bool { return c.blocksFor(a) })
	})
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
// nothing since then. If the wait of one of them has been failed meanwhile, that may be enough.
func confirms(earlier, now []stuck) bool {
	if len(now) == 0 {
		return false
	}
	for _, s := range now {
		i := slices.IndexFunc(earlier, func(other stuck) bool { return s.same(other.sighting) })
		if i < 0 || s.isActive() || s.does.Steps != earlier[i].does.Steps || s.use.deadlocks != earlier[i].use.deadlocks {
			return false
		}
	}
	return true
}

// isUnchangedIn reports whether none of the holders of a cycle has called the engine since the
// snapshot. A holder that began to wait later may have.
func (s *snapshot) isUnchangedIn(cycle []stuck) bool {
	return !slices.ContainsFunc(cycle, func(now stuck) bool {
		was := s.find(now.sighting)
		return was != nil && !now.waits.since.After(s.when) && (was.does.Steps != now.does.Steps || was.does.Running)
	})
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

// callersOf counts the callers of a cycle. byTrace reports whether one of them is known only by
// its trace, which several callers may share.
func callersOf(cycle []stuck) (n int, byTrace bool) {
	for i, s := range cycle {
		if !slices.ContainsFunc(cycle[:i], func(other stuck) bool { return other.use.caller().is(s.use.caller()) }) {
			n++
		}
		byTrace = byTrace || s.use.owner == "" || s.use.owner != s.waits.caller.owner
	}
	return n, byTrace
}

// drawGraph builds the graph. It includes a wait that may no longer be in the queue. For a turn
// whose holder is unknown, it adds an empty edge.
func drawGraph(of pendingWait) graph {
	g := graph{}
	lanes := allLanes()
	index := edgeIndex{byOwner: map[string][]*edge{}, byTrace: map[trace.TraceID][]*edge{}, seen: map[seenWait]bool{}}
	queues := map[*Queue]bool{}
	for _, l := range lanes {
		q := l.Queue()
		queues[q] = true
		for _, s := range l.appendLeases(nil, math.MaxInt) {
			if s.hasTurn {
				e := &edge{holder: s}
				g[q] = append(g[q], e)
				index.add(e)
			}
		}
	}
	index.addWait(of)
	for q := range queues {
		q.eachWaiter(func(w *waiter) {
			if l, ok := w.lane.(*Lane); ok {
				index.addWait(pendingWait{w.caller, l, w.ctx, w.since})
			}
		})
	}
	for q, edges := range g {
		if q.count().taken > len(edges) {
			g[q] = append(edges, &edge{})
		}
	}
	return g
}

// An edgeIndex finds the holders that are the caller of a wait.
type edgeIndex struct {
	byOwner map[string][]*edge
	byTrace map[trace.TraceID][]*edge
	seen    map[seenWait]bool
	last    seenWait // the waits of a caller often follow one another
}

// A seenWait stands for all waits of a caller in a lane. There may be thousands, of one trace.
type seenWait struct {
	caller callerID
	lane   *Lane
}

func (x *edgeIndex) add(e *edge) {
	if owner := e.holder.use.owner; owner != "" {
		x.byOwner[owner] = append(x.byOwner[owner], e)
	}
	if id := e.holder.use.trace; id.IsValid() {
		x.byTrace[id] = append(x.byTrace[id], e)
	}
}

// addWait adds a wait to the holders that are the same caller.
func (x *edgeIndex) addWait(w pendingWait) {
	key := seenWait{w.caller, w.lane}
	if key == x.last {
		return
	}
	x.last = key
	byOwner, byTrace := x.byOwner[w.caller.owner], x.byTrace[w.caller.trace]
	if len(byOwner)+len(byTrace) == 0 || x.seen[key] {
		return
	}
	x.seen[key] = true
	for _, list := range [][]*edge{byOwner, byTrace} {
		for _, e := range list {
			if w.caller.is(e.holder.use.caller()) {
				e.add(w)
			}
		}
	}
}

// deadlock returns the holders that block a wait and are themselves blocked forever. It returns
// nil if one of them can continue, or if the caller of the wait is not one of them: then the end of
// its wait helps none of them.
func (g graph) deadlock(of pendingWait) []stuck {
	// Assume first that no queue's turns are ever released. Then remove each queue with a holder
	// that does not wait for a remaining queue, until nothing changes.
	dead := map[*Queue]bool{}
	for q := range g {
		dead[q] = true
	}
	stuckIn := func(e *edge) *pendingWait {
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
			if slices.ContainsFunc(g[q], func(e *edge) bool { return stuckIn(e) == nil }) {
				delete(dead, q)
				changed = true
			}
		}
	}
	if !dead[of.lane.Queue()] {
		return nil
	}
	var found []stuck
	seen := []*Queue{of.lane.Queue()}
	for i := 0; i < len(seen); i++ {
		for _, e := range g[seen[i]] {
			wants := stuckIn(e)
			found = append(found, stuck{e.holder, *wants})
			if !slices.Contains(seen, wants.lane.Queue()) {
				seen = append(seen, wants.lane.Queue())
			}
		}
	}
	if !slices.ContainsFunc(found, func(s stuck) bool { return s.use.caller().is(of.caller) }) {
		return nil
	}
	return found
}

// title names the lane and its pool.
func (l *Lane) title() string { return fmt.Sprintf("%s of %q", l.opts.Name, l.cfg.Name) }
