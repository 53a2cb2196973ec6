package core

import (
	"context"
	"errors"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A taking is how a caller that has a turn gets its connection: it picks an idle one or opens
// one, until the program's hook admits one, which is then lent.
type taking struct {
	lane         *Lane
	acquisition  *wrap.Acquisition // nil until the acquire takes time
	conn         *Conn             // picked, and neither lent nor closed yet
	lent, failed bool
	refusedSince time.Time // when the hook first refused a connection
}

// take uses a turn to lend a connection. If it fails, it releases the turn.
func (l *Lane) take(ctx context.Context, a *wrap.Acquisition, extra bool) (*Conn, error) {
	t := taking{lane: l, acquisition: a}
	defer func() {
		if !t.lent {
			l.releaseTurn(extra)
		}
	}()
	defer t.end(ctx)
	for {
		now, err := t.pick(ctx)
		if err != nil {
			return nil, err
		}
		admitted, err := t.admit(ctx, now)
		if err != nil {
			return nil, err
		}
		if admitted {
			t.lend(ctx, now, extra)
			return t.conn, nil
		}
	}
}

// end ends a taking that a panic of a hook or of Init passes through.
func (t *taking) end(ctx context.Context) {
	if t.lent || t.failed {
		return
	}
	if t.acquisition != nil {
		t.acquisition.Panic(ctx)
	}
	if t.conn != nil {
		t.lane.Close(t.conn, wrap.ReasonHook)
	}
}

// fail ends the acquire with an [*AcquireError] around err.
func (t *taking) fail(ctx context.Context, err error) error {
	t.failed = true
	return t.lane.failAcquire(ctx, t.acquisition, outcome{err: err, refused: !t.refusedSince.IsZero()})
}

// discard closes the picked connection.
func (t *taking) discard(why wrap.Reason) {
	c := t.conn
	t.conn = nil // first, so that end does not close it again after a panic
	t.lane.Close(c, why)
}

// pick takes the idle connection that was used last and is still good, or opens one.
func (t *taking) pick(ctx context.Context) (now time.Time, err error) {
	for {
		now = time.Now()
		c, why, err := t.lane.popForUse(now)
		if err != nil {
			return now, t.fail(ctx, err)
		}
		if c == nil {
			err := t.open(ctx)
			return time.Now(), err
		}
		t.conn = c
		if why == "" && c.checker != nil {
			why = c.checker.Check(ctx, now)
		}
		if why == "" && t.lane.isInvalid(ctx, c, now) {
			why = wrap.ReasonInvalid
		}
		if why == "" {
			return now, nil
		}
		t.discard(why)
	}
}

// open opens a connection. Its error is that of the opening, unless the caller has given up.
func (t *taking) open(ctx context.Context) (err error) {
	if t.acquisition == nil {
		t.acquisition = t.lane.opts.Source.Acquisition(ctx, t.lane.opts.Name)
	}
	t.conn, err = t.lane.open(ctx, t.acquisition)
	switch {
	case err == nil:
		return nil
	case err == ErrClosed || err == ErrAcquireTimeout || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return t.fail(ctx, err)
	}
	t.failed = true
	t.acquisition.Fail(ctx, err, false)
	return err
}

// admit asks the program's hook whether the picked connection may be lent, and closes it if not.
// It fails if the call has ended meanwhile, so that a hook that always refuses does not keep it
// for ever.
func (t *taking) admit(ctx context.Context, now time.Time) (bool, error) {
	l := t.lane
	if f := l.cfg.Hooks.BeforeAcquire; f == nil || f(ctx, t.conn.info(now, l.opts.Name)) {
		return true, nil
	}
	t.discard(wrap.ReasonHook)
	l.refused.Add(1)
	if t.refusedSince.IsZero() {
		t.refusedSince = now
	}
	err := ctx.Err()
	if d := l.cfg.AcquireTimeout; err == nil && d > 0 && now.Sub(t.refusedSince) >= d {
		err = ErrAcquireTimeout
	}
	if err != nil {
		return false, t.fail(ctx, err)
	}
	return false, nil
}

// lend lends the picked connection to the caller.
func (t *taking) lend(ctx context.Context, now time.Time, extra bool) {
	c := t.conn
	c.session.Taking(now)
	c.extra, c.idleSince = extra, time.Time{}
	owner := ownerOf(ctx)
	c.session.Lease().Lend(ctx, t.acquisition, t.lane.opts.Name, now)
	t.lent = true
	c.begin(ctx, owner, now, t.lane.cfg.TrackStacks)
}

// failAcquire ends an acquire with an [*AcquireError]. If a is nil, the acquire took no time.
func (l *Lane) failAcquire(ctx context.Context, a *wrap.Acquisition, o outcome) error {
	if a == nil {
		a = l.opts.Source.Acquisition(ctx, l.opts.Name)
	}
	failure := newAcquireError(ctx, l, o, a.Took(), a.Place())
	a.Fail(ctx, failure, errors.Is(o.err, ErrAcquireTimeout))
	return failure
}

// isInvalid reports whether a connection that has been idle for ValidateAfter fails to read a
// page. If the call has ended meanwhile, the connection is not to blame.
func (l *Lane) isInvalid(ctx context.Context, c *Conn, now time.Time) bool {
	d := l.cfg.ValidateAfter
	return d > 0 && now.Sub(c.idleSince) >= d && !l.ping(ctx, c) && ctx.Err() == nil
}

// ping makes an idle connection read a page, without a span.
func (l *Lane) ping(ctx context.Context, c *Conn) bool {
	if err := c.session.Lease().Probe(ctx); err != nil {
		return false
	}
	c.answered = time.Now()
	return true
}
