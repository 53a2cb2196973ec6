package driver

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Which connections of this process hold the locks of a file. A connection
// cannot be asked by another goroutine than its own, and so each publishes what
// it may hold before it can hold it, and what it has let go of just after.
//
// Only the connections of [tracing.Config].Details are here.

// A hold is what a connection has of its file. A negative one is the time, on
// holdClock, at which it asked for the write lock once more.
type hold int64

const (
	holdsNone hold = iota
	awaits         // asks for a lock, again and again
	reads
	mayWrite // executes what may have taken the write lock
	writes
)

// A connection that has asked for a lock, and not again for so long, has got it:
// it asks every other millisecond.
const lockGrantedAfter = 10 * time.Millisecond

var holdEpoch = time.Now()

// holdClock is never zero.
func holdClock() time.Duration { return time.Since(holdEpoch) + 1 }

// A holder is a connection among those that have a file open.
type holder struct {
	id   ConnID
	hold atomic.Int64
}

func (h *holder) publish(what hold) { h.hold.Store(int64(what)) }

// askedAgain publishes that h asks for the write lock now, once more.
func (h *holder) retryLock() { h.hold.Store(-int64(holdClock())) }

// now is what h has, seen from outside.
func (h *holder) now() hold {
	what := h.hold.Load()
	if what >= 0 {
		return hold(what)
	}
	if holdClock()+time.Duration(what) < lockGrantedAfter {
		return awaits
	}
	return mayWrite
}

// A sharedFile is a database that connections of this process have open.
type sharedFile struct {
	key     fileKey
	wal     string // the name that its WAL has; "" if it can have none
	private bool   // no other process can have it open
	holders atomic.Pointer[[]*holder]
}

// A fileKey tells files apart: by device and inode where there are such, else by
// name.
type fileKey struct {
	dev, ino uint64
	name     string
}

var sharedFiles struct {
	sync.Mutex
	files map[fileKey]*sharedFile
}

// openSharedFile returns the main file of a connection, or nil if it is the
// connection's alone.
func openSharedFile(raw *sqlite3.Conn, d *DSN) *sharedFile {
	name := raw.Filename("main").String()
	if name == "" || d.vfs == "" && d.Database() == ":memory:" {
		return nil
	}
	switch d.vfs {
	case "memdb", "mvcc":
		if name[0] != '/' {
			return nil
		}
		return &sharedFile{key: fileKey{name: d.vfs + ":" + name}, private: true}
	}
	return &sharedFile{key: keyOfFile(name), wal: name + "-wal"}
}

func keyOfFile(name string) fileKey {
	if info, err := os.Stat(name); err == nil {
		if key, ok := inode(info); ok {
			return key
		}
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return fileKey{name: name}
}

// join puts h among those that have the file open, and returns what they share.
func (f *sharedFile) join(h *holder) *sharedFile {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	if known := sharedFiles.files[f.key]; known != nil {
		f = known
	} else {
		if sharedFiles.files == nil {
			sharedFiles.files = make(map[fileKey]*sharedFile)
		}
		sharedFiles.files[f.key] = f
	}
	hs := append(slices.Clone(f.all()), h)
	f.holders.Store(&hs)
	return f
}

// leave takes h out, and forgets a file that nobody has open any more.
func (f *sharedFile) leave(h *holder) {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	hs := slices.DeleteFunc(slices.Clone(f.all()), func(other *holder) bool { return other == h })
	f.holders.Store(&hs)
	if len(hs) == 0 && sharedFiles.files[f.key] == f {
		delete(sharedFiles.files, f.key)
	}
}

func (f *sharedFile) all() []*holder {
	if hs := f.holders.Load(); hs != nil {
		return *hs
	}
	return nil
}

// inTheWay returns the connection that h has to wait for, if it is one of this
// process's. Where h has the write lock itself, it waits for those that read.
func (f *sharedFile) findBlocker(h *holder, hasWriteLock bool) (ConnID, bool) {
	var writer, maybe, reader *holder
	for _, other := range f.all() {
		if other == h {
			continue
		}
		switch other.now() {
		case writes:
			writer = other
		case mayWrite:
			maybe = other
		case reads:
			reader = other
		}
	}
	if !hasWriteLock {
		if found := cmp.Or(writer, maybe); found != nil {
			return found.id, true
		}
	}
	if found := cmp.Or(reader, maybe); found != nil && f.usesRollbackJournal() {
		return found.id, true
	}
	return 0, false
}

// keepsJournal reports whether the database has no WAL. Where it has, a file of
// that name is there while a connection is.
func (f *sharedFile) usesRollbackJournal() bool {
	if f.wal == "" {
		return true
	}
	_, err := os.Stat(f.wal)
	return errors.Is(err, fs.ErrNotExist)
}
