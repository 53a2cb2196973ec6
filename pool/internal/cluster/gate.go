package cluster

import (
	"errors"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

var _ wrap.Gate = &conn{}

// Enter implements [wrap.Gate].
func (c *conn) Enter() error {
	if err := c.Stopped(); err != nil {
		return err
	}
	if c.isRetired() { // since it was opened, or since takeAway has looked at all connections
		return demoted(c.server.Name)
	}
	c.doing.steps.Store(c.doing.steps.Load()&^1 + 3)
	return nil
}

// Leave implements [wrap.Gate].
func (c *conn) Leave() {
	c.doing.steps.Store(c.doing.steps.Load() &^ 1)
	c.countWrite()
}

// countWrite counts a request that may have written.
func (c *conn) countWrite() {
	if !c.readOnly && !c.lane.Reads() {
		c.pool.replay.writes.Add(1)
	}
}

// Failed implements [wrap.Gate]. It finds out what the error says about the connection and about its
// server.
func (c *conn) Failed(err error) error {
	damage := NoDamage
	if isBroken(err) {
		damage = Broken
	} else if f := c.pool.cfg.Damage; f != nil {
		damage = f(err)
	}
	if damage == Broken || damage == Demoted && !c.readOnly && !c.lane.Reads() {
		c.Lease().Retire(wrap.ReasonBad)
		c.server.damaged(time.Now())
	}
	if stopped := c.Stopped(); stopped != nil && damage == Broken && !errors.Is(err, stopped) {
		return &interruptedError{stopped, err}
	}
	return err
}

// Hold implements [wrap.Gate]. Nothing but the holder uses a connection.
func (c *conn) Hold() error { return nil }

// Drop implements [wrap.Gate]. The close of rows may have executed the rest of their query.
func (c *conn) Drop() { c.countWrite() }

// Copies implements [wrap.Gate].
func (c *conn) Copies() bool { return false }

// Panicked implements [wrap.Gate].
func (c *conn) Panicked() {
	if s := c.shell.Load(); s != nil {
		s.panicked()
	}
}
