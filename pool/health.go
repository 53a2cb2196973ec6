package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Health is how a pool is.
type Health uint8

const (
	// HealthUnknown: it has not been checked.
	HealthUnknown Health = iota
	// HealthOK: the database can be read, and is as it was configured.
	HealthOK
	// HealthDegraded: it can be read, but see the reasons.
	HealthDegraded
	// HealthDown: it cannot be read.
	HealthDown
)

// String returns ok, degraded, down or unknown.
func (h Health) String() string {
	switch h {
	case HealthOK:
		return "ok"
	case HealthDegraded:
		return "degraded"
	case HealthDown:
		return "down"
	}
	return "unknown"
}

// A HealthReport is what a check has found.
type HealthReport struct {
	Health  Health
	Reasons []string // why it is not ok
	Err     error    // why it is down
	Checked time.Time
	Took    time.Duration
}

// healthState is what was found last.
type healthState struct {
	mu       sync.Mutex
	last     HealthReport
	checking chan struct{} // has room for one: who checks
}

// begin waits until nobody else checks.
func (h *healthState) begin(ctx context.Context) error {
	h.mu.Lock()
	if h.checking == nil {
		h.checking = make(chan struct{}, 1)
	}
	h.mu.Unlock()
	select {
	case h.checking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *healthState) end() { <-h.checking }

// HealthCheck reads a page of the database and looks whether it is what it was
// configured to be: on a connection of its own, which is opened for the check with
// the pragmas that all have, read back, so that it never queues behind the pool's
// users; and it takes five seconds at most, or less if ctx says so. Of the
// connection that writes, it looks at what a program has set there if nobody has
// it just then; and so at all, where only one connection can have the database
// (locking_mode=exclusive): while somebody has that, what was found last holds. It
// returns nil if the pool is ok or
// degraded; [Pool.Health] says which, and why. Otherwise the error is
// [ErrHealthCheck], or [ErrClosed]. It may be called by any number of goroutines;
// one checks, the others wait for it as long as their contexts allow.
func (p *Pool) HealthCheck(ctx context.Context) error {
	if p.Closed() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	if err := p.health.begin(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	defer p.health.end()
	if p.Closed() { // meanwhile
		return ErrClosed
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, sqliteTimeout)
	defer cancel()
	r := p.examine(bounded)
	if err := ctx.Err(); errors.Is(err, context.Canceled) && r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err) // which says nothing of the database
	}
	r.Checked = time.Now()
	r.Took = r.Checked.Sub(began)
	p.health.mu.Lock()
	was := p.health.last.Health
	p.health.last = r
	p.health.mu.Unlock()
	if r.Health != was {
		p.recorder.Record(driver.Event{Time: r.Checked, Kind: driver.KindHealth, Duration: r.Took, Reason: driver.Reason(r.Health.String())})
		if r.Health != HealthOK {
			p.logger.Error("pool: health", "health", r.Health.String(), "reasons", r.Reasons)
		} else if was != HealthUnknown {
			p.logger.Info("pool: health", "health", r.Health.String())
		}
	}
	if r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, r.Err)
	}
	return nil
}

// Health returns what the last check has found.
func (p *Pool) Health() HealthReport {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.last
}

// examine is a check.
func (p *Pool) examine(ctx context.Context) HealthReport {
	r := HealthReport{Health: HealthOK}
	down := func(err error) HealthReport {
		r.Health, r.Err = HealthDown, err
		r.Reasons = append(r.Reasons, p.safe(err))
		return r
	}
	degraded := func(format string, args ...any) {
		r.Health = HealthDegraded
		r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
	}
	// Before it is opened, which might make another.
	if f := p.file; f != nil && f.info != nil {
		if info, err := os.Stat(p.path); err != nil || !os.SameFile(info, f.info) {
			return down(driver.ErrFileLost)
		}
	}
	err := p.examiner(ctx, func(raw *sqlite3.Conn) error {
		old := raw.SetInterrupt(ctx)
		defer raw.SetInterrupt(old)
		if err := readPage(raw); err != nil {
			return err
		}
		mode, ok := journalMode(raw)
		if want := !p.cfg.DisableWAL && p.readers != nil; ok && want && mode != "wal" {
			degraded("the journal mode is %s, not wal: there is one lane", mode)
		}
		return nil
	})
	switch {
	case err == errInUse: // as it was
		return p.Health()
	case err == nil:
	case errors.Is(err, sqlite3.BUSY) && !errors.Is(ctx.Err(), context.Canceled):
		degraded("somebody has the database locked for longer than a check waits")
	default:
		return down(err)
	}
	if p.changesHowItWrites(ctx) {
		degraded("the connection that writes does not check what it should: somebody has set foreign_keys, ignore_check_constraints or recursive_triggers there")
	}
	for _, l := range p.allLanes() {
		if n := l.count(); n.extra > 0 {
			degraded("%d readers are open beyond the limit: some wait for each other", n.extra)
		}
	}
	return r
}

// readPage has SQLite read the file, which "SELECT 1" does not.
func readPage(raw *sqlite3.Conn) error {
	return row(raw, "PRAGMA schema_version", func(*sqlite3.Stmt) {})
}

// changesHowItWrites reports whether a program has changed a pragma by which the
// others rely on what is written, if nobody has the connection.
func (p *Pool) changesHowItWrites(ctx context.Context) (changed bool) {
	if marks(p.marks.Load())&markPragma != 0 {
		_, _ = p.ifIdle(ctx, false, func(c *conn) error {
			changed = writing(c.SQLite()) != c.writing
			return nil
		})
	}
	return changed
}

// ifIdle calls f with the connection that writes, if nobody has it, and reports
// whether it did. If there is none, it opens one, if it is to.
func (p *Pool) ifIdle(ctx context.Context, open bool, f func(*conn) error) (did bool, err error) {
	l := p.writer
	if !l.queue.try() {
		return false, nil
	}
	defer l.give(false)
	c := l.pop()
	if c == nil {
		if !open {
			return false, nil
		}
		if c, err = l.dial(ctx, nil); err != nil {
			return true, err
		}
		c.idleSince = time.Now()
	}
	defer l.push(c)
	return true, f(c)
}

// errInUse: the only connection that there may be is somebody's.
var errInUse = errors.New("pool: in use")

// examiner calls f with a connection that is no user's: a new one, or a memory
// database's keeper.
func (p *Pool) examiner(ctx context.Context, f func(*sqlite3.Conn) error) error {
	switch {
	case p.keeper != nil:
		return p.keeper.use(f)
	case p.cfg.exclusive():
		did, err := p.ifIdle(ctx, true, func(c *conn) error { return f(c.SQLite()) })
		if !did {
			return errInUse
		}
		return err
	}
	connector := p.forReaders().connector
	c, err := connector.Dial(ctx, nil)
	if err != nil {
		return err
	}
	defer c.Wrapped().CloseFor(wrap.ReasonOther)
	return f(c.SQLite())
}

// A keeper is a connection that keeps a memory database from vanishing: it is
// there for as long as the pool is, and no user's. A nil keeper keeps nothing.
type keeper struct {
	mu   sync.Mutex
	conn driver.PoolConn
}

func newKeeper(ctx context.Context, c *driver.Connector) (*keeper, error) {
	conn, err := c.Dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &keeper{conn: conn}, nil
}

func (k *keeper) use(f func(*sqlite3.Conn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return ErrClosed
	}
	return f(k.conn.SQLite())
}

func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	conn := k.conn
	k.conn = nil
	return conn.Wrapped().CloseFor(wrap.ReasonPoolClosed)
}
