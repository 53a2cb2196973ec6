package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// connecting reports whether connections are being opened, and why that has failed
// last, if it has since then.
func (l *lane) connecting(since time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastDial.when.Before(since) {
		return l.dialing > 0, nil
	}
	return l.dialing > 0, l.lastDial.err
}

// dial opens a connection for an acquire, or for nobody if o is nil.
func (l *lane) dial(ctx context.Context, o *wrap.Opening) (*conn, error) {
	return l.dialFrom(ctx, l.connector, o)
}

// dialFrom is dial with another connector than the lane's.
func (l *lane) dialFrom(ctx context.Context, connector *driver.Connector, o *wrap.Opening) (dialled *conn, err error) {
	l.mu.Lock()
	if l.refusing.Load() {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	l.dialing++
	alone := jobOf(ctx) != nil
	if alone {
		l.dialingIdle++
	}
	generation := l.generation
	l.mu.Unlock()

	var p driver.PoolConn
	var c *conn
	failed := false // in AfterConnect, by an error
	defer func() {  // a hook or Init may panic
		if c == nil && p != nil {
			if !failed {
				p.Wrapped().Break() // so that it does not panic again
			}
			p.Wrapped().CloseFor(wrap.ReasonHook)
		}
		l.mu.Lock()
		l.dialing--
		if alone {
			l.dialingIdle--
		}
		if err == nil || !errors.Is(ctx.Err(), context.Canceled) { // else it says nothing of connecting
			l.lastDial.err, l.lastDial.when = err, time.Now()
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
		if err := l.pool.guard.call(ctx, placeBeforeConnect, func() error { return hooks.BeforeConnect(ctx) }); err != nil {
			return nil, l.pool.hookError("BeforeConnect", err)
		}
	}
	if p, err = connector.Dial(ctx, o); err != nil {
		l.pool.recordFileLost(err)
		return nil, err
	}
	if hooks.AfterConnect != nil {
		if err := l.pool.guard.call(ctx, placeAfterConnect, func() error { return hooks.AfterConnect(ctx, p.SQLite()) }); err != nil {
			failed = true
			return nil, l.pool.hookError("AfterConnect", err)
		}
	}
	made := &conn{PoolConn: p, lane: l, generation: generation, answered: time.Now(), called: true} // by Init and hooks
	made.expires = l.expiry(made.answered)
	made.recordInitialState() // an authorizer of the program's may panic
	p.Wrapped().SetGate(made)
	c = made
	return c, nil
}

// opened notes what the connection is like when it is opened.
func (c *conn) recordInitialState() {
	raw := c.SQLite()
	c.attached = attached(raw)
	if !c.lane.reads {
		c.writePragmas = writePragmas(raw)
		c.lane.pool.recordCapabilities(raw, false)
		return
	}
	// mode=ro is of the database alone: a file that is attached, also by VACUUM INTO,
	// would be open for writing, and made. Those that Init has attached stay.
	others := strings.Count(c.attached, "\n") - 1
	raw.Limit(sqlite3.LIMIT_ATTACHED, max(others, 0))
	if c.watched = c.Watch(); !c.watched {
		c.initialState = connState(raw)
	}
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
