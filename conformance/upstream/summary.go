package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A summary is the result of all variants.
type summary struct {
	title    string
	packages []string
	plain    *variant
	ours     []*variant
	expected []difference
	partial  bool // only some tests were run
}

// print writes the summary. Its error summarizes what is wrong.
func (s *summary) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\n\n", s.title)
	if err := s.table(out); err != nil {
		return err
	}
	fmt.Fprintln(out)

	var wrong []error
	passed := s.failuresOfPlain(out)
	if passed == 0 {
		wrong = append(wrong, errors.New("no test passes over the plain driver, so there is nothing to compare"))
	}
	for _, pkg := range s.packages {
		if p := s.plain.results[importPath(pkg)]; p.verdict != pass && p.verdict != skip && len(p.tests) == 0 {
			fmt.Fprintf(out, "%s %s over the plain driver\n%s", pkg, p.verdict, indent(p.outputOf("")))
			wrong = append(wrong, fmt.Errorf("no test of %s runs over the plain driver", pkg))
		}
	}
	for _, v := range s.ours {
		c := compare(s.packages, s.plain.results, v.results, s.expected, s.partial)
		for _, f := range c.differences {
			fmt.Fprintf(out, "%s: as expected, %s %s: %s\n", v.name, f.name(), f.ours, f.reason)
		}
		for _, f := range c.stale {
			fmt.Fprintf(out, "%s: stale in expected.go, %s: %s over the plain driver and %s over ours\n", v.name, f.name(), f.plain, f.ours)
		}
		notRun := make(map[string][]string) // in most cases because of the findings before them
		for _, f := range c.regressions {
			if f.ours == none {
				notRun[f.pkg] = append(notRun[f.pkg], f.test)
				continue
			}
			fmt.Fprintf(out, "%s: FAIL %s: %s over the plain driver and %s over ours\n%s", v.name, f.name(), f.plain, f.ours, indent(f.output))
		}
		for _, pkg := range slices.Sorted(maps.Keys(notRun)) {
			fmt.Fprintf(out, "%s: FAIL %s: were not run over ours: %s\n%s",
				v.name, pkg, strings.Join(notRun[pkg], ", "), indent(v.results[importPath(pkg)].outputOf("")))
		}
		fmt.Fprintf(out, "%s: of %d tests that pass over the plain driver, %d pass, %d differ as expected; %d regressions, %d stale expectations\n",
			v.name, passed, c.same, len(c.differences), len(c.regressions), len(c.stale))
		if n := len(c.regressions); n > 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d regressions", v.name, n))
		}
		if s.partial {
			continue
		}
		if idle := notOurs(v, s.packages, os.Getenv); len(idle) > 0 {
			wrong = append(wrong, fmt.Errorf("%s: not used by the tests of %s", v.name, strings.Join(idle, ", ")))
		}
	}
	return errors.Join(wrong...)
}

// failuresOfPlain prints the tests that also fail on the plain driver, and returns how many
// pass.
func (s *summary) failuresOfPlain(out io.Writer) (passed int) {
	for _, pkg := range s.packages {
		p := s.plain.results[importPath(pkg)]
		for _, test := range slices.Sorted(maps.Keys(p.tests)) {
			switch v := p.of(test); v {
			case pass:
				passed++
			case fail, unfinished:
				fmt.Fprintf(out, "plain: %s %s; ignored\n", (finding{pkg: pkg, test: test}).name(), v)
			}
		}
	}
	return passed
}

// table prints how many tests passed, failed and were skipped, by package, and how many
// connections sqlitemw opened for them.
func (s *summary) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	variants := append([]*variant{s.plain}, s.ours...)
	line := func(first string, cell func(*variant) []string) {
		cells := []string{first}
		for _, v := range variants {
			cells = append(cells, cell(v)...)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
	}
	numbers := func(v *variant, packages ...string) []string {
		var sums [4]int
		for _, pkg := range packages {
			r := v.results[importPath(pkg)]
			sums[0] += r.count(pass)
			sums[1] += r.count(fail) + r.count(unfinished)
			sums[2] += r.count(skip)
			sums[3] += v.opened[pkg].Connections
		}
		if v.counts == "" {
			return strings.Fields(fmt.Sprint(sums[0], sums[1], sums[2]))
		}
		return strings.Fields(fmt.Sprint(sums[0], sums[1], sums[2], sums[3]))
	}
	line("", func(v *variant) []string {
		if v.counts == "" {
			return []string{v.name, "", ""}
		}
		return []string{v.name, "", "", ""}
	})
	line("package", func(v *variant) []string {
		if v.counts == "" {
			return []string{"pass", "fail", "skip"}
		}
		return []string{"pass", "fail", "skip", "conns"}
	})
	for _, pkg := range s.packages {
		if s.partial && len(s.plain.results[importPath(pkg)].tests) == 0 {
			continue
		}
		line(pkg, func(v *variant) []string { return numbers(v, pkg) })
	}
	line(fmt.Sprintf("%d packages", len(s.packages)), func(v *variant) []string { return numbers(v, s.packages...) })
	line("time", func(v *variant) []string {
		if v.counts == "" {
			return []string{v.took.Round(time.Second).String(), "", ""}
		}
		return []string{v.took.Round(time.Second).String(), "", "", ""}
	})
	return w.Flush()
}

func (f finding) name() string {
	if f.test == "" {
		return f.pkg
	}
	return f.pkg + "." + f.test
}

// indent returns the first and the last lines of a test's output, indented.
func indent(output string) string {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	const first, last = 25, 15
	if n := len(lines); n > first+last {
		lines = slices.Concat(lines[:first], []string{"..."}, lines[n-last:])
	}
	return "    " + strings.Join(lines, "\n    ") + "\n"
}
