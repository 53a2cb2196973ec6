package driver

import (
	"slices"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// counters are the values that SQLite counts while it executes a statement.
// https://sqlite.org/c3ref/c_stmtstatus_counter.html
var counters = []struct {
	status sqlite3.StmtStatus
	key    attribute.Key
}{
	{sqlite3.STMTSTATUS_FULLSCAN_STEP, "sqlite.fullscan_steps"}, // rows visited by full table scans
	{sqlite3.STMTSTATUS_SORT, "sqlite.sorts"},
	{sqlite3.STMTSTATUS_AUTOINDEX, "sqlite.autoindex_rows"}, // rows put into automatic indexes
	{sqlite3.STMTSTATUS_VM_STEP, "sqlite.vm_steps"},
}

// countersTold is how many of the counters statistics by statement have.
const countersTold = 3

// facts describes the execution of statements, for spans with [tracing.Config].Details.
type facts struct {
	counts   [4]int
	memory   int // bytes that the statements use
	readOnly bool
}

var (
	_ instrument.Teller = watchedSession{}
	_ instrument.Teller = &rows{}
)

// add adds a statement's counters and resets them.
func (f *facts) add(st sqliteStmt, details bool) {
	if !details {
		for i, c := range counters[:countersTold] {
			f.counts[i] += st.Status(c.status, true)
		}
		return
	}
	for i, c := range counters {
		f.counts[i] += st.Status(c.status, true)
	}
	f.memory += st.Status(sqlite3.STMTSTATUS_MEMUSED, false)
	f.readOnly = f.readOnly && st.ReadOnly()
}

// tell tells f. It leaves out attributes of counters that are zero.
func (f *facts) tell(told *instrument.Told) {
	told.FullScanSteps, told.Sorts, told.AutoIndexRows = f.counts[0], f.counts[1], f.counts[2]
	if !told.Details {
		return
	}
	attrs := slices.Grow(told.Attrs, len(counters)+2)
	for i, c := range counters {
		if f.counts[i] > 0 {
			attrs = append(attrs, c.key.Int(f.counts[i]))
		}
	}
	told.Attrs = append(attrs, attribute.Int("sqlite.memory_used", f.memory), attribute.Bool("sqlite.read_only", f.readOnly))
}

// Tell implements [instrument.Teller].
func (s watchedSession) Tell(told *instrument.Told) {
	s.locks.take().tell(told)
	if s.executed {
		s.executed = false
		s.facts.tell(told)
	}
}

// addFacts records an executed statement, if the connection's calls are measured.
func (s *session) addFacts(st sqliteStmt) {
	if s.watch != nil {
		s.watch.addCounters(st) // before facts.add resets the counters
	}
	if s.locks == nil {
		return
	}
	if !s.executed {
		s.executed, s.facts = true, facts{readOnly: true}
	}
	s.facts.add(st, !s.locks.quiet)
}

// An account collects the facts of one query.
type account struct {
	waits
	facts
	closed bool // the counters have been read, and the statement may be in use again
}

// Tell implements [instrument.Teller].
func (r *rows) Tell(told *instrument.Told) {
	if !r.accounts {
		return
	}
	a := &r.account
	if !a.closed {
		if r.watch != nil {
			r.watch.closeCounters(r) // before close resets the counters
		}
		a.close(r.cached, !r.session.locks.quiet)
	}
	a.waits.tell(told)
	if a.facts != (facts{}) {
		a.facts.tell(told)
	}
}

// close reads the statement's counters, unless the statement was closed while its rows were
// open.
func (a *account) close(st *cachedStmt, details bool) {
	a.closed = true
	if !st.closed {
		a.facts = facts{readOnly: true}
		a.facts.add(st.base, details)
	}
}
