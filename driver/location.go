package driver

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A location records which file the connections of a connector, or of all connectors of a
// pool, use. The first connection sets it. Every later connection opens that same file, or
// fails.
//
// A location lives as long as its connectors. A [dbFile] lives only as long as its
// connections. So the next connection notices what happened to the file while none was
// open.
type location struct {
	lost atomic.Pointer[FileLostError] // set once, when the name leads to another file
	file atomic.Pointer[dbFile]        // file of the newest connection; nil before the first

	notices noticeSet

	mu    sync.Mutex // guards the fields below; dbFiles and dbFile.mu are taken under it
	given string     // the absolute name of the first connection's file; "" before it
	main  os.FileInfo
	birth time.Time // creation time of the file; zero if unknown
}

// known returns the name under which the first connection opened the file. ok is false
// before that.
func (l *location) known() (given string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given, l.given != ""
}

// checkSame fails if f, which a connection has just opened, is not the first connection's
// file.
func (l *location) checkSame(f *dbFile) error {
	if err := l.lostError(); err != nil { // since checkName
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f != nil && l.given != "" && (!os.SameFile(l.main, f.main) || f.isDifferentFile(l.birth)) {
		return l.loseLocked("replaced")
	}
	return nil
}

// record records the file f of a configured connection, which was opened under the name
// given.
func (l *location) record(f *dbFile, given string) error {
	if err := l.lostError(); err != nil { // since checkSame; f may be a later one
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given == "" {
		abs, err := filepath.Abs(given)
		if err != nil {
			return err
		}
		l.given, l.main, l.birth = abs, f.main, f.born
	} else if !os.SameFile(l.main, f.main) {
		return l.loseLocked("replaced")
	}
	l.file.Store(f)
	return nil
}

// checkName checks which file the name leads to, before a connection opens it. It ignores
// files that it cannot check, because opening them fails too.
func (l *location) checkName() error {
	if err := l.lostError(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given == "" {
		return nil
	}
	// Check this first: a new connection would recreate a -wal or -shm that was removed.
	f := l.file.Load()
	if err := f.check(); isLost(err) {
		return err
	}
	info, change, err := compareFile(l.given, l.main)
	if err != nil {
		return nil
	}
	if change == "" && f.filled.Load() && info.Size() == 0 {
		change = "emptied"
	}
	// A file system reuses the inode number of a file that no process has open.
	if birth := birthOf(l.given); change == "" && !birth.IsZero() && !l.birth.IsZero() && !birth.Equal(l.birth) {
		change = "replaced"
	}
	if change == "" {
		return nil
	}
	return l.loseLocked(change)
}

// checkOpenFile checks the file of an open connection. Unlike checkName, it returns an
// error for a file that it cannot check.
func (l *location) checkOpenFile(f *dbFile) error {
	if err := f.check(); err != nil {
		return err
	}
	if given, ok := l.known(); ok && given != f.name {
		return l.checkName()
	}
	return nil
}

// loseLocked records that the name leads to another file, or to none. All connections to
// the file lose it, even under its other names. A reader of this name does not find what
// they write.
func (l *location) loseLocked(change string) error {
	lost := &FileLostError{File: l.given, Change: change}
	l.lost.CompareAndSwap(nil, lost)
	if f := l.file.Load(); f != nil {
		f.lost.CompareAndSwap(nil, lost)
	}
	return l.lostError()
}

// lostError returns [ErrFileLost] if the file is known to be lost.
func (l *location) lostError() error {
	if e := l.lost.Load(); e != nil {
		return e
	}
	if f := l.file.Load(); f != nil {
		return f.lostError()
	}
	return nil
}

// later returns the DSN for the connections after the first. It names the same file
// whatever the working directory is, and does not create a missing file.
func (d *DSN) later(given string) *DSN {
	later := *d
	later.uri, later.path = true, escapePath(given)
	later.params = nil
	for _, param := range d.params {
		if key, _, _ := strings.Cut(param, "="); key != "mode" || d.mode != "rwc" {
			later.params = append(later.params, param)
		}
	}
	if d.mode == "" || d.mode == "rwc" {
		later.params = append(later.params, "mode=rw")
	}
	return &later
}

// withModeOf returns d with the plain driver's parameter modeof: its VFS gives the journal and
// the WAL that it creates the permissions and the owner of the named file. The DSN's own modeof
// takes precedence. A connection that only reads creates neither.
func (d *DSN) withModeOf(name string) *DSN {
	if !setsModes || d.modeof || d.mode == "ro" || d.On("immutable") {
		return d
	}
	c := d.clone()
	escaped := strings.ReplaceAll(url.QueryEscape(name), "+", "%20") // SQLite reads a plus as itself
	c.params = append(c.params, "modeof="+escaped)
	return c
}
