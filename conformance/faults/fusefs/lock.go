package fusefs

import (
	"context"
	"slices"
	"syscall"
)

// A lock is an open handle's lock of the bytes from start to end, inclusive.
type lock struct {
	owner      *handle
	write      bool
	start, end uint64
	pid        uint32
}

func (a lock) overlaps(b lock) bool { return a.start <= b.end && b.start <= a.end }

// conflict returns another handle's lock that excludes l.
func (x *file) conflict(l lock) (lock, bool) {
	for _, other := range x.locks {
		if other.owner != l.owner && other.overlaps(l) && (other.write || l.write) {
			return other, true
		}
	}
	return lock{}, false
}

// unlock removes the bytes of l from its owner's locks.
func (x *file) unlock(l lock) {
	var kept []lock
	for _, k := range x.locks {
		if k.owner != l.owner || !k.overlaps(l) {
			kept = append(kept, k)
			continue
		}
		if k.start < l.start {
			left := k
			left.end = l.start - 1
			kept = append(kept, left)
		}
		if k.end > l.end {
			right := k
			right.start = l.end + 1
			kept = append(kept, right)
		}
	}
	x.locks = kept
	close(x.fs.unlock)
	x.fs.unlock = make(chan struct{})
}

// lock acquires l, which replaces its owner's locks of the same bytes. If another handle's lock
// excludes it, lock fails with EAGAIN, or waits if wait is set.
func (x *file) lock(ctx context.Context, l lock, wait bool) syscall.Errno {
	if errno := x.begin(Lock, int64(l.start), int(l.end-l.start)+1); errno != 0 {
		return errno
	}
	for {
		x.fs.mu.Lock()
		if _, excluded := x.conflict(l); !excluded {
			x.unlock(l)
			x.locks = append(x.locks, l)
			x.fs.mu.Unlock()
			return 0
		}
		released := x.fs.unlock
		x.fs.mu.Unlock()
		if !wait {
			return syscall.EAGAIN
		}
		select {
		case <-released:
		case <-ctx.Done():
			return syscall.EINTR
		}
	}
}

// release removes all locks of a handle that is closed.
func (x *file) release(h *handle) {
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	if slices.ContainsFunc(x.locks, func(l lock) bool { return l.owner == h }) {
		x.unlock(lock{owner: h, end: ^uint64(0)})
	}
}
