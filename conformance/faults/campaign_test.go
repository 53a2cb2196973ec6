package faults

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// lengthVar is the environment variable with the duration of each campaign.
const lengthVar = "SQLITEMW_FAULTS"

// The length of a campaign without lengthVar. All campaigns together must fit into a run of CI,
// which uses the race detector with -short on two cores.
const (
	shortLength    = 10 * time.Second
	shortestLength = 3 * time.Second
)

// length returns the duration of one campaign. A campaign that divides its time into parts gets
// the duration of one part.
func length(t testing.TB, parts int) time.Duration {
	t.Helper()
	d := shortLength
	if testing.Short() {
		d = shortestLength
	}
	if s := os.Getenv(lengthVar); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s is not a duration: %v", lengthVar, err)
		}
	}
	return d / time.Duration(max(parts, 1))
}

// crashesVar is the environment variable with the number of power failures, of all modes in which
// commits share syncs together.
const crashesVar = "SQLITEMW_FAULTS_CRASHES"

// leastCrashes returns the number of power failures of one of several modes.
func leastCrashes(t testing.TB, modes int) int64 {
	t.Helper()
	s := os.Getenv(crashesVar)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s is not a number: %v", crashesVar, err)
	}
	return int64((n + modes - 1) / modes)
}

// fatal are the figures that must be zero. A database is stuck if it does not work although the
// fault has ended.
var fatal = []string{"lost", "unseen", "not whole", "leaked", "hung", "stuck", "crashed"}

// A campaign counts the figures of one campaign. Its methods are safe for concurrent use.
type campaign struct {
	name string
	t    testing.TB

	mu      sync.Mutex
	order   []string // of figures, in order of first use
	figures map[string]int64
	errors  map[string]int64 // by normalized text
	details map[string]int   // by format: how often details were printed
}

var campaigns struct {
	sync.Mutex
	all     []*campaign
	skipped []string
}

// skip skips a test, and adds the reason to the summary.
func skip(t testing.TB, why error) {
	t.Helper()
	campaigns.Lock()
	campaigns.skipped = append(campaigns.skipped, fmt.Sprintf("%s is skipped: %v", t.Name(), why))
	campaigns.Unlock()
	t.Skip(why)
}

// newCampaign starts a campaign. The figures named here are printed in this order, even if they
// are zero; others follow in order of first use. At the end of the test, the figures and the
// error texts are printed. The test fails if one of the fatal figures is not zero.
func newCampaign(t testing.TB, name string, figures ...string) *campaign {
	c := &campaign{name: name, t: t, figures: map[string]int64{}, errors: map[string]int64{}}
	for _, f := range figures {
		c.add(f, 0)
	}
	campaigns.Lock()
	campaigns.all = append(campaigns.all, c)
	campaigns.Unlock()
	t.Cleanup(c.end)
	return c
}

// add adds n to a figure.
func (c *campaign) add(figure string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.figures[figure]; !ok {
		c.order = append(c.order, figure)
	}
	c.figures[figure] += int64(n)
}

// get returns a figure.
func (c *campaign) get(figure string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.figures[figure]
}

// failed counts an error by its normalized text. Nil is not counted.
func (c *campaign) failed(err error) {
	if err != nil {
		c.failedText(err.Error())
	}
}

// failedText counts an error of which only the text is known, such as an error of a child.
func (c *campaign) failedText(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors[normalise(text)]++
}

// maxDetails is how often a campaign prints details of one format. A few are enough to find a
// cause; more would hide other causes.
const maxDetails = 5

// wrong adds one to a figure that must be zero, and prints details.
func (c *campaign) wrong(figure, format string, args ...any) {
	c.t.Helper()
	c.wrongs(1, figure, format, args...)
}

// wrongs adds n to a figure that must be zero, and prints details.
func (c *campaign) wrongs(n int, figure, format string, args ...any) {
	c.t.Helper()
	c.add(figure, n)
	c.mu.Lock()
	if c.details == nil {
		c.details = map[string]int{}
	}
	c.details[figure+format]++
	print := c.details[figure+format] <= maxDetails
	c.mu.Unlock()
	if print {
		c.t.Errorf(figure+": "+format, args...)
	}
}

func (c *campaign) end() {
	for _, f := range fatal {
		if n := c.get(f); n > 0 {
			c.t.Errorf("%s: %s %d, must be 0", c.name, f, n)
		}
	}
	c.t.Log(c.line())
	if table := c.table(); table != "" {
		c.t.Log("errors seen:\n" + table)
	}
}

// line returns the figures as one line.
func (c *campaign) line() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := make([]string, 0, len(c.order))
	for _, f := range c.order {
		parts = append(parts, fmt.Sprintf("%s %d", f, c.figures[f]))
	}
	return c.name + ": " + strings.Join(parts, ", ")
}

// table returns the error texts with their counts, the most frequent first.
func (c *campaign) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := slices.SortedFunc(maps.Keys(c.errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.errors[b], c.errors[a]), cmp.Compare(a, b))
	})
	var b strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&b, "%8d  %s\n", c.errors[text], text)
	}
	return b.String()
}

// printSummary prints the figures of every campaign that has run.
func printSummary(w io.Writer) {
	campaigns.Lock()
	defer campaigns.Unlock()
	for _, c := range campaigns.all {
		fmt.Fprintln(w, "faults:", c.line())
	}
	for _, line := range campaigns.skipped {
		fmt.Fprintln(w, "faults:", line)
	}
}

var (
	paths   = regexp.MustCompile(`(?:/[^\s/:"'()]+)+/`)
	numbers = regexp.MustCompile(`\d+(?:\.\d+)*(?:ns|µs|ms|m\d[\d.]*s|s|h)?`)
)

// normalise removes directories and numbers from an error's text, so that all errors of one
// kind have the same text.
func normalise(text string) string {
	text = paths.ReplaceAllString(text, "")
	text = numbers.ReplaceAllString(text, "N")
	return strings.ReplaceAll(text, "\n", " / ")
}
