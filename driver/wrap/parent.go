package wrap

import (
	"context"
	"database/sql/driver"
	"time"
)

// The interfaces in this file are optional. A parent connection or its rows may
// implement them, besides those of [database/sql/driver], to give the wrapper
// what that package has no method for. A parent should assert that it implements
// them (var _ wrap.DirectConn = &conn{}): a method with another name or type is
// silently not called.

// A DirectConn is a connection that executes a query with its arguments in one
// call. It checks the arguments itself, with [ConvertArgs]: they are the
// program's own values, with names split off. It never returns driver.ErrSkip.
//
// The wrapper calls it instead of ExecContext and QueryContext.
type DirectConn interface {
	driver.Conn
	ExecDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error)
	QueryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error)
}

// A ConfiguredConn is a connection that was configured when it was opened.
type ConfiguredConn interface {
	// Configured returns the names of the settings that were applied, in their
	// order, and how long that took. The connect span shows both.
	Configured() (names []string, took time.Duration)
}

// A SickConn is a connection that may become useless while it is in use.
type SickConn interface {
	// Sick reports whether the connection must be closed. It is called each
	// time the connection is released, at now.
	Sick(now time.Time) bool
}

// A Breaker is a connection of an engine that can be closed after a panic has
// passed through it, when its state is unknown. [database/sql/driver.Conn]'s
// Close is then not called.
type Breaker interface {
	// Unharmed reports whether a panic that passes now has not touched the engine,
	// so that the connection can be used further. It is called once for each panic.
	Unharmed() bool

	// RollbackAfterPanic frees the locks, as far as the engine can. It may be
	// called more than once.
	RollbackAfterPanic()

	// CloseAfterPanic closes the connection. It commits nothing, calls no function
	// of the program, which may panic again, and frees the locks whatever fails.
	CloseAfterPanic() error
}

// FailedRows are rows that may have failed in a way that their program is not
// told, because it has closed them before it asked for the first row.
type FailedRows interface {
	driver.Rows

	// Failure returns that error, or nil. The query's span shows it.
	Failure() error
}

// RowsDelegate are rows that after some steps only pass on calls to other rows. The
// wrapper then calls those directly. From Go 1.27 on, for rows that scan columns
// themselves.
type RowsDelegate interface {
	driver.Rows

	// Delegate returns the other rows, or nil while these rows still have work of
	// their own to do at each step.
	Delegate() driver.Rows
}
