package core

import (
	"context"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A maintainer does the pool's regular work: it closes connections that are idle or open for
// too long, opens connections that must be open, and pings them. It also reports leaks and
// checks health, and lets the engine do its regular work. It has one goroutine and one timer,
// and a job for each kind of work that calls a function of the program. If such a function does
// not return, the other jobs go on.
type maintainer struct {
	*shared
	lanes  []*Lane
	check  *checker
	cancel context.CancelFunc
	done   chan struct{}
	every  time.Duration

	jobs maintenance

	checked time.Time
	filling filling
}

// A maintenance is the regular work that calls functions of the program.
type maintenance struct{ reaps, fills, pings, checks *Job }

// filling is used only by the job fills.
type filling struct {
	retry   time.Time     // open no connections before
	backOff time.Duration // the latest wait for retry
}

// After an error, opening connections in the background is retried after a second. Each further
// time, that doubles, up to a minute.
const (
	firstBackOff = time.Second
	maxBackOff   = time.Minute
)

func newMaintainer(s *shared, lanes []*Lane, check *checker) *maintainer {
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	m := &maintainer{shared: s, lanes: lanes, check: check, cancel: cancel, done: make(chan struct{}), every: s.cfg.round(), checked: now}
	m.jobs = maintenance{
		reaps:  s.guard.NewJob("closing connections that are idle or old"),
		fills:  s.guard.NewJob("opening connections in the background"),
		pings:  s.guard.NewJob("pinging idle connections"),
		checks: s.guard.NewJob("the regular health check"),
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
	for _, j := range []*Job{m.jobs.reaps, m.jobs.fills, m.jobs.pings, m.jobs.checks} {
		all = j.Ended(ctx) && all
	}
	return all
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
	if slices.ContainsFunc(m.lanes, func(l *Lane) bool { return l.isReapable(now) }) {
		m.guard.Start(ctx, m.jobs.reaps, func(ctx context.Context) {
			for _, l := range m.lanes {
				l.reap(ctx, now)
			}
		})
	}
	if slices.ContainsFunc(m.lanes, func(l *Lane) bool { return l.Count().Open < l.opts.Keep() }) {
		m.guard.Start(ctx, m.jobs.fills, func(ctx context.Context) { m.fill(ctx, now) })
	}
	if m.cfg.KeepAlive > 0 {
		m.guard.Start(ctx, m.jobs.pings, func(ctx context.Context) {
			for _, l := range m.lanes {
				l.keepAlive(ctx, now)
			}
		})
	}
	if d := m.cfg.LeakAfter; d > 0 {
		for _, l := range m.lanes {
			for _, c := range l.Conns() {
				l.reportLeak(c, now)
			}
		}
	}
	m.engine.Maintain(ctx, now)
	if d := m.cfg.HealthInterval; d > 0 && now.Sub(m.checked) >= d {
		m.checked = now
		// check itself reports its result.
		m.guard.Start(ctx, m.jobs.checks, func(ctx context.Context) { _ = m.check.check(ctx, false) })
	}
}

// reap closes idle connections: those that have been idle for too long, the longest idle first
// and down to keep, and those that are too old.
func (l *Lane) reap(ctx context.Context, now time.Time) {
	for {
		c, why := l.popReapable(now)
		if c == nil {
			return
		}
		l.CloseIn(ctx, c, why)
	}
}

func (l *Lane) isReapable(now time.Time) bool {
	keep := l.opts.Keep()
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := l.reapable(now, keep)
	return i >= 0
}

func (l *Lane) popReapable(now time.Time) (*Conn, wrap.Reason) {
	keep := l.opts.Keep()
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
func (l *Lane) reapable(now time.Time, keep int) (int, wrap.Reason) {
	idle := l.cfg.IdleTimeout
	for i, c := range l.idle {
		why := wrap.Reason("")
		switch {
		case c.generation != l.generation:
			why = wrap.ReasonReset
		case c.session.Kept():
		case !c.expires.IsZero() && now.After(c.expires):
			why = wrap.ReasonExpired
		case idle > 0 && now.Sub(c.idleSince) >= idle && len(l.all)+l.dials.open > keep:
			why = wrap.ReasonIdle
		}
		if why != "" {
			return i, why
		}
	}
	return -1, ""
}

// fill opens connections until as many are open as must be.
func (m *maintainer) fill(ctx context.Context, now time.Time) {
	if now.Before(m.filling.retry) || m.engine.Lost() != nil {
		return
	}
	if now.Sub(m.filling.retry) > maxBackOff { // the last failure was long ago
		m.filling.backOff = 0
	}
	for _, l := range m.lanes {
		for l.Count().Open < l.opts.Keep() {
			opened, err := l.openIdle(ctx)
			if err != nil {
				m.filling.backOff = min(max(2*m.filling.backOff, firstBackOff), maxBackOff)
				m.filling.retry = now.Add(m.filling.backOff)
				m.logger.Error("pool: a connection could not be opened in the background", "lane", l.opts.Name, "error", m.engine.Describe(err), "again in", m.filling.backOff)
				return
			}
			if !opened {
				return // a caller has the turn, and will open one
			}
		}
	}
	m.filling.backOff = 0
}

// openIdle opens an idle connection, unless all turns are taken. It does not keep a turn
// meanwhile, because Init or a hook may never return. A caller that comes meanwhile opens
// another connection, and a surplus one is closed. With an exclusive connection, openIdle does
// keep the turn, because there can be only one connection.
func (l *Lane) openIdle(ctx context.Context) (bool, error) {
	if !l.Queue().try() {
		return false, nil
	}
	if l.cfg.Exclusive {
		defer l.releaseTurn(false)
	} else {
		l.releaseTurn(false)
	}
	if l.Count().Open >= l.opts.Keep() {
		return true, nil // a caller has opened one meanwhile
	}
	c, err := l.Dial(ctx, nil)
	if err != nil {
		return false, err
	}
	l.Push(c)
	return true, nil
}

// keepAlive pings idle connections that have not answered for KeepAlive. It pings one at a
// time, and holds a turn for each, so that callers do not find the lane empty.
func (l *Lane) keepAlive(ctx context.Context, now time.Time) {
	for range l.Count().Idle {
		if !l.Queue().try() {
			return
		}
		c := l.popOldest(now.Add(-l.cfg.KeepAlive))
		if c == nil {
			l.releaseTurn(false)
			return
		}
		answers := false
		_ = l.guard.Protect("pinging an idle connection", func() { answers = l.ping(ctx, c) })
		answers = answers || ctx.Err() != nil && !c.session.Lease().Panicked()
		if answers {
			l.push(c)
		}
		l.releaseTurn(false)
		if !answers { // without a turn, because a hook may never return
			l.CloseIn(ctx, c, wrap.ReasonInvalid)
		}
	}
}

// popOldest removes and returns an idle connection that has not been used or pinged since then:
// the one used longest ago. It returns nil if there is none.
func (l *Lane) popOldest(since time.Time) *Conn {
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
func (l *Lane) reportLeak(c *Conn, now time.Time) {
	h, ok := l.Holder(c, now)
	if !ok || h.Held < l.cfg.LeakAfter || !c.leaks(h.since) {
		return
	}
	l.recorder.Record(wrap.Event{Time: now, Kind: wrap.KindLeak, Conn: h.Conn, Lane: h.Lane, Duration: h.Held, Trace: h.Trace, Background: true})
	l.logger.Warn("pool: a connection has been in use for long", "conn", h.Conn, "lane", h.Lane, "held", h.Held,
		"last", h.Last, "owner", h.Owner, "rows", h.Rows, "tx", h.Tx, "trace", h.Trace, "stack", h.Stack)
}
