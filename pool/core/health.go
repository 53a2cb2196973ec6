package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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

// EngineTimeout limits what a pool itself does in the engine, and how long its goroutines wait
// for hooks. It is as long as SQLite's usual busy timeout.
const EngineTimeout = 5 * time.Second

// healthState holds the result of the last check.
type healthState struct {
	job      *Job          // the running check
	mu       sync.Mutex    // guards last and reported, and the creation of checking
	last     HealthReport  // without [Engine.Reasons]
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

// HealthCheck calls [Engine.Examine], for at most [EngineTimeout] or as long as ctx allows. It
// returns nil if the pool is ok or degraded; [Pool.Health] says which, and why. Otherwise the
// error is [ErrHealthCheck] or [ErrClosed].
//
// Several goroutines may call HealthCheck. One of them checks; the others wait as long as their
// contexts allow.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.check(ctx, true) }

// check is HealthCheck. With probe, the engine tries again immediately what it would not try so
// soon. The pool's own checks do not ask for that, because it would defeat a back-off.
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
	bounded, cancel := context.WithTimeout(ctx, EngineTimeout)
	defer cancel()
	r := p.examine(bounded, probe)
	if err := ctx.Err(); errors.Is(err, context.Canceled) && r.Health == HealthDown {
		// The caller has given up, which says nothing about the database.
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	r.Checked = time.Now()
	r.Took = r.Checked.Sub(began)
	was := p.SetHealth(r)
	p.HealthMayChange(true)
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

// examine runs Engine.Examine on a separate goroutine. If a function of the program panics or
// never returns, the check fails, but its caller is not blocked.
func (p *Pool) examine(ctx context.Context, probe bool) HealthReport {
	found := make(chan HealthReport, 1)
	began := p.guard.Start(ctx, p.health.job, func(ctx context.Context) {
		r := HealthReport{}
		if err := p.guard.Protect(p.health.job.name, func() { r = p.engine.Examine(ctx, probe) }); err != nil {
			r = p.down(err)
		}
		found <- r
	})
	if !began {
		return p.down(p.guard.unfinishedError(p.health.job))
	}
	select {
	case r := <-found:
		p.health.job.Ended(ctx) // it ends immediately; then the next check can start another
		return r
	case <-ctx.Done():
	}
	select { // the engine checks ctx too, so it may still return soon
	case r := <-found:
		return r
	case <-time.After(closeGrace):
		return p.down(fmt.Errorf("%w: %w", ctx.Err(), p.guard.unfinishedError(p.health.job)))
	}
}

func (p *Pool) down(err error) HealthReport {
	return HealthReport{Health: HealthDown, Err: err, Reasons: []string{p.engine.Describe(err)}}
}

// Health returns the result of the last check, together with what [Engine.Reasons] returns now.
func (p *Pool) Health() HealthReport {
	r := p.LastHealth()
	if reasons := p.engine.Reasons(); len(reasons) > 0 {
		r.Reasons = append(slices.Clone(r.Reasons), reasons...)
		r.Health = max(r.Health, HealthDegraded)
	}
	return r
}

// LastHealth returns the result of the last check.
func (p *Pool) LastHealth() HealthReport {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	return p.health.last
}

// SetHealth sets the result of the last check, for an engine that knows more, and returns the
// health before.
func (p *Pool) SetHealth(r HealthReport) (was Health) {
	p.health.mu.Lock()
	defer p.health.mu.Unlock()
	was = p.health.last.Health
	p.health.last = r
	return was
}

// HealthMayChange records an event if the health differs from that of the latest event.
// background says that the caller may be a goroutine of the pool.
func (p *Pool) HealthMayChange(background bool) {
	reasons := len(p.engine.Reasons()) > 0
	p.health.mu.Lock()
	now, took := p.health.last.Health, p.health.last.Took
	if reasons {
		now = max(now, HealthDegraded)
	}
	changed := now != p.health.reported
	p.health.reported = now
	p.health.mu.Unlock()
	if changed {
		p.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindHealth, Duration: took, Health: now.String(), Background: background})
	}
}
