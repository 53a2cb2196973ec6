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

// connecting reports whether connections are being opened. It returns the error of the last
// attempt, if that failed at since or later.
func (l *lane) connecting(since time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastDial.when.Before(since) {
		return l.dialing > 0, nil
	}
	return l.dialing > 0, l.lastDial.err
}

// dial opens a connection for an acquire, or in advance if o is nil.
func (l *lane) dial(ctx context.Context, o *wrap.Opening) (*conn, error) {
	return l.dialFrom(ctx, l.connector, o)
}

// dialFrom is dial with a connector other than the lane's.
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
	failed := false // AfterConnect has returned an error
	defer func() {  // a hook or Init may panic
		if c == nil && p != nil {
			if !failed {
				p.Lease().Break() // so that closing does not panic too
			}
			p.Lease().CloseFor(wrap.ReasonHook)
		}
		l.mu.Lock()
		l.dialing--
		if alone {
			l.dialingIdle--
		}
		// A canceled attempt says nothing about the database.
		if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
			l.lastDial.err, l.lastDial.when = err, time.Now()
		}
		late := c != nil && l.closed // Shutdown has not waited for this opening
		if c != nil && !late {
			l.all = append(l.all, c)
		}
		l.mu.Unlock()
		if late {
			p.Lease().CloseFor(wrap.ReasonPoolClosed)
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
	// Init and hooks have called the connection.
	made := &conn{PoolConn: p, lane: l, generation: generation, answered: time.Now(), called: true}
	made.expires = l.expiry(made.answered)
	made.recordInitialState() // an authorizer of the program may panic
	p.Lease().SetGate(made)
	c = made
	return c, nil
}

// recordInitialState records the state of a connection when it is opened.
func (c *conn) recordInitialState() {
	raw := c.SQLite()
	c.attached = attached(raw)
	if !c.lane.reads {
		c.writePragmas = writePragmas(raw)
		c.lane.pool.recordCapabilities(raw, false)
		return
	}
	// mode=ro applies only to the main database. A file that a query attaches, also by VACUUM
	// INTO, would be created and opened for writing. So no more files may be attached than Init
	// has attached.
	others := strings.Count(c.attached, "\n") - 1
	raw.Limit(sqlite3.LIMIT_ATTACHED, max(others, 0))
	if c.watched = c.Watch(); !c.watched {
		c.initialState = connState(raw)
	}
}

// expiry returns when a connection that is opened now expires. The jitter keeps connections
// from expiring together.
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
