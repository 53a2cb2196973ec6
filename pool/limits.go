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

// ErrTimeLimit is the error of what has taken longer than Config.StatementTimeout,
// Config.TxTimeout or Config.MaxReadAge allows; see [TimeLimitError].
var ErrTimeLimit = errors.New("pool: a time limit is over")

// A TimeLimitError says which limit was over, and of what. It is [ErrTimeLimit] and
// [sqlite3.INTERRUPT].
type TimeLimitError struct {
	Setting string        // "StatementTimeout", "TxTimeout" or "MaxReadAge"
	Limit   time.Duration // what it is
	Took    time.Duration // when that was noticed
	Conn    driver.ConnID
	Last    string // db.query.summary of the connection's last text
}

func (e *TimeLimitError) Error() string {
	last := ""
	if e.Last != "" {
		last = fmt.Sprintf(", last %q", e.Last)
	}
	what := map[string]string{
		"StatementTimeout": "a statement has taken", "TxTimeout": "a transaction has lasted", "MaxReadAge": "rows or a transaction have been read for",
	}[e.Setting]
	return fmt.Sprintf("pool: %s %s on connection %d%s, longer than Config.%s allows (%s): it is ended",
		what, e.Took.Round(time.Millisecond), e.Conn, last, e.Setting, e.Limit)
}

// Is reports whether target is [ErrTimeLimit].
func (e *TimeLimitError) Is(target error) bool { return target == ErrTimeLimit }

// Unwrap returns [sqlite3.INTERRUPT].
func (e *TimeLimitError) Unwrap() error { return sqlite3.INTERRUPT }

// takesAway reports whether the pool may take a connection away in mid-use. Then it and
// who has the connection keep out of each other's way; see shell.hands.
func (c *Config) takesAway() bool { return c.TxTimeout > 0 || c.MaxReadAge > 0 }

