package core

import (
	"context"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Release takes back a connection, which ends its use, and releases its turn.
func (l *Lane) Release(c *Conn) {
	c.session.Returning()
	now := time.Now()
	if l.opts.Demand != nil {
		defer l.opts.Demand(-1)
	}
	if c.reclaimAtEnd() {
		defer l.releaseTurn(c.extra)
	} else {
		defer l.drain.wake()
	}
	why := wrap.ReasonHook
	defer func() { l.settle(c, why, now) }() // also if the hook panics
	why = l.cleanUp(c, now)
}

// cleanUp prepares a connection that is given back for its next user. It returns why the
// connection must be closed instead, or an empty reason.
func (l *Lane) cleanUp(c *Conn, now time.Time) (why wrap.Reason) {
	if s := c.stopped.Load(); s != nil {
		why = s.why
	} else if !c.session.Lease().Panicked() { // after a panic, it must not be used
		why = c.session.CleanUp()
	}
	if f := l.cfg.Hooks.AfterRelease; f != nil && why == "" && !f(c.info(now, l.opts.Name)) {
		why = wrap.ReasonHook
	}
	if why == "" && c.extra {
		why = wrap.ReasonOverflow
	}
	return why
}

// settle keeps a connection that was given back, or closes it. It closes it also if the
// Recorder panics.
func (l *Lane) settle(c *Conn, why wrap.Reason, now time.Time) {
	settled := false
	defer func() {
		if !settled {
			l.Close(c, wrap.ReasonHook)
		}
	}()
	leaked, held := c.end(now)
	if leaked {
		l.recordLeakEnd(c, held)
	}
	if why != "" {
		c.session.Lease().Retire(why)
	}
	keep := c.session.Lease().TakeBack(now)
	settled = true
	if !keep {
		l.Close(c, why)
		return
	}
	c.idleSince = now
	l.push(c)
}

// Push makes a connection idle, which has not been in use. It closes the connection instead if
// the lane does not need it.
func (l *Lane) Push(c *Conn) {
	if c.idleSince.IsZero() {
		c.idleSince = time.Now()
	}
	l.push(c)
}

func (c *Conn) kept() bool { return c.session.Kept() }

// push adds a connection to the idle ones, in the order of last use, but one with state that the
// program would miss after the others, so that it is lent next. It closes the connection instead
// if that is too old, if the lane is closed or too large, or if enough others are idle. Of two with
// state, it closes the older one.
func (l *Lane) push(c *Conn) {
	l.mu.Lock()
	surplus, why := l.pushLocked(c)
	l.mu.Unlock()
	if surplus != nil {
		l.Close(surplus, why)
	}
}

// pushLocked is push, but returns the connection that must be closed, and the reason. l.mu must
// be held.
func (l *Lane) pushLocked(c *Conn) (surplus *Conn, why wrap.Reason) {
	why = l.closeReason(c, c.idleSince)
	kept := c.kept()
	switch {
	case why != "":
		return c, why
	case l.surplus():
		return c, wrap.ReasonShrunk
	case l.opts.MaxIdle > 0 && len(l.idle) >= l.opts.MaxIdle:
		if !kept {
			return c, wrap.ReasonOverflow
		}
		if i := slices.IndexFunc(l.idle, (*Conn).kept); i >= 0 {
			surplus, why = l.idle[i], wrap.ReasonOverflow
			l.idle = slices.Delete(l.idle, i, i+1)
		}
	}
	i := len(l.idle)
	for i > 0 && (l.idle[i-1].kept() && !kept || l.idle[i-1].kept() == kept && l.idle[i-1].idleSince.After(c.idleSince)) {
		i--
	}
	l.idle = slices.Insert(l.idle, i, c)
	return surplus, why
}

// releaseTurn releases a turn.
func (l *Lane) releaseTurn(extra bool) {
	if extra {
		l.mu.Lock()
		l.unreserveLocked()
		l.mu.Unlock()
	}
	l.Queue().release(extra)
	l.drain.wake()
}

// Close closes a connection that is not in use, on the goroutine of a call of the program.
func (l *Lane) Close(c *Conn, why wrap.Reason) { l.CloseIn(context.Background(), c, why) }

// CloseIn is Close on the goroutine that ctx identifies; see [Guard.Call].
func (l *Lane) CloseIn(ctx context.Context, c *Conn, why wrap.Reason) {
	defer l.end(ctx, c, why) // also if the hook panics
	if f := l.cfg.Hooks.BeforeClose; f != nil {
		info := c.info(time.Now(), l.opts.Name)
		_ = l.guard.Call(ctx, l.places.beforeClose, func() error { f(info); return nil })
	}
}

func (l *Lane) end(ctx context.Context, c *Conn, why wrap.Reason) {
	l.mu.Lock()
	l.removeLocked(c)
	l.dials.closing++
	l.mu.Unlock()
	defer l.drain.wake() // a Shutdown may wait for the close
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dials.closing--
	}()
	background := JobOf(ctx) != nil
	if background {
		c.session.Lease().InBackground()
	}
	c.session.Closing(ctx, background)
	if err := c.session.Lease().CloseFor(why); err != nil && err != wrap.ErrPanicked {
		l.logger.Error("pool: a connection was closed with an error", "conn", c.session.Lease().ID(), "lane", l.opts.Name, "error", l.engine.Describe(err))
	}
}

// remove removes a connection from the lane without closing it.
func (l *Lane) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(c)
}

func (l *Lane) removeLocked(c *Conn) {
	if i := slices.Index(l.all, c); i >= 0 {
		l.all = slices.Delete(l.all, i, i+1)
	}
}

// recordLeakEnd reports that a leaked connection has been given back.
func (l *Lane) recordLeakEnd(c *Conn, held time.Duration) {
	id := c.session.Lease().ID()
	l.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindLeakEnd, Conn: id, Lane: l.opts.Name, Duration: held})
	l.logger.Info("pool: a connection that was in use for long has been given back", "conn", id, "lane", l.opts.Name, "held", held)
}

// Revoke passes the turn of a stopped connection, which is not in a call, to the next waiter.
func (l *Lane) Revoke(c *Conn) {
	// With an exclusive connection, the next caller must wait until this one is given back.
	if !l.cfg.Exclusive && c.turn.revoke() {
		l.releaseTurn(c.extra)
	}
}

// Shrink closes idle connections beyond LaneConfig.Most, those used longest ago first.
func (l *Lane) Shrink() {
	for {
		l.mu.Lock()
		if len(l.idle) == 0 || !l.surplus() {
			l.mu.Unlock()
			return
		}
		c := l.idle[0]
		l.idle = append(l.idle[:0], l.idle[1:]...)
		l.mu.Unlock()
		l.Close(c, wrap.ReasonShrunk)
	}
}

// CloseIdle closes the idle connections that which selects, on the goroutine that ctx identifies;
// see [Guard.Call]. which is called with Lane.mu held, so it must not block.
func (l *Lane) CloseIdle(ctx context.Context, why wrap.Reason, which func(Session) bool) {
	for {
		l.mu.Lock()
		i := slices.IndexFunc(l.idle, func(c *Conn) bool { return which(c.session) })
		if i < 0 {
			l.mu.Unlock()
			return
		}
		c := l.idle[i]
		l.idle = slices.Delete(l.idle, i, i+1)
		l.mu.Unlock()
		l.CloseIn(ctx, c, why)
	}
}
