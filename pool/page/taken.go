package page

import "github.com/sqlitemw/sqlitemw/pool/core"

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

// take reads a pool, the nth of its name.
func take(v core.View, name string, nth int, n *names) taken {
	t := taken{view: v, id: n.id(name, nth), name: n.of("pool", name), stats: v.Stats(), health: v.Health()}
	if v, ok := v.(core.HoldersView); ok {
		t.holders = v.Holders()
	}
	if v, ok := v.(core.WaitersView); ok {
		t.waiters, t.counts = v.Waiters(), true
	}
	return t
}
