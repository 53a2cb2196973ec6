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

// Health is the state of a pool.
type Health uint8

const (
	// HealthUnknown means that the pool has not been checked.
	HealthUnknown Health = iota
	// HealthOK means that the database can be read and is as configured.
	HealthOK
	// HealthDegraded means that the database can be read, but something is wrong. See the
	// reasons.
	HealthDegraded
	// HealthDown means that the database cannot be read.
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

// A HealthReport is the result of a health check.
type HealthReport struct {
	Health  Health
	Reasons []string // why the pool is not ok
	Err     error    // why the pool is down
	Checked time.Time
	Took    time.Duration
}

// healthState holds the result of the last check.
type healthState struct {
	job      *job          // the running check
	mu       sync.Mutex    // guards last and reported, and the creation of checking
	last     HealthReport  // without the pool's failures
	reported Health        // health in the latest event
	checking chan struct{} // holds one token: that of the running check
}

// begin waits until no other check runs.
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

// HealthCheck reads a page of the database and checks that the database is as configured. It
// returns nil if the pool is ok or degraded; [Pool.Health] says which, and why. Otherwise the
// error is [ErrHealthCheck] or [ErrClosed].
//
// The check runs on a connection of its own, which is opened with the pragmas of all
// connections and verifies them. So it never waits behind callers. It takes at most five
// seconds, or as long as ctx allows.
//
// On the writer, it checks whether the program has changed pragmas there, but only if the
// writer is not in use. If only one connection can open the database (locking_mode=exclusive),
// the whole check uses that connection. While it is in use, the last result stays valid.
//
// Several goroutines may call HealthCheck. One of them checks; the others wait as long as their
// contexts allow.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.check(ctx, true) }

// check is HealthCheck. With probe, it retries a failing checkpoint immediately. The pool's own
// checks do not, because that would defeat the back-off.
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
	if p.Closed() { // closed while waiting
		return ErrClosed
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, sqliteTimeout)
	defer cancel()
	r := p.examineInBackground(bounded, probe)
	if err := ctx.Err(); errors.Is(err, context.Canceled) && r.Health == HealthDown {
		// The caller has given up, which says nothing about the database.
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
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
		p.recorderBox.flush(bounded) // the Recorder has the events before the caller has the result
	}
	if r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, r.Err)
	}
	return nil
}

// Health returns the result of the last check and the current failures: of writes, of
// checkpoints, or of keeping the WAL within Config.JournalSizeLimit. Each failure makes the
// pool degraded from its begin to its end, independently of checks.
func (p *Pool) Health() HealthReport {
	r := p.lastReport()
	if reasons := p.reasons(); len(reasons) > 0 {
		r.Reasons = append(slices.Clone(r.Reasons), reasons...)
		r.Health = max(r.Health, HealthDegraded)
	}
	return r
}

// lastReport returns the result of the last check.
func (p *Pool) lastReport() HealthReport {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.last
}

// healthMayChange records an event if the health differs from that of the latest event.
// background says that the caller may be a goroutine of the pool.
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
		p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindHealth, Duration: took, Health: now.String(), Background: background})
	}
}

// examineInBackground runs examine on a separate goroutine. If Init or a hook panics or never
// returns, the check fails, but its caller is not blocked.
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
		p.health.job.ended(ctx) // it ends immediately; then the next check can start another
		return r
	case <-ctx.Done():
	}
	select { // examine checks ctx too, so it may still return soon
	case r := <-found:
		return r
	case <-time.After(closeGrace):
		return down(fmt.Errorf("%w: %w", ctx.Err(), p.guard.unfinishedError(p.health.job)))
	}
}

// examine runs one check.
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
		// The new connection cannot read the file. An open connection may know why.
		_, lost := p.withIdleWriter(ctx, false, func(c *conn) error { return p.checkSize(c) })
		if errors.Is(lost, driver.ErrFileLost) {
			err = lost
		}
	}
	switch {
	case err == errInUse: // the last result stays valid
		return p.lastReport()
	case err == nil:
	case errors.Is(err, sqlite3.BUSY) && !errors.Is(ctx.Err(), context.Canceled):
		degraded("the database was locked by another connection for longer than a check waits")
	default:
		return down(err)
	}
	if p.writePragmasDiffer(ctx) {
		degraded("the writer does not check what it should: a query has changed foreign_keys, ignore_check_constraints or recursive_triggers on it")
	}
	for _, l := range p.allLanes() {
		if n := l.count(); n.extra > 0 {
			degraded("%d readers are open beyond the limit: some wait for each other", n.extra)
		}
	}
	return r
}

// checkSize checks that the files are as long as SQLite expects.
func (p *Pool) checkSize(c driver.PoolConn) error {
	err := c.CheckSize()
	if err != nil {
		p.recordFileLost(err)
	}
	return err
}

// probeCheckpoint retries a failing checkpoint now, without waiting for the back-off or for the
// next commit.
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

// readPage makes SQLite read the file. "SELECT 1" would not.
func readPage(raw *sqlite3.Conn) error {
	return row(raw, "PRAGMA schema_version", func(*sqlite3.Stmt) {})
}

// writePragmasDiffer reports whether the program has changed a pragma that affects the writes
// of all callers. It returns false if the writer is in use.
func (p *Pool) writePragmasDiffer(ctx context.Context) (changed bool) {
	if marks(p.marks.Load())&markPragma != 0 {
		_, _ = p.withIdleWriter(ctx, false, func(c *conn) error {
			changed = writePragmas(c.SQLite()) != c.writePragmas
			return nil
		})
	}
	return changed
}

// withIdleWriter calls f with the writer, and reports whether it did. It does not if the writer
// is in use. If the writer's connection is not open, it opens it if open is set.
func (p *Pool) withIdleWriter(ctx context.Context, open bool, f func(*conn) error) (did bool, err error) {
	l := p.writer
	if !l.queue.try() {
		return false, nil
	}
	defer l.releaseTurn(false)
	c := l.pop()
	if c == nil {
		if !open || l.isOpening() { // an opening may be the only connection that is allowed
			return false, nil
		}
		if c, err = l.dial(ctx, nil); err != nil {
			return true, err
		}
		c.idleSince = time.Now()
	}
	defer func() {
		if c.Lease().Panicked() {
			l.closeIn(ctx, c, wrap.ReasonPanic)
		} else {
			l.push(c)
		}
	}()
	c.Lease().Use(func() { err = f(c) })
	return true, err
}

// errInUse means that the only possible connection is in use.
var errInUse = errors.New("pool: in use")

// withOwnConn calls f with a connection that no caller uses: a new one, or the keeper of an
// in-memory database. With locking_mode=exclusive, it is the writer if that is idle; otherwise
// the error is errInUse.
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
	defer c.Lease().CloseFor(wrap.ReasonOther)
	c.Lease().Use(func() { err = f(c) })
	return err
}

// A keeper is a connection that keeps an in-memory database alive as long as the pool is open.
// No caller uses it. A nil keeper does nothing.
type keeper struct {
	mu   sync.Mutex      // held while conn is used
	conn driver.PoolConn // nil once closed
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
	return conn.Lease().CloseFor(wrap.ReasonPoolClosed)
}
