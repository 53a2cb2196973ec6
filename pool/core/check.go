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

// A checker checks the health of a pool.
type checker struct {
	*shared
	job      *Job          // the running check
	checking chan struct{} // holds one token: that of the running check
	mu       sync.Mutex    // guards the fields below
	last     HealthReport  // without [Engine.Reasons]
	reported Health        // health in the latest event
}

func newChecker(s *shared) *checker {
	return &checker{shared: s, job: s.guard.NewJob("the health check"), checking: make(chan struct{}, 1)}
}

// begin waits until no other check runs.
func (h *checker) begin(ctx context.Context) error {
	select {
	case h.checking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *checker) end() { <-h.checking }

// check is [Pool.HealthCheck]. With probe, the engine tries again immediately what it would not
// try so soon. The pool's own checks do not ask for that, because it would defeat a back-off.
func (h *checker) check(ctx context.Context, probe bool) error {
	if h.drain.begun.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	if err := h.begin(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	defer h.end()
	if h.drain.begun.Load() { // closed while waiting
		return ErrClosed
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, EngineTimeout)
	defer cancel()
	r := h.examine(bounded, probe)
	if err := ctx.Err(); errors.Is(err, context.Canceled) && r.Health == HealthDown {
		// The caller has given up, which says nothing about the database.
		return fmt.Errorf("%w: %w", ErrHealthCheck, err)
	}
	r.Checked = time.Now()
	r.Took = r.Checked.Sub(began)
	was := h.set(r)
	h.mayChange(true)
	if r.Health != was {
		if r.Health != HealthOK {
			h.logger.Error("pool: health", "health", r.Health.String(), "reasons", r.Reasons)
		} else if was != HealthUnknown {
			h.logger.Info("pool: health", "health", r.Health.String())
		}
	}
	if h.recorderBox != nil {
		h.recorderBox.flush(bounded) // the Recorder has the events before the caller has the result
	}
	if r.Health == HealthDown {
		return fmt.Errorf("%w: %w", ErrHealthCheck, r.Err)
	}
	return nil
}

// examine runs Engine.Examine on a separate goroutine. If a function of the program panics or
// never returns, the check fails, but its caller is not blocked.
func (h *checker) examine(ctx context.Context, probe bool) HealthReport {
	found := make(chan HealthReport, 1)
	began := h.guard.Start(ctx, h.job, func(ctx context.Context) {
		r := HealthReport{}
		if err := h.guard.Protect(h.job.name, func() { r = h.engine.Examine(ctx, probe) }); err != nil {
			r = h.down(err)
		}
		found <- r
	})
	if !began {
		return h.down(h.guard.unfinishedError(h.job))
	}
	select {
	case r := <-found:
		h.job.Ended(ctx) // it ends immediately; then the next check can start another
		return r
	case <-ctx.Done():
	}
	select { // the engine checks ctx too, so it may still return soon
	case r := <-found:
		return r
	case <-time.After(closeGrace):
		return h.down(fmt.Errorf("%w: %w", ctx.Err(), h.guard.unfinishedError(h.job)))
	}
}

func (h *checker) down(err error) HealthReport {
	return HealthReport{Health: HealthDown, Err: err, Reasons: []string{h.engine.Describe(err)}}
}

// health returns the result of the last check, together with what [Engine.Reasons] returns now.
func (h *checker) health() HealthReport {
	r := h.lastReport()
	if reasons := h.engine.Reasons(); len(reasons) > 0 {
		r.Reasons = append(slices.Clone(r.Reasons), reasons...)
		r.Health = max(r.Health, HealthDegraded)
	}
	return r
}

// lastReport returns the result of the last check.
func (h *checker) lastReport() HealthReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// set sets the result of the last check, for an engine that knows more, and returns the
// health before.
func (h *checker) set(r HealthReport) (was Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was = h.last.Health
	h.last = r
	return was
}

// mayChange records an event if the health differs from that of the latest event.
// background says that the caller may be a goroutine of the pool.
func (h *checker) mayChange(background bool) {
	reasons := len(h.engine.Reasons()) > 0
	h.mu.Lock()
	now, took := h.last.Health, h.last.Took
	if reasons {
		now = max(now, HealthDegraded)
	}
	changed := now != h.reported
	h.reported = now
	h.mu.Unlock()
	if changed {
		h.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindHealth, Duration: took, Health: now.String(), Background: background})
	}
}
