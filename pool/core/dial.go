package core

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// connecting reports whether connections are being opened. It returns the error of the last
// attempt, if that failed at since or later.
func (l *Lane) connecting(since time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dials.last.when.Before(since) {
		return l.dials.open > 0, nil
	}
	return l.dials.open > 0, l.dials.last.err
}

// Dial opens a connection for the acquire o, or in advance if o is nil. The caller must
// [Lane.Push] or [Lane.Close] it.
func (l *Lane) Dial(ctx context.Context, o *wrap.Opening) (*Conn, error) {
	return l.dialFrom(ctx, l.source, o)
}

// dialFrom is Dial with a source other than the lane's.
func (l *Lane) dialFrom(ctx context.Context, source Source, o *wrap.Opening) (dialled *Conn, err error) {
	l.mu.Lock()
	if l.refusing.Load() {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	l.dials.open++
	alone := JobOf(ctx) != nil
	if alone {
		l.dials.alone++
	}
	generation := l.generation
	l.mu.Unlock()

	var lease wrap.Lease // of the engine's connection, once it is open
	var c *Conn
	isOpen, returned := false, false
	defer func() { // a hook or Init may panic
		if c == nil && isOpen {
			if !returned {
				lease.Break() // so that closing does not panic too
			}
			lease.CloseFor(wrap.ReasonHook)
		}
		l.mu.Lock()
		l.dials.open--
		if alone {
			l.dials.alone--
		}
		// A canceled attempt says nothing about the database.
		if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
			l.dials.last.err, l.dials.last.when = err, time.Now()
		}
		late := c != nil && l.closed // Shutdown has not waited for this opening
		if c != nil && !late {
			l.all = append(l.all, c)
		}
		l.mu.Unlock()
		if late {
			lease.CloseFor(wrap.ReasonPoolClosed)
			dialled, err = nil, ErrClosed
		}
	}()
	session, err := source.Open(ctx, l, o, func(of wrap.Lease) { lease, isOpen = of, true })
	returned = true
	if err != nil {
		l.pool.engine.Noticed(err)
		return nil, err
	}
	made := session.Core()
	made.session, made.lane, made.generation, made.answered = session, l, generation, time.Now()
	made.expires = l.expiry(made.answered)
	c = made
	return c, nil
}

// expiry returns when a connection that is opened now expires. The jitter keeps connections
// from expiring together.
func (l *Lane) expiry(now time.Time) time.Time {
	life := l.pool.cfg.MaxLifetime
	if life <= 0 {
		return time.Time{}
	}
	if jitter := l.pool.cfg.LifetimeJitter; jitter > 0 {
		life -= time.Duration(rand.Float64() * jitter * float64(life))
	}
	return now.Add(life)
}

// AcquireOwn opens a connection from source for the pool itself, for one use, and lends it. It
// is not one of the lane's and needs no turn. The caller must [Lane.ReleaseOwn] it.
func (l *Lane) AcquireOwn(ctx context.Context, source Source) (*Conn, error) {
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	a := source.Acquisition(ctx, l.name)
	l.addOwn(1)
	lent := false
	defer func() {
		if !lent {
			a.Panicked(ctx) // does nothing if a.Failed has been called
			l.addOwn(-1)
			l.pool.wakeDrain() // a Shutdown may wait for this opening
		}
	}()
	c, err := l.dialFrom(ctx, source, a.Opening())
	if err != nil {
		a.Failed(ctx, err, false)
		return nil, err
	}
	now := time.Now()
	owner := ownerOf(ctx)
	c.session.Lease().Lend(ctx, a, l.name, now)
	lent = true
	c.begin(owner, now)
	return c, nil
}

// ReleaseOwn closes a connection of AcquireOwn.
func (l *Lane) ReleaseOwn(c *Conn) {
	defer l.pool.wakeDrain() // also if a hook panics
	defer l.addOwn(-1)
	now := time.Now()
	if leaked, held := c.end(now); leaked {
		l.pool.recordLeakEnd(c, held)
	}
	c.session.Lease().Retire(wrap.ReasonOther)
	c.session.Lease().TakeBack(now)
	l.Close(c, wrap.ReasonOther)
}

func (l *Lane) addOwn(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ownConns += n
}
