package walkeeper

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A Kind selects how the WAL is kept short.
type Kind int

const (
	// BySQLite: wal_autocheckpoint is a number of pages. SQLite uses its own hook.
	BySQLite Kind = iota

	// Outside: wal_autocheckpoint is off, because another program, such as Litestream, runs
	// checkpoints. The hook only checks the length.
	Outside

	// ByCommits: there is one connection for everything. A commit that finds the WAL long
	// runs a checkpoint, as with SQLite's own hook.
	ByCommits

	// ByCheckpointer: there are readers beside the writer.
	ByCheckpointer
)

// LongRead is how long a reader may read and still make checkpoints, and so writers, wait for
// it. The pool promises to keep the WAL within twice its limit while no reader reads for
// longer.
const LongRead = time.Second

// A Config configures a [Keeper].
type Config struct {
	Kind  Kind
	Guard *core.Guard
	Limit int64 // Config.JournalSizeLimit of the pool
}

// A Host is the pool of a [Keeper]. All methods must be safe for concurrent use.
type Host interface {
	// Dial opens a connection for the checkpointer's goroutine.
	Dial(ctx context.Context) (driver.PoolConn, error)

	// WithIdleWriter calls f with the writer's connection, if no caller uses it and it is open. It
	// reports whether it did.
	WithIdleWriter(ctx context.Context, f func(*sqlite3.Conn)) bool

	// WithOwnConn calls f with a connection that no caller uses.
	WithOwnConn(ctx context.Context, f func(*sqlite3.Conn) error) error

	// TryTurn takes the writer's turn if that is free. ReleaseTurn releases it.
	TryTurn() bool
	ReleaseTurn()

	// PauseWriter and ResumeWriter enclose a pause of the writer inside SQLite.
	PauseWriter()
	ResumeWriter()

	// SameFile fails if the file is lost. It is called before each checkpoint.
	SameFile() error

	// LongestReading returns how long the longest reader of the file has been reading.
	LongestReading() time.Duration

	// Checkpointed records that a checkpoint has failed, or has succeeded if err is nil.
	Checkpointed(err error)

	// TooLong records that the WAL is longer than its limit, and Fits that it is not.
	TooLong()
	Fits()

	// CheckpointsFail reports whether the last checkpoint has failed. Failing reports whether
	// anything of the pool fails.
	CheckpointsFail() bool
	Failing() bool
}

// A failed checkpoint is retried after a tenth of a second. Each further time, that doubles, up
// to ten seconds. A retry costs an attempt to write one page.
const (
	firstCheckpointBackOff = 100 * time.Millisecond
	maxCheckpointBackOff   = 10 * time.Second
)

// An Outcome is the outcome of a checkpoint. One that is blocked or canceled has
// neither succeeded nor failed.
type Outcome int

const (
	Done Outcome = iota
	Blocked
	Failed
)

// checkpointed records the outcome of a checkpoint.
func checkpointed(host Host, err error) Outcome {
	if err == nil {
		host.Checkpointed(nil)
		return Done
	}
	for _, other := range []error{sqlite3.BUSY, sqlite3.LOCKED, sqlite3.INTERRUPT, context.Canceled, context.DeadlineExceeded, core.ErrClosed} {
		if errors.Is(err, other) {
			return Blocked
		}
	}
	host.Checkpointed(err)
	return Failed
}
