package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// An outcome is the result of a test.
type outcome string

const (
	passed     outcome = "passes"
	failed     outcome = "fails"
	skipped    outcome = "is skipped"
	unfinished outcome = "does not end"
	notRun     outcome = "is not run"
)

// A test is a test, subtest or example. Without a name, it is a whole package. A package fails
// without a failing test if it cannot be built, panics or takes too long.
type test struct{ pkg, name string }

func (t test) String() string {
	if t.name == "" {
		return t.pkg
	}
	return t.pkg + " " + t.name
}

func (t test) compare(u test) int {
	return cmp.Or(cmp.Compare(t.pkg, u.pkg), cmp.Compare(t.name, u.name))
}

type result struct {
	outcome outcome
	output  strings.Builder
	number  int // order of the start
	seconds float64
}

type results map[test]*result

// read adds the output of go test -json (go doc test2json).
func (r results) read(from io.Reader) error {
	builds := make(map[string]string) // what compilers printed
	for d := json.NewDecoder(from); ; {
		var e struct {
			Action, Package, Test, Output, ImportPath, FailedBuild string
			Elapsed                                                float64
		}
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("not the output of go test -json: %w", err)
		}
		if e.Action == "build-output" {
			builds[e.ImportPath] += e.Output
		}
		if e.Package == "" {
			continue
		}
		t := test{e.Package, e.Test}
		if r[t] == nil {
			r[t] = &result{outcome: unfinished, number: len(r)}
		}
		r[t].seconds = e.Elapsed
		switch e.Action {
		case "output":
			r[t].output.WriteString(e.Output)
		case "pass":
			r[t].outcome = passed
		case "skip":
			r[t].outcome = skipped
		case "fail":
			r[t].outcome = failed
			r[t].output.WriteString(builds[e.FailedBuild])
		}
	}
}

func (r results) of(t test) outcome {
	if r[t] == nil {
		return notRun
	}
	return r[t].outcome
}

// count returns the number of tests with outcome o, without packages as a whole.
func (r results) count(o outcome) int {
	n := 0
	for t, result := range r {
		if t.name != "" && result.outcome == o {
			n++
		}
	}
	return n
}

// String returns the number of tests with each outcome, and their time, without the time to
// build them.
func (r results) String() string {
	n, seconds := 0, 0.0
	for t, result := range r {
		if t.name != "" {
			n++
		} else {
			seconds += result.seconds
		}
	}
	s := fmt.Sprintf("%d tests: %d passed, %d failed, %d skipped", n, r.count(passed), r.count(failed), r.count(skipped))
	if u := r.count(unfinished); u > 0 {
		s += fmt.Sprintf(", %d did not end", u)
	}
	return fmt.Sprintf("%s, in %.0f s", s, seconds)
}

// A difference is a test with different outcomes on the two drivers.
type difference struct {
	test
	theirs, ours outcome
}

func (d difference) String() string {
	return fmt.Sprintf("%s: %s on theirs, %s on ours", d.test, d.theirs, d.ours)
}

// align returns ours with the names that the tests have on theirs. Some subtests are named
// after times, addresses and random words. Those that only one driver has count as the same, in
// the order of their start, if both drivers have the same number of them.
func align(theirs, ours results) results {
	unmatched := func(r, other results) map[test][]test {
		by := make(map[test][]test) // by their parent test
		for t := range r {
			if other[t] == nil {
				name, _, _ := strings.Cut(t.name, "/")
				by[test{t.pkg, name}] = append(by[test{t.pkg, name}], t)
			}
		}
		for _, ts := range by {
			slices.SortFunc(ts, func(a, b test) int { return cmp.Compare(r[a].number, r[b].number) })
		}
		return by
	}
	theirNames := unmatched(theirs, ours)
	aligned := maps.Clone(ours)
	for of, names := range unmatched(ours, theirs) {
		if len(names) != len(theirNames[of]) {
			continue
		}
		for i, t := range names {
			delete(aligned, t)
			aligned[theirNames[of][i]] = ours[t]
		}
	}
	return aligned
}

// compare returns the differences, sorted by package and name.
func compare(theirs, ours results) []difference {
	var ds []difference
	for _, t := range tests(theirs, ours) {
		if a, b := theirs.of(t), ours.of(t); a != b {
			ds = append(ds, difference{t, a, b})
		}
	}
	return ds
}

// failOnBoth returns the tests that end on neither driver as they should.
func failOnBoth(theirs, ours results) []test {
	return slices.DeleteFunc(tests(theirs, ours), func(t test) bool {
		a, b := theirs.of(t), ours.of(t)
		return a != b || a != failed && a != unfinished
	})
}

func tests(theirs, ours results) []test {
	both := maps.Clone(theirs)
	maps.Copy(both, ours)
	return slices.SortedFunc(maps.Keys(both), test.compare)
}

// topLevel returns a pattern for go test -run that matches the differing tests with all their
// subtests. It returns "" if nothing differs, or if a package differs without a differing test,
// because that does not depend on time.
func topLevel(ds []difference) string {
	inTests := make(map[string]bool)
	for _, d := range ds {
		inTests[d.pkg] = inTests[d.pkg] || d.name != ""
	}
	var names []string
	for _, d := range ds {
		name, _, _ := strings.Cut(d.name, "/")
		switch {
		case name != "":
			names = append(names, name)
		case !inTests[d.pkg]:
			return ""
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$"
}

// steady returns the differences of the first run that the second run also has, and the others.
func steady(first, second []difference) (both, gone []difference) {
	in := make(map[test]bool)
	for _, d := range second {
		in[d.test] = true
	}
	for _, d := range first {
		if in[d.test] {
			both = append(both, d)
		} else {
			gone = append(gone, d)
		}
	}
	return both, gone
}

// innermost removes the differences of tests that have a differing subtest, because that is
// their cause.
func innermost(ds []difference) []difference {
	return slices.DeleteFunc(slices.Clone(ds), func(d difference) bool {
		return slices.ContainsFunc(ds, func(e difference) bool {
			return e.pkg == d.pkg && (d.name == "" && e.name != "" || strings.HasPrefix(e.name, d.name+"/"))
		})
	})
}
