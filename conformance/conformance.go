// Package conformance compares a wrapper of a [database/sql] driver with the driver itself. It
// imports only the standard library.
//
// A wrapper adds something to a driver: spans, statistics, a pool. A program must nevertheless
// get from it the same as from the bare driver: the same results, of the same types, and the
// same errors, in the same calls. The engine must execute the same statements, in the same
// order. [Run] checks that. It plays short programs, the cases, on the bare driver and on the
// wrapper, and compares what each saw:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Target{
//			Name:   "mine",
//			Engine: ncruces.Engine(),
//			Open:   func(dsn string) (*sql.DB, error) { return sql.Open("mine", dsn) },
//			Wrap:   mine.NewConnector,
//		})
//	}
//
// There are two kinds of cases:
//
//   - Cases played on an [Engine], which is SQLite with some driver. They need [Target.Open].
//   - Cases played on scripted drivers, which have various optional interfaces of [driver] and
//     fail in various ways. They need [Target.Wrap]. A wrapper of only one driver leaves it
//     nil.
//
// A wrapper may differ on purpose. [Target.Deviations] names the cases that show the
// difference, with the reason. A deviation that no case shows any more is reported, too.
//
// Each case is played on the bare driver twice. A case that differs from itself is thus
// reported as a fault of the suite, and not of the wrapper.
//
// # Compatibility
//
// From the first release on, what is exported here keeps its name and its meaning within a major
// version, as Go's own promise says (https://go.dev/doc/go1compat). Texts of errors and log lines
// may change. Nothing has been released yet.
package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Target is a wrapper, and the bare driver that it is compared with.
type Target struct {
	Name   string // of the wrapper, in reports
	Engine *Engine

	// Open opens a database through the wrapper, as [Engine.Open] does without it. If Open
	// or Engine is nil, the cases that need them are left out.
	Open func(dsn string) (*sql.DB, error)

	// Wrap puts the wrapper around any driver's connector. It may be called concurrently.
	// If it is nil, the cases played on scripted drivers are left out.
	Wrap func(driver.Connector) driver.Connector

	// Done, if it is not nil, is called with each connector that Wrap made, after its case
	// has ended and its database is closed. Its error counts as a difference.
	Done func(c Case, wrapped driver.Connector) error

	// Lanes says that the wrapper chooses among its own connections for each connection of
	// database/sql. The statements that the engine executes are then compared over all
	// connections, ordered by time, and not for each connection.
	Lanes bool

	// Own, if it is not nil, reports whether sql is a statement that the wrapper executes
	// for itself. Such statements are not compared.
	Own func(sql string) bool

	// Deviations maps the names of the cases ("chapter/name") in which the wrapper differs
	// on purpose to the reasons.
	Deviations map[string]string

	// Allowed are intended differences that only some scripted drivers show, so that naming
	// the case would allow too much. The first that applies counts.
	Allowed []Allowance

	// Cases limits the cases to those for which it returns true. If it is nil, all are
	// played.
	Cases func(Case) bool

	// Timeout is the time after which a case counts as hanging. Zero means one minute.
	Timeout time.Duration
}

// An Engine is a bare driver of SQLite. Several targets may use it, also concurrently. It plays
// each case on the bare driver only once for all of them.
type Engine struct {
	Name string // of the driver, in reports

	// Open opens a database through the bare driver.
	Open func(dsn string) (*sql.DB, error)

	// DSN returns the driver's DSN for the database in the file at path with these
	// settings.
	DSN func(path string, s Settings) string

	// Hook installs hooks on every connection to the file at path that is opened before
	// unhook is called.
	Hook func(path string, hooks Hooks) (unhook func())

	// Classify returns, in one line, all that a program can find out about an error of the
	// engine: its codes, the sentinel errors that it matches, and the types for which
	// errors.As finds it. It is called with every error that a case sees.
	Classify func(error) string

	// Cases are cases for this driver only.
	Cases []Case

	mu   sync.Mutex
	bare map[string]*bareRun
}

