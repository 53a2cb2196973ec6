package engines_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A party is the source of a line in a transcript.
type party string

const (
	byProgram party = "program" // what the program sees
	byServer  party = "server"  // what the server receives
	byPool    party = "pool"    // database/sql's statistics
)

// An entry is one line of a transcript.
type entry struct {
	by   party
	text string
}

// A transcript is everything that happened while a program was played.
type transcript struct {
	mu      sync.Mutex
	lines   []entry
	pending []heard
}

// A heard is a line that the server received on one of its connections.
type heard struct {
	stream string
	text   string
}

// write appends a line whose position is known.
func (t *transcript) write(by party, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settleLocked()
	t.lines = append(t.lines, entry{by, addresses.ReplaceAllString(fmt.Sprintf(format, args...), "0x")})
}

// hear records a line of a stream that runs concurrently with other streams.
func (t *transcript) hear(stream, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = append(t.pending, heard{stream, addresses.ReplaceAllString(fmt.Sprintf(format, args...), "0x")})
}

// settleLocked moves the lines heard so far to their place, stream by stream.
func (t *transcript) settleLocked() {
	slices.SortStableFunc(t.pending, func(a, b heard) int { return strings.Compare(a.stream, b.stream) })
	for _, h := range t.pending {
		t.lines = append(t.lines, entry{byServer, h.stream + ": " + h.text})
	}
	t.pending = nil
}

// all returns all lines.
func (t *transcript) all() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settleLocked()
	return t.lines
}

// addresses matches the pointers that differ between any two transcripts.
var addresses = regexp.MustCompile(`0x[0-9a-f]{8,}`)

// of returns the lines of the given parties.
func of(lines []entry, by ...party) []entry {
	return slices.DeleteFunc(slices.Clone(lines), func(e entry) bool { return !slices.Contains(by, e.by) })
}

// difference returns the lines around the first difference of two transcripts, or "" if they
// are equal.
func difference(bare, wrapped []entry) string {
	at := 0
	for at < len(bare) && at < len(wrapped) && bare[at] == wrapped[at] {
		at++
	}
	if at == len(bare) && at == len(wrapped) {
		return ""
	}
	var text strings.Builder
	show := func(name string, lines []entry, from, to int) {
		for _, e := range lines[min(max(0, from), len(lines)):min(to, len(lines))] {
			fmt.Fprintf(&text, "\t%-8s %-8s %s\n", name, e.by, e.text)
		}
	}
	show("both", bare, at-5, at)
	show("bare", bare, at, at+5)
	show("wrapped", wrapped, at, at+5)
	return text.String()
}
