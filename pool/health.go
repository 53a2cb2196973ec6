package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	job      *job // that examines
	mu       sync.Mutex
	last     HealthReport  // without the pool's failures
	reported Health        // by the latest event
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
func (p *Pool) HealthCheck(ctx context.Context) error { return p.check(ctx, true) }

// check is HealthCheck. With probe, it has a checkpoint that fails be tried again; the
// pool's own checks do not, so that they do not defeat its back-off.
func (p *Pool) check(ctx context.Context, probe bool) error {
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
	r := p.examineInBackground(bounded, probe)
	if err := ctx.Err(); errors.Is(err, context.Canceled) && r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err) // which says nothing of the database
	}
	r.Checked = time.Now()
	r.Took = r.Checked.Sub(began)
	p.health.mu.Lock()
	was := p.health.last.Health
	p.health.last = r
	p.health.mu.Unlock()
	p.healthMayChange(true)
	if r.Health != was {
		if r.Health != HealthOK {
			p.logger.Error("pool: health", "health", r.Health.String(), "reasons", r.Reasons)
		} else if was != HealthUnknown {
			p.logger.Info("pool: health", "health", r.Health.String())
		}
	}
	if p.recorderBox != nil {
		p.recorderBox.flush(bounded) // so that the Recorder knows what the caller does
	}
	if r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, r.Err)
	}
	return nil
}

// Health returns what the last check has found, and what fails now: writes,
// checkpoints, or keeping the WAL within Config.JournalSizeLimit. With one of these the
// pool is degraded from the moment that it begins until it ends, whether and whenever
// the pool's health is checked.
func (p *Pool) Health() HealthReport {
	r := p.lastReport()
	if reasons := p.reasons(); len(reasons) > 0 {
		r.Reasons = append(slices.Clone(r.Reasons), reasons...)
		r.Health = max(r.Health, HealthDegraded)
	}
	return r
}

// found returns what the last check has found.
func (p *Pool) lastReport() HealthReport {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.last
}

// healthMayChange records an event if the health is not what the latest event said:
// in the background where the caller may be a goroutine of the pool.
func (p *Pool) healthMayChange(background bool) {
	p.health.mu.Lock()
	now, took := p.health.last.Health, p.health.last.Took
	if p.failing() {
		now = max(now, HealthDegraded)
	}
	changed := now != p.health.reported
	p.health.reported = now
	p.health.mu.Unlock()
	if changed {
		p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindHealth, Duration: took, Reason: driver.Reason(now.String()), Background: background})
	}
}

// examineApart is examine on a goroutine of its own, so that Init or a hook that
// never returns, or panics, fails the check and does not keep its caller.
func (p *Pool) examineInBackground(ctx context.Context, probe bool) HealthReport {
	down := func(err error) HealthReport {
		return HealthReport{Health: HealthDown, Err: err, Reasons: []string{p.logErr(err)}}
	}
	found := make(chan HealthReport, 1)
	began := p.guard.start(ctx, p.health.job, func(ctx context.Context) {
		r := HealthReport{}
		err := p.guard.protect(p.health.job.name, func() {
			if r = p.examine(ctx); probe && r.Health != HealthDown {
				p.probeCheckpoint(ctx)
			}
		})
		if err != nil {
			r = down(err)
		}
		found <- r
	})
	if !began {
		return down(p.guard.unfinishedError(p.health.job))
	}
	select {
	case r := <-found:
		p.health.job.ended(ctx) // which it is about to: the next check is to begin another
		return r
	case <-ctx.Done():
	}
	select { // it looks at ctx itself
	case r := <-found:
		return r
	case <-time.After(closeGrace):
		return down(fmt.Errorf("%w: %w", ctx.Err(), p.guard.unfinishedError(p.health.job)))
	}
}

