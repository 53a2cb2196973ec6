package instrument

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/internal/hook"
)

func init() {
	hook.Statements = func(t any) any { return tracerOf(t.(*tracing.Tracer)).tallies.statements() }
}

// tallies are the statistics of a tracer's statements. Each operation knows its tally, so that no
// call looks it up.
type tallies struct {
	most int // see [tracing.Config].Statements

	mu     sync.Mutex // guards the fields below; a tally's mutex is taken under it
	kept   map[string]*tally
	others *tally
	folded uint64
}

// A tally is the statistics of one statement.
type tally struct {
	system, database, summary, text string
	id                              string

	running atomic.Int64
	asked   atomic.Int64                 // when its plan was asked for, by clock
	plan    atomic.Pointer[plannedQuery] // nil if there is none
	queries atomic.Uint64                // that have begun, for measures
	gone    atomic.Bool                  // it has been folded into others

	mu     sync.Mutex // guards the fields below
	others *tally     // nil unless gone
	sums   tracing.Statement
	took   durations
	engine engineTime
}

// An engineTime is the time that queries spent inside the engine. To read the clock for each row of
// each query would be slow, so it is measured for some of them.
type engineTime struct {
	total            time.Duration // of all queries
	measured, inside time.Duration // of those that were measured: in total, and inside the engine
}

// measureEvery says which queries are measured: one of so many, and the first.
const measureEvery = 8

// of returns the engine's part of all queries.
func (e engineTime) of() time.Duration {
	if e.measured <= 0 {
		return 0
	}
	return time.Duration(float64(e.total) * (float64(e.inside) / float64(e.measured)))
}

const (
	maxTallyText  = 4 << 10 // bytes
	maxTallyCodes = 32      // error types of a statement; more are counted as "others"
	othersText    = "others"
)

// of returns the tally of a statement, or nil if there are none.
func (ts *tallies) of(d *Database, text, summary string) *tally {
	if ts.most == 0 {
		return nil
	}
	if text == "" { // of an engine whose SQL is not read
		text = summary
	}
	sum := sha256.Sum256([]byte(d.system + "\x00" + d.namespace + "\x00" + text))
	if len(text) > maxTallyText {
		text = strings.ToValidUTF8(text[:maxTallyText], "") + "…"
	}
	return ts.keep(&tally{system: d.system, database: d.namespace, summary: summary, text: strings.Clone(text), id: hex.EncodeToString(sum[:8])})
}

// keep returns the tally that is kept for t's statement, which may be t.
func (ts *tallies) keep(t *tally) *tally {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if kept := ts.kept[t.id]; kept != nil {
		return kept
	}
	if len(ts.kept) >= ts.most {
		if ts.fold(); len(ts.kept) >= ts.most {
			return ts.others // all others are running
		}
	}
	if ts.kept == nil {
		ts.kept = make(map[string]*tally)
	}
	ts.kept[t.id] = t
	return t
}

// fold makes room: it folds the statements with the fewest calls, an eighth of all, into others. It
// keeps the quarter that has taken longest, and those that are running. ts.mu must be held.
func (ts *tallies) fold() {
	if ts.others == nil {
		ts.others = &tally{text: othersText, summary: othersText}
	}
	type use struct {
		t     *tally
		calls uint64
		total time.Duration
	}
	uses := make([]use, 0, len(ts.kept))
	for _, t := range ts.kept {
		if t.running.Load() <= 0 {
			t.mu.Lock()
			uses = append(uses, use{t, t.sums.Calls, t.sums.Total})
			t.mu.Unlock()
		}
	}
	slices.SortFunc(uses, func(a, b use) int { return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.t.id, b.t.id)) })
	uses = uses[len(uses)/4:]
	slices.SortStableFunc(uses, func(a, b use) int { return cmp.Compare(a.calls, b.calls) })
	for _, u := range uses[:min(len(uses), max(1, len(ts.kept)/8))] {
		u.t.foldInto(ts.others)
		delete(ts.kept, u.t.id)
		if u.calls > 0 {
			ts.folded++
		}
	}
}

