package fusefs

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options configure an FS.
type Options struct {
	// Strict makes a change of the directory durable only when the directory is synced.
	// POSIX promises no more. Without Strict, syncing a file also makes durable all changes
	// of the directory up to the file's latest one.
	Strict bool

	// Drop makes reads return the synced contents after a failed sync. Without Drop, they
	// return what was written, although it is never synced.
	Drop bool

	// Locks keeps locks here, so that they can fail. Without Locks, the kernel keeps them,
	// which is cheaper.
	Locks bool

	// Seed seeds the random choice of which part of a failed sync has reached the disk.
	Seed uint64
}

// An FS is a file system of one directory, in memory. Its methods are safe for concurrent use.
type FS struct {
	options Options

	mu      sync.Mutex // guards everything here, the files' contents and their locks
	rand    *rand.Rand
	names   map[string]*file // what processes see
	durable map[string]*file // names that were synced
	changes []change         // the changes that turn durable into names
	nextIno uint64
	seq     int64 // number of the latest write or truncation
	quota   int64
	delay   func() time.Duration
	lie     Lie
	unlock  chan struct{} // closed and replaced when a lock is released

	fault    atomic.Pointer[Fault]
	injected atomic.Int64
	stallMu  sync.Mutex
	stalls   []*Stall
	countMu  sync.Mutex
	counts   map[Kind]int64

	mount
}

// New returns an empty file system. Processes can use it after [FS.Mount].
func New(o Options) *FS {
	return &FS{
		options: o,
		rand:    rand.New(rand.NewPCG(o.Seed, 0)),
		names:   map[string]*file{},
		durable: map[string]*file{},
		nextIno: 2, // 1 is the directory
		unlock:  make(chan struct{}),
		counts:  map[Kind]int64{},
	}
}

// SetQuota limits the sum of all files' sizes. An operation that would exceed it fails with
// ENOSPC. Zero means no limit. With a quota below the current use, no file can grow.
func (f *FS) SetQuota(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quota = bytes
}

// SetSyncDelay makes each sync take as long as delay returns, so that commits and power
// failures can happen during a sync. Nil means no delay.
func (f *FS) SetSyncDelay(delay func() time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// A Lie makes syncs succeed without their effect.
type Lie struct {
	Syncs func(Op) bool // reports whether a sync lies; nil means that none does
	Late  bool          // a file's sync that lies makes durable what was written before the previous one began
}

// Lie makes syncs lie from now on.
func (f *FS) Lie(lie Lie) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie = lie
}

func (f *FS) waitForDisk() {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay != nil {
		time.Sleep(delay())
	}
}

// Used returns the sum of all files' sizes.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() (n int64) {
	for _, x := range f.names {
		n += int64(len(x.data))
	}
	return n
}

// room reports whether a file may grow by more bytes.
func (f *FS) room(more int64) bool {
	return more <= 0 || f.quota <= 0 || f.used()+more <= f.quota
}

// Size returns the size of a file, or -1 if it does not exist.
func (f *FS) Size(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.names[name]; x != nil {
		return int64(len(x.data))
	}
	return -1
}

// A change is an atomic change of the directory. Each entry maps a name to its file, or to nil
// if the name is removed.
type change []entry

type entry struct {
	name string
	file *file
}

func (c change) apply(names map[string]*file) {
	for _, e := range c {
		if e.file == nil {
			delete(names, e.name)
		} else {
			names[e.name] = e.file
		}
	}
}

func (c change) of(x *file) bool {
	for _, e := range c {
		if e.file == x {
			return true
		}
	}
	return false
}

// changeNames changes the directory.
func (f *FS) changeNames(c change) {
	c.apply(f.names)
	f.changes = append(f.changes, c)
}

// syncNames makes the first n changes durable.
func (f *FS) syncNames(n int) {
	for _, c := range f.changes[:n] {
		c.apply(f.durable)
	}
	f.changes = append([]change(nil), f.changes[n:]...)
}

func (f *FS) newFile(name string, mode uint32) *file {
	x := &file{fs: f, ino: f.nextIno, name: name, mode: mode, changed: time.Now()}
	f.nextIno++
	return x
}

func (f *FS) create(name string, mode uint32, exclusive bool) (*file, syscall.Errno) {
	if errno := f.begin(Op{Kind: Create, Name: name}); errno != 0 {
		return nil, errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.names[name]; x != nil {
		if exclusive {
			return nil, syscall.EEXIST
		}
		return x, 0
	}
	x := f.newFile(name, mode)
	f.changeNames(change{{name, x}})
	return x, 0
}

func (f *FS) lookup(name string) (*file, syscall.Errno) {
	if errno := f.begin(Op{Kind: Lookup, Name: name}); errno != 0 {
		return nil, errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.names[name]; x != nil {
		return x, 0
	}
	return nil, syscall.ENOENT
}

func (f *FS) unlink(name string) syscall.Errno {
	if errno := f.begin(Op{Kind: Unlink, Name: name}); errno != 0 {
		return errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[name] == nil {
		return syscall.ENOENT
	}
	f.changeNames(change{{name, nil}})
	return 0
}

func (f *FS) rename(name, to string, noReplace bool) syscall.Errno {
	if errno := f.begin(Op{Kind: Rename, Name: name}); errno != 0 {
		return errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.names[name]
	switch {
	case x == nil:
		return syscall.ENOENT
	case f.names[to] == x: // the same file
		return 0
	case f.names[to] != nil && noReplace:
		return syscall.EEXIST
	}
	x.name = to
	f.changeNames(change{{to, x}, {name, nil}})
	return 0
}

func (f *FS) link(x *file, name string) syscall.Errno {
	if errno := f.begin(Op{Kind: Link, Name: name}); errno != 0 {
		return errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names[name] != nil {
		return syscall.EEXIST
	}
	f.changeNames(change{{name, x}})
	return 0
}

// syncDir makes durable all changes of the directory that were made before it began.
func (f *FS) syncDir() syscall.Errno {
	f.mu.Lock()
	var last change
	if n := len(f.changes); n > 0 {
		last = f.changes[n-1]
	}
	lie := f.lie
	f.mu.Unlock()
	op := Op{Kind: SyncDir}
	errno := f.begin(op)
	if errno == 0 && lie.Syncs != nil && lie.Syncs(op) {
		return 0
	}
	f.waitForDisk()
	if errno != 0 {
		return errno
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.changes {
		if last != nil && &c[0] == &last[0] {
			f.syncNames(i + 1)
			break
		}
	}
	return 0
}

// inMemory reports whether a file is shared memory. Such a file is mapped, and is in no image.
func inMemory(name string) bool { return strings.HasSuffix(name, "-shm") }
