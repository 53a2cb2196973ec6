package compat

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

// A diff is a line that differs between two drivers.
type diff struct {
	program, key string
	theirs, ours string
}

func (d diff) String() string {
	return fmt.Sprintf("%s\n\t%s\n\t\ttheirs: %s\n\t\tours:   %s", d.program, d.key, d.theirs, d.ours)
}

// none is the value of a missing line.
const none = "(nothing)"

// compare returns the lines that differ, program by program in the order of theirs. If only one
// driver opens a DSN, the lines that only one has are left out.
func compare(theirs, ours []player.Outcome) []diff {
	byName := map[string]player.Outcome{}
	for _, o := range ours {
		byName[o.Program] = o
	}
	var diffs []diff
	for _, t := range theirs {
		o, ok := byName[t.Program]
		if !ok {
			diffs = append(diffs, diff{t.Program, "program", "played", none})
			continue
		}
		delete(byName, t.Program)
		values := map[string]string{}
		for _, l := range o.Lines {
			values[l.Key] = l.Value
		}
		opensDiffer := false
		add := func(d diff) {
			if !opensDiffer || d.theirs != none && d.ours != none {
				diffs = append(diffs, d)
			}
		}
		for _, l := range t.Lines {
			value, ok := values[l.Key]
			delete(values, l.Key)
			if !ok {
				value = none
			}
			if value != l.Value {
				add(diff{t.Program, l.Key, l.Value, value})
				opensDiffer = opensDiffer || l.Key == "open"
			}
		}
		for _, l := range o.Lines {
			if value, ok := values[l.Key]; ok {
				add(diff{t.Program, l.Key, none, value})
			}
		}
	}
	for _, o := range ours {
		if _, ok := byName[o.Program]; ok {
			diffs = append(diffs, diff{o.Program, "program", none, "played"})
		}
	}
	return diffs
}

// A difference says which lines of which drivers may differ. Each field is a pattern in which
// an asterisk matches any text.
type difference struct {
	driver, program, key string

	// says is what our driver says, or "theirs -> ours".
	says string
}

// arrow separates their value from ours.
const arrow = " -> "

func (d difference) matches(driver string, x diff) bool {
	said := x.ours
	if strings.Contains(d.says, arrow) {
		said = x.theirs + arrow + x.ours
	}
	return matches(d.driver, driver) && matches(d.program, x.program) && matches(d.key, x.key) && matches(d.says, said)
}

// matches reports whether a text matches a pattern.
func matches(pattern, text string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := len(parts) - 1
	for _, part := range parts[:last] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[last])
}

// judge returns the differences of a driver that the table does not allow, and how many each
// entry allows.
func judge(driver string, diffs []diff, table map[difference]string) (unknown []diff, used map[difference]int) {
	used = map[difference]int{}
	for _, x := range diffs {
		allowed := false
		for d := range table {
			if d.matches(driver, x) {
				used[d]++
				allowed = true
			}
		}
		if !allowed {
			unknown = append(unknown, x)
		}
	}
	return unknown, used
}

// report reports differences as errors, up to a limit.
func report(t *testing.T, driver string, unknown []diff) {
	t.Helper()
	const most = 40
	for i, x := range unknown {
		if i == most {
			t.Errorf("and %d more differences: print all with -differences", len(unknown)-most)
			break
		}
		t.Errorf("%s: %v", driver, x)
	}
}

// unused returns the entries of the table that name a driver but match no difference of it.
func unused(driver string, table map[difference]string, used map[difference]int) []difference {
	var all []difference
	for d := range table {
		if matches(d.driver, driver) && used[d] == 0 {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b difference) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all
}

// TestMatches matches patterns.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "b", false},
		{"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*c", "abc", true}, {"*c", "abcd", false}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*a", "a", false},
		{"a*b*c", "axbxc", true}, {"a*b*c", "axcxb", false}, {"*b*", "abc", true}, {"*b*b", "ab", false},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.text, got)
		}
	}
}

// TestDifferences applies a table.
func TestDifferences(t *testing.T) {
	diffs := []diff{{"a", "k", "1", "2"}, {"a", "k", "1", "3"}, {"b", "k", "1", "2"}}
	table := map[difference]string{
		{"d*", "a", "k", "2"}:      "used",
		{"d*", "b", "*", "1 -> *"}: "used",
		{"d*", "b", "*", "2 -> *"}: "not used: they say 1",
		{"d*", "c", "*", "*"}:      "not used: there is no such program",
		{"e*", "c", "*", "*"}:      "of another driver",
	}
	unknown, used := judge("driver", diffs, table)
	if want := diffs[1:2]; !slices.Equal(unknown, want) {
		t.Errorf("unknown are %v, want %v", unknown, want)
	}
	var reasons []string
	for _, d := range unused("driver", table, used) {
		reasons = append(reasons, table[d])
	}
	if want := []string{"not used: they say 1", "not used: there is no such program"}; !slices.Equal(reasons, want) {
		t.Errorf("unused are %q, want %q", reasons, want)
	}
}

// compare must find every kind of difference, and no other.
func TestCompare(t *testing.T) {
	lines := func(keyed ...string) []player.Line {
		var all []player.Line
		for i := 0; i < len(keyed); i += 2 {
			all = append(all, player.Line{Key: keyed[i], Value: keyed[i+1]})
		}
		return all
	}
	theirs := []player.Outcome{
		{Program: "same", Lines: lines("a", "1")},
		{Program: "other", Lines: lines("a", "1", "b", "2", "c", "3")},
		{Program: "lost", Lines: lines("a", "1")},
	}
	ours := []player.Outcome{
		{Program: "new", Lines: lines("a", "1")},
		{Program: "other", Lines: lines("a", "1", "b", "3", "d", "4")},
		{Program: "same", Lines: lines("a", "1")},
	}
	want := []diff{
		{"other", "b", "2", "3"}, {"other", "c", "3", none}, {"other", "d", none, "4"},
		{"lost", "program", "played", none}, {"new", "program", none, "played"},
	}
	if got := compare(theirs, ours); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
