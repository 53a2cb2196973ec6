package pool

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// A file is a database file that pools of this process have open. SQLite lets one connection
// write at a time, no matter which pool it belongs to. So the writers of all pools with the
// same file share one queue.
type file struct {
	info    os.FileInfo
	writers *queue
	users   int
	lanes   []*lane       // the writer lanes; replaced, never changed; guarded by files
	schema  atomic.Uint64 // counts possible changes of the schema
}

// files are all open files. There are few. They are compared by the operating system's identity
// of the file, not by name. Its mutex guards open, and users and lanes of each file.
var files struct {
	sync.Mutex
	open []*file
}

// openFile returns the file at path and adds a user. If path is empty or the file does not
// exist, it returns a file that no other pool shares.
//
// It never opens the file itself, because closing it again would drop SQLite's locks.
func openFile(path string) *file {
	own := &file{writers: newQueue(1), users: 1}
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
			f.users++
			return f
		}
	}
	files.open = append(files.open, own)
	return own
}

// addWriterLane adds the lane of a pool's writer.
func (f *file) addWriterLane(l *lane) {
	files.Lock()
	defer files.Unlock()
	f.lanes = append(slices.Clone(f.lanes), l)
}

// sharing returns the lanes that share their turns with l, including l.
func (f *file) sharing(l *lane) []*lane {
	if lanes := f.writerLanes(); slices.Contains(lanes, l) {
		return lanes
	}
	return []*lane{l}
}

// writerLanes returns the writer lanes of all pools with this file.
func (f *file) writerLanes() []*lane {
	files.Lock()
	defer files.Unlock()
	return f.lanes
}

// close removes a user. l is the lane that addWriterLane has added, or any other.
func (f *file) close(l *lane) {
	files.Lock()
	defer files.Unlock()
	f.lanes = slices.DeleteFunc(slices.Clone(f.lanes), func(other *lane) bool { return other == l })
	f.users--
	if f.users > 0 {
		return
	}
	for i, other := range files.open {
		if other == f {
			files.open = append(files.open[:i], files.open[i+1:]...)
			return
		}
	}
}
