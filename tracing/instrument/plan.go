package instrument

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A SlowStatement is a statement that had a slow call, for a pool that can look up its plan.
type SlowStatement struct {
	Text string // as written; it must not be shown

	db    *Database
	tally *tally
}

// A plannedQuery is a plan, and the schema that it is for.
type plannedQuery struct {
	schema int64
	plan   tracing.Plan
}

// planAgainAfter is how often a slow statement is reported, in case the schema has changed.
const planAgainAfter = time.Minute

// OnSlow sets the function that is called with a statement after a slow call of it, at most once a
// minute for each statement. It runs on the goroutine of the call, and must not block. It is never
// called unless Config.Statements and Config.SlowCall are set.
func (d *Database) OnSlow(f func(SlowStatement)) { d.onSlow.Store(&f) }

// slow reports the statement of a call if the call was slow.
func (c *Call) slow(took time.Duration) {
	if c.text == "" || took < c.db.tracer.cfg.SlowCall {
		return
	}
	f := c.db.onSlow.Load()
	if f == nil {
		return
	}
	now, last := int64(clock()), c.tally.asked.Load()
	if last != 0 && time.Duration(now-last) < planAgainAfter || !c.tally.asked.CompareAndSwap(last, now) {
		return
	}
	(*f)(SlowStatement{Text: c.text, db: c.db, tally: c.tally})
}

// Same reports whether s and other are the same statement of the same database.
func (s SlowStatement) Same(other SlowStatement) bool { return s.tally.id == other.tally.id }

// IsPlanned reports whether the statement's plan for that version of the schema is known.
func (s SlowStatement) IsPlanned(schema int64) bool {
	p := s.tally.plan.Load()
	return p != nil && p.schema == schema
}

// SetPlan sets the statement's plan for that version of the schema, and logs it.
func (s SlowStatement) SetPlan(schema int64, plan tracing.Plan) {
	p := &plannedQuery{schema, plan}
	s.tally.plan.Store(p)
	logger := s.db.tracer.cfg.Logger
	if logger == nil {
		return
	}
	attrs := []slog.Attr{slog.String("db.query.summary", s.tally.summary), slog.String("db.namespace", s.tally.database)}
	logger.LogAttrs(context.Background(), slog.LevelWarn, "plan of a slow database call", p.appendTo(attrs)...)
}

// appendTo appends the plan to the attributes of a log line.
func (p *plannedQuery) appendTo(attrs []slog.Attr) []slog.Attr {
	attrs = append(attrs, slog.String("plan", strings.Join(p.plan.Steps, "; ")))
	if len(p.plan.Findings) > 0 {
		attrs = append(attrs, slog.String("findings", strings.Join(p.plan.Findings, "; ")))
	}
	return attrs
}
