package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

var (
	// ErrInvalidConfig is wrapped by every error about a configuration.
	ErrInvalidConfig = core.ErrInvalidConfig

	// ErrNotFound is returned by [Open] if the file is missing and must not be created.
	ErrNotFound = errors.New("pool: the database does not exist")

	// ErrHealthCheck is wrapped by every error about a pool's health.
	ErrHealthCheck = core.ErrHealthCheck

	// ErrClosed is returned by a closed pool, and by connections that Shutdown has taken away.
	ErrClosed = core.ErrClosed

	// ErrQueueFull is the reason of an [AcquireError] if Config.MaxWaiters calls were waiting.
	ErrQueueFull = core.ErrQueueFull

	// ErrAcquireTimeout is the reason of an [AcquireError] after a wait of Config.AcquireTimeout.
	ErrAcquireTimeout = core.ErrAcquireTimeout

	// ErrDeadlock is the reason of an [AcquireError] if the caller waits for itself, or callers
	// wait for each other, and only the failure of a wait can end that; see [WithOwner].
	ErrDeadlock = core.ErrDeadlock

	// ErrTimeLimit is wrapped by the error of every call that has exceeded
	// Config.StatementTimeout, Config.TxTimeout or Config.MaxReadAge; see [TimeLimitError].
	ErrTimeLimit = errors.New("pool: time limit exceeded")

	// ErrNoWAL is returned by [Pool.Checkpoint] for a database without a WAL.
	ErrNoWAL = errors.New("pool: the database has no WAL")

	// ErrExists is returned by a [Manager] if the name for a new pool is taken, as for a second
	// primary.
	ErrExists = errors.New("pool: there is a pool of that name already")

	// ErrNoPool is returned by [Manager.Remove] if there is no pool of that name.
	ErrNoPool = errors.New("pool: there is no pool of that name")

	// ErrNotObservable is returned by [Observe] for a database of another driver.
	ErrNotObservable = core.ErrNotObservable
)

// An OpenError says why a connection could not be opened.
type OpenError = driver.OpenError

// A DirtyError is returned to a statement, with [DirtyFail], if an earlier checkout left a
// transaction open. A query such as BEGIN had begun that transaction outside BeginTx.
type DirtyError struct {
	Last string // db.query.summary of that checkout's last query
}

func (e *DirtyError) Error() string {
	return fmt.Sprintf("pool: a transaction that a query began was rolled back when its checkout ended (the last query was %q): use BeginTx, or one connection of db.Conn for the whole transaction", e.Last)
}

// A SessionError is the error of a query that names session state, such as a temporary table or an
// attached database, and cannot have the connection that has it. Either another call holds that, or
// the query is in a transaction on another one.
type SessionError struct {
	Name string // a name that only the other connection has
	Err  error  // SQLite's error, the context's, or one of this package that matches sqlite3.ERROR
}

// The Err of a SessionError that SQLite did not detect.
const (
	errElsewhere  sessionReason = "pool: another call holds the connection that the query needs"
	errReadOnlyTx sessionReason = "pool: a read-only transaction does not see the session state of the writer"
)

// A sessionReason is an error that code for SQLite's errors handles as one in the query.
type sessionReason string

func (r sessionReason) Error() string { return string(r) }

// Unwrap returns [sqlite3.ERROR].
func (r sessionReason) Unwrap() error { return sqlite3.ERROR }

func (e *SessionError) Error() string {
	if e.Err == errReadOnlyTx {
		return fmt.Sprintf("%v, to which %q belongs: begin the transaction without ReadOnly", e.Err, e.Name)
	}
	return fmt.Sprintf("%v (only the connection that another call holds has %q: close the rows or the *sql.Conn of that call first, or query through it; what every connection needs belongs in Config.Init)", e.Err, e.Name)
}

// Unwrap returns Err.
func (e *SessionError) Unwrap() error { return e.Err }

// A CommitError says that a transaction is committed, but is not known to be on the disk. Other
// connections see it, and a retry would execute it again. A power failure may undo it.
type CommitError struct {
	Err error // that of the context whose end has ended the wait, or a [*driver.FileLostError] that says that a sync has failed
}

func (e *CommitError) Error() string {
	return fmt.Sprintf("pool: the transaction is committed, but not known to be on the disk: %v", e.Err)
}

// Unwrap returns Err.
func (e *CommitError) Unwrap() error { return e.Err }

// A TimeLimitError says which limit was exceeded, and by which connection. It matches
// [ErrTimeLimit] and wraps [sqlite3.INTERRUPT].
type TimeLimitError struct {
	Setting string        // "StatementTimeout", "TxTimeout" or "MaxReadAge"
	Limit   time.Duration // the setting's value
	Took    time.Duration // duration when the pool noticed
	Conn    driver.ConnID
	Last    string // db.query.summary of the connection's last query
}

func (e *TimeLimitError) Error() string {
	last := ""
	if e.Last != "" {
		last = fmt.Sprintf(", last %q", e.Last)
	}
	what := map[string]string{
		"StatementTimeout": "a statement has taken", "TxTimeout": "a transaction has lasted", "MaxReadAge": "rows or a transaction have been open for",
	}[e.Setting]
	return fmt.Sprintf("pool: %s %s on connection %d%s, longer than Config.%s allows (%s): it is ended",
		what, e.Took.Round(time.Millisecond), e.Conn, last, e.Setting, e.Limit)
}

// Is reports whether target is [ErrTimeLimit].
func (e *TimeLimitError) Is(target error) bool { return target == ErrTimeLimit }

// Unwrap returns [sqlite3.INTERRUPT].
func (e *TimeLimitError) Unwrap() error { return sqlite3.INTERRUPT }
