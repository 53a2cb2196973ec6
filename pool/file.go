package pool

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// A file is a database file that pools of this process have open. SQLite lets
// one connection write at a time, whoever it belongs to: so there is one queue
// for the writers of all pools that have the file.
type file struct {
	info    os.FileInfo
	writers *queue
	users   int
	lanes   []*lane       // that take turns; replaced, never changed
	schema  atomic.Uint64 // counts what may have changed it
}

// files are all that are open. They are few, and found by what the operating
// system says is the same file, whatever it is called.
var files struct {
	sync.Mutex
	open []*file
}

// openFile returns the file of this path, for one more user. Without a path, or
// where there is no such file, it is nobody else's.
//
// The file itself is never opened: to close it again would drop the locks that
// SQLite holds on it.
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

// takesTurns adds the lane of a pool's writer.
func (f *file) addWriterLane(l *lane) {
	files.Lock()
	defer files.Unlock()
	f.lanes = append(slices.Clone(f.lanes), l)
}

// sharing returns the lanes that have the same turns as l.
func (f *file) sharing(l *lane) []*lane {
	if lanes := f.writerLanes(); slices.Contains(lanes, l) {
		return lanes
	}
	return []*lane{l}
}

// all returns the lanes that take turns to write the file.
func (f *file) writerLanes() []*lane {
	files.Lock()
	defer files.Unlock()
	return f.lanes
}

// close is called once by each user, with the lane that takes turns or nil.
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
