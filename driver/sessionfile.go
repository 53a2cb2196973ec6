package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// This file checks whether a connection's file is still the one that it opened. If not, it
// decides what happens to the WAL.

// lost returns [ErrFileLost] if any connection of the process has found the file lost.
// Every call checks it; it costs two atomic loads.
func (s *session) lost() error {
	if s.file == nil {
		return nil
	}
	if e := s.file.lost.Load(); e != nil {
		return e
	}
	if e := s.location.lost.Load(); e != nil {
		return e
	}
	return nil
}

// checkFileIfDue checks the file, unless any connection has checked it very recently. It
// ignores errors other than [ErrFileLost], because they are no reason to give up a working
// connection.
func (s *session) checkFileIfDue(now time.Time) error {
	if s.file == nil {
		return nil
	}
	if err := s.lost(); err != nil {
		return err
	}
	if !s.file.dueForCheck(now) {
		return nil
	}
	if err := s.checkFile(); isLost(err) {
		return err
	}
	return nil
}

// checkFile compares the file with what its names lead to.
func (s *session) checkFile() error {
	if s.file == nil {
		return nil
	}
	if err := s.enterWAL(); err != nil {
		return err
	}
	return s.location.checkOpenFile(s.file)
}

// seeContent records that the database is not empty. It asks SQLite, because the size of
// the file is not reliable. A new database shrinks back to 0 bytes if its first transaction
// is rolled back.
func (s *session) seeContent() {
	if s.file == nil || s.file.filled.Load() {
		return
	}
	if pages, err := scalar(s.baseConn.Raw(), "PRAGMA page_count"); err == nil && pages != "0" {
		s.file.filled.Store(true)
	}
}

// checkAfterError checks the file if losing it may have caused err. The call still returns
// SQLite's own error; the next call returns [ErrFileLost].
//
// A connection that had an I/O error is not used again. SQLite's cache may hold pages that
// it could not write. And if SQLite could not create a -shm, it keeps using one of its own
// for good.
//
// But the connection stays if a WAL could not be written or synced. It can still read,
// which a new connection may not be able to do. It also writes and syncs the same frames
// again. A new connection would treat them as committed and write behind them. But the
// operating system may no longer know that they are not on disk.
func (s *session) checkAfterError(err error) {
	var code sqlite3.ExtendedErrorCode
	if s.file == nil || !errors.As(err, &code) {
		return
	}
	switch code.Code() {
	case sqlite3.IOERR, sqlite3.READONLY, sqlite3.CANTOPEN, sqlite3.CORRUPT, sqlite3.NOTADB:
		_ = s.checkFile()
	}
	switch {
	case (code == sqlite3.IOERR_FSYNC || code == sqlite3.IOERR_WRITE) && s.inWAL:
	case code.Code() == sqlite3.IOERR, code.Code() == sqlite3.READONLY && code != sqlite3.ExtendedErrorCode(sqlite3.READONLY): // query_only causes the plain READONLY
		s.ioFailed = true
	}
}

// afterWrite must be called after a statement that may have written, before the program
// gets its success. What was written to a lost file is lost.
func (s *session) afterWrite() error {
	if s.file == nil || !s.baseConn.Raw().GetAutocommit() { // in a transaction, Commit checks
		return nil
	}
	if !s.file.filled.Load() {
		// Do not ask SQLite here: the program may trace its statements.
		if info, err := os.Stat(s.file.name); err == nil && info.Size() > 0 {
			s.file.filled.Store(true)
		}
	}
	return s.checkFileIfDue(time.Now())
}

// enterWAL tells the file which WAL the connection has open, if it has one.
func (s *session) enterWAL() error {
	if s.inWAL || s.file == nil {
		return nil
	}
	// Without a WAL, the journal may be in SQLite's memory, and has no handle.
	if _, err := os.Stat(s.file.name + "-wal"); err != nil {
		return nil //nolint:nilerr // there is no WAL to look at
	}
	h := handleOf(s.baseConn.Raw(), sqlite3.FCNTL_JOURNAL_POINTER)
	if h == nil || !strings.HasSuffix(h.Name(), "-wal") {
		return nil
	}
	wal, err := h.Stat()
	if err != nil {
		return nil //nolint:nilerr // the next call tries again
	}
	shm, _ := os.Stat(s.file.name + "-shm") // without a -shm, connections share the index by other means
	if main, err := os.Stat(s.file.name); err == nil && shm != nil {
		copyMode(main, s.file.name+"-shm")
	}
	s.inWAL = true
	return s.file.enterWAL(wal, shm)
}

// leaveWAL must be called before the connection closes, or may leave WAL mode.
func (s *session) leaveWAL() {
	if s.inWAL {
		s.inWAL = false
		s.file.leaveWAL()
	}
}

// mayLeaveWAL must be called with every query that may change the journal mode.
func (s *session) mayLeaveWAL(query string) {
	if s.inWAL && containsFold(query, "journal_mode") {
		s.leaveWAL() // the next check enters it again if the connection still has it
	}
}

// containsFold reports whether text contains word in any letter case. word must be in lower
// case.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// A closePlan says what happens to the three files when a connection is closed.
type closePlan struct {
	file     *dbFile
	gone     bool        // the database's name leads to another file, or to none
	replaced bool        // the name leads to another file
	names    uint64      // number of names that the database still has
	last     bool        // this is the last connection, and the database still needs the WAL
	wal      os.FileInfo // the WAL that belongs to the file; nil if unknown
	shm      os.FileInfo
}

