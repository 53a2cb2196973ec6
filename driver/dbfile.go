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

// A dbFile is a database file that connections of this process have open. There
// is one for each inode, whatever names lead to it, and all connectors and pools
// share it. It is three files: the database, its -wal and its -shm.
//
// They are looked at by name, and never opened: to close one again would drop
// the locks that SQLite holds on it.
type dbFile struct {
	key  fileKey
	name string      // the database's, as SQLite has resolved it
	main os.FileInfo // of the handle that SQLite has

	linked bool // name is a symbolic link, which the VFS has not resolved

	born time.Time // when it was made; zero where that is not known

	conns int // that have it open; guarded by dbFiles

	lost   atomic.Pointer[FileLostError] // set once
	filled atomic.Bool                   // the database has had something in it that was committed
	due    atomic.Int64                  // when the next look is due, on lookClock

	mu         sync.Mutex // guards the fields below; no other lock is taken under it
	inWAL      int        // connections that have the WAL open
	wal        os.FileInfo
	shm        os.FileInfo // of them; nil if unknown, and while inWAL is 0
	shmMax     int64       // the most that the -shm has been seen to hold since
	renamedWAL string      // the name that the WAL was given when its own was another's; "" if it was not
}

// dbFiles are the files that have connections.
var dbFiles struct {
	sync.Mutex // dbFile.mu is taken under it
	open       map[fileKey]*dbFile
}

// A look takes three calls of the system, some microseconds. So that looks take
// no more than a 500th of the time, however slow the file system is, there is none
// for lookEvery times as long as the last one took, within these bounds.
const (
	checkRatio       = 500
	minCheckInterval = time.Millisecond
	maxCheckInterval = time.Second
)

var checkEpoch = time.Now()

func checkClock(now time.Time) int64 { return int64(now.Sub(checkEpoch)) }

// openFile returns the file that a new connection has open, for one more
// connection, which leave ends. It returns nil for a connection that has no file
// the operating system knows by name. It fails if the file is open by another
// name, or is lost.
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

// isAnother reports whether a file with f's number, which was made at another time, is
// another: the number of a file that nobody has open any more is given to the next.
func (f *dbFile) isDifferentFile(born time.Time) bool {
	return !born.IsZero() && !f.born.IsZero() && !born.Equal(f.born)
}

// clearName takes away the WAL and its index of a lost database whose name a new one
// has, and which connections still have open. The new one has read neither yet.
// dbFiles must be locked.
func clearLeftovers(name string) error {
	for _, old := range dbFiles.open {
		if old.name != name {
			continue
		}
		plan, _ := old.planClose()
		plan.names = 1 // or more: what is in the WAL may be in no other file
		if err := plan.removeLeftovers(); err != nil {
			return err
		}
	}
	return nil
}

// leave is called by a connection that is closed.
func (f *dbFile) leave() {
	dbFiles.Lock()
	defer dbFiles.Unlock()
	f.conns--
	if f.conns == 0 && dbFiles.open[f.key] == f {
		delete(dbFiles.open, f.key)
	}
}

// isLast reports whether one connection alone has the file open.
func (f *dbFile) isLast() bool {
	dbFiles.Lock()
	defer dbFiles.Unlock()
	return f.conns == 1
}

// openByOtherName returns the error of opening the file of info, which name leads
// to, if it is open by another name already.
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

// sameSides reports whether two names of a file have the same -wal: because they
// are the same, or because their directories are, as with bind mounts.
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

// lostError is lost as an error.
func (f *dbFile) lostError() error {
	if e := f.lost.Load(); e != nil {
		return e
	}
	return nil
}

// isDue reports whether the caller is to look now: one caller, each time.
func (f *dbFile) dueForCheck(now time.Time) bool {
	due := f.due.Load()
	clock := checkClock(now)
	return clock >= due && f.due.CompareAndSwap(due, clock+int64(minCheckInterval))
}

// look compares what the names lead to with what connections have open. It returns
// a [*FileLostError] if they are not the same, and another error if that cannot be
// found out, which is no loss.
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
		// A WAL may be cut short by a checkpoint, but nobody does that to its index
		// while a connection has it open.
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

// compareMain is compareFile for the database. Its name is the one beside which its
// -wal is; a symbolic link there now, as to where the database was moved, leads others
// to another -wal.
func (f *dbFile) compareMain() (now os.FileInfo, change string, err error) {
	now, change, err = compareFile(f.name, f.main)
	if change == "" && err == nil && !f.linked {
		if link, err := os.Lstat(f.name); err == nil && link.Mode()&os.ModeSymlink != 0 {
			change = "replaced"
		}
	}
	return now, change, err
}

// compareFile says what has become of the file of this name, if anything has.
func compareFile(name string, was os.FileInfo) (now os.FileInfo, change string, err error) {
	now, err = os.Stat(name)
	switch {
	case isGone(err):
		return nil, "removed", nil
	case err != nil:
		return nil, "", fmt.Errorf("sqlitemw: look whether the database's file is still there: %w", redact.Error(err))
	case !os.SameFile(now, was):
		return now, "replaced", nil
	}
	return now, "", nil
}

// isGone reports whether an error says that there is no file of a name. Any other
// says only that it could not be looked at.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) // a file is where a directory was
}

// enterWAL notes the WAL that a connection has open. It fails if that is not the
// one that others have.
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

// leaveWAL is called before a connection may close the WAL. As long as another has
// it open, SQLite does not remove it.
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

// handleOf returns the main file of a connection, or its WAL, or nil if that is not open,
// or is not the operating system's. It must not be asked for a journal that SQLite may
// have in memory: ncruces would take that for a handle, and panic.
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
