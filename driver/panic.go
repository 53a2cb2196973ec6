package driver

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"unsafe"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// ErrPanicked is the error of every call on a connection after a panic has passed through
// it; see [wrap.ErrPanicked].
var ErrPanicked = wrap.ErrPanicked

// A PanicError is a panic returned as an error; see [wrap.PanicError].
type PanicError = wrap.PanicError

// errForceClosed is the error of closing a connection that SQLite itself could not close.
// Its files and memory are released all the same.
var errForceClosed = errors.New("sqlitemw: SQLite could not close the connection, and was cut off: its files are closed and its locks released")

var _ wrap.Breaker = &session{}

// RollbackAfterPanic implements [wrap.Breaker]. A panic that passes through SQLite leaves a
// statement half executed. SQLite treats that statement as finished, and closing it
// normally would commit the half. So RollbackAfterPanic refuses every commit from here on,
// as a power failure would, and calls no other callback of the program.
func (s *session) RollbackAfterPanic() {
	if s.panicked {
		return
	}
	s.panicked = true
	raw := s.baseConn.Raw()
	s.cache = stmtCache{counters: s.cache.counters} // SQLite's list of statements, below, has them all
	if s.locks != nil {
		_ = recoverPanic(func() error { s.locks.close(); return nil })
	}
	_ = recoverPanic(func() error { removeCallbacks(raw); return nil })
	for _, stmt := range slices.Collect(raw.Stmts()) {
		_ = recoverPanic(stmt.Close) // the error is that of the statement's last step
	}
	_ = recoverPanic(func() error {
		if raw.GetAutocommit() {
			return nil
		}
		return raw.Exec("ROLLBACK")
	})
}

// CloseAfterPanic implements [wrap.Breaker]. It calls Term, if it has not been called yet,
// but SQLite interrupts everything that Term executes.
func (s *session) CloseAfterPanic() error {
	s.RollbackAfterPanic()
	if s.closed {
		return nil
	}
	s.closed = true
	err := recoverPanic(func() error { return s.terminateIn(interrupted) })
	raw := s.baseConn.Raw()
	for _, stmt := range slices.Collect(raw.Stmts()) {
		_ = recoverPanic(stmt.Close) // statements that Term did not close
	}
	if s.file != nil {
		var plan closePlan
		_ = recoverPanic(func() (err error) { plan, err = s.beforeClose(); return err })
		s.leaveWAL() // if beforeClose did not
		s.leaveFile()
		defer func() { _ = plan.removeLeftovers() }()
	}
	if recoverPanic(raw.Close) == nil {
		return err
	}
	// SQLite could not close. The panic may have passed while SQLite prepared a statement
	// or executed one of its own. Or a BLOB or a backup is open, or a module of the program
	// panics again.
	return errors.Join(err, errForceClosed, forceClose(raw))
}

// forceClose ends a connection as the end of its process would. It closes the files and
// releases the memory without informing SQLite. The next connection rolls back a hot
// journal.
//
// ncruces releases everything itself after SQLite has closed. It knows from the field
// handle, which has no method, that SQLite is still open. So forceClose clears that field.
// Without the field, it only closes the files. That is not enough in WAL mode, as measured
// with ncruces v0.37.0. The -shm stays locked while it is mapped into that memory.
func forceClose(raw *sqlite3.Conn) (err error) {
	files := openFilesOf(raw)
	if handle := reflect.ValueOf(raw).Elem().FieldByName("handle"); handle.IsValid() && handle.Kind() == reflect.Uint32 {
		*(*uint32)(unsafe.Pointer(handle.UnsafeAddr())) = 0
		if err = recoverPanic(raw.Close); err != nil { // something of the program that is closed first has panicked
			err = recoverPanic(raw.Close)
		}
	}
	for _, file := range files {
		_ = recoverPanic(file.Close) // most are closed by now
	}
	return err
}

// recoverPanic calls f and returns a panic as an error. The program already sees another
// panic.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = wrap.NewPanicError(v)
		}
	}()
	return f()
}

// removeCallbacks removes the program's callbacks from a connection and refuses every
// commit. It keeps a trace callback, which must see the close.
func removeCallbacks(raw *sqlite3.Conn) {
	raw.SetInterrupt(context.Background())
	raw.CommitHook(func() (ok bool) { return false })
	raw.RollbackHook(nil)
	raw.UpdateHook(nil)
	raw.PreUpdateHook(nil)
	raw.WALHook(nil)
	for _, f := range []func() error{
		func() error { return raw.SetAuthorizer(nil) },
		func() error { return raw.BusyHandler(nil) },
		func() error { return raw.ConfigLog(nil) },
	} {
		_ = recoverPanic(f) // without memory, some calls may fail
	}
}

// openFilesOf returns the files that SQLite has open for a connection: databases, WALs and
// journals. Closing them releases their locks, as the end of a process does.
func openFilesOf(raw *sqlite3.Conn) (files []vfs.File) {
	_ = recoverPanic(func() error {
		for i := 0; raw.DBName(i) != ""; i++ {
			for _, op := range []sqlite3.FcntlOpcode{sqlite3.FCNTL_JOURNAL_POINTER, sqlite3.FCNTL_FILE_POINTER} {
				_ = recoverPanic(func() error {
					found, err := raw.FileControl(raw.DBName(i), op)
					if file, ok := found.(vfs.File); ok && err == nil && !slices.Contains(files, file) {
						files = append(files, file)
					}
					return nil
				})
			}
		}
		return nil
	})
	return files
}

// interrupted is a canceled context. SQLite executes nothing with it.
var interrupted = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
