package fusefs

import (
	"slices"
	"syscall"
	"time"
)

// sector is the unit that a disk writes as a whole, in bytes.
const sector = 512

// A file is the contents of a file, to which names may refer. The FS's mutex guards it.
type file struct {
	fs      *FS
	ino     uint64
	name    string // its latest name
	mode    uint32
	changed time.Time

	data    []byte  // what processes see
	synced  []byte  // what is durable
	pending []write // the writes that turn synced into data, in order
	failed  int     // number of failed syncs
	latest  int64   // number of the latest write when the last sync began
	locks   []lock
}

// A write is a write at off, or, if data is nil, a change of the size to off.
type write struct {
	seq  int64
	off  int64
	data []byte
}

func (w write) apply(d []byte) []byte {
	if w.data == nil {
		return resize(d, w.off)
	}
	if end := w.off + int64(len(w.data)); end > int64(len(d)) {
		d = resize(d, end)
	}
	copy(d[w.off:], w.data)
	return d
}

// resize returns d with the given size. New bytes are zero.
func resize(d []byte, size int64) []byte {
	n := int(size)
	if n <= len(d) {
		return d[:n]
	}
	old := len(d)
	d = slices.Grow(d, n-old)[:n]
	clear(d[old:])
	return d
}

// A handle is an open file.
type handle struct {
	seen     int // number of the file's failed syncs that it has reported
	readOnly bool
}

func (x *file) open(readOnly bool) (*handle, syscall.Errno) {
	if errno := x.fs.begin(x.op(Op{Kind: Open, ReadOnly: readOnly})); errno != 0 {
		return nil, errno
	}
	return x.newHandle(readOnly), 0
}

func (x *file) newHandle(readOnly bool) *handle {
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	return &handle{seen: x.failed, readOnly: readOnly}
}

// begin calls FS.begin for an operation on the file.
func (x *file) begin(kind Kind, off int64, n int) syscall.Errno {
	return x.fs.begin(x.op(Op{Kind: kind, Off: off, Len: n}))
}

// op returns op with the file's name.
func (x *file) op(op Op) Op {
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	op.Name = x.name
	return op
}

func (x *file) read(p []byte, off int64) (int, syscall.Errno) {
	if errno := x.begin(Read, off, len(p)); errno != 0 {
		return 0, errno
	}
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	if off >= int64(len(x.data)) {
		return 0, 0
	}
	return copy(p, x.data[off:]), 0
}

func (x *file) write(p []byte, off int64) (int, syscall.Errno) {
	if errno := x.begin(Write, off, len(p)); errno != 0 {
		return 0, errno
	}
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	if !x.fs.room(off + int64(len(p)) - int64(len(x.data))) {
		return 0, syscall.ENOSPC
	}
	x.change(write{off: off, data: append(make([]byte, 0, len(p)), p...)})
	return len(p), 0
}

// resize implements ftruncate.
func (x *file) resize(size int64) syscall.Errno {
	if errno := x.begin(Truncate, size, 0); errno != 0 {
		return errno
	}
	return x.grow(size, true)
}

// allocate implements fallocate, which never makes a file smaller.
func (x *file) allocate(size int64) syscall.Errno {
	if errno := x.begin(Allocate, size, 0); errno != 0 {
		return errno
	}
	return x.grow(size, false)
}

func (x *file) grow(size int64, shrink bool) syscall.Errno {
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	more := size - int64(len(x.data))
	switch {
	case !x.fs.room(more):
		return syscall.ENOSPC
	case more > 0, more < 0 && shrink:
		x.change(write{off: size})
	}
	return 0
}

func (x *file) change(w write) {
	x.data = w.apply(x.data)
	x.changed = time.Now()
	if inMemory(x.name) {
		return
	}
	x.fs.seq++
	w.seq = x.fs.seq
	x.pending = append(x.pending, w)
}

// sync makes everything durable that was written before it began, unless it lies.
func (x *file) sync(h *handle) syscall.Errno {
	op := x.op(Op{Kind: Sync, ReadOnly: h != nil && h.readOnly})
	x.fs.mu.Lock()
	began, previous, lie := x.fs.seq, x.latest, x.fs.lie
	x.latest = began
	x.fs.mu.Unlock()
	errno := x.fs.begin(op)
	if errno == 0 && lie.Syncs != nil && lie.Syncs(op) {
		if !lie.Late {
			return 0
		}
		began = previous
	} else {
		x.fs.waitForDisk()
	}
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	if errno != 0 {
		x.syncFails(began)
	}
	// Each handle reports a failure once, whichever handle's sync it was.
	if h != nil && h.seen != x.failed {
		h.seen = x.failed
		if errno == 0 {
			errno = syscall.EIO
		}
	}
	if errno != 0 {
		return errno
	}
	for _, w := range x.before(began) {
		x.synced = w.apply(x.synced)
	}
	if !x.fs.options.Strict {
		for i, c := range slices.Backward(x.fs.changes) {
			if c.of(x) {
				x.fs.syncNames(i + 1)
				break
			}
		}
	}
	return 0
}

// before removes the writes up to seq from pending, and returns them.
func (x *file) before(seq int64) []write {
	n := 0
	for n < len(x.pending) && x.pending[n].seq <= seq {
		n++
	}
	head := x.pending[:n:n]
	x.pending = append([]write(nil), x.pending[n:]...)
	return head
}

// syncFails decides which part of a failed sync has reached the disk. From then on, the kernel
// treats the rest as clean.
func (x *file) syncFails(seq int64) {
	x.failed++
	x.synced = survivors(x.fs.rand, x.synced, x.before(seq))
	if !x.fs.options.Drop {
		return
	}
	x.data = append(x.data[:0:0], x.synced...)
	for _, w := range x.pending {
		x.data = w.apply(x.data)
	}
}
