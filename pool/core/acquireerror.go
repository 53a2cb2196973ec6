package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

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
// context's error if that ended the wait. Unless the pool is closed, it also matches an error of
// the engine: for SQLite's writer that is sqlite3.BUSY. So code that handles a locked database
// handles it.
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

	also error // LaneConfig.Timeout
}

func (e *AcquireError) Error() string {
	cause := string(e.Cause)
	if e.Connect != nil {
		cause += fmt.Sprintf(" (%v)", e.Connect)
	}
	why := strings.TrimPrefix(e.Err.Error(), "pool: ")
	return fmt.Sprintf("pool: acquire a %s of %q: %s after %s at place %d of the queue, %d waiting; cause: %s; %s",
		e.Lane, e.Pool, why, e.Waited.Round(time.Millisecond), e.Place, e.Waiting, cause, describeHolders(e.Holders))
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

// newAcquireError is the explainer of all lanes. It returns an [*AcquireError].
func newAcquireError(ctx context.Context, l *Lane, err error, waited time.Duration, place int) error {
	e := &AcquireError{
		Pool:    l.cfg.Name,
		Lane:    l.opts.Name,
		Waited:  waited,
		Place:   place,
		Waiting: l.queue.count().waiting,
		Err:     err,
		also:    l.opts.Timeout,
	}
	ours := l.holders()
	longestFirst(ours)
	e.Holders = slices.Clone(ours)
	for _, other := range l.queue.Lanes() {
		if other != l {
			e.Holders = append(e.Holders, other.holders()...)
		}
	}
	longestFirst(e.Holders)
	l.findCause(ctx, e, ours)
	return e
}

// findCause sets e.Cause. ours are the holders of this lane, the longest first.
func (l *Lane) findCause(ctx context.Context, e *AcquireError, ours []Holder) {
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

// causeOfHolders returns the cause that the holders suggest. ours are those of this lane, the
// longest first.
func (l *Lane) causeOfHolders(e *AcquireError, ours []Holder) Cause {
	long := max(l.cfg.LeakAfter, e.Waited/2, time.Second)
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
