package page

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A queue is what callers wait for: a lane of the pool with this index.
type queue struct {
	pool int
	lane wrap.Lane
}

// marks say which holders wait, and which holders, waiters and pools are in a cycle.
type marks struct {
	waits   map[*core.Holder]queue
	holders map[*core.Holder]bool
	waiters map[*core.Waiter]bool
	pools   map[int]bool
}

// findCycles finds the holders that wait, and among them those that wait for each other, in all
// pools. It assumes first that no holder that waits ever ends. Then it removes each queue with a
// holder that does not wait for one of the remaining queues, until nothing changes.
func findCycles(pools []taken) marks {
	m := marks{map[*core.Holder]queue{}, map[*core.Holder]bool{}, map[*core.Waiter]bool{}, map[int]bool{}}
	waits := waitsOf(pools)
	if len(waits.byOwner)+len(waits.byTrace) == 0 {
		return m
	}
	holders := map[queue][]*core.Holder{}
	dead := map[queue]bool{}
	for i := range pools {
		for j := range pools[i].holders {
			c := &pools[i].holders[j]
			q := queue{i, c.Lane}
			holders[q] = append(holders[q], c)
			if to, ok := waits.of(c); ok {
				m.waits[c] = to
			}
		}
	}
	for _, to := range m.waits {
		dead[to] = len(holders[to]) > 0
	}
	for changed := true; changed; {
		changed = false
		for q := range dead {
			for _, c := range holders[q] {
				if to, ok := m.waits[c]; dead[q] && (!ok || !dead[to]) {
					dead[q], changed = false, true
				}
			}
		}
	}
	for q, is := range dead {
		for _, c := range holders[q] {
			m.holders[c] = is
		}
		m.pools[q.pool] = m.pools[q.pool] || is
	}
	for i := range pools {
		for j := range pools[i].waiters {
			w := &pools[i].waiters[j]
			m.waiters[w] = dead[queue{i, w.Lane}]
		}
	}
	return m
}

// suspectAfter is how long a call must wait before a holder in its trace is taken to wait, too. The
// holder may be another goroutine of the same request, and end soon.
const suspectAfter = time.Second

// waits are what callers wait for, by what identifies them.
type waits struct {
	byOwner map[string]queue
	byTrace map[trace.TraceID]traced
}

// A traced is a wait of a trace.
type traced struct {
	queue queue
	owner string // of the waiter
}

func waitsOf(pools []taken) waits {
	all := waits{map[string]queue{}, map[trace.TraceID]traced{}}
	for i := range pools {
		for j := range pools[i].waiters {
			w := &pools[i].waiters[j]
			q := queue{i, w.Lane}
			if w.Owner != "" {
				all.byOwner[w.Owner] = q
			}
			if w.Trace.IsValid() && w.Waited >= suspectAfter {
				all.byTrace[w.Trace] = traced{q, w.Owner}
			}
		}
	}
	return all
}

// of returns what a holder waits for. If a holder and a waiter both have owners, these decide;
// otherwise their traces do, as [core.WithOwner] says.
func (all waits) of(c *core.Holder) (queue, bool) {
	if q, ok := all.byOwner[c.Owner]; ok {
		return q, true
	}
	t, ok := all.byTrace[c.Trace]
	return t.queue, ok && (c.Owner == "" || t.owner == "")
}

func more(n int) string { return fmt.Sprintf("and %d more", n) }