// foldInto adds t to others. What t's running calls add later goes there as well.
func (t *tally) foldInto(others *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone.Store(true)
	t.others = others
	others.mu.Lock()
	defer others.mu.Unlock()
	s, o := &t.sums, &others.sums
	o.Calls += s.Calls
	o.Total += s.Total
	o.Max = max(o.Max, s.Max)
	o.Engine += s.Engine
	others.engine.total += t.engine.total
	others.engine.measured += t.engine.measured
	others.engine.inside += t.engine.inside
	o.LockWait += s.LockWait
	o.Rows += s.Rows
	o.Errors += s.Errors
	o.FullScanSteps += s.FullScanSteps
	o.Sorts += s.Sorts
	o.AutoIndexRows += s.AutoIndexRows
	if s.Last.After(o.Last) {
		o.Last = s.Last
	}
	for code, n := range s.Codes {
		o.Codes = countCode(o.Codes, code, n)
	}
	others.took.addAll(&t.took)
}

// begin returns the tally of a call that begins, or nil if it has none.
func (ts *tallies) begin(d *Database, op *operation) *tally {
	t := op.tally.Load()
	if t == nil {
		if ts.most == 0 || !op.counts {
			return nil
		}
		t = ts.of(d, op.name, op.name)
		op.tally.Store(t)
	}
	if t.gone.Load() { // and is in use again
		t = ts.keep(&tally{system: t.system, database: t.database, summary: t.summary, text: t.text, id: t.id})
		op.tally.Store(t)
	}
	t.running.Add(1)
	return t
}

// measures reports whether a query that begins is measured. A nil tally measures none.
func (t *tally) measures() bool { return t != nil && (t.queries.Add(1)-1)%measureEvery == 0 }

// add adds a call that has ended.
func (t *tally) add(c *Call, took time.Duration, typ string) {
	t.running.Add(-1)
	t.mu.Lock()
	others := t.others
	if others == nil {
		t.addLocked(c, took, typ)
	}
	t.mu.Unlock()
	if others != nil {
		others.mu.Lock()
		others.addLocked(c, took, typ)
		others.mu.Unlock()
	}
}

func (t *tally) addLocked(c *Call, took time.Duration, typ string) {
	s := &t.sums
	s.Calls++
	s.Total += took
	s.Max = max(s.Max, took)
	t.took.add(took)
	s.Last = epoch.Add(c.start + took)
	switch {
	case !c.query && c.engine == 0: // an exec that did not wait for anything else
		s.Engine += took
	case !c.query:
		s.Engine += c.engine
	default:
		t.engine.total += took
		if c.clocked {
			t.engine.measured += took
			t.engine.inside += c.engine
		}
	}
	s.LockWait += c.told.LockWait + c.waited
	s.Rows += c.rows
	s.FullScanSteps += int64(c.told.FullScanSteps)
	s.Sorts += int64(c.told.Sorts)
	s.AutoIndexRows += int64(c.told.AutoIndexRows)
	if typ != "" {
		s.Errors++
		s.Codes = countCode(s.Codes, typ, 1)
	}
}

// countCode adds n to the errors of a type.
func countCode(codes map[string]uint64, typ string, n uint64) map[string]uint64 {
	if codes == nil {
		codes = make(map[string]uint64)
	}
	if _, ok := codes[typ]; !ok && len(codes) >= maxTallyCodes {
		typ = othersText
	}
	codes[typ] += n
	return codes
}

// statements returns all statistics, the longest total first.
func (ts *tallies) statements() []tracing.Statement {
	ts.mu.Lock()
	list := slices.Collect(maps.Values(ts.kept))
	if ts.others != nil {
		list = append(list, ts.others)
	}
	folded := ts.folded
	ts.mu.Unlock()
	statements := make([]tracing.Statement, 0, len(list))
	for _, t := range list {
		s := t.statement()
		if s.ID == "" {
			s.Folded = folded
		}
		if s.Calls > 0 || s.Running > 0 {
			statements = append(statements, s)
		}
	}
	slices.SortFunc(statements, func(a, b tracing.Statement) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.ID, b.ID))
	})
	return statements
}

func (t *tally) statement() tracing.Statement {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sums
	s.ID, s.System, s.Database, s.Summary, s.Text = t.id, t.system, t.database, t.summary, t.text
	s.Engine += t.engine.of()
	s.Running = int(max(t.running.Load(), 0))
	s.Codes = maps.Clone(s.Codes)
	if p := t.plan.Load(); p != nil {
		s.Plan = &tracing.Plan{Taken: p.plan.Taken, Steps: slices.Clone(p.plan.Steps), Findings: slices.Clone(p.plan.Findings)}
	}
	s.P50, s.P95, s.P99 = t.took.quantile(0.50, s.Max), t.took.quantile(0.95, s.Max), t.took.quantile(0.99, s.Max)
	return s
}
