package pool

import (
	"context"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A maintainer does what a pool does by itself: it closes connections that have
// been idle or alive for long enough, keeps as many open as there are to be,
// pings them, reports leaks and looks after the pool's health. It is one
// goroutine, and one timer, and a job for each thing in which a function of the
// program's is called: while one does not return, the others go on.
type maintainer struct {
	pool   *Pool
	cancel context.CancelFunc
	done   chan struct{}
	every  time.Duration

	reaps, fills, pings, checks, limits, walChecks *job

	checked time.Time

	// Of the job that fills.
	retry   time.Time     // not to open connections before
	backOff time.Duration // after it has failed
}

// Opening connections in the background is tried again after a second, then
// after twice as long each time, up to a minute.
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

// stop has everything come to its end.
func (m *maintainer) stop() {
	m.cancel()
	<-m.done
}

// ended waits for what is under way, as long as ctx allows, and reports whether it
// has ended.
func (m *maintainer) ended(ctx context.Context) (all bool) {
	all = true
	for _, j := range []*job{m.reaps, m.fills, m.pings, m.checks, m.limits, m.walChecks} {
		all = j.ended(ctx) && all
	}
	return all
}

// tick is how often there may be something to do: a fraction of the shortest of
// the times that matter, so that none is missed by much.
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

// round does what is due. What begins here does not call a function of the
// program's, but in a job.
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
		p.guard.start(ctx, m.checks, func(ctx context.Context) { _ = p.check(ctx, false) }) // which tells of it
	}
}

// reap closes idle connections that have been so for too long, those first that
// were used longest ago, down to what is to be there; and those that have lived
// for long enough.
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

// reapable returns which idle connection is to be closed, and why, or -1. l.mu must be
// held.
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

// keep is how many connections of the lane there are to be, whether used or not.
// The one that writes is the first of them: to close a file's last connection is
// to remove its WAL.
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

// fill opens connections until there are as many as there are to be.
func (m *maintainer) fill(ctx context.Context, now time.Time) {
	if now.Before(m.retry) || m.pool.lost.Load() {
		return
	}
	if now.Sub(m.retry) > maxBackOff { // what has failed was long ago
		m.backOff = 0
	}
	for _, l := range m.pool.allLanes() {
		for l.count().open < l.keep() {
			opened, err := l.openIdle(ctx)
			if err != nil {
				m.backOff = min(max(2*m.backOff, firstBackOff), maxBackOff)
				m.retry = now.Add(m.backOff)
				m.pool.logger.Error("pool: open a connection in the background", "lane", l.name, "error", m.pool.logErr(err), "again in", m.backOff)
				return
			}
			if !opened {
				return // somebody else has the turn, and will
			}
		}
	}
	m.backOff = 0
}

// warm opens an idle connection, unless all turns are taken. It has none itself while
// it does, since Init or a hook may never return: whoever comes meanwhile opens
// another, and one of the two is closed if there is one too many. So it is not where
// there can be only one at all.
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
		return true, nil // somebody has, meanwhile; another would be one too many
	}
	c, err := l.dial(ctx, nil)
	if err != nil {
		return false, err
	}
	c.idleSince = time.Now()
	l.push(c)
	return true, nil
}

// keepAlive pings the idle connections that have not answered for long, one at a
// time and each with a turn, so that callers do not find the lane empty.
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
		answers = answers || ctx.Err() != nil && !c.Wrapped().Panicked()
		if answers {
			l.push(c)
		}
		l.releaseTurn(false)
		if !answers { // in no turn, since a hook may never return
			l.closeIn(ctx, c, wrap.ReasonInvalid)
		}
	}
}

// popOldest takes the connection that was used longest ago, of those that have
// not answered since.
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

// lookForLeak reports a connection that has been in use for too long, once.
func (p *Pool) reportLeak(c *conn, now time.Time) {
	h, ok := c.holder(now)
	if !ok || h.Held < p.cfg.LeakAfter {
		return
	}
	c.mu.Lock()
	again := c.lease.leakReported || !c.lease.used || now.Sub(c.lease.since) != h.Held // or it is another's by now
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

// unleaked is told of a connection that is given back after all.
func (p *Pool) recordLeakEnd(c *conn, held time.Duration) {
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindUnleak, Conn: c.ID(), Lane: c.lane.name, Duration: held})
	p.logger.Info("pool: a connection that was in use for long has been given back", "conn", c.ID(), "lane", c.lane.name, "held", held)
}

// Reset has every connection of the pool opened anew: those that are idle are
// closed now, and those in use when they are given back. What a program has set
// on the connection that writes is gone with it.
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
