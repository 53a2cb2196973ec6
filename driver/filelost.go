package driver

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// ErrFileLost says that the database file, its -wal or its -shm is no longer the one that
// this process opened. SQLite itself keeps using its open file, and everything written
// there is lost. Or the disk has failed to write the -wal, so that commits in it may be lost.
//
// The loss belongs to the file, not to a connection. After one connection has noticed it,
// every call on every connection to the file fails with this error before it writes. To use
// the file that now has the name, close the [database/sql.DB] (or the pool) and open it
// again.
//
// ErrFileLost wraps [sqlite3.READONLY_DBMOVED]. Calls return a [*FileLostError], which says
// what happened to which file, and wraps [sqlite3.IOERR_FSYNC] instead if that was a sync.
var ErrFileLost error = fileLost{}

type fileLost struct{}

func (fileLost) Error() string {
	return "sqlitemw: the database's file was removed, replaced or emptied while it was open"
}

func (fileLost) Unwrap() error { return sqlite3.READONLY_DBMOVED }

// isLost reports whether an error is [ErrFileLost].
func isLost(err error) bool { return errors.Is(err, ErrFileLost) }

// A FileLostError is the [ErrFileLost] that names the file.
type FileLostError struct {
	File   string // the database's file, its -wal or its -shm
	Change string // "removed", "replaced", "emptied", "truncated" or "not synced"
	Err    error  // of the operating system, if a sync has failed; otherwise nil
}

// NotSynced is the Change of a -wal that the disk has failed to write. A pool whose commits share
// syncs finds that.
const NotSynced = "not synced"

func (e *FileLostError) Error() string {
	if e.Change == NotSynced {
		return fmt.Sprintf("sqlitemw: sync failed: the disk has not confirmed that %q was written (%v), so its latest commits may be lost: when the disk works again, close the database in all processes and open it again, which keeps what has reached the disk", redact.Name(e.File), redact.Error(e.Err))
	}
	return fmt.Sprintf("sqlitemw: file lost: %q was %s while the database was open: close the database and open it again to use what is there now", redact.Name(e.File), e.Change)
}

// Is reports whether target is [ErrFileLost].
func (e *FileLostError) Is(target error) bool { return target == ErrFileLost }

// Unwrap returns [sqlite3.READONLY_DBMOVED], or [sqlite3.IOERR_FSYNC] for a failed sync.
func (e *FileLostError) Unwrap() error {
	if e.Change == NotSynced {
		return sqlite3.IOERR_FSYNC
	}
	return sqlite3.READONLY_DBMOVED
}

// An OtherNameError says that a database was to be opened under a second name, such as a
// hard link. Connections of this process have it open under the first name. SQLite keeps
// the WAL and the journal beside the name. With two names there would be two of each, and
// commits in one would be lost to the other.
// https://sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
type OtherNameError struct {
	Name string // the second name
	Open string // the name under which the file is open
}

func (e *OtherNameError) Error() string {
	return fmt.Sprintf("%q is the same file as %q, which is open: two names would have two WALs and lose commits: open it by the same name, or close the other first", redact.Name(e.Name), redact.Name(e.Open))
}

// Unwrap returns [sqlite3.CANTOPEN].
func (e *OtherNameError) Unwrap() error { return sqlite3.CANTOPEN }
