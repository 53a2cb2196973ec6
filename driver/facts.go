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
func (f *facts) add(st sqliteStmt) {
	for i, c := range counters {
		f.counts[i] += st.Status(c.status, true)
	}
	f.memory += st.Status(sqlite3.STMTSTATUS_MEMUSED, false)
	f.readOnly = f.readOnly && st.ReadOnly()
}

// appendAttrs appends f as attributes. It leaves out counters that are zero.
func (f *facts) appendAttrs(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = slices.Grow(attrs, len(counters)+2)
	for i, c := range counters {
		if f.counts[i] > 0 {
			attrs = append(attrs, c.key.Int(f.counts[i]))
		}
	}
	return append(attrs, attribute.Int("sqlite.memory_used", f.memory), attribute.Bool("sqlite.read_only", f.readOnly))
}

// Tell implements [instrument.Teller].
func (s watchedSession) Tell(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = s.locks.take().appendAttrs(attrs)
	if !s.executed {
		return attrs
	}
	s.executed = false
	return s.facts.appendAttrs(attrs)
}

// addFacts records an executed statement, if the connection's calls are measured.
func (s *session) addFacts(st sqliteStmt) {
	if s.locks == nil {
		return
	}
	if !s.executed {
		s.executed, s.facts = true, facts{readOnly: true}
	}
	s.facts.add(st)
}

// An account collects the facts of one query.
type account struct {
	waits
	facts
	closed bool // the counters have been read, and the statement may be in use again
}

// Tell implements [instrument.Teller].
func (r *rows) Tell(attrs []attribute.KeyValue) []attribute.KeyValue {
	a := r.account
	if a == nil {
		return attrs
	}
	if !a.closed {
		a.close(r.cached)
	}
	attrs = a.waits.appendAttrs(attrs)
	if a.facts != (facts{}) {
		attrs = a.facts.appendAttrs(attrs)
	}
	return attrs
}

// close reads the statement's counters, unless the statement was closed while its rows were
// open.
func (a *account) close(st *cachedStmt) {
	a.closed = true
	if !st.closed {
		a.facts = facts{readOnly: true}
		a.facts.add(st.base)
	}
}
