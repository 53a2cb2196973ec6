package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Holder is a lease of a connection and its caller.
type Holder struct {
	Conn     driver.ConnID
	Pool     string // name of the pool
	Lane     wrap.Lane
	Held     time.Duration
	Last     string        // db.query.summary of the last query; empty if there was none
	Trace    trace.TraceID // of the call that acquired it; zero if it was in no trace
	Owner    string        // name set by [WithOwner]; "Backup" or "Checkpoint" for the pool itself
	Rows     int           // number of open rows
	Tx       bool          // whether a transaction of BeginTx is open
	Stack    []string      // of the caller, innermost first; nil unless stacks are tracked
	since    time.Time
	WaitsFor string // in a cycle: the lane that it waits for, such as writer of "app.db"
}

func (h Holder) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %q, connection %s for %s", h.Lane, h.Pool, h.Conn, h.Held.Round(time.Millisecond))
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
		fmt.Fprintf(&b, ", %d rows open", h.Rows)
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

// Holders returns the current holders of connections, the longest first.
func (p *Pool) Holders() []Holder {
	var list []Holder
	for _, l := range p.allLanes() {
		list = append(list, l.holders()...)
	}
	longestFirst(list)
	return list
}

func longestFirst(list []Holder) {
	slices.SortStableFunc(list, func(a, b Holder) int { return cmp.Compare(b.Held, a.Held) })
}

func (l *lane) holders() []Holder { return l.holding(func(*conn) bool { return true }) }

// turns returns the holders that also have the turn, and so block other callers.
func (l *lane) turns() []Holder { return l.holding(func(c *conn) bool { return c.turn.isHeld() }) }

func (l *lane) holding(which func(*conn) bool) (list []Holder) {
	now := time.Now()
	for _, c := range l.conns() {
		if h, ok := c.holder(now); ok && which(c) {
			list = append(list, h)
		}
	}
	return list
}

func (c *conn) holder(now time.Time) (h Holder, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lease.used {
		return Holder{}, false
	}
	return Holder{
		since: c.lease.since,
		Conn:  c.ID(),
		Pool:  c.lane.pool.cfg.Name,
		Lane:  c.lane.name,
		Held:  max(now.Sub(c.lease.since), 0), // the lease may have begun after now
		Last:  c.summary(),
		Trace: c.lease.trace,
		Owner: c.lease.owner,
		Rows:  c.Lease().OpenRows(),
		Tx:    c.lease.tx.Load(),
		Stack: frames(c.lease.stack),
	}, true
}

// summary returns the summary of the last query, which contains no values.
func (c *conn) summary() string {
	if t := c.lease.last.Load(); t != nil {
		return t.summary()
	}
	return ""
}

func (t *parsedQuery) summary() string { return tracing.Summary(t.query) }

// frames describes the functions of a stack, without those of database/sql and of this
// package's methods.
func frames(stack []uintptr) []string {
	if len(stack) == 0 {
		return nil
	}
	var list []string
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "database/sql.") && !strings.HasPrefix(f.Function, "github.com/sqlitemw/sqlitemw/pool.(") {
			list = append(list, fmt.Sprintf("%s (%s:%d)", f.Function, f.File, f.Line))
		}
		if !more {
			return list
		}
	}
}

func describeHolders(list []Holder) string {
	if len(list) == 0 {
		return "no connection is held"
	}
	const most = 5
	var texts []string
	for _, h := range list[:min(len(list), most)] {
		texts = append(texts, h.String())
	}
	if n := len(list) - most; n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(texts, "; ")
}

// A Cause is the probable reason why an acquire failed.
type Cause string

const (
	CauseClosed    Cause = "closed"     // the pool is closed
	CauseQueueFull Cause = "queue full" // Config.MaxWaiters calls were waiting
	CauseCancelled Cause = "cancelled"  // by the caller, before it had waited long
	CauseConnect   Cause = "connect"    // no connection could be opened; see AcquireError.Connect
	CauseCycle     Cause = "cycle"      // holders wait for each other; see [WithOwner]
	CauseLeak      Cause = "leak"       // a connection is held for long, and not used
	CauseSlow      Cause = "slow"       // a connection is held for long, and used
	CauseOverload  Cause = "overload"   // connections are released, but there are too many waiters
	CauseOther     Cause = "other"      // another pool of this process holds the file's write lock
)

