package cluster

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A dialer opens the connections of a lane.
type dialer struct {
	pool    *Pool
	standby bool // the lane connects to standbys
}

var _ core.Source = &dialer{}

// Acquisition implements [core.Source].
func (d *dialer) Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition {
	return d.pool.opener.Acquisition(ctx, lane)
}

// Open implements [core.Source].
func (d *dialer) Open(ctx context.Context, l *core.Lane, o *wrap.Opening, opened func(wrap.Lease)) (core.Session, error) {
	open := d.openPrimary
	if d.standby {
		open = d.openStandby
	}
	c, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	opened(c.Lease())
	c.pool, c.lane = d.pool, l
	c.Lease().SetGate(c)
	return c, nil
}

// openPrimary opens a connection to the primary. If there is none, or it is lost meanwhile, it waits
// for the next one, for at most Config.FailoverTimeout.
func (d *dialer) openPrimary(ctx context.Context, o *wrap.Opening) (*conn, error) {
	r := d.pool.roster
	bounded, cancel := context.WithTimeout(ctx, d.pool.cfg.FailoverTimeout)
	defer cancel()
	for failures := 1; ; {
		s, reign, err := r.await(bounded)
		if err != nil {
			return nil, err
		}
		dialing, cancel := context.WithCancel(bounded)
		stop := context.AfterFunc(reign, cancel)
		c, err := d.dial(dialing, o, s)
		stop()
		cancel()
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if !r.confirm(bounded, s) && bounded.Err() == nil {
			continue
		}
		// The server is the primary after all, perhaps again. If so, a second attempt does not fail.
		if failures++; failures > 2 || bounded.Err() != nil {
			return nil, err
		}
	}
}

// openStandby opens a connection to a standby. It tries each of them.
func (d *dialer) openStandby(ctx context.Context, o *wrap.Opening) (*conn, error) {
	r := d.pool.roster
	failed := errNoStandby
	for range r.servers {
		s := r.standby()
		if s == nil {
			break
		}
		bounded, cancel := context.WithTimeout(ctx, d.pool.cfg.CheckTimeout)
		c, err := d.dial(bounded, o, s)
		cancel()
		if err == nil {
			return c, nil
		}
		s.recheck()
		failed = errors.Join(errNoStandby, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// dial opens a connection to a server, which must have the right role.
func (d *dialer) dial(ctx context.Context, o *wrap.Opening, s *server) (*conn, error) {
	c := &conn{server: s, epoch: s.epoch.Load(), term: s.term.Load()}
	wrapped, err := d.pool.opener.OpenFor(ctx, o, func(ctx context.Context) (driver.Conn, error) {
		asked := time.Now().UnixNano()
		parent, err := s.Connector.Connect(ctx)
		if err != nil {
			return nil, err
		}
		good := false
		defer func() { // also if Role panics
			if !good {
				_ = parent.Close()
			}
		}()
		role, err := d.pool.cfg.Role(ctx, parent)
		if err == nil && !d.pool.roster.accepts(role, d.standby) {
			err = errWrongRole
		}
		if err != nil {
			return nil, err
		}
		good, c.checked = true, asked
		d.pool.dialing.put(parent, s)
		return parent, nil
	})
	c.wrapped = wrapped
	return c, err
}

// A dialing knows the servers of connections that have just been opened, until package wrap has asked
// for them.
type dialing struct{ servers sync.Map }

func (d *dialing) put(c driver.Conn, s *server) {
	if reflect.TypeOf(c).Comparable() {
		d.servers.Store(c, s)
	}
}

// takeServer returns the address of a connection's server.
func (d *dialing) takeServer(c driver.Conn) wrap.Server {
	if !reflect.TypeOf(c).Comparable() {
		return wrap.Server{}
	}
	if s, ok := d.servers.LoadAndDelete(c); ok {
		return s.(*server).address()
	}
	return wrap.Server{}
}
