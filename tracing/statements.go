package tracing

import (
	"time"

	"github.com/sqlitemw/sqlitemw/tracing/internal/hook"
)

// A Statement is the statistics of all calls of one statement since its Tracer was made. It is a
// copy and does not change.
type Statement struct {
	ID       string // of this statement; the same in every process
	System   string // db.system.name
	Database string // db.namespace
	Summary  string // db.query.summary
	Text     string // without literals and comments; lists of values are shortened to one

	Calls   uint64 // that have ended
	Running int    // that have begun and not ended
	Last    time.Time

	Total, Max    time.Duration // of the calls that have ended
	P50, P95, P99 time.Duration // of these, to within a tenth

	Engine   time.Duration // inside the engine; of queries without a span, one of eight is measured
	LockWait time.Duration // for locks of SQLite, of Engine; and for a turn in the queue of package pool, before the call
	Rows     int64         // returned

	Folded uint64 // for "others": how many statements it stands for; one that comes again is counted again

	Errors uint64            // calls that failed
	Codes  map[string]uint64 // of these, for each error.type; nil if there are none

	// Counted by SQLite.
	FullScanSteps int64
	Sorts         int64
	AutoIndexRows int64

	// Plan is how SQLite executes the statement, for a statement of which a call has taken
	// Config.SlowCall. Nil means that it has not been looked up. Only package pool does that, with
	// a reader that is idle.
	Plan *Plan
}

// A Plan is how SQLite executes a statement. https://sqlite.org/eqp.html
type Plan struct {
	Taken    time.Time
	Steps    []string // as EXPLAIN QUERY PLAN shows them, each level indented by two spaces
	Findings []string // what makes the statement slow, in words
}

// Mean returns the mean duration of the calls that have ended.
func (s Statement) Mean() time.Duration {
	if s.Calls == 0 {
		return 0
	}
	return s.Total / time.Duration(s.Calls)
}

// Statements returns the statistics of the statements, those first that have taken the longest in
// total. It returns nil if Config.Statements is zero.
//
// One of them may have the Text "others": the sum of all that were folded into it to make room. It
// has no ID.
func (t *Tracer) Statements() []Statement {
	if t.cfg.Statements == 0 || hook.Statements == nil {
		return nil
	}
	return hook.Statements(t).([]Statement)
}

// maxStatements is the largest Config.Statements. A statement takes about 3 KiB, and its text.
const maxStatements = 10_000
