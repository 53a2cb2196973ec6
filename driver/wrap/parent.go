package wrap

import (
	"context"
	"database/sql/driver"
	"time"
)

// The interfaces in this file are optional, like those of [database/sql/driver]. A parent's
// connection or rows may implement them to offer what that package has no method for. A
// parent should assert that it implements them (var _ wrap.DirectConn = &conn{}): a method
// with another name or type is silently not called.

// A DirectConn is a connection that executes a query with its arguments in one call. The
// wrapper calls it instead of ExecContext and QueryContext. The arguments are the program's
// own values, with separate names. A DirectConn checks them itself, with [ConvertArgs]. It
// never returns driver.ErrSkip.
type DirectConn interface {
	driver.Conn
	ExecDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error)
	QueryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error)
}

// A ConfiguredConn is a connection that was configured when it was opened.
type ConfiguredConn interface {
	// Configured returns the names of the applied settings, in order, and how long it took to
	// apply them. The connect span shows both.
	Configured() (names []string, took time.Duration)
}

// A SickConn is a connection that may become unusable while it is in use.
type SickConn interface {
	// Sick reports whether the connection must be closed. It is called at each release of the
	// connection, at time now.
	Sick(now time.Time) bool
}

// A Breaker is a connection that can be closed after a panic, when its state is unknown.
// After a panic, CloseAfterPanic is called instead of [database/sql/driver.Conn]'s Close.
type Breaker interface {
	// Unharmed reports whether the panic that is passing has not touched the engine, so that
	// the connection is still usable. It is called once for each panic.
	Unharmed() bool

	// RollbackAfterPanic frees the locks as far as the engine can. It may be called more than
	// once.
	RollbackAfterPanic()

	// CloseAfterPanic closes the connection. It commits nothing and frees the locks, whatever
	// fails. It calls no function of the program, because that may panic again.
	CloseAfterPanic() error
}

// FailedRows are rows that may have failed without the program's knowledge. That happens if
// the program closes them before it reads the first row.
type FailedRows interface {
	driver.Rows

	// Failure returns that error, or nil. The query's span shows it.
	Failure() error
}

// RowsDelegate are rows that, after some steps, only pass calls on to other rows. The wrapper
// then calls the other rows directly. It does so from Go 1.27 on, for rows that scan columns
// themselves.
type RowsDelegate interface {
	driver.Rows

	// Delegate returns the other rows. It returns nil while these rows still do something of
	// their own at each step.
	Delegate() driver.Rows
}
