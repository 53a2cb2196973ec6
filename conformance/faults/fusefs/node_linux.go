package fusefs

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// root is the directory, as the kernel sees it.
type root struct {
	fs.Inode
	fs         *FS
	generation atomic.Uint64
}

// node is a file, as the kernel sees it. The kernel forgets nodes, and creates others for the
// same file.
type node struct {
	fs.Inode
	file *file
}

var (
	_ fs.NodeLookuper  = (*root)(nil)
	_ fs.NodeReaddirer = (*root)(nil)
	_ fs.NodeCreater   = (*root)(nil)
	_ fs.NodeUnlinker  = (*root)(nil)
	_ fs.NodeRenamer   = (*root)(nil)
	_ fs.NodeLinker    = (*root)(nil)
	_ fs.NodeFsyncer   = (*root)(nil)

	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeAllocater = (*node)(nil)
	_ fs.NodeFlusher   = (*node)(nil)
	_ fs.NodeGetlker   = (*node)(nil)
	_ fs.NodeSetlker   = (*node)(nil)
	_ fs.NodeSetlkwer  = (*node)(nil)
)

// node returns the kernel's node of a file: the existing one if the kernel knows the file, and
// otherwise a new one. It returns a new one for each descriptor of a WAL, because FUSE blocks all
// writes to a node during its sync, and a disk does not. The kernel keeps nothing of a WAL that the
// nodes would have to share: neither pages nor locks.
func (r *root) node(ctx context.Context, x *file) *fs.Inode {
	attr := fs.StableAttr{Mode: syscall.S_IFREG, Ino: x.ino}
	if op := x.op(Op{}); strings.HasSuffix(op.Name, "-wal") {
		attr.Gen = r.generation.Add(1)
	}
	return r.NewInode(ctx, &node{file: x}, attr)
}

func (r *root) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	x, errno := r.fs.lookup(name)
	if errno != 0 {
		return nil, errno
	}
	x.attr(&out.Attr)
	return r.node(ctx, x), 0
}

func (r *root) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	if errno := r.fs.begin(Op{Kind: List}); errno != 0 {
		return nil, errno
	}
	r.fs.mu.Lock()
	defer r.fs.mu.Unlock()
	var list []fuse.DirEntry
	for name, x := range r.fs.names {
		list = append(list, fuse.DirEntry{Name: name, Ino: x.ino, Mode: syscall.S_IFREG})
	}
	slices.SortFunc(list, func(a, b fuse.DirEntry) int { return int(int64(a.Ino) - int64(b.Ino)) })
	return fs.NewListDirStream(list), 0
}

func (r *root) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	x, errno := r.fs.create(name, mode, flags&syscall.O_EXCL != 0)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	x.attr(&out.Attr)
	return r.node(ctx, x), x.newHandle(isReadOnly(flags)), openFlags(name), 0
}

func isReadOnly(flags uint32) bool { return flags&syscall.O_ACCMODE == syscall.O_RDONLY }

func (r *root) Unlink(_ context.Context, name string) syscall.Errno { return r.fs.unlink(name) }

func (r *root) Rename(_ context.Context, name string, _ fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	return r.fs.rename(name, to, flags&unix.RENAME_NOREPLACE != 0)
}

func (r *root) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n, ok := target.(*node)
	if !ok {
		return nil, syscall.EPERM // a hard link to a directory
	}
	if errno := r.fs.link(n.file, name); errno != 0 {
		return nil, errno
	}
	n.file.attr(&out.Attr)
	return r.node(ctx, n.file), 0
}

func (r *root) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return r.fs.syncDir() }

// openFlags returns how the kernel caches a file; see the package documentation.
func openFlags(name string) uint32 {
	if inMemory(name) {
		return fuse.FOPEN_KEEP_CACHE
	}
	return fuse.FOPEN_DIRECT_IO
}

