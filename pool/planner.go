package pool

import (
	"context"
	"sync"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A planner takes the plans of slow statements, one after the other, on a goroutine of the pool. It
// uses a reader while that is idle and no caller waits.
type planner struct {
	pool *Pool
	job  *core.Job

	mu      sync.Mutex // guards pending
	pending []instrument.SlowStatement
}

// maxPlans is how many statements may wait for their plans. Others ask again after their next slow
// call. maxPlanText bounds the text of each.
const (
	maxPlans    = 16
	maxPlanText = 64 << 10
)

// add asks for the plan of a statement.
func (w *planner) add(s instrument.SlowStatement) {
	if len(s.Text) > maxPlanText {
		return
	}
	w.mu.Lock()
	full := len(w.pending) >= maxPlans
	if !full {
		w.pending = append(w.pending, s)
	}
	w.mu.Unlock()
}

// work takes the plans that have been asked for, as far as a reader is idle.
func (w *planner) work(ctx context.Context) {
	w.mu.Lock()
	idle := len(w.pending) == 0
	w.mu.Unlock()
	if idle || !w.pool.forReaders().Reads() {
		return
	}
	w.pool.guard.Start(ctx, w.job, func(ctx context.Context) {
		_, _ = withIdle(ctx, w.pool.lanes.readers, true, func(c *conn) error {
			for s, ok := w.next(); ok && ctx.Err() == nil; s, ok = w.next() {
				c.inspect(func() { take(c, s) })
			}
			return nil
		})
	})
}

func (w *planner) next() (s instrument.SlowStatement, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return s, false
	}
	s, w.pending = w.pending[0], w.pending[1:]
	return s, true
}

// take takes the plan of a statement, unless it is known for the current schema. If SQLite does not
// explain it here, perhaps because it uses temporary objects of the writer, it has none.
func take(c *conn, s instrument.SlowStatement) {
	schema, err := inspect.SchemaVersion(c.SQLite())
	if err != nil || s.IsPlanned(schema) {
		return
	}
	if plan, err := c.Plan(s.Text); err == nil && len(plan.Steps) > 0 {
		s.SetPlan(schema, plan)
	}
}
