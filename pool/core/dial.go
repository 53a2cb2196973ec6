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
	return l.dialFrom(ctx, l.opts.Source, o)
}

// dialFrom is Dial with a source other than the lane's.
func (l *Lane) dialFrom(ctx context.Context, source Source, o *wrap.Opening) (dialled *Conn, err error) {
	l.mu.Lock()
	if l.ending.refusing.Load() {
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
		late := c != nil && l.ending.closed // Shutdown has not waited for this opening
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
		l.engine.Noticed(err)
		return nil, err
	}
	made := session.Core()
	made.session, made.generation, made.answered = session, generation, time.Now()
	made.checker, _ = session.(Checker)
	made.expires = l.expiry(made.answered)
	c = made
	return c, nil
}

// expiry returns when a connection that is opened now expires. The jitter keeps connections
// from expiring together.
func (l *Lane) expiry(now time.Time) time.Time {
	life := l.cfg.MaxLifetime
	if life <= 0 {
		return time.Time{}
	}
	if jitter := l.cfg.LifetimeJitter; jitter > 0 {
		life -= time.Duration(rand.Float64() * jitter * float64(life))
	}
	return now.Add(life)
}
