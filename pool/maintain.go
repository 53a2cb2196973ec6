package pool

import (
	"context"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A maintainer does the pool's regular work: it closes connections that are idle or open for
// too long, opens connections up to MinConns, and pings them. It also reports leaks, enforces
// time limits, and checks health and the WAL. It has one goroutine and one timer, and a job for
// each kind of work that calls a function of the program. If such a function does not return,
// the other jobs go on.
type maintainer struct {
	pool   *Pool
	cancel context.CancelFunc
	done   chan struct{}
	every  time.Duration

	reaps, fills, pings, checks, limits, walChecks *job

	checked time.Time

	// Used by the job fills.
	retry   time.Time     // open no connections before
	backOff time.Duration // the latest wait for retry
}

// After an error, opening connections in the background is retried after a second. Each further
// time, that doubles, up to a minute.
const (
	firstBackOff = time.Second
	maxBackOff   = time.Minute
)

func newMaintainer(p *Pool) *maintainer {
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	m := &maintainer{pool: p, cancel: cancel, done: make(chan struct{}), every: p.cfg.tick(), checked: now,
		reaps:     p.guard.newJob("closing connections that are idle or old"),
		fills:     p.guard.newJob("opening connections in the background"),
		pings:     p.guard.newJob("pinging idle connections"),
		checks:    p.guard.newJob("the regular health check"),
		limits:    p.guard.newJob("ending transactions and rows that exceed their limits"),
		walChecks: p.guard.newJob("checking the length of the WAL"),
	}
	go m.run(ctx)
	return m
}

// stop stops the goroutine and cancels the jobs.
func (m *maintainer) stop() {
	m.cancel()
	<-m.done
}

// ended waits until all jobs have ended. It returns false if ctx ends first.
func (m *maintainer) ended(ctx context.Context) (all bool) {
	all = true
	for _, j := range []*job{m.reaps, m.fills, m.pings, m.checks, m.limits, m.walChecks} {
		all = j.ended(ctx) && all
	}
	return all
}

// tick returns the interval between two rounds: an eighth of the shortest duration of the
// configuration, so that none is exceeded by more than that.
func (c Config) tick() time.Duration {
	tick := 30 * time.Second
	for _, d := range []time.Duration{c.IdleTimeout, c.MaxLifetime, c.KeepAlive, c.LeakAfter, c.HealthInterval, c.TxTimeout, c.MaxReadAge} {
		if d > 0 {
			tick = min(tick, max(d/8, 10*time.Millisecond))
		}
	}
	return tick
}

func (m *maintainer) run(ctx context.Context) {
	defer close(m.done)
	ticker := time.NewTicker(m.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m.round(ctx, time.Now())
	}
}

// round starts the work that is due. Work that calls functions of the program runs in jobs.
func (m *maintainer) round(ctx context.Context, now time.Time) {
	p := m.pool
	lanes := p.allLanes()
	if slices.ContainsFunc(lanes, func(l *lane) bool { return l.isReapable(now) }) {
		p.guard.start(ctx, m.reaps, func(ctx context.Context) {
			for _, l := range lanes {
				l.reap(ctx, now)
			}
		})
	}
	if slices.ContainsFunc(lanes, func(l *lane) bool { return l.count().open < l.keep() }) {
		p.guard.start(ctx, m.fills, func(ctx context.Context) { m.fill(ctx, now) })
	}
	if p.cfg.KeepAlive > 0 {
		p.guard.start(ctx, m.pings, func(ctx context.Context) {
			for _, l := range lanes {
				l.keepAlive(ctx, now)
			}
		})
	}
	if d := p.cfg.LeakAfter; d > 0 {
		for _, l := range p.allLanes() {
			for _, c := range l.conns() {
				p.reportLeak(c, now)
			}
		}
	}
	if p.cfg.takesAway() {
		p.guard.start(ctx, m.limits, func(context.Context) { p.enforceLimits(now) })
	}
	if p.walMayExceedLimit() {
		p.guard.start(ctx, m.walChecks, p.watchWAL)
	}
	if d := p.cfg.HealthInterval; d > 0 && now.Sub(m.checked) >= d {
		m.checked = now
		// check itself reports its result.
		p.guard.start(ctx, m.checks, func(ctx context.Context) { _ = p.check(ctx, false) })
	}
}

// reap closes idle connections: those that have been idle for too long, the longest idle first
// and down to keep, and those that are too old.
func (l *lane) reap(ctx context.Context, now time.Time) {
	for {
		c, why := l.popReapable(now)
		if c == nil {
			return
		}
		l.closeIn(ctx, c, why)
	}
}

func (l *lane) isReapable(now time.Time) bool {
	keep := l.keep()
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := l.reapable(now, keep)
	return i >= 0
}

func (l *lane) popReapable(now time.Time) (*conn, wrap.Reason) {
	keep := l.keep()
	l.mu.Lock()
	defer l.mu.Unlock()
	i, why := l.reapable(now, keep)
	if i < 0 {
		return nil, ""
	}
	c := l.idle[i]
	l.idle = append(l.idle[:i], l.idle[i+1:]...)
	return c, why
}

// reapable returns the index of an idle connection that must be closed, and the reason, or -1.
// l.mu must be held.
func (l *lane) reapable(now time.Time, keep int) (int, wrap.Reason) {
	idle := l.pool.cfg.IdleTimeout
	for i, c := range l.idle {
		why := wrap.Reason("")
		switch {
		case c.generation != l.generation:
			why = wrap.ReasonReset
		case c.marks != 0:
		case !c.expires.IsZero() && now.After(c.expires):
			why = wrap.ReasonExpired
		case idle > 0 && now.Sub(c.idleSince) >= idle && len(l.all)+l.dialing > keep:
			why = wrap.ReasonIdle
		}
		if why != "" {
			return i, why
		}
	}
	return -1, ""
}

// keep returns how many connections of the lane must be open. The writer counts as the first
// one, because closing the last connection of a file removes its WAL.
func (l *lane) keep() int {
	least := l.pool.cfg.MinConns
	if !l.reads {
		return min(least, 1)
	}
	if l.pool.forReaders() != l {
		return 0
	}
	return min(least-1, l.queue.count().limit)
}

// fill opens connections until keep is reached.
func (m *maintainer) fill(ctx context.Context, now time.Time) {
	if now.Before(m.retry) || m.pool.lost.Load() {
		return
	}
	if now.Sub(m.retry) > maxBackOff { // the last failure was long ago
		m.backOff = 0
	}
	for _, l := range m.pool.allLanes() {
		for l.count().open < l.keep() {
			opened, err := l.openIdle(ctx)
			if err != nil {
				m.backOff = min(max(2*m.backOff, firstBackOff), maxBackOff)
				m.retry = now.Add(m.backOff)
				m.pool.logger.Error("pool: a connection could not be opened in the background", "lane", l.name, "error", m.pool.logErr(err), "again in", m.backOff)
				return
			}
			if !opened {
				return // a caller has the turn, and will open one
			}
		}
	}
	m.backOff = 0
}

// openIdle opens an idle connection, unless all turns are taken. It does not keep a turn
// meanwhile, because Init or a hook may never return. A caller that comes meanwhile opens
// another connection, and a surplus one is closed. With an exclusive connection, openIdle does
// keep the turn, because there can be only one connection.
func (l *lane) openIdle(ctx context.Context) (bool, error) {
	if !l.queue.try() {
		return false, nil
	}
	if l.pool.plan.exclusive {
		defer l.releaseTurn(false)
	} else {
		l.releaseTurn(false)
	}
	if l.count().open >= l.keep() {
		return true, nil // a caller has opened one meanwhile
	}
	c, err := l.dial(ctx, nil)
	if err != nil {
		return false, err
	}
	c.idleSince = time.Now()
	l.push(c)
	return true, nil
}

// keepAlive pings idle connections that have not answered for KeepAlive. It pings one at a
// time, and holds a turn for each, so that callers do not find the lane empty.
func (l *lane) keepAlive(ctx context.Context, now time.Time) {
	for range l.count().idle {
		if !l.queue.try() {
			return
		}
		c := l.popOldest(now.Add(-l.pool.cfg.KeepAlive))
		if c == nil {
			l.releaseTurn(false)
			return
		}
		answers := false
		_ = l.pool.guard.protect("pinging an idle connection", func() { answers = l.ping(ctx, c) })
		answers = answers || ctx.Err() != nil && !c.Lease().Panicked()
		if answers {
			l.push(c)
		}
		l.releaseTurn(false)
		if !answers { // without a turn, because a hook may never return
			l.closeIn(ctx, c, wrap.ReasonInvalid)
		}
	}
}

// popOldest removes and returns an idle connection that has not been used or pinged since then:
// the one used longest ago. It returns nil if there is none.
func (l *lane) popOldest(since time.Time) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.idle {
		if c.answered.Before(since) && c.idleSince.Before(since) {
			l.idle = append(l.idle[:i], l.idle[i+1:]...)
			return c
		}
	}
	return nil
}

