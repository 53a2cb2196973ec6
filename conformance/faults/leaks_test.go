package faults

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/goleak"
)

// leaks is the set of goroutines at one moment. See left.
type leaks struct {
	dir    string // databases are below it
	before goleak.Option
}

// watchLeaks starts to watch for leaks. Databases are below dir.
func watchLeaks(dir string) *leaks {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	return &leaks{dir, goleak.IgnoreCurrent()}
}

// endPatience is how long a goroutine may take to end after Close has returned. It normally
// takes microseconds; a machine under load may need a thousand times as long.
const endPatience = 10 * time.Second

// left returns a description of each new goroutine, and of each descriptor and mapping of a
// file below the directory. It waits for goroutines that are ending. Descriptors and mappings
// are known only on Linux.
func (l *leaks) left() (left []string) {
	began := time.Now()
	err := goleak.Find(l.before)
	for err != nil && time.Since(began) < endPatience {
		err = goleak.Find(l.before) // waits for a second itself
	}
	if err != nil {
		left = append(left, err.Error())
	}
	for _, name := range openFiles(l.dir) {
		left = append(left, "descriptor of "+name)
	}
	for _, name := range mappedFiles(l.dir) {
		left = append(left, "mapping of "+name)
	}
	return left
}

// openFiles returns the names of files below dir that this process has open.
func openFiles(dir string) (names []string) {
	const fds = "/proc/self/fd"
	list, err := os.ReadDir(fds)
	if runtime.GOOS != "linux" || err != nil {
		return nil
	}
	for _, fd := range list {
		name, err := os.Readlink(filepath.Join(fds, fd.Name()))
		if err == nil && strings.HasPrefix(name, dir+"/") {
			names = append(names, name)
		}
	}
	return names
}

// mappedFiles returns the names of files below dir that this process has mapped.
func mappedFiles(dir string) (names []string) {
	f, err := os.Open("/proc/self/maps")
	if runtime.GOOS != "linux" || err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if i := strings.Index(s.Text(), dir+"/"); i >= 0 {
			if name := s.Text()[i:]; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// within runs f, and returns an error if f has not returned after d. It then prints the stacks
// of all goroutines. A campaign counts that as hung. f continues.
func within(d time.Duration, what string, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(d):
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%s has not returned after %v:\n%s\n", what, d, buf[:runtime.Stack(buf, true)])
		return fmt.Errorf("%s has not returned after %v", what, d)
	}
}
