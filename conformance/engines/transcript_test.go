package engines_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A party is who says a line of a transcript.
type party string

const (
	byProgram party = "program" // what the program sees
	byServer  party = "server"  // what the server is sent
	byPool    party = "pool"    // database/sql's statistics
)

// An entry is one line of a transcript.
type entry struct {
	by   party
	text string
}

// A transcript is all that happened while a program was played.
type transcript struct {
	mu    sync.Mutex
	lines []entry
}

func (t *transcript) write(by party, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, entry{by, fmt.Sprintf(format, args...)})
}

// of returns what was said by one of those named.
func of(lines []entry, by ...party) []entry {
	return slices.DeleteFunc(slices.Clone(lines), func(e entry) bool { return !slices.Contains(by, e.by) })
}

// difference shows two transcripts from a little before where they part.
// It is empty if they do not.
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
