package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// events converts lines such as "pass a TestX" to the output of go test -json. The words of a
// line are the action, the package, and the test (- for the package). The rest is output.
func events(t *testing.T, lines string) results {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(lines) {
		f := append(strings.SplitN(strings.TrimSpace(line), " ", 4), "", "", "")
		if f[0] == "" {
			continue
		}
		fmt.Fprintf(&b, "{\"Action\":%q,\"Package\":%q,\"Test\":%q,\"Output\":%q,\"Elapsed\":1.5}\n", f[0], f[1], strings.Trim(f[2], "-"), f[3])
	}
	r := make(results)
	if err := r.read(strings.NewReader(b.String())); err != nil {
		t.Fatal(err)
	}
	return r
}

const theirEvents = `
	run a TestOne
	pass a TestOne
	run a TestTwo
	run a TestTwo/sub
	pass a TestTwo/sub
	pass a TestTwo
	run a TestSkipped
	skip a TestSkipped
	run a TestNetwork
	fail a TestNetwork
	fail a -
	run b Example
	pass b Example
	pass b -
`

func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		replace, with string // in theirEvents
		want          []string
	}{
		"the same": {},
		"a test fails": {
			replace: "pass a TestOne", with: "fail a TestOne",
			want: []string{"a TestOne: passes on theirs, fails on ours"},
		},
		"a subtest fails": {
			replace: "pass a TestTwo/sub\n\tpass a TestTwo", with: "fail a TestTwo/sub\n\tfail a TestTwo",
			want: []string{"a TestTwo: passes on theirs, fails on ours", "a TestTwo/sub: passes on theirs, fails on ours"},
		},
		"a test passes on ours only": {
			replace: "fail a TestNetwork", with: "pass a TestNetwork",
			want: []string{"a TestNetwork: fails on theirs, passes on ours"},
		},
		"a test is skipped": {
			replace: "pass a TestOne", with: "skip a TestOne",
			want: []string{"a TestOne: passes on theirs, is skipped on ours"},
		},
		"a test is missing": {
			replace: "run b Example\n\tpass b Example\n",
			want:    []string{"b Example: passes on theirs, is not run on ours"},
		},
		"a test is new": {
			replace: "fail a -", with: "run a TestNew\n\tpass a TestNew\n\tfail a -",
			want: []string{"a TestNew: is not run on theirs, passes on ours"},
		},
		"a test ends its package": {
			replace: "pass b Example\n\tpass b -", with: "fail b -",
			want: []string{"b: passes on theirs, fails on ours", "b Example: passes on theirs, does not end on ours"},
		},
		"a package cannot be built": {
			replace: "run b Example\n\tpass b Example\n\tpass b -", with: "fail b -",
			want: []string{"b: passes on theirs, fails on ours", "b Example: passes on theirs, is not run on ours"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			theirs, ours := events(t, theirEvents), events(t, strings.Replace(theirEvents, c.replace, c.with, 1))
			var got []string
			for _, d := range compare(theirs, ours) {
				got = append(got, d.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestAlign uses subtests whose names differ in every run, one of which fails on ours.
func TestAlign(t *testing.T) {
	theirs := events(t, `
		run a TestOne
		run a TestOne/same
		pass a TestOne/same
		run a TestOne/at_7/x
		pass a TestOne/at_7/x
		run a TestOne/at_8
		pass a TestOne/at_8
		run a TestTwo/at_9
		pass a TestTwo/at_9`)
	ours := events(t, `
		run a TestOne
		run a TestOne/at_8/x
		pass a TestOne/at_8/x
		run a TestOne/same
		pass a TestOne/same
		run a TestOne/at_3
		fail a TestOne/at_3
		run a TestTwo/at_4
		pass a TestTwo/at_4
		run a TestTwo/at_5
		pass a TestTwo/at_5`)
	var got []string
	for _, d := range compare(theirs, align(theirs, ours)) {
		got = append(got, d.String())
	}
	want := []string{
		"a TestOne/at_8: passes on theirs, fails on ours",
		"a TestTwo/at_4: is not run on theirs, passes on ours", // one of these is new
		"a TestTwo/at_5: is not run on theirs, passes on ours",
		"a TestTwo/at_9: passes on theirs, is not run on ours",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCounts(t *testing.T) {
	r := events(t, theirEvents)
	if got, want := r.String(), "6 tests: 4 passed, 1 failed, 1 skipped, in 3 s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	cut := events(t, strings.Replace(theirEvents, "pass b Example", "", 1))
	if got, want := cut.String(), "6 tests: 3 passed, 1 failed, 1 skipped, 1 did not end, in 3 s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(failOnBoth(r, r)), "[a a TestNetwork]"; got != want {
		t.Errorf("fail on both: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(failOnBoth(r, cut)), "[a a TestNetwork]"; got != want {
		t.Errorf("fail on both, if one does not end on ours: %s, want %s", got, want)
	}
}

func TestOutputOfFailures(t *testing.T) {
	r := make(results)
	err := r.read(strings.NewReader(`
		{"Action":"build-output","ImportPath":"b [b.test]","Output":"b.go:1: undefined\n"}
		{"Action":"build-fail","ImportPath":"b [b.test]"}
		{"Action":"start","Package":"b"}
		{"Action":"output","Package":"b","Output":"FAIL b [build failed]\n"}
		{"Action":"fail","Package":"b","FailedBuild":"b [b.test]"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r[test{"b", ""}].output.String(), "FAIL b [build failed]\nb.go:1: undefined\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := r.read(strings.NewReader("FAIL")); err == nil {
		t.Error("no error for input that is not JSON")
	}
}

func different(pkg, name string) difference {
	return difference{test{pkg, name}, passed, failed}
}

func TestTopLevel(t *testing.T) {
	for _, c := range []struct {
		differences []difference
		want        string
	}{
		{nil, ""},
		{[]difference{different("a", ""), different("a", "TestTwo/x"), different("a", "TestTwo"), different("b", "TestOne")}, "^(TestOne|TestTwo)$"},
		{[]difference{different("a", ""), different("b", "TestOne")}, ""},
	} {
		if got := topLevel(c.differences); got != c.want {
			t.Errorf("%v: got %q, want %q", c.differences, got, c.want)
		}
	}
}

func TestSteady(t *testing.T) {
	one, two, three := different("a", "TestOne"), different("a", "TestTwo"), different("a", "TestThree")
	both, gone := steady([]difference{one, two}, []difference{two, three})
	if !slices.Equal(both, []difference{two}) || !slices.Equal(gone, []difference{one}) {
		t.Errorf("both %v, gone %v", both, gone)
	}
}

func TestInnermost(t *testing.T) {
	ds := []difference{different("a", ""), different("a", "TestOne"), different("a", "TestOne/x"), different("a", "TestOneMore"), different("b", "")}
	if got, want := innermost(ds), []difference{ds[2], ds[3], ds[4]}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
