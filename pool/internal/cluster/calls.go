package cluster

import (
	"context"
	"sync"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A callContext is the context of a call. It ends with that of the caller, and when the pool takes
// the connection away. A driver of a network protocol waits for its end, so it is a real one.
type callContext struct {
	context.Context
	caller context.Context
}

var _ instrument.LeaseContext = callContext{}

// Caller implements [instrument.LeaseContext].
func (c callContext) Caller() context.Context { return c.caller }

// calls are the contexts of the calls of a lease. Rows and a transaction use theirs after the call.
type calls struct {
	mu     sync.Mutex // guards the fields below
	ended  bool       // all calls have been interrupted
	rows   []context.CancelFunc
	tx     context.CancelFunc
	single context.CancelFunc // of the running call
}

// begin returns the context for a call. One of the methods below must follow.
func (c *calls) begin(ctx context.Context) context.Context {
	derived, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.single = cancel
	if c.ended {
		cancel()
	}
	return callContext{derived, ctx}
}

// done ends the context of the call.
func (c *calls) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.single != nil {
		c.single()
		c.single = nil
	}
}

// keepForRows keeps the context of the call for its rows. None of the earlier rows may be open any
// more if last is set.
func (c *calls) keepForRows(last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last {
		c.endRowsLocked()
	}
	c.rows = append(c.rows, c.single)
	c.single = nil
}

// keepForTx keeps the context of the call for the transaction that it has begun.
func (c *calls) keepForTx() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tx, c.single = c.single, nil
}

// endTx ends the context of the transaction.
func (c *calls) endTx() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endTxLocked()
}

func (c *calls) endTxLocked() {
	if c.tx != nil {
		c.tx()
		c.tx = nil
	}
}

func (c *calls) endRowsLocked() {
	for _, cancel := range c.rows {
		cancel()
	}
	clear(c.rows)
	c.rows = c.rows[:0]
}

// end ends all contexts, when a use of the connection ends.
func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked()
}

func (c *calls) endLocked() {
	if c.single != nil {
		c.single()
		c.single = nil
	}
	c.endTxLocked()
	c.endRowsLocked()
}

// interrupt ends all contexts, and those of later calls.
func (c *calls) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.endLocked()
}
