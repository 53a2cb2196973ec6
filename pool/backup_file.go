package pool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// A backupFile is a copy of the database that is being made: a file under another
// name, until it is complete.
type backupFile struct {
	path      string // that it is to have
	temporary string // that it has

	// file is open from the beginning, so that its sync reports a write that failed
	// at any time since; and it is closed when SQLite has closed the file, because
	// to close it drops SQLite's locks.
	file *os.File
}

// newCopy makes an empty file beside path, which SQLite takes for a new database.
func newCopy(path string, permissions fs.FileMode) (*backupFile, error) {
	removeStale(path)
	t := &backupFile{path: path, temporary: temporaryFor(path)}
	live.add(t.temporary)
	var err error
	if t.file, err = os.OpenFile(t.temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, permissions); err != nil {
		live.remove(t.temporary)
		return nil, err
	}
	return t, nil
}

// complete looks whether the copy, which SQLite has closed, is whole as far as its
// header and size tell, and syncs it.
func (t *backupFile) complete(pages int) error {
	if err := checkCopied(t.file, pages); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	file := t.file
	t.file = nil
	return file.Close() // before it is renamed, which Windows wants
}

// checkCopied returns an error if the file is not a database of so many pages.
// https://sqlite.org/fileformat2.html#the_database_header
func checkCopied(f *os.File, pages int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if pages == 0 && info.Size() == 0 {
		return nil // of a database in which there is nothing yet
	}
	var header [100]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return fmt.Errorf("the copy has no header: %w", err)
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 65536 // which has no place in two bytes
	}
	counted := binary.BigEndian.Uint32(header[28:])
	if !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")) || int64(counted) != int64(pages) || info.Size() != int64(pages)*pageSize {
		return fmt.Errorf("the copy is incomplete: its header has %d pages of %d bytes, and the file %d bytes; %d pages were copied: make sure that no other program writes to it",
			counted, pageSize, info.Size(), pages)
	}
	return nil
}

// publish gives the copy its name, durably.
func (t *backupFile) publish(replace bool) error {
	if err := vacant(t.path, replace); err != nil { // meanwhile
		return err
	}
	if err := t.link(replace); err != nil {
		return err
	}
	_ = os.Remove(t.temporary) // or the removal would not be on the disk
	if err := syncDir(filepath.Dir(t.path)); err != nil {
		if !replace {
			err = errors.Join(err, os.Remove(t.path)) // which may not be there after a power failure
		}
		return err
	}
	return nil
}

func (t *backupFile) link(replace bool) error {
	if replace {
		return os.Rename(t.temporary, t.path)
	}
	switch err := os.Link(t.temporary, t.path); {
	case err == nil: // discard removes the other name
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// There are no hard links here. A rename replaces what has come meanwhile, so
	// look again just before.
	if err := vacant(t.path, false); err != nil {
		return err
	}
	return os.Rename(t.temporary, t.path)
}

// discard removes what there is under the other name, which is nothing if the copy
// has been published.
func (t *backupFile) discard() {
	if t.file != nil {
		t.file.Close()
	}
	for _, ending := range sideSuffixes {
		_ = os.Remove(t.temporary + ending) // what cannot be removed now is stale
	}
	live.remove(t.temporary)
}

// syncDir has the names in a directory be on the disk, where there is a way to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // this file system has none
	}
	return err
}

// besides are the endings of the files that SQLite has beside a database.
var sideSuffixes = []string{"", "-journal", "-wal", "-shm"}

// vacant reports, by its error, whether there is anything where a copy is to be. A
// regular file of that name may be, if it is to be replaced and no pool has it open.
func vacant(path string, replace bool) error {
	for _, ending := range sideSuffixes {
		name := path + ending
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case ending != "" || !replace:
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		case !info.Mode().IsRegular():
			return fmt.Errorf("%w, and is not a regular file: remove it, or use another name", &fs.PathError{Op: "replace", Path: name, Err: fs.ErrExist})
		case isOpen(info):
			return fmt.Errorf("%w, and a pool of this process has it open: use another name", &fs.PathError{Op: "replace", Path: name, Err: fs.ErrExist})
		}
	}
	return nil
}

// isOpen reports whether a pool of this process has the file open.
func isOpen(info fs.FileInfo) bool {
	files.Lock()
	defer files.Unlock()
	for _, f := range files.open {
		if os.SameFile(f.info, info) {
			return true
		}
	}
	return false
}

// permissions are the database file's: who may not read it may not read a copy.
func (p *Pool) permissions() fs.FileMode {
	if p.path != "" {
		if info, err := os.Stat(p.path); err == nil {
			return info.Mode().Perm()
		}
	}
	return 0o644
}
