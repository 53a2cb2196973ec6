package page

import (
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A taken is what was read of one pool.
type taken struct {
	view    core.View
	id      string
	name    string // as it is shown
	stats   core.Stats
	health  core.HealthReport
	holders []core.Holder // all of them, the longest first
	waiters []core.Waiter // all of them; nil if the pool does not know them
	counts  bool          // it knows its waiters
}

// take reads a pool. seen counts the pools of each name. A panic of the pool is shown as its state, so
// that the others can still be seen.
func take(v core.View, seen map[string]int, n *names) (t taken) {
	defer func() {
		if recover() != nil {
			t = read(unreadable{}, seen, n)
		}
	}()
	return read(v, seen, n)
}

func read(v core.View, seen map[string]int, n *names) taken {
	name := v.Name()
	t := taken{view: v, id: n.id(name, seen[name]), name: n.of("pool", name), stats: v.Stats(), health: v.Health()}
	if v, ok := v.(core.HoldersView); ok {
		t.holders = v.Holders()
	}
	if v, ok := v.(core.WaitersView); ok {
		t.waiters, t.counts = v.Waiters(), true
	}
	seen[name]++
	return t
}

// unreadable stands for a pool that panics when it is read, such as a nil *pool.Pool.
type unreadable struct{}

func (unreadable) Name() string         { return "unreadable" }
func (unreadable) Stats() core.Stats    { return core.Stats{} }
func (unreadable) Events() []wrap.Event { return nil }
func (unreadable) Health() core.HealthReport {
	return core.HealthReport{Health: core.HealthDown, Reasons: []string{"the pool panics when it is read; perhaps it is nil"}}
}
