package main

import (
	"strings"
	"sync"
)

// tailBytes is how much of a process's output a tail keeps: about the last twenty lines of a
// Jaeger, which logs one JSON object per line, or of a failed build. More would hide the reason
// in an error's text.
const tailBytes = 8192

// tail is an io.Writer that keeps the end of its input, for the error of a process that ended.
// Its zero value is ready to use. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool // something before kept was dropped
}

// Write never fails, and does not retain p.
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

// String returns the last whole lines, without the final newline: at most tailBytes bytes. If
// the last line is longer, its start is cut off.
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
