package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// dialFor opens a connection for an acquire, in what is left of its time.
func (l *lane) dialFor(ctx context.Context, a *wrap.Acquisition) (*conn, error) {
	d := l.pool.cfg.AcquireTimeout
	if d <= 0 {
		return l.dial(ctx, a)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, d-a.Took(), ErrAcquireTimeout)
	defer cancel()
	c, err := l.dial(bounded, a)
	if err != nil && ctx.Err() == nil && context.Cause(bounded) == ErrAcquireTimeout {
		err = ErrAcquireTimeout
	}
	return c, err
}

// connecting reports whether connections are being opened, and why that has failed
// last, if it has since then.
func (l *lane) connecting(since time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dialled.when.Before(since) {
		return l.opening > 0, nil
	}
	return l.opening > 0, l.dialled.err
}

// dial opens a connection for an acquire, or for nobody if a is nil.
func (l *lane) dial(ctx context.Context, a *wrap.Acquisition) (dialled *conn, err error) {
	l.mu.Lock()
	if l.refusing.Load() {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	l.opening++
	generation := l.generation
	l.mu.Unlock()

	var p driver.PoolConn
	var c *conn
	defer func() { // a hook or Init may panic
		if c == nil && p != nil {
			p.Wrapped().CloseFor(wrap.ReasonHook)
		}
		l.mu.Lock()
		l.opening--
		if err == nil || !errors.Is(ctx.Err(), context.Canceled) { // else it says nothing of connecting
			l.dialled.err, l.dialled.when = err, time.Now()
		}
		late := c != nil && l.closed // Shutdown has not waited for it
		if c != nil && !late {
			l.all = append(l.all, c)
		}
		l.mu.Unlock()
		if late {
			p.Wrapped().CloseFor(wrap.ReasonPoolClosed)
			dialled, err = nil, ErrClosed
		}
	}()
	hooks := &l.pool.cfg.Hooks
	if hooks.BeforeConnect != nil {
		if err := hooks.BeforeConnect(ctx); err != nil {
			return nil, l.pool.hookError("BeforeConnect", err)
		}
	}
	if p, err = l.connector.Dial(ctx, a); err != nil {
		return nil, err
	}
	if hooks.AfterConnect != nil {
		if err := hooks.AfterConnect(ctx, p.SQLite()); err != nil {
			return nil, l.pool.hookError("AfterConnect", err)
		}
	}
	c = &conn{PoolConn: p, lane: l, generation: generation, answered: time.Now(), asked: true} // by Init and hooks
	c.expires = l.expiry(c.answered)
	p.Wrapped().SetGate(c)
	if !l.reads {
		c.attached, c.writing = attached(p.SQLite()), writing(p.SQLite())
	}
	return c, nil
}

// expiry is when a connection opened now has lived long enough: a little earlier
// for one than for another, so that they do not all go at once.
func (l *lane) expiry(now time.Time) time.Time {
	life := l.pool.cfg.MaxLifetime
	if life <= 0 {
		return time.Time{}
	}
	if jitter := l.pool.cfg.LifetimeJitter; jitter > 0 {
		life -= time.Duration(rand.Float64() * jitter * float64(life))
	}
	return now.Add(life)
}
