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
	c.doing.steps.Store(c.doing.steps.Load()&^1 + 3)
	return nil
}

// Leave implements [wrap.Gate].
func (c *conn) Leave() {
	c.doing.steps.Store(c.doing.steps.Load() &^ 1)
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
	if stopped := c.Stopped(); stopped != nil && !errors.Is(err, stopped) {
		return &interruptedError{stopped, err}
	}
	return err
}

// Hold implements [wrap.Gate]. Nothing but the holder uses a connection.
func (c *conn) Hold() error { return nil }

// Drop implements [wrap.Gate].
func (c *conn) Drop() {}

// Copies implements [wrap.Gate].
func (c *conn) Copies() bool { return false }

// Panicked implements [wrap.Gate].
func (c *conn) Panicked() {
	if s := c.shell.Load(); s != nil {
		s.panicked()
	}
}
