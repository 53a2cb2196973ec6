package fusefs

import (
	"sync/atomic"
	"syscall"
)

// A Kind is a kind of operation.
type Kind string

// The kinds of operations. A fault in an operation reaches the caller as the errno of one
// system call.
const (
	Read     Kind = "read"
	Write    Kind = "write"
	Sync     Kind = "sync"     // fsync, fdatasync of a file
	SyncDir  Kind = "syncdir"  // of the directory
	Truncate Kind = "truncate" // also to a larger size
	Allocate Kind = "allocate" // fallocate
	Open     Kind = "open"     // of an existing file
	Create   Kind = "create"
	Unlink   Kind = "unlink"
	Rename   Kind = "rename" // its Name is the old name
	Link     Kind = "link"   // its Name is the new name
	Lookup   Kind = "lookup" // of a name, by any system call with a path
	Stat     Kind = "stat"   // fstat, and lseek to the end
	List     Kind = "list"   // of the directory
	Lock     Kind = "lock"   // F_OFD_SETLK of a read or write lock, but not of an unlock
)

// An Op is one operation.
type Op struct {
	Kind Kind
	Name string // of the file; empty for the directory
	Off  int64  // of a read, write or lock; the size for a truncation
	Len  int

	ReadOnly bool // of an open or a sync: the descriptor is not for writing
}

// A Fault decides whether an operation fails. It returns an errno, or 0. It may be called
// concurrently, and must not call methods of the FS.
type Fault func(Op) syscall.Errno

// Nth returns a Fault that fails only the nth operation that match accepts, counted from 1,
// with the errno.
func Nth(n int64, errno syscall.Errno, match func(Op) bool) Fault {
	var count atomic.Int64
	return func(op Op) syscall.Errno {
		if match(op) && count.Add(1) == n {
			return errno
		}
		return 0
	}
}

// After returns a Fault that fails the nth operation that match accepts and every later one,
// like a disk that has died or is full.
func After(n int64, errno syscall.Errno, match func(Op) bool) Fault {
	var count atomic.Int64
	return func(op Op) syscall.Errno {
		if match(op) && count.Add(1) >= n {
			return errno
		}
		return 0
	}
}

// Inject calls fault before each operation from now on. Nil removes the fault.
func (f *FS) Inject(fault Fault) {
	if fault == nil {
		f.fault.Store(nil)
		return
	}
	f.fault.Store(&fault)
}

// A Stall blocks operations.
type Stall struct {
	fs      *FS
	match   func(Op) bool
	reached chan struct{} // closed when the first operation is blocked
	free    chan struct{} // closed by Release
}

// Stall blocks each operation that match accepts until the stall is released.
func (f *FS) Stall(match func(Op) bool) *Stall {
	s := &Stall{f, match, make(chan struct{}), make(chan struct{})}
	f.stallMu.Lock()
	defer f.stallMu.Unlock()
	f.stalls = append(f.stalls, s)
	return s
}

// Reached returns a channel that is closed once an operation is blocked.
func (s *Stall) Reached() <-chan struct{} { return s.reached }

// Release unblocks the operations, and blocks no more.
func (s *Stall) Release() {
	s.fs.stallMu.Lock()
	defer s.fs.stallMu.Unlock()
	for i, x := range s.fs.stalls {
		if x == s {
			s.fs.stalls = append(s.fs.stalls[:i:i], s.fs.stalls[i+1:]...)
			close(s.free)
			return
		}
	}
}

func (f *FS) releaseAll() {
	f.stallMu.Lock()
	stalls := f.stalls
	f.stallMu.Unlock()
	for _, s := range stalls {
		s.Release()
	}
}

// begin counts an operation, blocks it while it is stalled, and returns the errno with which it
// fails, or 0. It is called without locks. Signals do not interrupt a stall, because they do
// not interrupt a disk either.
func (f *FS) begin(op Op) syscall.Errno {
	f.count(op.Kind)
	f.stallMu.Lock()
	stalls := f.stalls
	f.stallMu.Unlock()
	for _, s := range stalls {
		if s.match(op) {
			s.hold()
		}
	}
	if fault := f.fault.Load(); fault != nil {
		if errno := (*fault)(op); errno != 0 {
			f.injected.Add(1)
			return errno
		}
	}
	return 0
}

func (s *Stall) hold() {
	s.fs.stallMu.Lock()
	select {
	case <-s.reached:
	default:
		close(s.reached)
	}
	s.fs.stallMu.Unlock()
	<-s.free
}

func (f *FS) count(k Kind) {
	f.countMu.Lock()
	defer f.countMu.Unlock()
	f.counts[k]++
}

// Counts returns the number of operations of each kind.
func (f *FS) Counts() map[Kind]int64 {
	f.countMu.Lock()
	defer f.countMu.Unlock()
	counts := make(map[Kind]int64, len(f.counts))
	for k, n := range f.counts {
		counts[k] = n
	}
	return counts
}

// Injected returns the number of operations that [FS.Inject] has made fail.
func (f *FS) Injected() int64 { return f.injected.Load() }
