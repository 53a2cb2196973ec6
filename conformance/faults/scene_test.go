//go:build unix

package faults

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A scene is a test on its own goroutine. Games mostly wait, so many more of them can run
// concurrently than the testing package runs tests in parallel. tell reports what the scene has
// found to a test.
type scene struct {
	testing.TB // of the test that all scenes belong to
	base       string
	lost       int // acknowledged rows

	mu       sync.Mutex
	order    []string
	counts   map[string]map[string]int // of findings, by text and operation
	skipped  string
	cleanups []func()
}

// play runs a test as a scene. Its directories are below base.
func play(t testing.TB, base string, f func(*scene)) *scene {
	s := &scene{TB: t, base: base, counts: map[string]map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.clean()
		f(s)
	}()
	<-done
	return s
}

func (s *scene) clean() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// tell fails or skips t with what the scene has found.
func (s *scene) tell(t *testing.T) {
	for _, text := range s.order {
		var ops []string
		for _, op := range slices.Sorted(maps.Keys(s.counts[text])) {
			switch n := s.counts[text][op]; {
			case n > 1:
				ops = append(ops, fmt.Sprintf("%s %d times", op, n))
			case op != "":
				ops = append(ops, op)
			}
		}
		if len(ops) > 0 {
			text += " [" + strings.Join(ops, ", ") + "]"
		}
		t.Error(text)
	}
	if s.skipped != "" {
		t.Skip(s.skipped)
	}
}

// found records a finding, and the operation that it belongs to, if any.
func (s *scene) found(text, op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[text] == nil {
		s.order = append(s.order, text)
		s.counts[text] = map[string]int{}
	}
	s.counts[text][op]++
}

// Methods that are not defined here must not be called: they would apply to the test that all
// scenes share.

func (s *scene) Helper()                           {}
func (s *scene) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *scene) Error(args ...any)                 { s.found(fmt.Sprint(args...), "") }
func (s *scene) Errorf(format string, args ...any) { s.found(fmt.Sprintf(format, args...), "") }
func (s *scene) Fatal(args ...any)                 { s.Error(args...); runtime.Goexit() }
func (s *scene) Fatalf(format string, args ...any) { s.Errorf(format, args...); runtime.Goexit() }
func (s *scene) Skipf(format string, args ...any) {
	s.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TempDir returns a new directory that other users may enter.
func (s *scene) TempDir() string {
	dir, err := os.MkdirTemp(s.base, "scene")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		s.Fatal(err)
	}
	return dir
}
