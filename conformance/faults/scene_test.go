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

// A scene is a test on a goroutine of its own: games mostly wait, and many more of
// them can be played at once than the testing package runs tests in parallel. What
// it finds is told to the test that asks, by tell.
type scene struct {
	testing.TB // of the test that all scenes belong to
	base       string

	mu       sync.Mutex
	order    []string
	counts   map[string]map[string]int // of what was found, by its text and operation
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

// tell fails t with what the scene has found, or skips it.
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

// found notes what was found, and by which operation, if by one.
func (s *scene) found(text, op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[text] == nil {
		s.order = append(s.order, text)
		s.counts[text] = map[string]int{}
	}
	s.counts[text][op]++
}

// What is not given here must not be called: it would be of the test that all
// scenes belong to.

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
