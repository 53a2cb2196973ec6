package core

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// openingPatience is how long an opening may take before a second one is started beside it.
// Until then, the next caller waits for an opening that has lost its caller. It is as long as
// the default busy timeout.
const openingPatience = 5 * time.Second

// open opens a connection for an acquire in its remaining time, or waits for an opening that no
// acquire waits for. It raises a panic of a hook or of Init. If ctx ends, it returns the error
// of endOf.
func (l *Lane) open(ctx context.Context, a *wrap.Acquisition) (*Conn, error) {
	if JobOf(ctx) != nil { // already on a goroutine of the pool
		return l.Dial(ctx, a.Opening())
	}
	o, err := l.openingFor(ctx, a)
	if err != nil {
		return nil, err
	}
	var late <-chan time.Time
	if d := l.cfg.AcquireTimeout; d > 0 {
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
	<-o.done // it is closed already, or will be without delay
	switch {
	case o.panicked != nil:
		panic(*o.panicked)
	case o.goexited:
		runtime.Goexit()
	}
	return o.conn, o.err
}

// endOf returns the error of an ended context. If its cause is another error, both are wrapped,
// on one line.
func endOf(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// openingFor returns the opening for a: the latest one that no acquire waits for, or else a new
// one.
func (l *Lane) openingFor(ctx context.Context, a *wrap.Acquisition) (*opening, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending.refusing.Load() {
		return nil, ErrClosed
	}
	now := time.Now()
	unwanted := 0
	var latest *opening
	for _, o := range l.dials.openings {
		if !o.hasWaiter {
			latest = o
			unwanted++
		}
	}
	// An exclusive connection locks out all others, so a second opening would wait for the first.
	patient := latest != nil && (now.Sub(latest.since) < openingPatience || l.cfg.Exclusive || unwanted >= l.maxConns())
	if patient {
		latest.hasWaiter = true
		return latest, nil
	}
	o := &opening{lane: l, since: now, hasWaiter: true, done: make(chan struct{}), dropped: make(chan struct{})}
	ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.dials.openings = append(l.dials.openings, o)
	go o.run(ctx, a.Opening())
	return o, nil
}

func (o *opening) run(ctx context.Context, purpose *wrap.Opening) {
	l := o.lane
	defer o.cancel()
	defer l.drain.wake() // a Shutdown may wait for it
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
			l.guard.recordPanic(nil, openingName, *o.panicked)
		}
	}()
	o.conn, o.err = l.Dial(ctx, purpose)
	returned = true
}

const openingName = "opening a connection"

// end hands the connection to the acquire that waits for it, or makes it idle. It reports
// whether an acquire waits.
func (o *opening) end() (wanted bool) {
	l := o.lane
	l.mu.Lock()
	l.dials.openings = slices.DeleteFunc(l.dials.openings, func(other *opening) bool { return other == o })
	wanted = o.hasWaiter
	select {
	case <-o.dropped:
		if o.err != nil { // Shutdown has canceled it, not the caller
			o.err = ErrClosed
		}
	default:
	}
	close(o.done)
	var why wrap.Reason
	if !wanted && o.conn != nil {
		o.conn.idleSince = time.Now()
		_, why = l.pushLocked(o.conn)
	}
	l.mu.Unlock()
	if why != "" {
		_ = l.guard.Protect(openingName, func() { l.Close(o.conn, why) })
	}
	return wanted
}

// leave ends the wait for the opening. It reports whether the opening is still running. If it
// has ended, the connection is the caller's.
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
	if l.ending.refusing.Load() { // no later caller will use it
		o.cancel()
	}
	return true
}

// dropOpenings cancels the openings that no acquire waits for. With all, it cancels every
// opening, and the waiting acquires fail with ErrClosed.
func (l *Lane) dropOpenings(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.dials.openings {
		if all {
			close(o.dropped)
		}
		if all || !o.hasWaiter {
			o.cancel()
		}
	}
}

// IsOpening reports whether a connection is being opened for an acquire.
func (l *Lane) IsOpening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.dials.openings) > 0
}

// stillOpening describes the running openings and their durations.
func (l *Lane) stillOpening() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.dials.openings {
		names = append(names, fmt.Sprintf("opening a %s, for %s", l.opts.Name, time.Since(o.since).Round(time.Millisecond)))
	}
	return names
}
