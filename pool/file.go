package pool

import (
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A file is a database file that pools of this process have open. SQLite lets one connection
// write at a time, no matter which pool it belongs to. So the writers of all pools with the
// same file share one queue.
type file struct {
	info    os.FileInfo
	writers *core.Queue
	pools   []*Pool       // with the file; replaced, never changed; guarded by files
	schema  atomic.Uint64 // counts possible changes of the schema
}

// files are all open files. There are few. They are compared by the operating system's identity
// of the file, not by name. Its mutex guards open, and pools of each file.
var files struct {
	sync.Mutex
	open []*file
}

// openFile returns the file at path, for pool p. If path is empty or the file does not exist, it
// returns a file that no other pool shares.
//
// It never opens the file itself, because closing it again would drop SQLite's locks.
func openFile(p *Pool, path string) *file {
	own := &file{writers: core.NewQueue(1), pools: []*Pool{p}}
	if path == "" {
		return own
	}
	info, err := os.Stat(path)
	if err != nil {
		return own
	}
	own.info = info
	files.Lock()
	defer files.Unlock()
	for _, f := range files.open {
		if os.SameFile(f.info, info) {
			f.pools = append(slices.Clone(f.pools), p)
			return f
		}
	}
	files.open = append(files.open, own)
	return own
}

// users returns the pools that have the file open.
func (f *file) users() []*Pool {
	files.Lock()
	defer files.Unlock()
	return f.pools
}

// close removes pool p.
func (f *file) close(p *Pool) {
	files.Lock()
	defer files.Unlock()
	f.pools = slices.DeleteFunc(slices.Clone(f.pools), func(other *Pool) bool { return other == p })
	if len(f.pools) == 0 {
		files.open = slices.DeleteFunc(files.open, func(other *file) bool { return other == f })
	}
}

// isOpen reports whether a pool of this process has the file open.
func isOpen(info fs.FileInfo) bool {
	files.Lock()
	defer files.Unlock()
	for _, f := range files.open {
		if os.SameFile(f.info, info) {
			return true
		}
	}
	return false
}
