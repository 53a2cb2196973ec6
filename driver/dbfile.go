package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A dbFile is a database file that connections of this process have open. There is one for
// each inode, whatever names lead to it, and all connectors and pools share it. It stands
// for three files: the database, its -wal and its -shm.
//
// The files are checked by name and never opened. Closing one would drop the locks that
// SQLite holds on it.
type dbFile struct {
	key  fileKey
	name string      // the database's name, as SQLite resolved it
	main os.FileInfo // from SQLite's handle

	linked bool // name is a symbolic link that the VFS did not resolve

	born time.Time // creation time; zero if unknown

	conns int // number of connections; guarded by dbFiles

	lost   atomic.Pointer[FileLostError] // set once
	filled atomic.Bool                   // the database has committed content
	due    atomic.Int64                  // when the next check is due, on checkClock

	mu         sync.Mutex // guards the fields below; no other lock is taken under it
	inWAL      int        // number of connections that have the WAL open
	wal        os.FileInfo
	shm        os.FileInfo // nil if unknown, or while inWAL is 0; so is wal
	shmMax     int64       // the largest size of the -shm seen while inWAL > 0
	renamedWAL string      // the new name of a WAL whose name another file had taken; or ""
}

// dbFiles holds the files that connections have open.
var dbFiles struct {
	sync.Mutex // dbFile.mu is taken under it
	open       map[fileKey]*dbFile
}

// A check takes three system calls, which is a few microseconds. Checks must take at most
// 1/500 of the time, however slow the file system is. So the next check waits checkRatio
// times as long as the last one took, within these bounds.
const (
	checkRatio       = 500
	minCheckInterval = time.Millisecond
	maxCheckInterval = time.Second
)

var checkEpoch = time.Now()

func checkClock(now time.Time) int64 { return int64(now.Sub(checkEpoch)) }

// openFile returns the file that a new connection has open, and counts the connection until
// leave is called. It returns nil if the operating system knows no name for the
// connection's file. It fails if the file is open under another name, or is lost.
func openFile(raw *sqlite3.Conn) (*dbFile, error) {
	handle := handleOf(raw, sqlite3.FCNTL_FILE_POINTER)
	name := raw.Filename("main").String()
	if handle == nil || name == "" {
		return nil, nil
	}
	info, err := handle.Stat()
	if err != nil {
		return nil, err
	}
	key, ok := inode(info)
	if !ok {
		key = fileKey{name: name}
	}
	born := birthOf(name)
	dbFiles.Lock()
	defer dbFiles.Unlock()
	f := dbFiles.open[key]
	if f != nil && f.isDifferentFile(born) {
		f = nil
	}
	switch {
	case f == nil:
		if err := clearLeftovers(name); err != nil {
			return nil, err
		}
		if err := recoverable(key, born, name); err != nil {
			return nil, err
		}
		f = &dbFile{key: key, name: name, main: info, born: born}
		if link, err := os.Lstat(name); err == nil {
			f.linked = link.Mode()&os.ModeSymlink != 0
		}
		if dbFiles.open == nil {
			dbFiles.open = make(map[fileKey]*dbFile)
		}
		dbFiles.open[key] = f
	case !sameSides(f.name, name):
		return nil, &OtherNameError{Name: name, Open: f.name}
	case f.lost.Load() != nil:
		return nil, f.lost.Load()
	}
	f.conns++
	return f, nil
}

// isDifferentFile reports whether a file with f's inode number and the given creation time
// is not f. File systems reuse the inode number of a file that no process has open.
func (f *dbFile) isDifferentFile(born time.Time) bool {
	return !born.IsZero() && !f.born.IsZero() && !born.Equal(f.born)
}

// clearLeftovers removes the -wal and -shm of a lost database whose name a new database has
// taken. Connections may still have them open. The new database has not read them yet.
// dbFiles must be locked.
func clearLeftovers(name string) error {
	for _, old := range dbFiles.open {
		if old.name != name {
			continue
		}
		plan, _ := old.planClose()
		plan.names = 1 // at least: the WAL's content may be in no other file
		if err := plan.removeLeftovers(); err != nil {
			return err
		}
	}
	return nil
}

// leave removes a closed connection from the count.
func (f *dbFile) leave() {
	dbFiles.Lock()
	defer dbFiles.Unlock()
	f.conns--
	if f.conns == 0 && dbFiles.open[f.key] == f {
		delete(dbFiles.open, f.key)
	}
}

// isLast reports whether only one connection has the file open.
func (f *dbFile) isLast() bool {
	dbFiles.Lock()
	defer dbFiles.Unlock()
	return f.conns == 1
}

// openByOtherName returns an [*OtherNameError] if the file that name leads to is already
// open under another name. info describes that file.
func openByOtherName(info os.FileInfo, name string) error {
	key, ok := inode(info)
	if !ok {
		return nil
	}
	dbFiles.Lock()
	defer dbFiles.Unlock()
	f := dbFiles.open[key]
	if f == nil || f.isDifferentFile(birthOf(name)) {
		return nil
	}
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		name = resolved
	}
	if sameSides(f.name, name) {
		return nil
	}
	return &OtherNameError{Name: name, Open: f.name}
}

