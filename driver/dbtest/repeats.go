package dbtest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// DefaultRepeats is how often [NoRepeats] lets a function call a statement: twice. Three rows in
// the tables of a test are then enough to find a query that runs once for each row.
const DefaultRepeats = 2

// NoRepeats calls f, and fails the test for each statement that f called more often than
// [DefaultRepeats], or than [UpTo]. That is the mark of a query in a loop: one query for N rows,
// and one more for each of them ("N+1").
//
// Calls whose contexts have spans are counted for each trace, so f may serve several requests.
// The statements are those that read or write rows, and not those of [Allow]. Two texts that
// differ only in white space, literals or the lengths of lists are of the same statement.
func NoRepeats(t TB, db *sql.DB, f func(), opts ...Option) {
	t.Helper()
	during(t, db, f, &repeats{options: newOptions(DefaultRepeats, opts), found: make(map[repeat]*statement)})
}

// A repeat is a statement in a trace.
type repeat struct {
	trace trace.TraceID // zero for calls without a span
	text  string        // in its normal form
}

// repeats is the check of [NoRepeats].
type repeats struct {
	options

	mu    sync.Mutex
	found map[repeat]*statement
	order []*statement
}

// see is called after each call. It does not hold the mutex while it takes the plan; see
// [scans.see].
func (r *repeats) see(c driver.Call) {
	key := repeat{c.Trace.TraceID(), normal(c.Text)}
	if r.texts[key.text] || !sqltext.SQLite.Head(c.Text).Verb.Rows() {
		return
	}
	if r.add(key, c) {
		plan, err := c.Plan()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.found[key].setPlan(plan, err)
	}
}

// add adds a call. It returns true if there are too many of its statement, and its plan is to be
// taken.
func (r *repeats) add(key repeat, c driver.Call) (planless bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.found[key]
	if st == nil {
		st = newStatement(c)
		st.trace = key.trace
		r.found[key], r.order = st, append(r.order, st)
	}
	st.add(c)
	return st.calls > r.limit && !st.planned
}

func (r *repeats) report(t TB) (failed bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.order {
		if st.calls <= r.limit {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "dbtest: N+1: %s of one statement, more than %d", times(st.calls, "call"), r.limit)
		if st.trace.IsValid() {
			fmt.Fprintf(&b, ", in the trace %v", st.trace)
		}
		st.describe(&b)
		b.WriteString("\n\tone statement for all rows would avoid them: JOIN, WHERE ... IN (...), or VALUES with several rows")
		t.Errorf("%s", b.String())
		failed = true
	}
	return failed
}
