package dbtest

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/internal/queryplan"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// NoFullScans fails the test for each statement that scans a table, or builds an automatic index,
// from now until the end of the test. The failures are reported when the test ends. So
// NoFullScans should be called after the tables have been created and filled.
//
// It does not fail for tables and statements of [Allow], for calls with no more steps than
// [UpTo], and for scans of what the query itself makes: common table expressions and
// subqueries. A scan by a foreign key or a trigger counts, too.
func NoFullScans(t TB, db *sql.DB, opts ...Option) {
	t.Helper()
	s := &scans{options: newOptions(0, opts), found: make(map[string]*statement)}
	detach, err := driver.Watch(db, s.see)
	if err != nil {
		t.Errorf("dbtest: %v", err)
		return
	}
	t.Cleanup(func() {
		t.Helper()
		detach()
		s.report(t)
	})
}

// scans are the statements that scan.
type scans struct {
	options

	mu    sync.Mutex
	found map[string]*statement // by their normal forms
	order []*statement
}

// see is called after each call. It does not hold the mutex while it takes the plan, which may
// wait for a lock that the transaction of another call holds.
func (s *scans) see(c driver.Call) {
	if c.FullScanSteps <= s.limit && c.AutoIndexRows == 0 {
		return
	}
	key := normal(c.Text)
	if s.texts[key] {
		return
	}
	plan, err := c.Plan()
	if err == nil && !s.forbids(c, plan) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.found[key]
	if st == nil {
		st = newStatement(c)
		s.found[key], s.order = st, append(s.order, st)
	}
	st.setPlan(plan, err)
	st.add(c)
}

// forbids reports whether a call has scanned what it must not. If the plan has no scan at all, a
// trigger has made it.
func (s *scans) forbids(c driver.Call, plan []string) bool {
	allowed := false
	for _, f := range queryplan.Findings(c.Text, plan, nil) {
		if f.Table == "" {
			continue
		}
		if !s.allows(f.Table) {
			return true
		}
		allowed = true
	}
	if allowed {
		return false
	}
	for _, line := range plan {
		if line = strings.TrimLeft(line, " "); strings.HasPrefix(line, "SCAN ") || strings.Contains(line, " USING AUTOMATIC ") {
			return false // of a subquery
		}
	}
	return true
}

func (s *scans) report(t TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.order {
		var b strings.Builder
		fmt.Fprintf(&b, "dbtest: full scan: %s, %s", times(st.calls, "call"), times(st.steps, "step"))
		if st.indexed > 0 {
			fmt.Fprintf(&b, ", %s put into automatic indexes", times(st.indexed, "row"))
		}
		st.describe(&b)
		if st.planErr == nil && len(queryplan.Findings(st.text, st.plan, nil)) == 0 && sqltext.SQLite.Head(st.text).Verb.Rows() {
			b.WriteString("\n\tno table of the plan is scanned: a trigger scans one, which plans do not show")
		}
		t.Errorf("%s", b.String())
	}
}