// sameSides reports whether two names of a file share the same -wal. Either the names are
// equal, or their directories are the same, as with bind mounts.
func sameSides(a, b string) bool {
	if a == b {
		return true
	}
	if filepath.Base(a) != filepath.Base(b) {
		return false
	}
	dirA, errA := os.Stat(filepath.Dir(a))
	dirB, errB := os.Stat(filepath.Dir(b))
	return errA == nil && errB == nil && os.SameFile(dirA, dirB)
}

// lostError returns f.lost as an error, or nil.
func (f *dbFile) lostError() error {
	if e := f.lost.Load(); e != nil {
		return e
	}
	return nil
}

// dueForCheck reports whether the caller must check the file now. It returns true to only
// one caller for each check.
func (f *dbFile) dueForCheck(now time.Time) bool {
	due := f.due.Load()
	clock := checkClock(now)
	return clock >= due && f.due.CompareAndSwap(due, clock+int64(minCheckInterval))
}

// check compares the files that the names lead to with the files that connections have
// open. It returns a [*FileLostError] if they differ. Any other error means that it could
// not compare them, which is no loss.
func (f *dbFile) check() error {
	if err := f.lostError(); err != nil {
		return err
	}
	began := time.Now()
	err := f.compare()
	now := time.Now()
	f.due.Store(checkClock(now) + int64(min(max(checkRatio*now.Sub(began), minCheckInterval), maxCheckInterval)))
	var lost *FileLostError
	if errors.As(err, &lost) {
		f.lost.CompareAndSwap(nil, lost)
		return f.lostError()
	}
	return err
}

func (f *dbFile) compare() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, change, err := f.compareMain()
	if err != nil {
		return err
	}
	if change == "" && f.filled.Load() && info.Size() == 0 {
		change = "emptied"
	}
	if change != "" {
		return &FileLostError{File: f.name, Change: change}
	}
	for _, side := range []struct {
		name string
		info os.FileInfo
	}{{f.name + "-wal", f.wal}, {f.name + "-shm", f.shm}} {
		if side.info == nil {
			continue
		}
		info, change, err := compareFile(side.name, side.info)
		if err != nil {
			return err
		}
		// A checkpoint may shorten a WAL, but nothing shortens its index while a connection
		// has it open.
		if change == "" && side.info == f.shm {
			switch size := info.Size(); {
			case size >= f.shmMax:
				f.shmMax = size
			case size == 0:
				change = "emptied"
			default:
				change = "truncated"
			}
		}
		if change != "" {
			return &FileLostError{File: side.name, Change: change}
		}
	}
	return nil
}

// compareMain is compareFile for the database itself. SQLite keeps the -wal beside f.name.
// A symbolic link may have taken that name, for example to where the database was moved.
// Then other processes follow it to another -wal.
func (f *dbFile) compareMain() (now os.FileInfo, change string, err error) {
	now, change, err = compareFile(f.name, f.main)
	if change == "" && err == nil && !f.linked {
		if link, err := os.Lstat(f.name); err == nil && link.Mode()&os.ModeSymlink != 0 {
			change = "replaced"
		}
	}
	return now, change, err
}

// compareFile returns how the named file has changed: "removed", "replaced", or "" for
// unchanged.
func compareFile(name string, was os.FileInfo) (now os.FileInfo, change string, err error) {
	now, err = os.Stat(name)
	switch {
	case isGone(err):
		return nil, "removed", nil
	case err != nil:
		return nil, "", fmt.Errorf("sqlitemw: check whether the database file is still there: %w", redact.Error(err))
	case !os.SameFile(now, was):
		return now, "replaced", nil
	}
	return now, "", nil
}

// isGone reports whether err says that no file has the name. Any other error only says that
// the name could not be looked up.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) // ENOTDIR: a file has replaced a directory
}

// enterWAL records that a connection has the WAL open. It fails if other connections have a
// different one open.
func (f *dbFile) enterWAL(wal, shm os.FileInfo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inWAL++
	lost := &FileLostError{Change: "replaced"}
	switch {
	case f.inWAL == 1:
		f.wal, f.shm, f.shmMax = wal, shm, 0
		if shm != nil {
			f.shmMax = shm.Size()
		}
		return nil
	case wal != nil && f.wal != nil && !os.SameFile(wal, f.wal):
		lost.File = f.name + "-wal"
	case shm != nil && f.shm != nil && !os.SameFile(shm, f.shm):
		lost.File = f.name + "-shm"
	default:
		return nil
	}
	f.lost.CompareAndSwap(nil, lost)
	return f.lostError()
}

// leaveWAL must be called before a connection may close the WAL. SQLite removes the WAL
// only when no connection has it open.
func (f *dbFile) leaveWAL() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inWAL--
	if f.inWAL == 0 {
		f.wal, f.shm = nil, nil
	}
}

// A handle is a file that SQLite has open.
type handle interface {
	Name() string
	Stat() (os.FileInfo, error)
}

// handleOf returns the handle of a connection's main database or of its WAL. It returns nil
// if the file is not open, or not the operating system's. Do not ask it for a journal that
// SQLite may keep in memory. ncruces would treat that as a handle, and panic.
func handleOf(raw *sqlite3.Conn, which sqlite3.FcntlOpcode) (h handle) {
	_ = recoverPanic(func() error {
		file, err := raw.FileControl("main", which)
		for err == nil {
			var ok bool
			if h, ok = file.(handle); ok {
				return nil
			}
			wrapper, ok := file.(vfs.FileUnwrap)
			if !ok {
				return nil
			}
			file = wrapper.Unwrap()
		}
		return err
	})
	return h
}
