// Package conformance holds a wrapper of a [database/sql] driver to what the
// driver itself does. It imports nothing but the standard library.
//
// A wrapper adds something to a driver: spans, statistics, a pool. Whatever it
// adds, a program must get the same from it as from the bare driver: the same
// results, of the same types, the same errors, in the same calls; and the engine
// must be asked the same, in the same order. [Run] checks that by playing short
// programs, the cases, on the bare driver and on the wrapper, and comparing what
// each saw:
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
// There are two kinds of cases. Those played on an [Engine], which is SQLite by
// some driver, need [Target.Open]. Those played on scripted drivers, which have
// all kinds of optional interfaces of [driver] and go wrong in all kinds of ways,
// need [Target.Wrap]; wrappers that take just one driver leave it nil.
//
// A wrapper may differ on purpose. [Target.Deviations] names the cases that show
// it, and why; a deviation that no case shows any more is reported, too.
//
// Each case is played on the bare driver twice, so that a case that differs from
// itself is never held against a wrapper.
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

	// Open opens a database through the wrapper, as [Engine.Open] does
	// without. If it or Engine is nil, the cases that need it are left out.
	Open func(dsn string) (*sql.DB, error)

	// Wrap puts the wrapper around any driver's connector, and may be called
	// by several goroutines. If it is nil, the cases played on scripted drivers
	// are left out.
	Wrap func(driver.Connector) driver.Connector

	// Done, if it is not nil, is called with each connector that Wrap made when
	// its case is over and its database is closed. Its error counts as a
	// difference.
	Done func(c Case, wrapped driver.Connector) error

	// Lanes says that the wrapper has connections of its own choice behind each
	// of database/sql's, so that what the engine is asked is compared over all
	// connections in the order of time, and not for each.
	Lanes bool

	// Own, if it is not nil, says which texts the wrapper executes for itself, so
	// that they are not compared.
	Own func(sql string) bool

	// Deviations are the names of cases ("chapter/name") in which the wrapper
	// differs on purpose, and why.
	Deviations map[string]string

	// Allowed are differences on purpose that show on some scripted drivers,
	// so that naming the case would say too much. The first that applies counts.
	Allowed []Allowance

	// Cases limits what is played to those for which it returns true; nil
	// plays all.
	Cases func(Case) bool

	// Timeout is how long one case may take until it counts as hanging; zero
	// means a minute.
	Timeout time.Duration
}

// An Engine is a bare driver of SQLite. It may be used for many targets, one
// after another or at once, and then plays each case bare only once for all.
type Engine struct {
	Name string // of the driver, in reports

	// Open opens a database through the bare driver.
	Open func(dsn string) (*sql.DB, error)

	// DSN returns the name of the database in the file at path with these
	// settings, in the driver's way.
	DSN func(path string, s Settings) string

	// Hook has every connection to the file at path, until unhook is called,
	// do what hooks say.
	Hook func(path string, hooks Hooks) (unhook func())

	// Classify says in one line all that a program can find out about an
	// error of the engine's own: its codes, what it is, and as what types it
	// is found. It is given every error that a case sees.
	Classify func(error) string

	// Cases are cases for this driver alone.
	Cases []Case

	mu   sync.Mutex
	bare map[string]*bareRun
}

// Settings are what a case wants of its database.
type Settings struct {
	Pragmas []string // for every connection, as "foreign_keys(1)"
	TxLock  string   // how Begin begins: "deferred", "immediate" or "exclusive"; "" leaves it to the driver
	Params  []string // parameters of the URI that are SQLite's own, as "mode=ro"
}

// Hooks are how the suite sees into connections.
type Hooks struct {
	// Functions are functions without arguments to be had in SQL. They are
	// given the context with which SQLite then runs, if the driver can tell.
	Functions map[string]func(context.Context) any

	// Asked is called with each statement that SQLite starts to execute, with
	// its parameters' values in place. Those of an Exec without arguments may
	// be left out. conn tells connections apart.
	Asked func(conn any, sql string)

	// Did is called with each row that is inserted, updated or deleted, and
	// each commit and rollback of a transaction that wrote.
	Did func(conn any, what string)

	// Opened and Closed are called with each connection that is opened, and
	// has been closed.
	Opened, Closed func(conn any)
}

// A Case is a program to be played on the bare driver and on the wrapper.
type Case struct {
	Chapter string // set by the suite for its own
	Name    string
	Rule    string // that it shows, in a sentence

	Settings Settings

	// Unasked says that what the engine is asked is not to be compared: it
	// depends on who comes first.
	Unasked bool

	// Play is the program. It is to be deterministic in all that it sees.
	Play func(*Session)

	// script is set instead of Play for cases on scripted drivers.
	script *script
}

// ID is the name of the case in tests: "chapter/name".
func (c Case) ID() string { return c.Chapter + "/" + c.Name }

// Cases returns all cases of the suite and of e, which may be nil, by chapter.
// Those of e come last in theirs.
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
		place[chapter.name] = i - len(chapters) // any other chapter comes after them, at 0
	}
	slices.SortStableFunc(all, func(a, b Case) int { return place[a.Chapter] - place[b.Chapter] })
	return all
}

// chapters are in the order in which a reader best meets them.
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

// A Result is what became of a case.
type Result struct {
	Case       Case
	Difference string // what differs between bare and wrapped; "" if nothing does
	Deviation  string // why that is wanted, if it is
}

// Run plays all cases, each as a subtest of its chapter, and fails those in
// which the wrapper differs from the bare driver without being expected to.
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
						t.Errorf("this is no deviation any more: %s", r.Deviation)
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
			t.Errorf("no case is called %q, which is said to deviate", id)
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

// Check plays all cases that can be played on target and returns what became of
// them. It fails t only where the suite itself is wrong: a case that differs from
// itself on the bare driver, or in which the bare driver does not do what the
// case relies on. What is in [Target.Allowed] and does not show is a Result, too.
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

// A bareRun is what a case saw on the bare driver.
type bareRun struct {
	once sync.Once
	seen *Session
}

// bareTimeout is the least that the bare driver may take for a case, however soon
// a wrapper is given up: it does not hang, and a slow machine needs seconds for
// some cases.
const bareTimeout = time.Minute

// bareSession plays c on the bare driver, unless that has been done.
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
			t.Errorf("%s is no test, for the bare driver differs from itself\n%s", c.ID(), d)
		}
		if run.seen.broken != "" {
			t.Errorf("%s is no test, for the bare driver does not do what it needs: %s", c.ID(), run.seen.broken)
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

// firstDifference shows two logs from a little before where they part, or
// returns "" if they do not.
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