// Settings are the settings of a case's database.
type Settings struct {
	Pragmas []string // for every connection, such as "foreign_keys(1)"
	TxLock  string   // how Begin begins: "deferred", "immediate" or "exclusive"; "" leaves it to the driver
	Params  []string // SQLite's own URI parameters, such as "mode=ro"
}

// Hooks let the suite observe connections.
type Hooks struct {
	// Functions are SQL functions without arguments. They get the context with which SQLite
	// runs, if the driver knows it.
	Functions map[string]func(context.Context) any

	// Asked is called with each statement that SQLite starts to execute, with the values of
	// its parameters in place. Statements of an Exec without arguments may be left out.
	// conn identifies the connection.
	Asked func(conn any, sql string)

	// Did is called for each row that is inserted, updated or deleted, and for each commit
	// and rollback of a transaction that wrote.
	Did func(conn any, what string)

	// Opened is called with each connection that has been opened, and Closed with each that
	// has been closed.
	Opened, Closed func(conn any)
}

// A Case is a program that is played on the bare driver and on the wrapper.
type Case struct {
	Chapter string // set by the suite for its own cases
	Name    string
	Rule    string // what the case shows, in a sentence

	Settings Settings

	// Unasked says that the statements which the engine executes are not compared, because
	// their order depends on scheduling.
	Unasked bool

	// Play is the program. Everything that it sees must be deterministic.
	Play func(*Session)

	// script is set instead of Play for cases on scripted drivers.
	script *script
}

// ID returns the name of the case in tests: "chapter/name".
func (c Case) ID() string { return c.Chapter + "/" + c.Name }

// Cases returns all cases of the suite and of e, ordered by chapter. e may be nil. In each
// chapter, e's cases come last.
func Cases(e *Engine) []Case {
	var all []Case
	for _, chapter := range chapters {
		for _, c := range chapter.cases() {
			c.Chapter = chapter.name
			all = append(all, c)
		}
	}
	if e != nil {
		all = append(all, e.Cases...)
	}
	place := make(map[string]int)
	for i, chapter := range chapters {
		place[chapter.name] = i - len(chapters) // 0 for any other chapter, so it comes after these
	}
	slices.SortStableFunc(all, func(a, b Case) int { return place[a.Chapter] - place[b.Chapter] })
	return all
}

// chapters are listed in the order in which they are best read.
var chapters = []struct {
	name  string
	cases func() []Case
}{
	{"lifecycle", lifecycleCases},
	{"exec", execCases},
	{"query", queryCases},
	{"rows", rowsCases},
	{"types", typesCases},
	{"transactions", transactionsCases},
	{"savepoints", savepointsCases},
	{"cancellation", cancellationCases},
	{"errors", errorsCases},
	{"raw", rawCases},
	{"concurrency", concurrencyCases},
	{"pragmas", pragmasCases},
	{"DSN", dsnCases},
	{"arguments", argumentsCases},
	{"interfaces", interfacesCases},
	{"faults", faultsCases},
}

// A Result is the outcome of a case.
type Result struct {
	Case       Case
	Difference string // what differs between bare and wrapped; "" if nothing does
	Deviation  string // why the difference is intended; "" if it is not
}

// Run plays all cases, each as a subtest of its chapter. It fails those in which the wrapper
// differs from the bare driver without an expected deviation.
func Run(t *testing.T, target Target) {
	t.Helper()
	results := Check(t, target)
	for chapter, results := range byChapter(results) {
		t.Run(chapter, func(t *testing.T) {
			for _, r := range results {
				t.Run(r.Case.Name, func(t *testing.T) {
					switch {
					case r.Difference != "" && r.Deviation == "":
						t.Errorf("%s\n%s", r.Case.Rule, r.Difference)
					case r.Difference == "" && r.Deviation != "":
						t.Errorf("the wrapper no longer deviates here, so remove the deviation: %s", r.Deviation)
					}
				})
			}
		})
	}
	known := make(map[string]bool)
	for _, c := range Cases(target.Engine) {
		known[c.ID()] = true
	}
	for _, id := range slices.Sorted(maps.Keys(target.Deviations)) {
		if !known[id] {
			t.Errorf("Target.Deviations names %q, but there is no such case", id)
		}
	}
}

