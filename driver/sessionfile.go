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

// What is in this file is of a connection's file: whether it still is what it was
// when it was opened, and what becomes of its WAL when it is not.

// lost returns [ErrFileLost] if any connection of the file knows that it is lost.
// It is asked before every call, and costs next to nothing.
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

// lookIfDue looks after the file unless that was done just now, by whichever
// connection. What cannot be found out is no reason to give up a connection that
// works.
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

// look looks after the file.
func (s *session) checkFile() error {
	if s.file == nil {
		return nil
	}
	if err := s.enterWAL(); err != nil {
		return err
	}
	return s.location.checkOpenFile(s.file)
}

// seeContent notes that the database has something in it, once. SQLite is asked, and
// not the file's size: that of a new database goes back to 0 when its first transaction
// is rolled back.
func (s *session) seeContent() {
	if s.file == nil || s.file.filled.Load() {
		return
	}
	if pages, err := scalar(s.baseConn.Raw(), "PRAGMA page_count"); err == nil && pages != "0" {
		s.file.filled.Store(true)
	}
}

// suspect looks after the file if an error may come of its loss: the call ends with
// SQLite's own error, but the next with [ErrFileLost].
//
// A connection with which an I/O error has happened is not used again: SQLite may keep in
// its cache what it could not write, and goes on for good with a -shm of its own where
// it could not make one. But when a WAL cannot be written or synced, the connection stays.
// It can still read, which one that is opened anew may not; and it writes the same frames
// again, and syncs them: another would take them for committed, and write behind them,
// although the system may have forgotten that they are still to be written.
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
	case code.Code() == sqlite3.IOERR, code.Code() == sqlite3.READONLY && code != sqlite3.ExtendedErrorCode(sqlite3.READONLY): // that is query_only's
		s.ioFailed = true
	}
}

// acknowledge is called when a statement may have written, before the program
// learns that it has. What is written to a file that is lost is lost.
func (s *session) afterWrite() error {
	if s.file == nil || !s.baseConn.Raw().GetAutocommit() { // or the commit does it
		return nil
	}
	if !s.file.filled.Load() {
		// Not that SQLite be asked: the program may trace what it is.
		if info, err := os.Stat(s.file.name); err == nil && info.Size() > 0 {
			s.file.filled.Store(true)
		}
	}
	return s.checkFileIfDue(time.Now())
}

// enterWAL has the file know the WAL that the connection has open, if it has one.
func (s *session) enterWAL() error {
	if s.inWAL || s.file == nil {
		return nil
	}
	// Without a WAL, the journal may be in SQLite's memory, and is then no handle.
	if _, err := os.Stat(s.file.name + "-wal"); err != nil {
		return nil
	}
	h := handleOf(s.baseConn.Raw(), sqlite3.FCNTL_JOURNAL_POINTER)
	if h == nil || !strings.HasSuffix(h.Name(), "-wal") {
		return nil
	}
	wal, err := h.Stat()
	if err != nil {
		return nil
	}
	shm, _ := os.Stat(s.file.name + "-shm") // where there is none, others share it by other means
	s.inWAL = true
	return s.file.enterWAL(wal, shm)
}

// leaveWAL is called before the connection may leave WAL mode, or is closed.
func (s *session) leaveWAL() {
	if s.inWAL {
		s.inWAL = false
		s.file.leaveWAL()
	}
}

// mayLeaveWAL is called with every text that may change the journal mode.
func (s *session) mayLeaveWAL(query string) {
	if s.inWAL && containsFold(query, "journal_mode") {
		s.leaveWAL() // and enters again when it next looks, if it is still there
	}
}

// containsFold reports whether text contains word, which is in lower case, in any
// case of letters.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// A farewell is what becomes of the three files when a connection is closed.
type closePlan struct {
	file     *dbFile
	gone     bool        // the database's name leads to another file, or to none
	replaced bool        // to another
	names    uint64      // that the database still has
	last     bool        // no other connection has it open, and its WAL is still needed
	wal      os.FileInfo // the file's own; nil if unknown
	shm      os.FileInfo
}

// beforeClose has SQLite leave the WAL as it is, and the database without it, if
// they are not what the names lead to: the last connection to be closed would
// write its WAL into the database, and remove whatever has the WAL's name.
// https://sqlite.org/c3ref/c_dbconfig_defensive.html#sqlitedbconfignockptonclose
func (s *session) beforeClose() (closePlan, error) {
	f := s.file
	if f == nil {
		return closePlan{}, nil
	}
	raw := s.baseConn.Raw()
	_ = s.enterWAL() // so that its own WAL is known
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

// farewell looks at the three files once more. SQLite may do at the last close what
// it always does if the database is still there, and each of the others is too, or
// its name is nobody's: then what is in the WAL is not lost.
func (f *dbFile) planClose() (plan closePlan, checkpoint bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plan = closePlan{file: f, wal: f.wal, shm: f.shm}
	info, change, err := f.compareMain()
	if err != nil {
		return plan, true
	}
	plan.gone, plan.replaced = change != "", change == "replaced"
	if change != "" || f.filled.Load() && info.Size() == 0 {
		return plan, false
	}
	return plan, !nameTaken(f.name+"-wal", f.wal) && !nameTaken(f.name+"-shm", f.shm)
}

// rescue writes what is in the WAL to the database, which has another name by now, and
// removes the WAL: SQLite does not when it closes a database that was moved. To leave
// WAL mode wants the database for itself, so that nothing is done if another process
// has opened it by its new name; nor by a connection that only reads. It reports whether
// the WAL is gone.
func (plan closePlan) checkpointMovedFile(raw *sqlite3.Conn) bool {
	wal, shm := plan.file.name+"-wal", plan.file.name+"-shm"
	if plan.wal == nil || nameTaken(wal, plan.wal) || nameTaken(shm, plan.shm) || raw.BusyTimeout(0) != nil {
		return false
	}
	raw.SetInterrupt(context.Background())
	// With the WAL gone, the mode is to be written to the file, which SQLite refuses.
	if err := raw.Exec("PRAGMA journal_mode=delete"); err != nil && !errors.Is(err, sqlite3.READONLY_DBMOVED) {
		return false
	}
	plan.file.removeRenamedWAL()
	return true
}

// clear takes away the WAL and its index that a lost database has left beside a name
// which is another's by now, or will be: SQLite would take them for that one's, and
// write what is in them over it. Connections that have them open keep them.
// https://sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
//
// Where the database still has another name, the WAL may be wanted for it: then it is
// given another name.
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

// setAside gives the WAL another name, if it still has its own.
func (f *dbFile) renameWAL(own os.FileInfo) error {
	name := f.name + "-wal"
	if !isSameFile(name, own) {
		return nil
	}
	for i := 1; i < 100; i++ { // one for each loss that nobody has looked after
		aside := fmt.Sprintf("%s-lost%d", name, i)
		err := os.Link(name, aside) // unlike Rename, it replaces nothing
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

// removeAside removes the WAL that was set aside: it is in the database by now.
func (f *dbFile) removeRenamedWAL() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.renamedWAL != "" && os.Remove(f.renamedWAL) == nil {
		f.renamedWAL = ""
	}
}

// isAnothers reports whether a name leads to another file than own by now.
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

// removeOwn removes a file if the name still leads to it.
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
