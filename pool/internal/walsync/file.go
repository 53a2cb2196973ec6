package walsync

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// VFS is the name of the VFS that opens WALs as a [File]. It opens all other files as the operating
// system's VFS does.
const VFS = "sqlitemw-walsync"

func init() { vfs.Register(VFS, osWithWAL{}) }

type osWithWAL struct{}

var _ vfs.VFSFilename = osWithWAL{}

func parent() vfs.VFSFilename { return vfs.Find("os").(vfs.VFSFilename) }

// Open implements [vfs.VFS].
func (osWithWAL) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return parent().Open(name, flags)
}

// OpenFilename implements [vfs.VFSFilename].
func (osWithWAL) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := parent().OpenFilename(name, flags)
	if err != nil || flags&vfs.OPEN_WAL == 0 {
		return file, flags, err
	}
	if own, ok := file.(osFile); ok {
		f := &File{osFile: own}
		if info, err := own.Stat(); err == nil {
			f.group = groups.find(info) // before it reads
		}
		file = f
	}
	return file, flags, nil
}

// Delete implements [vfs.VFS].
func (osWithWAL) Delete(name string, syncDir bool) error { return parent().Delete(name, syncDir) }

// Access implements [vfs.VFS].
func (osWithWAL) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return parent().Access(name, flags)
}

// FullPathname implements [vfs.VFS].
func (osWithWAL) FullPathname(name string) (string, error) { return parent().FullPathname(name) }

// An osFile is a file of the operating system's VFS.
type osFile interface {
	vfs.File
	Name() string
	Stat() (os.FileInfo, error)
}

// A File is a connection's WAL. Like its connection, it is not safe for concurrent use.
type File struct {
	osFile
	group *Group // nil if there was none when the file was opened, until Join

	deferring bool   // the caller will wait for the ticket of a commit
	ticket    uint64 // of the commit whose sync was deferred; 0 if there is none
	seen      uint64 // see Seen

	// What has been written since the last sync.
	header bool  // the header, which must be on the disk before the frames
	commit bool  // a frame that ends a transaction
	from   int64 // the lowest offset of a frame; 0 if none
	last   int64 // the last offset
	first  firstPage
}

var _ vfs.FileUnwrap = &File{}

// Unwrap implements [vfs.FileUnwrap].
func (f *File) Unwrap() vfs.File { return f.osFile }

// Join makes the file one of a [Group] of all files of the process that have the same WAL open. It
// returns nil if their commits cannot share a sync, because the file system is not this machine's.
// lost is called if a sync fails, before those who wait for it learn of that; the first file's lost
// counts.
func (f *File) Join(lost func(error)) (*Group, error) {
	if f.group != nil {
		return f.group, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	g, err := groups.join(f.Name(), info, lost)
	if err != nil {
		return nil, fmt.Errorf("open the WAL to sync it: %w", err)
	}
	f.group, f.seen = g, g.Issued() // another file may have founded it after this one was read
	return g, nil
}

// Defer defers the sync of each commit until Deferred is called.
func (f *File) Defer() { f.deferring = f.group != nil }

// Deferred ends what Defer began. It returns the ticket of the last commit, or 0 if no sync was
// deferred.
func (f *File) Deferred() (ticket uint64) {
	ticket, f.deferring, f.ticket = f.ticket, false, 0
	return ticket
}

// Seen returns the ticket of the latest commit of which the connection has a page, if that was not
// on the disk when the connection read or wrote it. It returns 0 if there is none, or if that
// commit is on the disk now. What the connection returns is then what it would return if the
// later commits had not been made.
func (f *File) Seen() uint64 {
	if f.seen != 0 && f.group.Settled(f.seen) {
		f.seen = 0
	}
	return f.seen
}

// ReadAt implements [vfs.File].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.osFile.ReadAt(p, off)
	if f.group != nil && f.group.mayHold(off) { // after the read
		_, first := sumOfFirstPage(p[:n])
		f.seen = max(f.seen, f.group.ticketAt(off, first))
	}
	return n, err
}

// A frame of the WAL has a header before its page.
// https://sqlite.org/fileformat2.html#walformat
const (
	frameHeader = 24
	sizeOffset  = 4 // of the database's size, which is zero unless the frame ends a transaction
)

// WriteAt implements [vfs.File].
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if off == 0 {
		f.header = true
		return f.osFile.WriteAt(p, off)
	}
	if f.from == 0 || off < f.from {
		f.from = off
	}
	if off <= f.last { // what follows has been rolled back, or is written again
		f.first.sum = 0
	}
	f.last = off
	if sum, ok := sumOfFirstPage(p); ok {
		f.first = firstPage{true, sum}
	}
	if len(p) == frameHeader && binary.BigEndian.Uint32(p[sizeOffset:]) != 0 {
		f.commit = true
	}
	return f.osFile.WriteAt(p, off)
}

// Sync implements [vfs.File]. It defers the sync that directly follows the last frame of a
// transaction. A checkpoint in the same call writes no frame before it syncs.
func (f *File) Sync(flags vfs.SyncFlag) error {
	commit, from, first := f.commit && !f.header, f.from, f.first
	f.header, f.commit, f.from, f.last, f.first = false, false, 0, 0, firstPage{}
	if f.group == nil {
		return f.osFile.Sync(flags)
	}
	if commit && f.deferring { // also if a sync has failed: its frames are in the WAL
		f.ticket = f.group.issue(from, first)
		f.seen = f.ticket // it keeps the pages that it has written
		return nil
	}
	if f.group.Err() != nil {
		return sqlite3.IOERR_FSYNC
	}
	err := f.osFile.Sync(flags)
	if err != nil {
		f.group.fail(err)
	}
	return err
}

// Close implements [vfs.File].
func (f *File) Close() error {
	if f.group != nil {
		f.group.leave()
		f.group = nil
	}
	f.deferring, f.seen = false, 0
	return f.osFile.Close()
}
