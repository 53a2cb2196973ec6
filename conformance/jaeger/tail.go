package main

import (
	"strings"
	"sync"
)

// tailBytes is how much of a process's output a tail keeps: about the last
// twenty lines of a Jaeger, which logs one JSON object a line, or of a failed
// build. More would bury the reason in an error's text.
const tailBytes = 8192

// tail is an io.Writer that remembers the end of what was written to it, for
// the error that tells why a process ended. Its zero value is ready; it is
// safe for use by several goroutines at once.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool // something before kept was dropped
}

// Write never fails and never keeps p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// String is the last whole lines, without the newline at the end: at most
// tailBytes bytes. A last line longer than that is cut at its start.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimRight(string(t.kept), "\n")
	if t.cut {
		if _, whole, found := strings.Cut(text, "\n"); found {
			text = whole
		}
	}
	return text
}