// over returns the limit of a transaction or reading that is over, if one is, and which
// use of the connection that is.
func (c *conn) exceededLimit(now time.Time) (*TimeLimitError, use) {
	cfg := &c.lane.pool.cfg
	since := func(n int64) time.Duration { return now.Sub(time.Unix(0, n)) }
	c.mu.Lock()
	used, leased := c.lease.used, c.lease.since
	c.mu.Unlock()
	if !used || c.shell.Load() == nil { // or the pool has it itself, for a backup, say
		return nil, use{}
	}
	began := c.lease.txStart.Load()
	this := use{leased, began}
	if began != 0 && cfg.TxTimeout > 0 && since(began) > cfg.TxTimeout {
		return c.limit("TxTimeout", cfg.TxTimeout, since(began)), this
	}
	if cfg.MaxReadAge > 0 && (began != 0 || c.lease.tx.Load() || c.Wrapped().OpenRows() > 0) {
		reads := now.Sub(leased)
		if n := c.lease.readStart.Load(); n != 0 {
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

// A use is a lease of a connection, or a transaction in it.
type use struct {
	leased time.Time
	began  int64
}

// stopIn is stop, if the connection is in that use still.
func (c *conn) stopIn(this use, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lease.used || c.lease.since != this.leased || c.lease.txStart.Load() != this.began {
		return false
	}
	c.stop(err)
	return true
}

func (c *conn) limit(setting string, limit, took time.Duration) *TimeLimitError {
	return &TimeLimitError{setting, limit, took, c.ID(), c.summary()}
}

// begins notes when a transaction has begun, by whatever text, and when it is over.
func (c *conn) updateTxStart() {
	if !c.lane.pool.cfg.takesAway() {
		return
	}
	switch {
	case c.SQLite().GetAutocommit():
		c.lease.txStart.Store(0)
	case c.lease.txStart.Load() == 0:
		c.lease.txStart.Store(time.Now().UnixNano())
	}
}

// enforceLimits ends what has lasted for too long: it is told of, then the call that is
// under way is interrupted, and then, when there is none, the connection is taken away:
// its transaction is rolled back, and its turn is the next one's, although the program
// still has it.
func (p *Pool) enforceLimits(now time.Time) {
	for _, l := range p.allLanes() {
		for _, c := range l.conns() {
			if c.stopped.Load() == nil {
				limit, this := c.exceededLimit(now)
				if limit == nil {
					continue
				}
				p.recordTimeLimit(c, limit, true)
				if !c.stopIn(this, limit) {
					continue // it has just come to its end
				}
			}
			if limit := (*TimeLimitError)(nil); errors.As(*c.stopped.Load(), &limit) {
				c.takeAway()
			}
		}
	}
}

// overdue tells of a limit that is over.
func (p *Pool) recordTimeLimit(c *conn, limit *TimeLimitError, background bool) {
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindTimeLimit, Conn: c.ID(), Lane: c.lane.name,
		Duration: limit.Took, Reason: driver.Reason(limit.Setting), Background: background})
	p.logger.Warn("pool: a time limit is over", "setting", limit.Setting, "limit", limit.Limit, "took", limit.Took, "conn", c.ID(), "lane", c.lane.name, "last", limit.Last)
}

// takeAway does what is left to do about a connection whose calls fail by now, if no
// call is under way. What the program has of it stays as it is, and fails: it is closed
// when it is given back. Who has been given SQLite's own connection keeps it.
func (c *conn) takeAway() {
	s := c.shell.Load()
	if s == nil || !s.callMu.TryLock() {
		return
	}
	defer s.callMu.Unlock()
	if c.shell.Load() != s || c.takenAway || c.rawLent || c.Wrapped().Panicked() {
		return
	}
	c.takenAway = true
	c.lane.pool.recoverPanics(placeCallback, func() {
		c.Wrapped().Use(func() {
			raw := c.SQLite()
			old := raw.SetInterrupt(context.Background())
			defer raw.SetInterrupt(old)
			c.Reset()
			if !raw.GetAutocommit() {
				_ = raw.Exec("ROLLBACK")
			}
		})
	})
	// Where there can be one connection only, the next has none until this is given back.
	if !c.lane.pool.plan.exclusive && c.turn.revoke() {
		c.lane.releaseTurn(c.extra)
	}
}

// endLate has the calls of a transaction fail of which a statement took too long, and
// which SQLite has rolled back for that: else they would be executed without one.
func (s *shell) endTimedOutTx(c *conn) {
	if c.timedOut != nil && s.tx == c && !c.Wrapped().Panicked() && c.SQLite().GetAutocommit() {
		c.stop(c.timedOut)
	}
}

// Copies implements [wrap.Gate].
func (c *conn) Copies() bool { return c.lane.pool.cfg.takesAway() }

// Hold implements [wrap.Gate].
func (c *conn) Hold() error {
	if !c.lane.pool.cfg.takesAway() {
		return nil
	}
	if s := c.shell.Load(); s != nil {
		s.callMu.Lock()
		c.lockedShell = s
	}
	if c.takenAway {
		return *c.stopped.Load()
	}
	return nil
}

// Drop implements [wrap.Gate].
func (c *conn) Drop() {
	if s := c.lockedShell; s != nil {
		c.lockedShell = nil
		s.callMu.Unlock()
	}
}

// explain adds to an error that a call was interrupted, why it was.
func (c *conn) withTimeLimit(err error) error {
	var limit *TimeLimitError
	if errors.As(err, &limit) || !errors.Is(err, sqlite3.INTERRUPT) && !errors.Is(err, sqlite3.BUSY) {
		return err
	}
	if stopped := c.stopped.Load(); stopped != nil && errors.As(*stopped, &limit) {
		return fmt.Errorf("%w: %w", limit, err)
	}
	if c.timedOut != nil {
		return fmt.Errorf("%w: %w", c.timedOut, err)
	}
	return err
}

// isLate reports whether the call that w is of has taken longer than a statement may. It
// is asked by SQLite, on the goroutine of the call.
func (w *leaseContext) statementTimedOut() bool {
	limit := w.conn.lane.pool.cfg.StatementTimeout
	if w.began.IsZero() || limit <= 0 {
		return false
	}
	took := time.Since(w.began)
	if took <= limit {
		return false
	}
	if w.conn.timedOut == nil {
		w.conn.timedOut = w.conn.limit("StatementTimeout", limit, took)
		w.conn.lane.pool.recordTimeLimit(w.conn, w.conn.timedOut, false)
	}
	return true
}

// stoppedReason is why a connection is closed that was taken away.
func (c *conn) stoppedReason() wrap.Reason {
	if errors.Is(*c.stopped.Load(), ErrTimeLimit) {
		return wrap.ReasonTimeLimit
	}
	return wrap.ReasonPoolClosed
}
