// Package copyfile makes files that are complete copies of a database, or do not exist.
package copyfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// A File is a copy of a database in progress. It has a temporary name until it is
// complete.
type File struct {
	path      string                 // final name
	isOpen    func(fs.FileInfo) bool // see Vacant
	temporary string                 // name until then; see Temporary

	// file stays open from the beginning, so that its sync reports every write that has failed
	// since. It is closed after SQLite has closed the file, because closing it drops SQLite's
	// locks.
	file *os.File
}

// New creates an empty file beside path. SQLite treats it as a new database. The file has the
// permissions of the database original: a user who must not read the one must not read the other.
// original is empty if the database is not in a file.
func New(path, original string, isOpen func(fs.FileInfo) bool) (*File, error) {
	removeStale(path)
	t := &File{path: path, temporary: temporaryFor(path), isOpen: isOpen}
	live.add(t.temporary)
	var err error
	if t.file, err = os.OpenFile(t.temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, permissionsOf(original)); err != nil {
		live.remove(t.temporary)
		return nil, err
	}
	return t, nil
}

// backupStep is how many pages are copied between two checks of the context. With pages of 4
// KiB, that is one megabyte, which takes milliseconds.
const backupStep = 256

func permissionsOf(name string) fs.FileMode {
	if info, err := os.Stat(name); name != "" && err == nil {
		return info.Mode().Perm()
	}
	return 0o644
}

// Copy copies the main database of a connection to the file, and returns its number of pages. It
// does so in one read transaction. Otherwise each write of another connection would restart the
// copy. run calls each step, or refuses it with an error.
func (t *File) Copy(raw *sqlite3.Conn, run func(step func() error) error) (pages int, err error) {
	if err := run(func() error { return begin(raw) }); err != nil {
		return 0, err
	}
	ended := false
	defer func() {
		if !ended {
			return // a panic has passed, and the connection is closed
		}
		raw.SetInterrupt(context.Background())
		if endErr := raw.Exec("ROLLBACK"); err == nil {
			err = endErr
		}
	}()
	// No program uses the file yet, and it is synced when it is complete. So it needs neither a
	// journal nor SQLite's syncs.
	to := driver.FileURI(t.temporary) + "?_pragma=journal_mode(off)&_pragma=synchronous(off)"
	var b *sqlite3.Backup
	err = run(func() error {
		b, err = raw.BackupInit("main", to)
		return err
	})
	if err != nil {
		ended = true
		return 0, err
	}
	for done := false; !done && err == nil; {
		err = run(func() error {
			done, err = b.Step(backupStep)
			return err
		})
	}
	pages = b.PageCount()
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	ended = true
	return pages, err
}

// begin begins a read transaction and starts its read.
func begin(raw *sqlite3.Conn) error {
	if err := raw.Exec("BEGIN"); err != nil {
		return err
	}
	err := inspect.ReadPage(raw)
	if err != nil {
		_ = raw.Exec("ROLLBACK")
	}
	return err
}

// Complete checks the copy's header and size, and syncs it. SQLite must have closed it.
func (t *File) Complete(pages int) error {
	if err := checkCopied(t.file, pages); err != nil {
		return err
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	file := t.file
	t.file = nil
	return file.Close() // Windows cannot rename an open file
}

// checkCopied returns an error if the file is not a database of so many pages.
// https://sqlite.org/fileformat2.html#the_database_header
func checkCopied(f *os.File, pages int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if pages == 0 && info.Size() == 0 {
		return nil // the database is empty
	}
	var header [100]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return fmt.Errorf("the copy has no header: %w", err)
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 65536 // does not fit in two bytes
	}
	counted := binary.BigEndian.Uint32(header[28:])
	if !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")) || int64(counted) != int64(pages) || info.Size() != int64(pages)*pageSize {
		return fmt.Errorf("the copy is incomplete: its header has %d pages of %d bytes, and the file %d bytes; %d pages were copied: make sure that no other program writes to it",
			counted, pageSize, info.Size(), pages)
	}
	return nil
}

// Publish gives the copy its final name, and makes that durable.
func (t *File) Publish(replace bool) error {
	if err := Vacant(t.path, replace, t.isOpen); err != nil { // it may have been created meanwhile
		return err
	}
	if err := t.link(replace); err != nil {
		return err
	}
	_ = os.Remove(t.temporary) // before syncDir, so that the removal is on the disk too
	if err := syncDir(filepath.Dir(t.path)); err != nil {
		if !replace {
			err = errors.Join(err, os.Remove(t.path)) // it might be gone after a power failure
		}
		return err
	}
	return nil
}

func (t *File) link(replace bool) error {
	if replace {
		return os.Rename(t.temporary, t.path)
	}
	switch err := os.Link(t.temporary, t.path); {
	case err == nil: // Discard removes the temporary name
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// There are no hard links here. A rename replaces a file that has been created meanwhile, so
	// check again immediately before it.
	if err := Vacant(t.path, false, t.isOpen); err != nil {
		return err
	}
	return os.Rename(t.temporary, t.path)
}

// Discard removes the temporary file and its side files. After Publish, there are none.
func (t *File) Discard() {
	if t.file != nil {
		t.file.Close()
	}
	for _, ending := range sideSuffixes {
		_ = os.Remove(t.temporary + ending) // if that fails, removeStale does it later
	}
	live.remove(t.temporary)
}

// syncDir syncs a directory, so that its names are on the disk, where that is possible.
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
		return nil // this file system cannot sync directories
	}
	return err
}

// sideSuffixes are the suffixes of a database and of SQLite's files beside it.
var sideSuffixes = []string{"", "-journal", "-wal", "-shm"}

// Vacant returns an error if the copy cannot be put at path because of an existing file. With
// replace, path may be a regular file that is not open, according to isOpen.
func Vacant(path string, replace bool, isOpen func(fs.FileInfo) bool) error {
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

// Temporary returns the name of the file until it is published.
func (t *File) Temporary() string { return t.temporary }