func byChapter(results []Result) func(func(string, []Result) bool) {
	return func(yield func(string, []Result) bool) {
		for len(results) > 0 {
			chapter := results[0].Case.Chapter
			n := 1
			for n < len(results) && results[n].Case.Chapter == chapter {
				n++
			}
			if !yield(chapter, results[:n]) {
				return
			}
			results = results[n:]
		}
	}
}

// Check plays all cases that can be played on target, and returns their results. It fails t
// only for a fault of the suite itself: a case that differs from itself on the bare driver, or
// a case that needs something which the bare driver does not do. Each entry of [Target.Allowed]
// that never applies also makes a Result.
func Check(t *testing.T, target Target) []Result {
	t.Helper()
	scripts := newComparison(target)
	var results []Result
	for _, c := range Cases(target.Engine) {
		if target.Cases != nil && !target.Cases(c) {
			continue
		}
		r := Result{Case: c}
		switch {
		case c.script != nil && target.Wrap != nil:
			v := scripts.compare(t, c)
			r.Difference, r.Deviation = v.difference, v.allowance
		case c.script == nil && target.Open != nil && target.Engine != nil:
			r.Difference = compare(t, c, target)
		default:
			continue
		}
		if why, ok := target.Deviations[c.ID()]; ok {
			r.Deviation = why
		}
		results = append(results, r)
	}
	return append(results, scripts.stale()...)
}

// A bareRun is a case played on the bare driver.
type bareRun struct {
	once sync.Once
	seen *Session
}

// bareTimeout is the shortest timeout of a case on the bare driver, even if [Target.Timeout] is
// shorter. The bare driver does not hang, but a slow machine needs seconds for some cases.
const bareTimeout = time.Minute

// bareSession plays c on the bare driver, unless it has already been played.
func (e *Engine) bareSession(t *testing.T, c Case, timeout time.Duration) *Session {
	timeout = max(timeout, bareTimeout)
	e.mu.Lock()
	if e.bare == nil {
		e.bare = make(map[string]*bareRun)
	}
	run := e.bare[c.ID()]
	if run == nil {
		run = &bareRun{}
		e.bare[c.ID()] = run
	}
	e.mu.Unlock()
	run.once.Do(func() {
		run.seen = play(t, c, e, e.Open, timeout)
		again := play(t, c, e, e.Open, timeout)
		if d := run.seen.difference("once", again, "again", false, nil); d != "" {
			t.Errorf("%s is not a valid case: two runs on the bare driver differ\n%s", c.ID(), d)
		}
		if run.seen.broken != "" {
			t.Errorf("%s is not a valid case: a step that it relies on fails on the bare driver: %s", c.ID(), run.seen.broken)
		}
	})
	return run.seen
}

func compare(t *testing.T, c Case, target Target) string {
	timeout := target.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	bare := target.Engine.bareSession(t, c, timeout)
	wrapped := play(t, c, target.Engine, target.Open, timeout)
	return bare.difference(target.Engine.Name, wrapped, target.Name, target.Lanes, target.Own)
}

// firstDifference returns the lines around the first difference of two logs, or "" if they are
// equal.
func firstDifference(nameA string, a []string, nameB string, b []string) string {
	if slices.Equal(a, b) {
		return ""
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	var text strings.Builder
	width := max(len(nameA), len(nameB), len("both"))
	show := func(name string, log []string, from, to int) {
		for _, line := range log[max(0, min(from, len(log))):min(to, len(log))] {
			fmt.Fprintf(&text, "\t%-*s  %s\n", width, name, line)
		}
	}
	show("both", a, at-6, at)
	show(nameA, a, at, at+4)
	show(nameB, b, at, at+4)
	return text.String()
}
