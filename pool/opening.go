package pool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An opening is a connection that is being opened for an acquire, on a goroutine of the
// pool's own. Who has asked for it may go, for the end of a context, say: then it is
// finished all the same, and serves the next. It ends by itself, or in Shutdown.
type opening struct {
	lane      *lane
	since     time.Time
	cancel    context.CancelFunc
	hasWaiter bool // somebody waits for it; guarded by lane.mu

	done     chan struct{} // closed when it has ended, as the fields below say
	conn     *conn
	err      error
	panicked *any // what a hook or Init has panicked with
	goexited bool // one has called runtime.Goexit

	dropped chan struct{} // closed by Shutdown, which lets nobody wait any longer
}

// patientWith is how long one opening may take before another is begun beside it. Until
// then, one that nobody waits for any more is waited for by the next.
const openingPatience = 5 * time.Second

// open opens a connection for an acquire, in what is left of its time, or waits for one
// that is being opened for nobody. A panic of a hook or of Init is passed on. The error
// for the end of ctx is ctx's own.
func (l *lane) open(ctx context.Context, a *wrap.Acquisition) (*conn, error) {
	if jobOf(ctx) != nil { // there is a goroutine of the pool's already
		return l.dial(ctx, a.Opening())
	}
	o, err := l.openingFor(ctx, a)
	if err != nil {
		return nil, err
	}
	var late <-chan time.Time
	if d := l.pool.cfg.AcquireTimeout; d > 0 {
		timer := time.NewTimer(d - a.Took())
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		err = endOf(ctx)
	case <-late:
		err = ErrAcquireTimeout
	case <-o.dropped:
		err = ErrClosed
	}
	if err != nil && o.leave() {
		return nil, err
	}
	<-o.done // at once
	switch {
	case o.panicked != nil:
		panic(*o.panicked)
	case o.goexited:
		runtime.Goexit()
	}
	return o.conn, o.err
}

// endOf returns the error of a context that has ended, with its cause if that is
// another, on one line.
func endOf(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// openingFor returns the opening that a is to wait for: the latest that nobody waits
// for, or else a new one.
func (l *lane) openingFor(ctx context.Context, a *wrap.Acquisition) (*opening, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusing.Load() {
		return nil, ErrClosed
	}
	now := time.Now()
	unwanted := 0
	var latest *opening
	for _, o := range l.openings {
		if !o.hasWaiter {
			latest = o
			unwanted++
		}
	}
	// In a file that it has for itself, another would wait for the one before.
	patient := latest != nil && (now.Sub(latest.since) < openingPatience || l.pool.plan.exclusive || unwanted >= l.pool.maxConns())
	if patient {
		latest.hasWaiter = true
		return latest, nil
	}
	o := &opening{lane: l, since: now, hasWaiter: true, done: make(chan struct{}), dropped: make(chan struct{})}
	ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.openings = append(l.openings, o)
	go o.run(ctx, a.Opening())
	return o, nil
}

func (o *opening) run(ctx context.Context, purpose *wrap.Opening) {
	l := o.lane
	defer o.cancel()
	defer l.pool.wakeDrain() // for a Shutdown that waits for it
	returned := false
	defer func() {
		if !returned {
			if v := recover(); v != nil {
				o.panicked = &v
			} else {
				o.goexited = true
			}
		}
		if o.end() {
			return
		}
		if o.panicked != nil {
			l.pool.guard.recordPanic(placeNone, openingName, *o.panicked)
		}
	}()
	o.conn, o.err = l.dial(ctx, purpose)
	returned = true
}

const openingName = "opening a connection"

// end hands what has been opened to who waits for it, or else makes it idle. It reports
// whether somebody waits.
func (o *opening) end() (wanted bool) {
	l := o.lane
	l.mu.Lock()
	l.openings = slices.DeleteFunc(l.openings, func(other *opening) bool { return other == o })
	wanted = o.hasWaiter
	close(o.done)
	var why wrap.Reason
	if !wanted && o.conn != nil {
		o.conn.idleSince = time.Now()
		why = l.pushLocked(o.conn)
	}
	l.mu.Unlock()
	if why != "" {
		_ = l.pool.guard.protect(openingName, func() { l.close(o.conn, why) })
	}
	return wanted
}

// leave is for who waits for the opening no more. It reports whether it is still under
// way, and was not the caller's by now.
func (o *opening) leave() bool {
	l := o.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-o.done:
		return false
	default:
	}
	o.hasWaiter = false
	if l.refusing.Load() { // there is no next
		o.cancel()
	}
	return true
}

// dropOpenings ends the openings under way that nobody waits for, or all, and has who
// waits for them told that the pool is closed.
func (l *lane) dropOpenings(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.openings {
		if all {
			close(o.dropped)
		}
		if all || !o.hasWaiter {
			o.cancel()
		}
	}
}

// isOpening reports whether a connection is being opened that an acquire has asked for.
func (l *lane) isOpening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.openings) > 0
}

// stillOpening says for how long the openings have been under way that there are.
func (l *lane) stillOpening() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.openings {
		names = append(names, fmt.Sprintf("opening a %s, for %s", l.name, time.Since(o.since).Round(time.Millisecond)))
	}
	return names
}
