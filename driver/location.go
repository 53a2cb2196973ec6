package driver

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A home is where the connections of a connector, or of all connectors of a pool,
// find their database. The first connection settles it: from then on a connection
// opens the file that the first has opened, or none.
//
// A home lasts as long as its connectors, and so longer than a [dbFile], which
// lasts as long as its connections: what has become of the file while there were
// none is noticed by the next.
type location struct {
	lost atomic.Pointer[FileLostError] // set once: the name leads to another file now
	file atomic.Pointer[dbFile]        // of the connection that was opened last; nil before the first

	notices noticeSet

	mu    sync.Mutex // guards the fields below; dbFiles and dbFile.mu are taken under it
	given string     // the name that was asked for, made absolute; "" until settled
	main  os.FileInfo
	birth time.Time // of the file; zero where it is not known
}

// settled reports whether a connection has been opened, and by which name.
func (h *location) known() (given string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given, h.given != ""
}

// knows fails if f, which a connection has just opened, is not the file that the
// first connection has opened.
func (h *location) checkSame(f *dbFile) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f != nil && h.given != "" && (!os.SameFile(h.main, f.main) || f.isDifferentFile(h.birth)) {
		return h.loseLocked("replaced")
	}
	return nil
}

// settle is called with the file of a connection that is open and configured, and
// the name that it was opened by.
func (h *location) record(f *dbFile, given string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.given == "" {
		abs, err := filepath.Abs(given)
		if err != nil {
			return err
		}
		h.given, h.main, h.birth = abs, f.main, f.born
	} else if !os.SameFile(h.main, f.main) {
		return h.loseLocked("replaced")
	}
	h.file.Store(f)
	return nil
}

// check looks what the name leads to, before a connection is opened by it. What
// cannot be found out, opening will say.
func (h *location) checkName() error {
	if err := h.lostError(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.given == "" {
		return nil
	}
	// Before a connection makes a new one of a -wal or -shm that was removed.
	f := h.file.Load()
	if err := f.check(); isLost(err) {
		return err
	}
	info, change, err := compareFile(h.given, h.main)
	if err != nil {
		return nil
	}
	if change == "" && f.filled.Load() && info.Size() == 0 {
		change = "emptied"
	}
	// The number of an inode is given to another file once nobody has it open.
	if birth := birthOf(h.given); change == "" && !birth.IsZero() && !h.birth.IsZero() && !birth.Equal(h.birth) {
		change = "replaced"
	}
	if change == "" {
		return nil
	}
	return h.loseLocked(change)
}

// look is check for a connection that is open, and says what cannot be found out.
func (h *location) checkOpenFile(f *dbFile) error {
	if err := f.check(); err != nil {
		return err
	}
	if given, ok := h.known(); ok && given != f.name {
		return h.checkName()
	}
	return nil
}

// loseLocked notes that the name leads to another file now, or to none. That is a fact
// of the file for all connections that have it open, also by its other names: what they
// write is not found by this one.
func (h *location) loseLocked(change string) error {
	lost := &FileLostError{File: h.given, Change: change}
	h.lost.CompareAndSwap(nil, lost)
	if f := h.file.Load(); f != nil {
		f.lost.CompareAndSwap(nil, lost)
	}
	return h.lostError()
}

// lostError returns [ErrFileLost] if it is known.
func (h *location) lostError() error {
	if e := h.lost.Load(); e != nil {
		return e
	}
	if f := h.file.Load(); f != nil {
		return f.lostError()
	}
	return nil
}

// later returns the data source name for the connections after the first: the
// same file, from wherever the process has its working directory, which is not
// made if it is missing.
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
