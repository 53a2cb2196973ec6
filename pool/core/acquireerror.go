package core

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An AcquireError says why a call got no connection, and who held the connections.
//
// It wraps [ErrAcquireTimeout] if the wait was too long, [ErrDeadlock], [ErrQueueFull],
// [ErrClosed], or the context's error if that ended the wait. Unless the pool is closed, it also
// matches an error of the engine: for SQLite's writer that is sqlite3.BUSY. So code that handles
// a locked database handles it.
type AcquireError struct {
	Pool    string
	Lane    wrap.Lane
	Waited  time.Duration
	Place   int    // in the queue when the wait began, from 1; 0 if the call had no place
	Waiting int    // number of waiters when the wait ended
	Cause   Cause  // from what happened during the wait
	Advice  string // what the program can do about the cause
	Holders []Holder
	Connect error // why the last attempt to open a connection failed; nil if it did not
	Err     error

	why  string // what the pool has seen; empty if the cause says it all
	also error  // LaneConfig.Timeout
}

func (e *AcquireError) Error() string {
	var b strings.Builder
	why := strings.TrimPrefix(strings.TrimPrefix(e.Err.Error(), "pool: "), "acquire ")
	fmt.Fprintf(&b, "pool: acquire a %s of %q: %s", e.Lane, e.Pool, why)
	if e.Place > 0 || e.Waited > 0 {
		fmt.Fprintf(&b, " after %s", e.Waited.Round(time.Millisecond))
	}
	if e.Place > 0 {
		fmt.Fprintf(&b, " as the %s in the queue", ordinal(e.Place))
	}
	fmt.Fprintf(&b, ", %d waiting; cause: %s", e.Waiting, e.Cause)
	if e.why != "" {
		fmt.Fprintf(&b, ": %s", e.why)
	}
	if e.Connect != nil {
		fmt.Fprintf(&b, " (%v)", e.Connect)
	}
	if len(e.Holders) > 0 {
		fmt.Fprintf(&b, "; held: %s", describeHolders(latest(e.Holders), e.describeHolder))
	}
	if e.Advice != "" {
		fmt.Fprintf(&b, "; %s", e.Advice)
	}
	return b.String()
}

// latest returns the holders without those that have released a connection that another holds now.
func latest(list []Holder) []Holder {
	held := map[wrap.ConnID]bool{}
	for _, h := range list {
		held[h.Conn] = held[h.Conn] || !h.gone
	}
	return slices.DeleteFunc(slices.Clone(list), func(h Holder) bool { return h.gone && held[h.Conn] })
}

// describeHolder describes a holder. It does not repeat the pool and the lane of e.
func (e *AcquireError) describeHolder(h Holder) string {
	if h.Pool == e.Pool && h.Lane == e.Lane {
		return h.describe()
	}
	return h.String()
}

// ordinal returns "first", "second" and so on.
func ordinal(n int) string {
	words := []string{"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}
	if n <= len(words) {
		return words[n-1]
	}
	suffix := "th"
	if d := n % 10; d >= 1 && d <= 3 && n/10%10 != 1 {
		suffix = []string{"st", "nd", "rd"}[d-1]
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

// Unwrap returns Err.
func (e *AcquireError) Unwrap() error { return e.Err }

// Is reports whether target is the error of the engine that e matches too.
func (e *AcquireError) Is(target error) bool {
	return e.matchesEngine() && errors.Is(e.also, target)
}

// As finds the error of the engine that e matches too.
func (e *AcquireError) As(target any) bool {
	return e.matchesEngine() && errors.As(e.also, target)
}

func (e *AcquireError) matchesEngine() bool { return e.also != nil && !errors.Is(e.Err, ErrClosed) }

// newAcquireError returns the [*AcquireError] of an acquire of the call with context ctx.
func newAcquireError(ctx context.Context, l *Lane, o outcome, waited time.Duration, place int) error {
	now := time.Now()
	count := l.Queue().count()
	e := &AcquireError{
		Pool:    l.cfg.Name,
		Lane:    l.opts.Name,
		Waited:  waited,
		Place:   place,
		Waiting: count.waiting,
		Err:     o.err,
		also:    l.opts.Timeout,
	}
	cycle := o.findCycle(ctx, l)
	after := l.look(math.MaxInt)
	after.noteEnded()
	o.ctx, o.lane, o.turns = ctx, l, count.limit
	o.cycle, o.byTrace = callersOf(cycle)
	o.opening, o.failed = l.connecting(now.Add(-waited))
	v := causeOf(o, &after)
	e.Cause, e.why, e.Advice = v.cause, v.why, l.advise(v.advice)
	if v.cause == CauseConnect {
		e.Connect = o.failed
	}
	if v.cause == CauseCycle {
		for _, s := range cycle {
			h := s.holder(now)
			h.WaitsFor = s.waits.lane.title()
			e.Holders = append(e.Holders, h)
		}
	} else {
		e.Holders = o.holders(&after, now)
	}
	longestFirst(e.Holders)
	return e
}

// findCycle returns the holders that wait for each other, and that the caller waits for. A waiter
// looks for them during its wait. At its end, they are a cycle only if they have done nothing
// since then, nor since all of them wait.
func (o outcome) findCycle(ctx context.Context, l *Lane) []stuck {
	switch {
	case errors.Is(o.err, ErrDeadlock):
		return o.suspects
	case o.before == nil || !errors.Is(o.err, ErrAcquireTimeout):
		return nil
	}
	if now := deadlock(pendingWait{caller: callerOf(ctx), lane: l, ctx: ctx}); confirms(o.suspects, now) && o.before.isUnchangedIn(now) {
		return now
	}
	return nil
}

// holders describes the leases that explain the outcome. Those that have ended meanwhile are
// among them if no other has a turn, and if the caller's context has ended: then database/sql may
// just have ended them too.
func (o outcome) holders(after *snapshot, now time.Time) (list []Holder) {
	for _, s := range after.leases {
		list = append(list, s.holder(now))
	}
	if o.before == nil || len(list) > 0 && errors.Is(o.err, ErrAcquireTimeout) {
		return list
	}
	for _, s := range o.before.leases {
		if s.hasTurn && s.first == 0 && after.find(s) == nil {
			h := s.holder(o.before.when)
			h.gone = true
			list = append(list, h)
		}
	}
	return list
}
