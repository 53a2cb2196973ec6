package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Holder is a lease of a connection and its caller.
type Holder struct {
	Conn     wrap.ConnID
	Pool     string // name of the pool
	Lane     wrap.Lane
	Held     time.Duration
	Last     string        // db.query.summary of the last query; empty if there was none
	Trace    trace.TraceID // of the call that acquired it; zero if it was in no trace
	Owner    string        // name set by [WithOwner]; "Backup" or "Checkpoint" for the pool itself
	Rows     int           // number of open rows
	Tx       bool          // whether a transaction of BeginTx or BEGIN is open
	Stack    []string      // of the caller, innermost first; nil unless stacks are tracked
	WaitsFor string        // in a cycle: the lane that it waits for, such as writer of "app.db"

	since time.Time
	gone  bool // it has been released, and the rest is what it was when the wait began
}

func (h Holder) String() string {
	return fmt.Sprintf("%s of %q, %s", h.Lane, h.Pool, h.describe())
}

// describe is String without the lane and the pool.
func (h Holder) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "connection %s for %s", h.Conn, h.Held.Round(time.Millisecond))
	if h.gone {
		b.WriteString(" when the wait began")
	}
	if h.Owner != "" {
		fmt.Fprintf(&b, " by %q", h.Owner)
	}
	if h.Last != "" {
		fmt.Fprintf(&b, ", last %q", h.Last)
	}
	if h.Tx {
		b.WriteString(", in a transaction")
	}
	if h.Rows > 0 {
		of := "a query"
		if h.Rows > 1 {
			of = fmt.Sprintf("%d queries", h.Rows)
		}
		fmt.Fprintf(&b, ", with open rows of %s", of)
	}
	if h.Trace.IsValid() {
		fmt.Fprintf(&b, ", trace %s", h.Trace)
	}
	if h.WaitsFor != "" {
		fmt.Fprintf(&b, ", waits for a %s", h.WaitsFor)
	}
	if len(h.Stack) > 0 {
		fmt.Fprintf(&b, ", acquired at %s", h.Stack[0])
	}
	return b.String()
}

// holdersOf returns the current holders of the lanes' connections, the longest first.
func holdersOf(lanes []*Lane) (list []Holder) {
	for _, l := range lanes {
		list = append(list, l.holders()...)
	}
	longestFirst(list)
	return list
}

func longestFirst(list []Holder) {
	slices.SortStableFunc(list, func(a, b Holder) int { return cmp.Compare(b.Held, a.Held) })
}

func (l *Lane) holders() []Holder { return l.holding(func(*Conn) bool { return true }) }

// Blockers returns the holders that also have the turn, and so block other callers.
func (l *Lane) Blockers() []Holder { return l.holding((*Conn).hasTurn) }

func (l *Lane) holding(which func(*Conn) bool) (list []Holder) {
	now := time.Now()
	for _, c := range l.Conns() {
		if h, ok := l.Holder(c, now); ok && which(c) {
			list = append(list, h)
		}
	}
	return list
}

// Holder describes the current use of a connection. ok is false if there is none.
func (l *Lane) Holder(c *Conn, now time.Time) (h Holder, ok bool) {
	s, ok := c.sight(l)
	if !ok {
		return Holder{}, false
	}
	return s.holder(now), true
}

// holder describes the lease for the program.
func (s sighting) holder(now time.Time) Holder {
	h := Holder{
		Conn:  s.id,
		Pool:  s.lane.cfg.Name,
		Lane:  s.lane.opts.Name,
		Held:  max(now.Sub(s.use.since), 0), // the use may have begun after now
		Trace: s.use.trace,
		Owner: s.use.owner,
		Rows:  s.rows,
		Tx:    s.does.Tx,
		Stack: s.use.stack.frames(),
		since: s.use.since,
	}
	if s.does.Last != nil {
		h.Last = s.does.Last.Summary()
	}
	return h
}

// Since returns when the use began.
func (h Holder) Since() time.Time { return h.since }

func describeHolders(list []Holder, describe func(Holder) string) string {
	if len(list) == 0 {
		return "no connection is held"
	}
	const most = 5
	var texts []string
	for _, h := range list[:min(len(list), most)] {
		texts = append(texts, describe(h))
	}
	if n := len(list) - most; n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(texts, "; ")
}

// A Waiter is a call that waits for a connection.
type Waiter struct {
	Pool   string // name of the pool
	Lane   wrap.Lane
	Place  int // in the queue now, from 1
	Waited time.Duration
	Trace  trace.TraceID // of the call; zero if it is in no trace
	Owner  string        // name set by [WithOwner]
	Query  string        // summary of the query that the call will execute, without values; "" if unknown
}

// waitersOf returns the calls that wait in the lanes, those that are served first first.
func waitersOf(lanes []*Lane) (list []Waiter) {
	now := time.Now()
	summaries := make(map[Summarizer]string) // many callers may wait with the same query
	for _, l := range lanes {
		for _, w := range l.Queue().waits(l) {
			if w.since.IsZero() {
				continue
			}
			summary, ok := summaries[w.query]
			if !ok && w.query != nil {
				summary = w.query.Summary()
				summaries[w.query] = summary
			}
			list = append(list, Waiter{l.cfg.Name, l.opts.Name, w.place, max(now.Sub(w.since), 0), w.caller.trace, w.caller.owner, summary})
		}
	}
	return list
}
