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

// A Holder is who has a connection of a pool.
type Holder struct {
	Conn     driver.ConnID
	Pool     string // its name
	Lane     wrap.Lane
	Held     time.Duration
	Last     string        // db.query.summary of the last text; empty if there was none
	Trace    trace.TraceID // of the call that acquired it; zero if it was in no trace
	Owner    string        // as the program named it, by [WithOwner]; "Backup" or "Checkpoint" of the pool's own
	Rows     int           // that are open
	Tx       bool          // a transaction of BeginTx is
	Stack    []string      // who acquired it, the innermost first; if stacks are tracked
	since    time.Time
	WaitsFor string // of an AcquireError for a cycle: the lane that the holder itself waits in, as in writer of "app.db"
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

// Holders returns who has connections now, those first that have them longest.
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

// turns are those holders that have the turn, too, and so are in the way.
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
		Held:  max(now.Sub(c.lease.since), 0), // it may have begun after now was asked for
		Last:  c.summary(),
		Trace: c.lease.trace,
		Owner: c.lease.owner,
		Rows:  c.Wrapped().OpenRows(),
		Tx:    c.lease.tx.Load(),
		Stack: frames(c.lease.stack),
	}, true
}

// summary is that of the last text, without any value of it.
func (c *conn) summary() string {
	if t := c.lease.last.Load(); t != nil {
		return t.summary()
	}
	return ""
}

func (t *parsedQuery) summary() string { return tracing.Summary(t.query) }

// frames names the functions of a stack that are the program's own.
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
		return "nobody has a connection"
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

// A Cause is what an acquire seems to have failed for.
type Cause string

// The causes.
const (
	CauseClosed    Cause = "closed"     // the pool is
	CauseQueueFull Cause = "queue full" // Config.MaxWaiters were waiting
	CauseCancelled Cause = "cancelled"  // by the caller, before it had waited long
	CauseConnect   Cause = "connect"    // no connection could be opened in that time; see AcquireError.Connect
	CauseCycle     Cause = "cycle"      // who has connections waits for others, and so for who has waited here; see [WithOwner]
	CauseLeak      Cause = "leak"       // somebody has had a connection for very long, and does nothing with it
	CauseSlow      Cause = "slow"       // somebody has had a connection for long, and uses it
	CauseOverload  Cause = "overload"   // connections come and go, but too many wait
	CauseOther     Cause = "other"      // another pool of this process has the file's write lock
)

// An AcquireError says why there was no connection, and who had them.
//
// It is [ErrAcquireTimeout] if the wait was too long, [ErrQueueFull],
// [ErrClosed], or the context's own error if that ended the wait; and for the
// writer, unless the pool is closed, it is also sqlite3.BUSY, so that a program
// which knows what to do about a locked database does it.
type AcquireError struct {
	Pool    string
	Lane    wrap.Lane
	Waited  time.Duration
	Place   int   // in the queue, from 1, that the wait began at
	Waiting int   // how many waited, when it ended
	Cause   Cause // what it seems to be
	Holders []Holder
	Connect error // why a connection could not be opened, when that was tried last
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

// Is reports whether target is sqlite3.BUSY, for the writer.
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

// failure is the error of an acquire that has ended with err.
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

// explain finds the cause; ours are those holders that are of the pool itself.
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

// cause tells from who has the connections, those first that have them longest.
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
