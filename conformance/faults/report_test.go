package faults

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// reportFD is the descriptor on which a child reports. It is the first of ExtraFiles, and these
// begin at 3.
const reportFD = 3

// A report is the child's end of the pipe. A line is one write, which a pipe keeps whole up to
// 4096 bytes. So several goroutines may report concurrently, and a killed child leaves no
// partial line.
type report struct{ f *os.File }

// openReport opens the pipe. A role calls it once.
func openReport() *report { return &report{os.NewFile(reportFD, "report")} }

func (r *report) line(kind, text string) {
	text = strings.ReplaceAll(text, "\n", " / ")
	if len(text) > 4000 {
		text = text[:4000]
	}
	if _, err := r.f.WriteString(kind + " " + text + "\n"); err != nil {
		os.Exit(3) // the parent has ended
	}
}

// ack acknowledges id. Call it after the call that wrote id has returned nil.
func (r *report) ack(id int64) { r.line("ack", strconv.FormatInt(id, 10)) }

// failed reports an error, which the parent counts by its text.
func (r *report) failed(err error) {
	if err != nil {
		r.line("err", err.Error())
	}
}

// say reports a word that the parent may wait for, such as "ready".
func (r *report) say(word string) { r.line("say", word) }

// count adds n to a figure of the parent's campaign.
func (r *report) count(figure string, n int) { r.line("num", fmt.Sprintf("%d %s", n, figure)) }

// acks is the parent's end of the pipe: everything that a child has reported.
type acks struct {
	ended chan struct{} // closed at the pipe's end

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every line
	ids     []int64
	errs    []string
	said    []string
	counts  map[string]int
	others  map[string][]string // by kind
}

func readAcks(f *os.File) *acks {
	a := &acks{ended: make(chan struct{}), changed: make(chan struct{}), counts: map[string]int{}, others: map[string][]string{}}
	go func() {
		defer close(a.ended)
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			a.read(s.Text())
		}
	}()
	return a
}

func (a *acks) read(line string) {
	kind, text, _ := strings.Cut(line, " ")
	a.mu.Lock()
	defer a.mu.Unlock()
	switch kind {
	case "ack":
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			a.ids = append(a.ids, id)
		}
	case "err":
		a.errs = append(a.errs, text)
	case "say":
		a.said = append(a.said, text)
	case "num":
		n, figure, _ := strings.Cut(text, " ")
		if n, err := strconv.Atoi(n); err == nil {
			a.counts[figure] += n
		}
	default:
		a.others[kind] = append(a.others[kind], text)
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// acked returns the ids that have been acknowledged so far. Call it before a fault to compare
// them with what is left after it.
func (a *acks) acked() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ids)
}

// reported returns the texts of a kind that acks does not interpret.
func (a *acks) reported(kind string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.others[kind])
}

// hasSaid reports whether the child has said word.
func (a *acks) hasSaid(word string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.said, word)
}

// words returns what the child has said so far, in order.
func (a *acks) words() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.said)
}

// collect adds a child's errors and counts to a campaign. It is called once per child, after
// the child has ended.
func (a *acks) collect(c *campaign) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, text := range a.errs {
		c.failedText(text)
	}
	for figure, n := range a.counts {
		c.add(figure, n)
	}
}

// explain adds a child's fatal figures to the campaign, with the latest error texts as details.
func (a *acks) explain(c *campaign, what string) {
	c.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, figure := range fatal {
		if n := a.counts[figure]; n > 0 {
			delete(a.counts, figure)
			c.wrongs(n, figure, "%s: %s", what, strings.Join(a.errs[max(0, len(a.errs)-6):], "\n\t"))
		}
	}
}

// await waits until the child has said word. It returns false if the child ended or hung
// instead.
func (c *child) await(word string) bool {
	return c.awaitFunc(func() bool { return slices.Contains(c.said, word) })
}

// awaitAcks waits until the child has acknowledged n ids. It returns false if the child ended
// or hung instead.
func (c *child) awaitAcks(n int) bool {
	return c.awaitFunc(func() bool { return len(c.ids) >= n })
}

// awaitFunc waits until done returns true. It calls done with the lock held.
func (c *child) awaitFunc(done func() bool) bool {
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		ok, changed := done(), c.changed
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-c.done:
			c.mu.Lock()
			defer c.mu.Unlock()
			return done()
		case <-timeout:
			return false
		}
	}
}

// mustAwait is like await, but ends the test with the child's output on failure.
func (c *child) mustAwait(t testing.TB, word string) {
	t.Helper()
	if !c.await(word) {
		c.kill()
		t.Fatalf("the child has not said %q: %v\n%s", word, c.err, c.output())
	}
}
