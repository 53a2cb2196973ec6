package pool

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// Who waits for whom: of all pools of the process, for one waits for another's
// connection while it has this one's as easily as for two of the same. Nothing of
// it is kept: it is drawn when a wait has failed, from who has connections and
// who waits.

// A party is who has connections, or waits for them, as far as that is known.
type callerID struct {
	trace trace.TraceID
	owner string
}

func callerOf(ctx context.Context) callerID {
	return callerID{trace.SpanContextFromContext(ctx).TraceID(), ownerOf(ctx)}
}

// is reports whether both are one and the same. What the program says is believed
// before what traces say: many may work in one trace.
func (a callerID) is(b callerID) bool {
	if a.owner != "" && b.owner != "" {
		return a.owner == b.owner
	}
	return a.trace.IsValid() && a.trace == b.trace
}

// WithOwner names who acquires connections with the context, in errors and Stats:
// a request, a job, a worker. What has the same name is taken to be one that does
// one thing at a time: if it has a connection and waits for another, who waits for
// the first waits for the second, too. Without names, so is what is in the same
// trace.
func WithOwner(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, ownerKey{}, name)
}

type ownerKey struct{}

func ownerOf(ctx context.Context) string {
	name, _ := ctx.Value(ownerKey{}).(string)
	return name
}

// openPools are the pools of the process.
var openPools struct {
	sync.Mutex
	list []*Pool // replaced, never changed
}

func (p *Pool) register() {
	openPools.Lock()
	defer openPools.Unlock()
	openPools.list = append(slices.Clone(openPools.list), p)
}

func (p *Pool) unregister() {
	openPools.Lock()
	defer openPools.Unlock()
	openPools.list = slices.DeleteFunc(slices.Clone(openPools.list), func(other *Pool) bool { return other == p })
}

// A wanted is a party's wait for a turn in a lane.
type pendingWait struct {
	caller callerID
	lane   *lane
}

// A graph is who has turns of each queue, and what they wait for.
type graph map[*queue][]edge

// An edge is who has a turn, and the lanes that the same party waits in.
type edge struct {
	holder Holder
	waits  []*lane
}

// deadlock returns who is in the way of a wait that has failed, in a circle. Who has
// been given a turn while the graph was drawn may be in it as one who waits and as
// one who has it, and so as waiting for itself: but not twice.
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

// drawGraph draws the graph, with a wait that is over by now. Where a turn is with
// somebody of whom nothing is known, it has an edge for that.
func drawGraph(failed pendingWait) graph {
	openPools.Lock()
	pools := openPools.list
	openPools.Unlock()
	g := graph{}
	waits := []pendingWait{failed}
	for _, p := range pools {
		for _, l := range p.allLanes() {
			waits = l.queue.appendWaits(l, waits)
			for _, h := range l.turns() {
				g[l.queue] = append(g[l.queue], edge{holder: h})
			}
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

// deadlock returns who is in the way of who waits in a lane and waits itself, for
// something that is not to be had before; or nobody, if there is somebody who may
// go on. What is waited for is in Holder.WaitsFor.
func (g graph) deadlock(l *lane) []Holder {
	// At first nobody is taken to give anything back; then who waits for nothing
	// does, and so who waits for that one, until there is nobody any more.
	dead := map[*queue]bool{}
	for q := range g {
		dead[q] = true
	}
	stuckIn := func(e edge) *lane {
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
	seen := []*queue{l.queue}
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

// title names a lane among those of all pools.
func (l *lane) title() string { return fmt.Sprintf("%s of %q", l.name, l.pool.cfg.Name) }

// waits adds those of l's that wait in the queue.
func (q *queue) appendWaits(l *lane, list []pendingWait) []pendingWait {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; w = w.next {
		if w.lane == l {
			list = append(list, pendingWait{w.caller, l})
		}
	}
	return list
}
