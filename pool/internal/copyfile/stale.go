package copyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The name of a copy in progress identifies its maker. It is a dot, the final name, ".backup-",
// the machine, the process ID and a random part, separated by "-".

// staleAfter is how old a copy must be to be removed, if its process may still run. A running
// copy is written more often: one step takes milliseconds, and the sync at the end seconds.
const staleAfter = time.Hour

// longestBase is how long a name may be to be part of the temporary name unchanged. File
// systems allow 255 bytes, and the other parts have at most 50.
const longestBase = 200

// live are the copies in progress of this process.
var live = liveCopies{names: make(map[string]bool)}

type liveCopies struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

func (l *liveCopies) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[name] = true
}

func (l *liveCopies) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, name)
}

func (l *liveCopies) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[name]
}

// temporaryPrefix returns the beginning of the temporary names for path.
func temporaryPrefix(path string) string {
	base := filepath.Base(path)
	if len(base) > longestBase {
		base = strings.ToValidUTF8(base[:longestBase-20], "") + hash(base)
	}
	return "." + base + ".backup-"
}

func temporaryFor(path string) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%s-%d-%s", temporaryPrefix(path), machine(), os.Getpid(), rand.Text()[:10]))
}

func hash(text string) string {
	h := fnv.New32a()
	h.Write([]byte(text))
	return fmt.Sprintf("%08x", h.Sum32())
}

// machine identifies the machine, its boot and its container. Only within these are process IDs
// comparable.
var machine = sync.OnceValue(func() string {
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil { // Linux
		container, _ := os.Readlink("/proc/self/ns/pid")
		return hash(string(boot) + container)
	}
	host, _ := os.Hostname()
	return hash(host)
})

// removeStale removes the temporary files for path whose process has ended. The next backup
// retries what fails.
func removeStale(path string) {
	dir, prefix := filepath.Dir(path), temporaryPrefix(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if ok && e.Type().IsRegular() && isStale(filepath.Join(dir, e.Name()), rest) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// isStale reports whether no process is writing the copy any more. ending is the part of its
// name after temporaryPrefix.
func isStale(name, ending string) bool {
	parts := strings.Split(ending, "-")
	if len(parts) < 3 { // SQLite's side files have one more part
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	switch {
	case err != nil || live.has(name):
		return false
	case parts[0] == machine() && pid == os.Getpid():
		return true // not live, so left by an earlier process with the same ID
	case parts[0] == machine():
		return !runs(pid)
	}
	info, err := os.Lstat(name)
	return err == nil && time.Since(info.ModTime()) > staleAfter
}

// runs reports whether a process with this ID exists.
func runs(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false // Windows finds only running processes
	}
	defer p.Release()
	if runtime.GOOS == "windows" {
		return true
	}
	err = p.Signal(syscall.Signal(0))
	return !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH)
}
