package pool

import (
	"context"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// A dialer opens connections for a lane of the pool, or for the pool itself.
type dialer struct {
	*driver.Connector
	pool *Pool
}

var _ core.Source = &dialer{}

// Open implements [core.Source].
func (d *dialer) Open(ctx context.Context, l *core.Lane, o *wrap.Opening, opened func(wrap.Lease)) (core.Session, error) {
	p := d.pool
	hooks := &p.cfg.Hooks
	if hooks.BeforeConnect != nil {
		if err := p.guard.Call(ctx, p.places.beforeConnect, func() error { return hooks.BeforeConnect(ctx) }); err != nil {
			return nil, p.hookError("BeforeConnect", err)
		}
	}
	dialled, err := d.Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	opened(dialled.Lease())
	if hooks.AfterConnect != nil {
		if err := p.guard.Call(ctx, p.places.afterConnect, func() error { return hooks.AfterConnect(ctx, dialled.SQLite()) }); err != nil {
			return nil, p.hookError("AfterConnect", err)
		}
	}
	c := &conn{PoolConn: dialled, pool: p, lane: l, reads: l.Reads()} // Init and hooks have called it
	c.lease.called = true
	c.recordInitialState() // an authorizer of the program may panic
	dialled.Lease().SetGate(c)
	if p.plan.sharesSyncs() {
		dialled.Lease().SetSettler(c)
		if err := c.joinSyncs(); err != nil {
			return nil, &OpenError{File: p.plan.dsn.Database(), Err: err}
		}
	}
	return c, nil
}

// recordInitialState records the state of a connection when it is opened.
func (c *conn) recordInitialState() {
	raw := c.SQLite()
	if !c.reads {
		c.initial.pragmas = inspect.PragmasOf(raw)
		like, _ := c.pool.plan.pragma("case_sensitive_like")
		c.initial.objects = inspect.NoObjects(like.On())
		if c.pool.programConfigures() {
			c.initial.objects = inspect.ObjectsOf(raw)
		}
		c.pool.recordCapabilities(raw, nil)
		return
	}
	// mode=ro applies only to the main database. A file that a query attaches, also by VACUUM
	// INTO, would be created and opened for writing. So no more files may be attached than Init
	// has attached.
	others := strings.Count(inspect.Attached(raw), "\n") - 1
	raw.Limit(sqlite3.LIMIT_ATTACHED, max(others, 0))
	if c.initial.watched = c.Watch(); !c.initial.watched {
		c.initial.state = inspect.State(raw)
	}
}
