package dbtest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
)

// AtMost calls f, and fails the test if f made more than n calls of db. Statements of [Allow] do
// not count, and neither do BeginTx, Commit, Rollback and Ping. A call counts when it has finished; if f leaves rows open, their query counts when
// they are closed, and the failure is reported at the end of the test.
func AtMost(t TB, db *sql.DB, n int, f func(), opts ...Option) {
	t.Helper()
	b := &budget{options: newOptions(n, opts), found: make(map[string]*statement)}
	b.limit = n
	during(t, db, f, b)
}

// A check looks at the calls of a function.
type check interface {
	// see is called after each call.
	see(driver.Call)

	// report fails the test if the calls so far do not pass. It returns true if it has.
	report(t TB) (failed bool)
}

// during calls f, and has c look at its calls.
func during(t TB, db *sql.DB, f func(), c check) {
	t.Helper()
	w := &window{}
	detach, err := driver.Watch(db, func(call driver.Call) {
		if w.contains(call.Start) {
			c.see(call)
		}
	})
	if err != nil {
		t.Errorf("dbtest: %v", err)
		f()
		return
	}
	late := false
	t.Cleanup(func() { // before those of f, so that it runs after them: they may close rows
		t.Helper()
		detach()
		if late {
			c.report(t)
		}
	})
	defer func() {
		if !late { // also after a panic, or FailNow
			detach()
		}
	}()
	f()
	w.close()
	failed := c.report(t)
	late = !failed && db.Stats().InUse > 0 // without connections in use, no rows are open
}

// A window is the time of a function. It ends once.
type window struct {
	mu  sync.Mutex
	end time.Time
}

func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = time.Now()
}

func (w *window) contains(start time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end.IsZero() || !start.After(w.end)
}

// A budget is the check of [AtMost].
type budget struct {
	options

	mu    sync.Mutex
	calls int
	found map[string]*statement // by their normal forms
	order []*statement
}

// see is called after each call. It does not hold the mutex while it takes the plan; see
// [scans.see].
func (b *budget) see(c driver.Call) {
	key := normal(c.Text)
	if b.texts[key] {
		return
	}
	if b.add(key, c) {
		plan, err := c.Plan()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.found[key].setPlan(plan, err)
	}
}

// add adds a call. It returns true if the plan of its statement is to be taken.
func (b *budget) add(key string, c driver.Call) (planless bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	st := b.found[key]
	if st == nil {
		st = newStatement(c)
		b.found[key], b.order = st, append(b.order, st)
	}
	st.add(c)
	return !st.planned && (b.calls > b.limit || !writes(c.Text))
}

func (b *budget) report(t TB) (failed bool) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls <= b.limit {
		return false
	}
	var text strings.Builder
	fmt.Fprintf(&text, "dbtest: %s, but at most %d %s allowed", times(b.calls, "call"), b.limit, map[bool]string{true: "is", false: "are"}[b.limit == 1])
	for _, st := range b.order {
		fmt.Fprintf(&text, "\n%s:", times(st.calls, "call"))
		st.describe(&text)
	}
	t.Errorf("%s", text.String())
	return true
}
