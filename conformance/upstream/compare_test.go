package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/upstream/bridge"
)

// events converts lines such as "pass a TestX" to the output of go test -json. The words of a
// line are the action, the package and the test. The rest is output.
func events(t *testing.T, lines string) results {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(lines) {
		f := append(strings.SplitN(strings.TrimSpace(line), " ", 4), "", "", "")
		if f[0] == "" {
			continue
		}
		if f[2] == "-" {
			f[2] = ""
		}
		fmt.Fprintf(&b, "{\"Action\":%q,\"Package\":%q,\"Test\":%q,\"Output\":%q}\n", f[0], importPath(f[1]), f[2], f[3])
	}
	r, err := readResults(strings.NewReader(b.String()), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const plainEvents = `
	run a TestOne
	pass a TestOne
	run a TestTwo
	run a TestTwo/sub
	pass a TestTwo/sub
	pass a TestTwo
	run a TestSkipped
	skip a TestSkipped
	run a TestBroken
	fail a TestBroken
	fail a
	run b Example
	pass b Example
	pass b
`

func TestCompare(t *testing.T) {
	known := []difference{{pkg: "a", test: "TestOne", says: "on purpose", reason: "because"}}
	for name, c := range map[string]struct {
		replace  []string // in plainEvents
		expected []difference
		partial  bool

		regressions, differences, stale []string
	}{
		"the same": {},
		"a test fails": {
			replace:     []string{"pass a TestOne", "fail a TestOne"},
			regressions: []string{"a.TestOne fails"},
		},
		"a subtest fails": {
			replace:     []string{"pass a TestTwo", "fail a TestTwo"},
			regressions: []string{"a.TestTwo fails", "a.TestTwo/sub fails"},
		},
		"a test is skipped": {
			replace:     []string{"pass a TestOne", "skip a TestOne"},
			regressions: []string{"a.TestOne is skipped"},
		},
		"a test ends its package": {
			replace:     []string{"pass b Example", "output b Example gone", "pass b\n", "fail b\n"},
			regressions: []string{"b.Example does not finish"},
		},
		"a test is missing": {
			replace:     []string{"run b Example", "", "pass b Example", ""},
			regressions: []string{"b.Example was not run"},
		},
		"a package is not built": {
			replace:     []string{"run b Example", "", "pass b Example", "", "pass b\n", "fail b\n"},
			regressions: []string{"b.Example was not run", "b fails"},
		},
		"a package fails, but no test of it": {
			replace:     []string{"pass b\n", "fail b\n"},
			regressions: []string{"b fails"},
		},
		"a test that fails over the plain driver passes": {
			replace: []string{"fail a TestBroken", "pass a TestBroken", "fail a\n", "pass a\n"},
		},
		"an expected difference": {
			replace:     []string{"pass a TestOne", "output a TestOne it was on purpose\nfail a TestOne"},
			expected:    known,
			differences: []string{"a.TestOne fails"},
		},
		"an expected difference that differs otherwise": {
			replace:     []string{"pass a TestOne", "output a TestOne by accident\nfail a TestOne"},
			expected:    known,
			regressions: []string{"a.TestOne fails"},
		},
		"an expected difference that is skipped": {
			replace:     []string{"pass a TestOne", "output a TestOne not run on purpose\nskip a TestOne"},
			expected:    known,
			regressions: []string{"a.TestOne is skipped"},
		},
		"an expected difference that is not run": {
			replace:     []string{"run a TestOne", "", "pass a TestOne", ""},
			expected:    known,
			regressions: []string{"a.TestOne was not run"},
		},
		"an expected difference that passes": {
			expected: known,
			stale:    []string{"a.TestOne passes"},
		},
		"an expected difference of no test": {
			expected: []difference{{pkg: "a", test: "TestNone"}, {pkg: "none", test: "TestOne"}},
			stale:    []string{"a.TestNone was not run", "none.TestOne was not run"},
		},
		"an expected difference of a test that was not asked for": {
			expected: []difference{{pkg: "a", test: "TestNone"}},
			partial:  true,
		},
		"an expected difference of what fails over the plain driver": {
			expected: []difference{{pkg: "a", test: "TestBroken"}},
			stale:    []string{"a.TestBroken fails"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours := events(t, strings.NewReplacer(c.replace...).Replace(plainEvents))
			got := compare([]string{"a", "b"}, events(t, plainEvents), ours, c.expected, c.partial)
			for what, list := range map[string]struct {
				got  []finding
				want []string
			}{
				"regressions": {got.regressions, c.regressions},
				"differences": {got.differences, c.differences},
				"stale":       {got.stale, c.stale},
			} {
				var texts []string
				for _, f := range list.got {
					texts = append(texts, fmt.Sprint(f.name(), " ", f.ours))
				}
				if !slices.Equal(texts, list.want) {
					t.Errorf("%s: %q, want %q", what, texts, list.want)
				}
			}
			tests := 0
			for _, f := range got.regressions {
				if f.test != "" {
					tests++
				}
			}
			if n := got.same + tests + len(got.differences); n != 4 {
				t.Errorf("%d of the 4 tests that pass over the plain driver are accounted for", n)
			}
		})
	}
}

// TestSummary has a regression in one variant, which must be printed and returned as an error.
func TestSummary(t *testing.T) {
	bad := strings.Replace(plainEvents, "pass b Example", "output b Example the reason why\nfail b Example", 1)
	counts := map[string]bridge.Counts{"a": {Connections: 3, Traced: true}, "b": {Connections: 4, Traced: true}}
	s := &summary{
		title:    "title",
		packages: []string{"a", "b"},
		plain:    &variant{name: "plain", results: events(t, plainEvents)},
		ours: []*variant{
			{name: "good", results: events(t, plainEvents), counts: "-", opened: counts},
			{name: "bad", results: events(t, bad), counts: "-", opened: counts},
		},
	}
	var out strings.Builder
	err := s.print(&out)
	if err == nil || err.Error() != "bad: 1 regressions" {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{
		"2 packages 4 1 1 4 1 1 7 3 2 1 7",
		"plain: a.TestBroken fails",
		"good: of 4 tests that pass over the plain driver, 4 pass, 0 differ as expected; 0 regressions",
		"bad: FAIL b.Example: passes over the plain driver and fails over ours\n the reason why",
		"bad: of 4 tests that pass over the plain driver, 3 pass, 0 differ as expected; 1 regressions",
	} {
		if !strings.Contains(words(out.String()), words(want)) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}

	s.ours = s.ours[:1]
	if err := s.print(io.Discard); err != nil {
		t.Errorf("without the bad one: %v", err)
	}
	s.ours[0].opened = map[string]bridge.Counts{"a": counts["a"]}
	if err := s.print(io.Discard); err == nil || err.Error() != "good: not used by the tests of b" {
		t.Errorf("without connections: %v", err)
	}
	s.partial = true
	if err := s.print(io.Discard); err != nil {
		t.Errorf("without connections, in a partial run: %v", err)
	}
}

// TestSummaryOfNothing checks the case that the plain driver's tests do not run, so that there
// is nothing to compare.
func TestSummaryOfNothing(t *testing.T) {
	unbuilt := events(t, "fail a")
	s := &summary{packages: []string{"a"}, partial: true,
		plain: &variant{name: "plain", results: unbuilt},
		ours:  []*variant{{name: "ours", results: unbuilt}},
	}
	err := s.print(io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"there is nothing to compare", "no test of a runs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestNotOurs(t *testing.T) {
	packages := []string{"none", "some", "vfs/tests"}
	v := &variant{opened: map[string]bridge.Counts{"some": {Connections: 1}}}
	unset, set := func(string) string { return "" }, func(string) string { return "1" }
	if got := notOurs(v, packages, unset); !slices.Equal(got, []string{"none"}) {
		t.Errorf("got %v", got)
	}
	if got := notOurs(v, packages, set); !slices.Equal(got, []string{"none", "vfs/tests"}) {
		t.Errorf("with the variable: %v", got)
	}
	v.traced = true
	if got := notOurs(v, packages, unset); !slices.Equal(got, []string{"none", "some"}) {
		t.Errorf("without spans: %v", got)
	}
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestIndent(t *testing.T) {
	if got := indent("one\ntwo\n"); got != "    one\n    two\n" {
		t.Errorf("got %q", got)
	}
	long := "first\n" + strings.Repeat("more\n", 100) + "last\n"
	got := strings.Split(indent(long), "\n")
	if len(got) != 42 || got[0] != "    first" || got[25] != "    ..." || got[40] != "    last" {
		t.Errorf("%d lines: %q", len(got), got)
	}
}
