package main

import (
	"maps"
	"slices"
	"strings"
)

// A finding is a test with different results on the two drivers.
type finding struct {
	pkg, test   string // an empty test means the whole package
	plain, ours verdict
	reason      string // why it was expected; "" if it was not
	output      string
}

type comparison struct {
	regressions []finding // pass on the plain driver, but not on ours
	differences []finding // fail on ours, as expected
	stale       []finding // expected differences that did not occur
	same        int       // number of tests that pass on both
}

// compare compares the results of one of our variants with those of the plain driver. partial
// says that only some tests were run.
func compare(packages []string, plain, ours results, expected []difference, partial bool) comparison {
	var c comparison
	for _, pkg := range packages {
		p, o := plain[importPath(pkg)], ours[importPath(pkg)]
		explained := false
		for _, test := range slices.Sorted(maps.Keys(p.tests)) {
			f := finding{pkg: pkg, test: test, plain: p.of(test), ours: o.of(test), output: o.outputOf(test)}
			if f.ours == fail || f.ours == unfinished {
				explained = true
			}
			switch i := indexOf(expected, pkg, test); {
			case f.plain == pass && f.ours == pass:
				c.same++
			case f.plain != pass:
			case i >= 0 && f.ours == fail && strings.Contains(f.output, expected[i].says):
				f.reason = expected[i].reason
				c.differences = append(c.differences, f)
			default:
				c.regressions = append(c.regressions, f)
			}
		}
		// Tests can end a package without failing, or fail to build.
		if p.verdict == pass && o.verdict != pass && !explained {
			c.regressions = append(c.regressions, finding{pkg: pkg, plain: p.verdict, ours: o.verdict, output: o.outputOf("")})
		}
	}
	for _, d := range expected {
		f := finding{pkg: d.pkg, test: d.test, reason: d.reason, plain: none, ours: none}
		if p := plain[importPath(d.pkg)]; p != nil {
			f.plain = p.of(d.test)
		}
		if o := ours[importPath(d.pkg)]; o != nil {
			f.ours = o.of(d.test)
		}
		if partial && f.plain == none {
			continue
		}
		if f.plain != pass || f.ours == pass {
			c.stale = append(c.stale, f)
		}
	}
	return c
}

func indexOf(ds []difference, pkg, test string) int {
	return slices.IndexFunc(ds, func(d difference) bool { return d.pkg == pkg && d.test == test })
}

// notOurs returns the packages whose tests opened no database through sqlitemw, or made no span
// in a traced variant.
func notOurs(v *variant, packages []string, getenv func(string) string) []string {
	var idle []string
	for _, pkg := range packages {
		if name, ok := opensNone[pkg]; ok && getenv(name) == "" {
			continue
		}
		if got := v.opened[pkg]; got.Connections == 0 || v.traced && !got.Traced {
			idle = append(idle, pkg)
		}
	}
	return idle
}