// reportLeak reports a connection that has been held for LeakAfter, once.
func (p *Pool) reportLeak(c *conn, now time.Time) {
	h, ok := c.holder(now)
	if !ok || h.Held < p.cfg.LeakAfter {
		return
	}
	c.mu.Lock()
	// The connection may have ended this lease, and may have another.
	again := c.lease.leakReported || !c.lease.used || now.Sub(c.lease.since) != h.Held
	if !again {
		c.lease.leakReported = true
	}
	c.mu.Unlock()
	if again {
		return
	}
	p.recorder.Record(driver.Event{Time: now, Kind: driver.KindLeak, Conn: h.Conn, Lane: h.Lane, Duration: h.Held, Trace: h.Trace, Background: true})
	p.logger.Warn("pool: a connection has been in use for long", "conn", h.Conn, "lane", h.Lane, "held", h.Held,
		"last", h.Last, "owner", h.Owner, "rows", h.Rows, "tx", h.Tx, "trace", h.Trace, "stack", h.Stack)
}

// recordLeakEnd reports that a leaked connection has been given back.
func (p *Pool) recordLeakEnd(c *conn, held time.Duration) {
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindLeakEnd, Conn: c.ID(), Lane: c.lane.name, Duration: held})
	p.logger.Info("pool: a connection that was in use for long has been given back", "conn", c.ID(), "lane", c.lane.name, "held", held)
}

// Reset replaces all connections of the pool by new ones. Idle connections are closed now,
// leased ones when they are given back. The session state of the writer is lost.
func (p *Pool) Reset() {
	for _, l := range p.allLanes() {
		l.mu.Lock()
		l.generation++
		l.mu.Unlock()
		l.reap(context.Background(), time.Now())
	}
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindReset})
	p.logger.Info("pool: reset")
}