// examine is a check.
func (p *Pool) examine(ctx context.Context) HealthReport {
	r := HealthReport{Health: HealthOK}
	down := func(err error) HealthReport {
		r.Health, r.Err = HealthDown, err
		r.Reasons = append(r.Reasons, p.logErr(err))
		return r
	}
	degraded := func(format string, args ...any) {
		r.Health = HealthDegraded
		r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
	}
	switch err := p.checkFile(); {
	case errors.Is(err, driver.ErrFileLost):
		return down(err)
	case err != nil:
		degraded("%v", err)
	}
	err := p.withOwnConn(ctx, func(c driver.PoolConn) error {
		raw := c.SQLite()
		old := raw.SetInterrupt(ctx)
		defer raw.SetInterrupt(old)
		if err := readPage(raw); err != nil {
			return err
		}
		if err := p.checkSize(c); err != nil {
			return err
		}
		mode, ok := journalMode(raw)
		if want := !p.cfg.DisableWAL && p.readers != nil; ok && want && mode != "wal" {
			degraded("the journal mode is %s, not wal: there is one lane", mode)
		}
		if mode == "wal" {
			p.checkWAL(raw)
		}
		return nil
	})
	if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		// The new connection cannot read it. One that could may know why.
		_, lost := p.withIdleWriter(ctx, false, func(c *conn) error { return p.checkSize(c) })
		if errors.Is(lost, driver.ErrFileLost) {
			err = lost
		}
	}
	switch {
	case err == errInUse: // as it was
		return p.lastReport()
	case err == nil:
	case errors.Is(err, sqlite3.BUSY) && !errors.Is(ctx.Err(), context.Canceled):
		degraded("somebody has the database locked for longer than a check waits")
	default:
		return down(err)
	}
	if p.writePragmasDiffer(ctx) {
		degraded("the connection that writes does not check what it should: somebody has set foreign_keys, ignore_check_constraints or recursive_triggers there")
	}
	for _, l := range p.allLanes() {
		if n := l.count(); n.extra > 0 {
			degraded("%d readers are open beyond the limit: some wait for each other", n.extra)
		}
	}
	return r
}

// checkSize looks whether the files hold what SQLite has written to them.
func (p *Pool) checkSize(c driver.PoolConn) error {
	err := c.CheckSize()
	if err != nil {
		p.recordFileLost(err)
	}
	return err
}

// probeCheckpoint has a checkpoint that fails be tried now, and not only after the next
// back-off or commit.
func (p *Pool) probeCheckpoint(ctx context.Context) {
	if !p.failures.on[failedCheckpoint].Load() {
		return
	}
	if p.wals.keeper == keptByCommits {
		_, _ = p.withIdleWriter(ctx, false, func(c *conn) error {
			p.wals.retry.Store(0)
			p.wals.checkpoint(c.SQLite())
			return nil
		})
		return
	}
	p.checkpoints.probe(ctx)
}

// readPage has SQLite read the file, which "SELECT 1" does not.
func readPage(raw *sqlite3.Conn) error {
	return row(raw, "PRAGMA schema_version", func(*sqlite3.Stmt) {})
}

// changesHowItWrites reports whether a program has changed a pragma by which the
// others rely on what is written, if nobody has the connection.
func (p *Pool) writePragmasDiffer(ctx context.Context) (changed bool) {
	if marks(p.marks.Load())&markPragma != 0 {
		_, _ = p.withIdleWriter(ctx, false, func(c *conn) error {
			changed = writePragmas(c.SQLite()) != c.writePragmas
			return nil
		})
	}
	return changed
}

// ifIdle calls f with the connection that writes, if nobody has it, and reports
// whether it did. If there is none, it opens one, if it is to.
func (p *Pool) withIdleWriter(ctx context.Context, open bool, f func(*conn) error) (did bool, err error) {
	l := p.writer
	if !l.queue.try() {
		return false, nil
	}
	defer l.releaseTurn(false)
	c := l.pop()
	if c == nil {
		if !open || l.isOpening() { // which may be the only one that there may be
			return false, nil
		}
		if c, err = l.dial(ctx, nil); err != nil {
			return true, err
		}
		c.idleSince = time.Now()
	}
	defer func() {
		if c.Wrapped().Panicked() {
			l.closeIn(ctx, c, wrap.ReasonPanic)
		} else {
			l.push(c)
		}
	}()
	c.Wrapped().Use(func() { err = f(c) })
	return true, err
}

// errInUse: the only connection that there may be is somebody's.
var errInUse = errors.New("pool: in use")

// examiner calls f with a connection that is no user's: a new one, or a memory
// database's keeper.
func (p *Pool) withOwnConn(ctx context.Context, f func(driver.PoolConn) error) error {
	switch {
	case p.keeper != nil:
		return p.keeper.use(f)
	case p.plan.exclusive:
		did, err := p.withIdleWriter(ctx, true, func(c *conn) error { return f(c) })
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
	markBackground(ctx, c)
	defer c.Wrapped().CloseFor(wrap.ReasonOther)
	c.Wrapped().Use(func() { err = f(c) })
	return err
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

func (k *keeper) use(f func(driver.PoolConn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return ErrClosed
	}
	return f(k.conn)
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
