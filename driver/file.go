package driver

import (
	"errors"
	"os"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// ErrFileLost says that the database's file was removed, replaced or emptied
// while a connection had it open. SQLite itself goes on with the file that is
// there no more, and what is written to it is lost. It is also
// [sqlite3.READONLY_DBMOVED].
var ErrFileLost error = fileLostError{}

type fileLostError struct{}

func (fileLostError) Error() string {
	return "sqlitemw: the database's file was removed, replaced or emptied while it was open"
}

func (fileLostError) Unwrap() error { return sqlite3.READONLY_DBMOVED }

// fileLooks is how long a connection goes without looking after its file.
const fileLooks = time.Second

// An openFile is a connection's main file, as the file system knows it by name.
// It is asked about, but never opened: closing it would drop SQLite's locks.
// The zero openFile is of no file, and never lost.
type openFile struct {
	path   string
	info   os.FileInfo
	filled bool // it has had something in it
	looked time.Time
}

// newOpenFile returns the file that a new connection has open, if it has one
// that the file system would know.
func newOpenFile(raw *sqlite3.Conn, d *dsn) openFile {
	if d.vfs != "" && d.vfs != "os" || d.namespace() == ":memory:" {
		return openFile{}
	}
	path := raw.Filename("main").String()
	info, err := os.Stat(path)
	if err != nil {
		return openFile{}
	}
	return openFile{path: path, info: info, filled: info.Size() > 0, looked: time.Now()}
}

// lookAgain looks if that was not done just now.
func (f *openFile) lookAgain(now time.Time) error {
	if f.path == "" || now.Sub(f.looked) < fileLooks {
		return nil
	}
	return f.look()
}

// look returns ErrFileLost if what is found by the file's name is another file.
// What cannot be found out is no reason to give up a connection that works.
func (f *openFile) look() error {
	if f.path == "" {
		return nil
	}
	f.looked = time.Now()
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ErrFileLost
	case err != nil:
		return nil
	case !os.SameFile(info, f.info), f.filled && info.Size() == 0:
		return ErrFileLost
	}
	f.filled = f.filled || info.Size() > 0
	return nil
}
