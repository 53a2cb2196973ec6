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

// This file tracks which connections of this process hold the locks of a file. Only a
// connection's own goroutine may ask it for its locks. So each connection publishes a lock
// before it may take it, and publishes the release just after.
//
// Only connections with [tracing.Config].Details are tracked.

// A hold is the lock that a connection has on its file. A negative hold is the time, on
// holdClock, of its last retry for the write lock.
type hold int64

const (
	holdsNone hold = iota
	awaits         // waits for a lock and retries
	reads
	mayWrite // executes a statement that may hold the write lock
	writes
)

// lockGrantedAfter is the time without a retry after which a connection must have got the
// lock. A waiting connection retries at least every 2 ms or so.
const lockGrantedAfter = 10 * time.Millisecond

var holdEpoch = time.Now()

// holdClock returns the time since the package was initialized. It never returns zero.
func holdClock() time.Duration { return time.Since(holdEpoch) + 1 }

// A holder is a connection that has a file open.
type holder struct {
	id   ConnID
	hold atomic.Int64
}

func (h *holder) publish(what hold) { h.hold.Store(int64(what)) }

// retryLock publishes that h is retrying for the write lock now.
func (h *holder) retryLock() { h.hold.Store(-int64(holdClock())) }

// now returns what other connections must assume that h holds.
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

// A sharedFile is a database that several connections of this process may have open.
type sharedFile struct {
	key     fileKey
	wal     string // the name of its WAL; "" if it cannot have one
	private bool   // no other process can have it open
	holders atomic.Pointer[[]*holder]
}

// A fileKey identifies a file: by device and inode if the system has them, else by name.
type fileKey struct {
	dev, ino uint64
	name     string
}

var sharedFiles struct {
	sync.Mutex
	files map[fileKey]*sharedFile
}

// openSharedFile returns the main database file of a connection, or nil if no other
// connection can open it.
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

// join adds h to the holders of the file, and returns the sharedFile that all of them use.
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

// leave removes h from the holders. It forgets the file if no holder is left.
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

// findBlocker returns the connection of this process that h waits for, if there is one. If
// h has the write lock, it waits for readers.
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

// usesRollbackJournal reports whether the database has no WAL. While a connection uses a
// WAL, the file exists.
func (f *sharedFile) usesRollbackJournal() bool {
	if f.wal == "" {
		return true
	}
	_, err := os.Stat(f.wal)
	return errors.Is(err, fs.ErrNotExist)
}