func (x *file) attr(a *fuse.Attr) {
	x.fs.mu.Lock()
	defer x.fs.mu.Unlock()
	a.Ino = x.ino
	a.Mode = syscall.S_IFREG | x.mode&0o777
	a.Size = uint64(len(x.data))
	a.Blocks = (a.Size + sector - 1) / sector
	a.Blksize = 4096 // SQLite's page
	a.Nlink = 0
	for _, y := range x.fs.names {
		if x == y {
			a.Nlink++
		}
	}
	a.SetTimes(nil, &x.changed, &x.changed)
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, errno := n.file.open(isReadOnly(flags))
	if errno != 0 {
		return nil, 0, errno
	}
	n.file.fs.mu.Lock()
	defer n.file.fs.mu.Unlock()
	return h, openFlags(n.file.name), 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	k, errno := n.file.read(p, off)
	return fuse.ReadResultData(p[:k]), errno
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	k, errno := n.file.write(p, off)
	return uint32(k), errno
}

func (n *node) Fsync(_ context.Context, h fs.FileHandle, _ uint32) syscall.Errno {
	opened, _ := h.(*handle)
	return n.file.sync(opened)
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.file.begin(Stat, 0, 0); errno != 0 {
		return errno
	}
	n.file.attr(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if errno := n.file.resize(int64(size)); errno != 0 {
			return errno
		}
	}
	if mode, ok := in.GetMode(); ok {
		n.file.fs.mu.Lock()
		n.file.mode = mode
		n.file.fs.mu.Unlock()
	}
	n.file.attr(&out.Attr)
	return 0
}

func (n *node) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if mode != 0 {
		return syscall.EOPNOTSUPP // punch a hole, and the like
	}
	return n.file.allocate(int64(off + size))
}

// Flush ends a handle's locks, because close waits for Flush and not for Release. Handles are
// not duplicated here, so the first close is the last.
func (n *node) Flush(_ context.Context, h fs.FileHandle) syscall.Errno {
	if opened, ok := h.(*handle); ok {
		n.file.release(opened)
	}
	return 0
}

func lockOf(h fs.FileHandle, lk *fuse.FileLock) lock {
	opened, _ := h.(*handle)
	return lock{owner: opened, write: lk.Typ == syscall.F_WRLCK, start: lk.Start, end: lk.End, pid: lk.Pid}
}

func (n *node) Getlk(_ context.Context, h fs.FileHandle, _ uint64, lk *fuse.FileLock, _ uint32, out *fuse.FileLock) syscall.Errno {
	n.file.fs.mu.Lock()
	defer n.file.fs.mu.Unlock()
	*out = *lk
	out.Typ = syscall.F_UNLCK
	if other, excluded := n.file.conflict(lockOf(h, lk)); excluded {
		*out = fuse.FileLock{Start: other.start, End: other.end, Typ: syscall.F_RDLCK, Pid: other.pid}
		if other.write {
			out.Typ = syscall.F_WRLCK
		}
	}
	return 0
}

func (n *node) Setlk(ctx context.Context, h fs.FileHandle, _ uint64, lk *fuse.FileLock, _ uint32) syscall.Errno {
	return n.setLock(ctx, h, lk, false)
}

func (n *node) Setlkw(ctx context.Context, h fs.FileHandle, _ uint64, lk *fuse.FileLock, _ uint32) syscall.Errno {
	return n.setLock(ctx, h, lk, true)
}

func (n *node) setLock(ctx context.Context, h fs.FileHandle, lk *fuse.FileLock, wait bool) syscall.Errno {
	l := lockOf(h, lk)
	if lk.Typ == syscall.F_UNLCK {
		n.file.fs.mu.Lock()
		defer n.file.fs.mu.Unlock()
		n.file.unlock(l)
		return 0
	}
	return n.file.lock(ctx, l, wait)
}

// fsName is the name of the file system in the list of mounts.
const fsName = "sqlitemw-faults"

// mountOptions returns the options of the mount. Only the contents of shared memory are cached.
func mountOptions(o Options) *fs.Options {
	var never time.Duration
	return &fs.Options{
		EntryTimeout:    &never,
		AttrTimeout:     &never,
		NegativeTimeout: &never,
		MountOptions: fuse.MountOptions{
			DirectMount: true, // needs no fusermount if the process is root
			EnableLocks: o.Locks,
			// No process changes files without the kernel's knowledge, so the
			// kernel need not discard mapped pages.
			ExplicitDataCacheControl: true,
			DisableXAttrs:            true,
			FsName:                   fsName,
			Name:                     "faults",
			MaxWrite:                 1 << 20,
		},
	}
}
