package page

import (
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A state is state.json. Durations are in seconds.
type state struct {
	Taken       time.Time    `json:"taken"`
	TraceURL    string       `json:"trace_url,omitempty"`
	Pools       []poolLine   `json:"pools"`
	MorePools   int          `json:"more_pools"` // that are not listed
	Holders     []holderLine `json:"holders"`    // the longest first
	MoreHolders int          `json:"more_holders"`
	Waiters     []waiterLine `json:"waiters"` // the longest first
	MoreWaiters int          `json:"more_waiters"`
}

// A poolLine is a pool in the state.
type poolLine struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Health  string   `json:"health"` // ok, degraded, down or unknown
	Reasons []string `json:"reasons,omitempty"`

	Max         int  `json:"max"` // 0 for any number
	Open        int  `json:"open"`
	InUse       int  `json:"in_use"`
	Waiting     *int `json:"waiting"` // null if the pool does not know
	SyncWaiting int  `json:"sync_waiting"`
	Cycle       bool `json:"cycle"` // callers wait for each other

	LongestWait  float64 `json:"longest_wait"` // of those that wait now
	OldestReader float64 `json:"oldest_reader"`
	WAL          int64   `json:"wal"`       // bytes
	WALLimit     int64   `json:"wal_limit"` // bytes; 0 if there is none

	// Since the pool was opened.
	Acquires      uint64 `json:"acquires"`
	Busy          uint64 `json:"busy"`
	Timeouts      uint64 `json:"timeouts"`
	Leaks         uint64 `json:"leaks"` // now: those that have not ended
	Syncs         uint64 `json:"syncs"`
	SyncedCommits uint64 `json:"synced_commits"`
}

// A holderLine is a lease of a connection and its caller.
type holderLine struct {
	Pool     string   `json:"pool"` // ID
	PoolName string   `json:"pool_name"`
	Conn     string   `json:"conn"`
	Lane     string   `json:"lane"`
	Held     float64  `json:"held"`
	Last     string   `json:"last,omitempty"` // summary of the last query
	Tx       bool     `json:"tx"`
	Rows     int      `json:"rows"` // open rows
	Owner    string   `json:"owner,omitempty"`
	Trace    string   `json:"trace,omitempty"`
	Stack    []string `json:"stack,omitempty"`
	WaitsFor string   `json:"waits_for,omitempty"`
	Cycle    bool     `json:"cycle"`
}

// A waiterLine is a call that waits for a connection.
type waiterLine struct {
	Pool     string  `json:"pool"` // ID
	PoolName string  `json:"pool_name"`
	Lane     string  `json:"lane"`
	Place    int     `json:"place"`
	Waited   float64 `json:"waited"`
	Query    string  `json:"query,omitempty"` // summary
	Owner    string  `json:"owner,omitempty"`
	Trace    string  `json:"trace,omitempty"`
	Cycle    bool    `json:"cycle"`
}

// lineOf returns the line of a pool.
func lineOf(p *taken, n *names) poolLine {
	s := &p.stats
	line := poolLine{
		ID: p.id, Name: p.name, Health: p.health.Health.String(),
		Max: s.Max, Open: s.Open, InUse: s.InUse, SyncWaiting: s.SyncWaiting,
		OldestReader: s.OldestReader.Seconds(), WAL: s.Pages.Bytes, WALLimit: s.Pages.Limit,
		Acquires: s.Acquires, Busy: s.Busy, Timeouts: s.Timeouts, Leaks: s.Leaks - min(s.Leaks, s.LeaksEnded),
		Syncs: s.Syncs, SyncedCommits: s.SyncedCommits,
	}
	const most = 10
	for i, reason := range p.health.Reasons {
		if i == most {
			line.Reasons = append(line.Reasons, more(len(p.health.Reasons)-most))
			break
		}
		line.Reasons = append(line.Reasons, n.reason(reason))
	}
	if p.counts {
		waiting := len(p.waiters)
		line.Waiting = &waiting
	}
	for i := range p.waiters {
		line.LongestWait = max(line.LongestWait, p.waiters[i].Waited.Seconds())
	}
	return line
}

func holderOf(pools []taken, p *taken, c *core.Holder, m marks, n *names) holderLine {
	line := holderLine{
		Pool: p.id, PoolName: p.name, Conn: c.Conn.String(), Lane: visible(string(c.Lane), longestName), Held: c.Held.Seconds(),
		Last: visible(c.Last, longestName), Tx: c.Tx, Rows: c.Rows, Owner: n.owner(c.Owner), Cycle: m.holders[c],
	}
	if c.Trace.IsValid() {
		line.Trace = c.Trace.String()
	}
	if to, ok := m.waits[c]; ok {
		line.WaitsFor = visible(string(to.lane), longestName) + " of " + pools[to.pool].name
	}
	const most = 12
	for i, frame := range c.Stack {
		if i == most {
			line.Stack = append(line.Stack, more(len(c.Stack)-most))
			break
		}
		line.Stack = append(line.Stack, visible(frame, longestName))
	}
	return line
}

func waiterOf(p *taken, w *core.Waiter, m marks, n *names) waiterLine {
	line := waiterLine{
		Pool: p.id, PoolName: p.name, Lane: visible(string(w.Lane), longestName), Place: w.Place, Waited: w.Waited.Seconds(),
		Query: visible(w.Query, longestName), Owner: n.owner(w.Owner), Cycle: m.waiters[w],
	}
	if w.Trace.IsValid() {
		line.Trace = w.Trace.String()
	}
	return line
}
