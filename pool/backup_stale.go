package pool

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

// A copy that is being made has a name that tells who makes it: a dot, the name
// that it is to have, ".backup-", the machine, the process and something random.

// staleAfter is how long a copy must not have been written to before it is taken
// for what a killed process has left, where it is not known whether that runs: one
// step of a copy takes milliseconds, and the sync at its end seconds.
const staleAfter = time.Hour

// longestBase is how long a name may be to be repeated as it is: file systems allow
// 255 bytes, and what stands around it has at most 50.
const longestBase = 200

// live are the copies that this process is making.
var live = liveCopies{names: make(map[string]bool)}

type liveCopies struct {
	mu    sync.Mutex
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

// temporaryPrefix is how the names begin of copies that are to have this name.
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

// machine tells apart where the numbers of processes mean something else: machines,
// their boots and their containers.
var machine = sync.OnceValue(func() string {
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil { // Linux
		container, _ := os.Readlink("/proc/self/ns/pid")
		return hash(string(boot) + container)
	}
	host, _ := os.Hostname()
	return hash(host)
})

// removeStale removes copies that were to have this name, and that nobody makes any
// more. What fails is tried again by the next backup.
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

// isStale reports whether nobody makes a copy of this name any more, which ends so.
func isStale(name, ending string) bool {
	parts := strings.Split(ending, "-")
	if len(parts) < 3 { // one more for what SQLite has beside it
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	switch {
	case err != nil || live.has(name):
		return false
	case parts[0] == machine() && pid == os.Getpid():
		return true // or it would be live
	case parts[0] == machine():
		return !runs(pid)
	}
	info, err := os.Lstat(name)
	return err == nil && time.Since(info.ModTime()) > staleAfter
}

// runs reports whether there is a process of this number.
func runs(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false // Windows finds only those that there are
	}
	defer p.Release()
	if runtime.GOOS == "windows" {
		return true
	}
	err = p.Signal(syscall.Signal(0))
	return !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH)
}
