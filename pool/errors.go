package pool

import (
	"errors"
	"fmt"

	"github.com/sqlitemw/sqlitemw/driver"
)

var (
	// ErrInvalidConfig is what every error about a configuration is.
	ErrInvalidConfig = errors.New("pool: invalid configuration")

	// ErrNotFound is returned by [Open] if the file is missing and is not to be
	// created.
	ErrNotFound = errors.New("pool: the database does not exist")

	// ErrHealthCheck is what every error about a pool's health is.
	ErrHealthCheck = errors.New("pool: health check failed")

	// ErrClosed is returned by a pool that has been closed, and by what it has
	// taken away from who had it.
	ErrClosed = errors.New("pool: closed")

	// ErrQueueFull is returned by an acquire that finds Config.MaxWaiters
	// waiting; see [AcquireError].
	ErrQueueFull = errors.New("pool: the queue is full")

	// ErrAcquireTimeout is returned by an acquire that has waited for
	// Config.AcquireTimeout; see [AcquireError].
	ErrAcquireTimeout = errors.New("pool: acquire timed out")

	// ErrNotObservable is returned by [Observe] for a database that is not
	// driver's.
	ErrNotObservable = errors.New("pool: cannot observe this database")
)

// An OpenError says that a connection could not be opened, and why.
type OpenError = driver.OpenError

// A DirtyError says to a statement, under [DirtyFail], that one before it has begun
// a transaction that it could not end: by a text, in a checkout of its own.
type DirtyError struct {
	Last string // db.query.summary of the last text of that checkout
}

func (e *DirtyError) Error() string {
	return fmt.Sprintf("pool: a transaction that a query began was rolled back when its checkout ended (the last query was %q): use BeginTx, or one connection of db.Conn for the whole transaction", e.Last)
}