// An AcquireError says why a call got no connection, and who held the connections.
//
// It wraps [ErrAcquireTimeout] if the wait was too long, [ErrQueueFull], [ErrClosed], or the
// context's error if that ended the wait. For the writer, unless the pool is closed, it also
// matches sqlite3.BUSY. So code that handles a locked database handles it.
type AcquireError struct {
	Pool    string
	Lane    wrap.Lane
	Waited  time.Duration
	Place   int   // in the queue when the wait began, from 1
	Waiting int   // number of waiters when the wait ended
	Cause   Cause // the probable cause
	Holders []Holder
	Connect error // why the last attempt to open a connection failed; nil if it did not
	Err     error
}

func (e *AcquireError) Error() string {
	cause := string(e.Cause)
	if e.Connect != nil {
		cause += fmt.Sprintf(" (%v)", e.Connect)
	}
	return fmt.Sprintf("pool: acquire a %s of %q: %v after %s at place %d of the queue, %d waiting; cause: %s; %s",
		e.Lane, e.Pool, e.Err, e.Waited.Round(time.Millisecond), e.Place, e.Waiting, cause, describeHolders(e.Holders))
}

// Unwrap returns Err.
func (e *AcquireError) Unwrap() error { return e.Err }

// Is reports whether target is sqlite3.BUSY and the lane is the writer's.
func (e *AcquireError) Is(target error) bool {
	return target == sqlite3.BUSY && e.Lane == wrap.LaneWriter && !errors.Is(e.Err, ErrClosed)
}

// As finds sqlite3.BUSY as a code, for the writer.
func (e *AcquireError) As(target any) bool {
	if !e.Is(sqlite3.BUSY) {
		return false
	}
	switch t := target.(type) {
	case *sqlite3.ErrorCode:
		*t = sqlite3.BUSY
	case *sqlite3.ExtendedErrorCode:
		*t = sqlite3.ExtendedErrorCode(sqlite3.BUSY)
	default:
		return false
	}
	return true
}

// newAcquireError returns the error of an acquire that err has ended.
func (l *lane) newAcquireError(ctx context.Context, err error, waited time.Duration, place int) *AcquireError {
	e := &AcquireError{
		Pool:    l.pool.cfg.Name,
		Lane:    l.name,
		Waited:  waited,
		Place:   place,
		Waiting: l.queue.count().waiting,
		Err:     err,
	}
	ours := l.holders()
	longestFirst(ours)
	e.Holders = slices.Clone(ours)
	for _, other := range l.pool.file.sharing(l) {
		if other != l {
			e.Holders = append(e.Holders, other.holders()...)
		}
	}
	longestFirst(e.Holders)
	l.findCause(ctx, e, ours)
	return e
}

// findCause sets e.Cause. ours are the holders of this pool, the longest first.
func (l *lane) findCause(ctx context.Context, e *AcquireError, ours []Holder) {
	switch {
	case errors.Is(e.Err, ErrClosed):
		e.Cause = CauseClosed
		return
	case errors.Is(e.Err, ErrQueueFull):
		e.Cause = CauseQueueFull
		return
	}
	if cycle := deadlock(pendingWait{callerOf(ctx), l}); cycle != nil {
		e.Cause, e.Holders = CauseCycle, cycle
		return
	}
	if opening, failed := l.connecting(time.Now().Add(-e.Waited)); failed != nil || opening && len(e.Holders) == 0 {
		e.Cause, e.Connect = CauseConnect, failed
		return
	}
	e.Cause = l.causeOfHolders(e, ours)
}

// causeOfHolders returns the cause that the holders suggest. ours are those of this pool, the
// longest first.
func (l *lane) causeOfHolders(e *AcquireError, ours []Holder) Cause {
	long := max(l.pool.cfg.LeakAfter, e.Waited/2, time.Second)
	switch {
	case len(ours) == 0:
		return CauseOther
	case ours[0].Held >= long && ours[0].Rows == 0 && !ours[0].Tx:
		return CauseLeak
	case ours[0].Held >= long:
		return CauseSlow
	case errors.Is(e.Err, ErrAcquireTimeout):
		return CauseOverload
	}
	return CauseCancelled
}