// beforeClose prevents SQLite's checkpoint on close if the names no longer lead to the open
// files. Otherwise the last connection would write its WAL into the database, and remove
// whatever file has the WAL's name.
// https://sqlite.org/c3ref/c_dbconfig_defensive.html#sqlitedbconfignockptonclose
func (s *session) beforeClose() (closePlan, error) {
	f := s.file
	if f == nil {
		return closePlan{}, nil
	}
	raw := s.baseConn.Raw()
	_ = s.enterWAL() // so that the plan knows the file's own WAL
	plan, checkpoint := f.planClose()
	if plan.gone {
		if h := handleOf(raw, sqlite3.FCNTL_FILE_POINTER); h != nil {
			if info, err := h.Stat(); err == nil {
				plan.names = links(info)
			}
		}
		if plan.names > 0 && f.isLast() {
			plan.last = !plan.checkpointMovedFile(raw)
		}
	}
	s.leaveWAL()
	if checkpoint {
		return plan, nil
	}
	_, err := raw.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	return plan, err
}

// planClose checks the three files once more. checkpoint reports whether SQLite may
// checkpoint as usual at the last close. For that, the database must still be there. Each
// of the other two names must be free, or lead to its own file. Then the WAL's content is
// not lost.
func (f *dbFile) planClose() (plan closePlan, checkpoint bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plan = closePlan{file: f, wal: f.wal, shm: f.shm}
	info, change, err := f.compareMain()
	if f.isUnsynced() {
		return plan, false
	}
	if err != nil {
		return plan, true
	}
	plan.gone, plan.replaced = change != "", change == "replaced"
	if change != "" || f.filled.Load() && info.Size() == 0 {
		return plan, false
	}
	return plan, !nameTaken(f.name+"-wal", f.wal) && !nameTaken(f.name+"-shm", f.shm)
}

// checkpointMovedFile writes the WAL's content to a database that now has another name, and
// removes the WAL. SQLite itself does not do so when it closes a moved database. Leaving
// WAL mode needs exclusive access. So nothing happens if another process has opened the
// database under its new name, or if the connection is read-only. It reports whether the
// WAL is gone.
func (plan closePlan) checkpointMovedFile(raw *sqlite3.Conn) bool {
	wal, shm := plan.file.name+"-wal", plan.file.name+"-shm"
	if plan.wal == nil || nameTaken(wal, plan.wal) || nameTaken(shm, plan.shm) || raw.BusyTimeout(0) != nil {
		return false
	}
	raw.SetInterrupt(context.Background())
	// After removing the WAL, SQLite refuses to write the new mode to the file.
	if err := raw.Exec("PRAGMA journal_mode=delete"); err != nil && !errors.Is(err, sqlite3.READONLY_DBMOVED) {
		return false
	}
	plan.file.removeRenamedWAL()
	return true
}

// removeLeftovers removes the -wal and -shm of a lost database, whose name another database
// has taken or may take. SQLite would treat them as those of the new database, and
// overwrite it with their content. Connections that have them open keep them.
// https://sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
//
// If the lost database still has another name, it may need its WAL. Then the WAL gets
// another name instead.
func (plan closePlan) removeLeftovers() error {
	if !plan.gone {
		return nil
	}
	wal, shm := plan.file.name+"-wal", plan.file.name+"-shm"
	switch {
	case plan.names == 0:
		return firstError(removeIfSame(wal, plan.wal), removeIfSame(shm, plan.shm))
	case plan.replaced, plan.last:
		return firstError(plan.file.renameWAL(plan.wal), removeIfSame(shm, plan.shm))
	}
	return nil
}

// renameWAL gives the WAL another name, if its name still leads to it.
func (f *dbFile) renameWAL(own os.FileInfo) error {
	name := f.name + "-wal"
	if !isSameFile(name, own) {
		return nil
	}
	for i := 1; i < 100; i++ { // one for each earlier loss that was never cleaned up
		aside := fmt.Sprintf("%s-lost%d", name, i)
		err := os.Link(name, aside) // unlike Rename, Link replaces no file
		if err == nil {
			f.mu.Lock()
			f.renamedWAL = aside
			f.mu.Unlock()
			return os.Remove(name)
		}
		if !os.IsExist(err) {
			return err
		}
	}
	return &fs.PathError{Op: "link", Path: name + "-lost", Err: fs.ErrExist}
}

// removeRenamedWAL removes the WAL that renameWAL has renamed. The database has its content
// by now.
func (f *dbFile) removeRenamedWAL() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.renamedWAL != "" && os.Remove(f.renamedWAL) == nil {
		f.renamedWAL = ""
	}
}

// nameTaken reports whether name now leads to a file other than own.
func nameTaken(name string, own os.FileInfo) bool {
	if own == nil {
		return false
	}
	_, change, _ := compareFile(name, own)
	return change == "replaced"
}

func isSameFile(name string, own os.FileInfo) bool {
	if own == nil {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && os.SameFile(info, own)
}

// removeIfSame removes the named file if it is still own.
func removeIfSame(name string, own os.FileInfo) error {
	if !isSameFile(name, own) {
		return nil
	}
	return os.Remove(name)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
