package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// takesAway reports whether the pool may take a connection away while it is in use. Then the
// pool and the holder must exclude each other; see shell.callMu.
func (c *Config) takesAway() bool { return c.TxTimeout > 0 || c.MaxReadAge > 0 }

// exceededLimit returns the limit that a transaction or reading has exceeded, or nil. It also
// returns the use of the connection that the limit applies to.
func (c *conn) exceededLimit(now time.Time) (*TimeLimitError, use) {
	cfg := &c.pool.cfg
	since := func(n int64) time.Duration { return now.Sub(time.Unix(0, n)) }
	leased, used := c.UsedSince()
	if !used || c.shell.Load() == nil { // the pool itself may hold it, for a backup, say
		return nil, use{}
	}
	began := c.doing.txStart.Load()
	this := use{leased, began}
	if began != 0 && cfg.TxTimeout > 0 && since(began) > cfg.TxTimeout {
		return c.limit("TxTimeout", cfg.TxTimeout, since(began)), this
	}
	if cfg.MaxReadAge > 0 && (began != 0 || c.doing.tx.Load() || c.Lease().OpenRows() > 0) {
		reads := now.Sub(leased)
		if n := c.doing.readStart.Load(); n != 0 {
			reads = since(n)
		}
		if began != 0 {
			reads = since(began)
		}
		if reads > cfg.MaxReadAge {
			return c.limit("MaxReadAge", cfg.MaxReadAge, reads), this
		}
	}
	return nil, use{}
}

// A use identifies a lease of a connection, and a transaction in it.
type use struct {
	leased time.Time
	began  int64
}

// stopIn stops the connection if it is still in that use. It reports whether it has.
func (c *conn) stopIn(this use, limit *TimeLimitError) bool {
	same := func() bool { return c.doing.txStart.Load() == this.began }
	return c.StopIn(this.leased, same, limit, wrap.ReasonTimeLimit)
}

func (c *conn) limit(setting string, limit, took time.Duration) *TimeLimitError {
	return &TimeLimitError{setting, limit, took, c.ID(), c.summary()}
}

// updateSQLTx records whether a transaction is open that a query has begun. It asks SQLite only
// once a BEGIN or SAVEPOINT has been executed in the lease.
func (c *conn) updateSQLTx() {
	if !c.lease.begins {
		return
	}
	if open := !c.SQLite().GetAutocommit(); open != c.doing.sqlTx.Load() {
		c.doing.sqlTx.Store(open)
	}
}

// updateTxStart records when a transaction begins and ends, no matter which query does it.
func (c *conn) updateTxStart() {
	if !c.pool.cfg.takesAway() {
		return
	}
	switch {
	case c.SQLite().GetAutocommit():
		c.doing.txStart.Store(0)
	case c.doing.txStart.Load() == 0:
		c.doing.txStart.Store(time.Now().UnixNano())
	}
}

// enforceLimits ends leases that exceed their limits. It first reports the limit, then
// interrupts the running call. When no call runs, it takes the connection away: it rolls back
// the transaction and passes the turn to the next waiter. The program still has the connection.
func (p *Pool) enforceLimits(now time.Time) {
	for _, l := range p.core.Lanes() {
		for _, lent := range l.Conns() {
			c := connOf(lent)
			if c.Stopped() == nil {
				limit, this := c.exceededLimit(now)
				if limit == nil {
					continue
				}
				p.recordTimeLimit(c, limit, true)
				if !c.stopIn(this, limit) {
					continue // it has ended meanwhile
				}
			}
			if limit := (*TimeLimitError)(nil); errors.As(c.Stopped(), &limit) {
				c.takeAway()
			}
		}
	}
}

// recordTimeLimit reports an exceeded limit.
func (p *Pool) recordTimeLimit(c *conn, limit *TimeLimitError, background bool) {
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindTimeLimit, Conn: c.ID(), Lane: c.lane.Name(),
		Duration: limit.Took, Reason: driver.Reason(limit.Setting), Background: background})
	p.logger.Warn("pool: a time limit was exceeded", "setting", limit.Setting, "limit", limit.Limit, "took", limit.Took, "conn", c.ID(), "lane", c.lane.Name(), "last", limit.Last)
}

// takeAway ends the transaction of a stopped connection and takes its turn, if no call is
// running. What the program holds of the connection fails, and the connection is closed when it
// is given back. If the program has SQLite's own connection, takeAway does nothing.
func (c *conn) takeAway() {
	s := c.shell.Load()
	if s == nil || !s.callMu.TryLock() {
		return
	}
	defer s.callMu.Unlock()
	if c.shell.Load() != s || c.lease.takenAway || c.doing.raw.Load() || c.Lease().Panicked() {
		return
	}
	c.lease.takenAway = true
	_ = c.pool.guard.Recover(c.pool.places.callback, func() {
		c.Lease().Use(func() {
			raw := c.SQLite()
			old := raw.SetInterrupt(context.Background())
			defer raw.SetInterrupt(old)
			c.Reset()
			if !raw.GetAutocommit() {
				_ = raw.Exec("ROLLBACK")
			}
		})
	})
	c.lane.Revoke(&c.Conn)
}

// endTimedOutTx makes all calls of a transaction fail if a statement has timed out and SQLite
// has rolled back the transaction. Otherwise the next statements would be executed outside a
// transaction.
func (s *shell) endTimedOutTx(c *conn) {
	if c.lease.timedOut != nil && s.tx == c && !c.Lease().Panicked() && c.SQLite().GetAutocommit() {
		c.Stop(c.lease.timedOut, wrap.ReasonTimeLimit)
	}
}

// withTimeLimit wraps the error of an interrupted call with the exceeded limit, if that was the
// reason.
func (c *conn) withTimeLimit(err error) error {
	var limit *TimeLimitError
	if errors.As(err, &limit) || !errors.Is(err, sqlite3.INTERRUPT) && !errors.Is(err, sqlite3.BUSY) {
		return err
	}
	if errors.As(c.Stopped(), &limit) {
		return fmt.Errorf("%w: %w", limit, err)
	}
	if c.lease.timedOut != nil {
		return fmt.Errorf("%w: %w", c.lease.timedOut, err)
	}
	return err
}

// statementTimedOut reports whether the call with context w has exceeded StatementTimeout.
// SQLite calls it, through Err, on the goroutine of the call.
func (w *leaseContext) statementTimedOut() bool {
	limit := w.conn.pool.cfg.StatementTimeout
	if w.began.IsZero() || limit <= 0 {
		return false
	}
	took := time.Since(w.began)
	if took <= limit {
		return false
	}
	if w.conn.lease.timedOut == nil {
		w.conn.lease.timedOut = w.conn.limit("StatementTimeout", limit, took)
		w.conn.pool.recordTimeLimit(w.conn, w.conn.lease.timedOut, false)
	}
	return true
}
