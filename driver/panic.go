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

// ErrPanicked is the error of every call on a connection through which a panic has
// passed: see [wrap.ErrPanicked].
var ErrPanicked = wrap.ErrPanicked

// A PanicError is a panic that is returned as an error: see [wrap.PanicError].
type PanicError = wrap.PanicError

// errCutOff is what closing a connection says that SQLite did not close: what
// SQLite had of the operating system is given back all the same.
var errForceClosed = errors.New("sqlitemw: SQLite did not close the connection, and was cut off: its files are closed and its locks free")

var _ wrap.Breaker = &session{}

// RollbackAfterPanic implements [wrap.Breaker]. A panic that passes through SQLite
// leaves a statement half executed, which SQLite takes for one that has come to
// its end: closed as ever, it would commit its half. So commits are refused from
// here on, as by a power failure, and no other callback of the program's is called.
func (s *session) RollbackAfterPanic() {
	if s.panicked {
		return
	}
	s.panicked = true
	raw := s.baseConn.Raw()
	s.cache = stmtCache{counters: s.cache.counters} // the statements are SQLite's to close
	if s.locks != nil {
		_ = recoverPanic(func() error { s.locks.close(); return nil })
	}
	_ = recoverPanic(func() error { removeCallbacks(raw); return nil })
	for _, stmt := range slices.Collect(raw.Stmts()) {
		_ = recoverPanic(stmt.Close) // its error is that of its last step
	}
	_ = recoverPanic(func() error {
		if raw.GetAutocommit() {
			return nil
		}
		return raw.Exec("ROLLBACK")
	})
}

// CloseAfterPanic implements [wrap.Breaker]. Term is called, if it has not been, but
// what it executes is interrupted.
func (s *session) CloseAfterPanic() error {
	s.RollbackAfterPanic()
	if s.closed {
		return nil
	}
	s.closed = true
	err := recoverPanic(func() error { return s.terminateIn(interrupted) })
	raw := s.baseConn.Raw()
	for _, stmt := range slices.Collect(raw.Stmts()) {
		_ = recoverPanic(stmt.Close) // that Term has left
	}
	if s.file != nil {
		var plan closePlan
		_ = recoverPanic(func() (err error) { plan, err = s.beforeClose(); return err })
		s.leaveWAL() // unless that has
		s.leaveFile()
		defer func() { _ = plan.removeLeftovers() }()
	}
	if recoverPanic(raw.Close) == nil {
		return err
	}
	// The panic passed while SQLite prepared a statement, or executed one of its
	// own; or a BLOB or a backup is open; or a module of the program's panics again.
	return errors.Join(err, errForceClosed, forceClose(raw))
}

// cutOff ends a connection as the end of its process would: its files are closed
// and its memory is given back, and SQLite hears nothing of it. A hot journal is
// rolled back by the next connection.
//
// ncruces does that itself, once SQLite has closed. That SQLite has not it knows by
// a field, for which there is no method; without the field, the files alone are
// closed. That is not enough in WAL mode, as measured with ncruces v0.37.0: the -shm
// stays locked while it is mapped into that memory.
func forceClose(raw *sqlite3.Conn) (err error) {
	files := openFilesOf(raw)
	if handle := reflect.ValueOf(raw).Elem().FieldByName("handle"); handle.IsValid() && handle.Kind() == reflect.Uint32 {
		*(*uint32)(unsafe.Pointer(handle.UnsafeAddr())) = 0
		if err = recoverPanic(raw.Close); err != nil { // something of the program's that is closed with it
			err = recoverPanic(raw.Close)
		}
	}
	for _, file := range files {
		_ = recoverPanic(file.Close) // most are by now
	}
	return err
}

// rescue calls f, whose panic is an error: there is another that the program has
// seen.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = wrap.NewPanicError(v)
		}
	}()
	return f()
}

// silence takes the program's callbacks off a connection, but for a trace, which is to
// see it closed, and has every commit refused.
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
		_ = recoverPanic(f) // without memory, some may not be
	}
}

// openFilesOf returns the files that SQLite has open for a connection: databases,
// WALs and journals. Closing them frees their locks, as the end of a process does.
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

// interrupted is a context in which SQLite executes nothing.
var interrupted = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
