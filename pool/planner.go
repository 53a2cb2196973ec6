package pool

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A planner takes the plans of slow statements, one after the other, on a goroutine of the pool. It
// uses a reader while that is idle and no caller waits.
type planner struct {
	pool   *Pool
	job    *core.Job
	ctx    context.Context // of the job; ends with the pool
	cancel context.CancelFunc

	mu      sync.Mutex // guards the fields below
	pending []instrument.SlowStatement
	planned []instrument.SlowStatement // the latest ones, whose plans are taken again when the schema changes
}

const (
	maxPending  = 16 // others ask again after their next slow call
	maxPlanned  = 64
	maxPlanText = 16 << 10 // bytes of a statement

	// A reader may be idle only when the slow call has given it back. After planTries, the next
	// round of maintenance tries again.
	planTries = 20
	planRetry = 10 * time.Millisecond
)

func newPlanner(p *Pool) *planner {
	w := &planner{pool: p, job: p.guard.NewJob("taking plans of slow statements")}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// add asks for the plan of a statement.
func (w *planner) add(s instrument.SlowStatement) {
	w.mu.Lock()
	full := len(s.Text) > maxPlanText || len(w.pending) >= maxPending
	if !full {
		w.pending = append(w.pending, s)
	}
	w.mu.Unlock()
	if !full {
		w.start()
	}
}

// maintain takes plans that could not be taken before, and again those for another schema.
func (w *planner) maintain() {
	w.mu.Lock()
	idle := len(w.pending) == 0 && len(w.planned) == 0
	w.mu.Unlock()
	if !idle {
		w.start()
	}
}

func (w *planner) start() {
	if w.pool.forReaders().Reads() {
		w.pool.guard.Start(w.ctx, w.job, w.run)
	}
}

// stop ends the job. It reports whether the job has ended before ctx has.
func (w *planner) stop(ctx context.Context) bool {
	w.cancel()
	return w.job.Ended(ctx)
}

// run takes the plans, as soon as a reader is idle.
func (w *planner) run(ctx context.Context) {
	for range planTries {
		did, err := withIdle(ctx, w.pool.lanes.readers, false, func(c *conn) error {
			c.inspect(func() { w.take(ctx, c) })
			return nil
		})
		if did || err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(planRetry):
		}
	}
}

// take takes all plans that are not known for the current schema. A statement that SQLite does not
// explain here has none; perhaps it uses temporary objects of the writer.
func (w *planner) take(ctx context.Context, c *conn) {
	schema, err := inspect.SchemaVersion(c.SQLite())
	if err != nil {
		return
	}
	for _, s := range w.statements() {
		if ctx.Err() != nil {
			return
		}
		if s.IsPlanned(schema) {
			continue
		}
		if plan, err := c.Plan(s.Text); err == nil && len(plan.Steps) > 0 {
			s.SetPlan(schema, plan)
			w.remember(s)
		}
	}
}

// statements returns the statements whose plans may have to be taken.
func (w *planner) statements() []instrument.SlowStatement {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(slices.Clone(w.planned), w.pending...)
	w.pending = nil
	return all
}

// remember keeps a statement that has been planned.
func (w *planner) remember(s instrument.SlowStatement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.planned = slices.DeleteFunc(w.planned, s.Same)
	if len(w.planned) >= maxPlanned {
		w.planned = w.planned[1:]
	}
	w.planned = append(w.planned, s)
}
