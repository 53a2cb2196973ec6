package wrap

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// ErrPanicked is the error of every call on a connection that a panic has passed through.
// Such a connection is closed: its uncommitted changes are rolled back and its locks are
// free. The program can continue with another connection.
var ErrPanicked = errors.New("sqlitemw: a panic passed through this connection, so it is closed and its uncommitted changes are rolled back: use another connection")

// A PanicError is a panic that was recovered and is returned as an error. Otherwise it would
// end the process, or leave database/sql with a lock or a connection that can never be freed.
// [errors.Is] reports that it is [ErrPanicked].
type PanicError struct {
	Value any    // the argument of panic; nil for runtime.Goexit
	Stack []byte // of the goroutine, when it panicked
}

// NewPanicError returns the error for a recovered value. The deferred function that recovers
// must call it, because its stack still contains the panic's.
func NewPanicError(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("sqlitemw: panic: %v", e.Value) }

// Unwrap returns [ErrPanicked], and Value if that is an error.
func (e *PanicError) Unwrap() []error {
	if err, ok := e.Value.(error); ok {
		return []error{ErrPanicked, err}
	}
	return []error{ErrPanicked}
}

// Break closes the engine's connection because a panic passes or has passed through it. Every
// later call returns [ErrPanicked]. Break may be called more than once. It never panics
// itself, so that the program sees the original panic.
//
// If the program has other rows of the connection open, it may still use their memory
// (sql.RawBytes). In this case the engine only rolls back, and is closed with the last of
// these rows.
//
// If a pool lends the connection, the pool records and counts its end when it is given back;
// see [Gate].
func (l Lease) Break() { l.conn.breakWithOwnRows(0) }

// breakWithOwnRows is [Lease.Break] for a caller that owns this many of the open rows. It does not
// wait for these to be closed.
func (c *Conn) breakWithOwnRows(own int32) {
	c.inCall = false
	if c.broken || c.state == closed {
		return
	}
	if b, ok := c.adapter.parent.(Breaker); ok && b.Unharmed() {
		c.spared = true
		return
	}
	c.broken, c.unfit = true, ReasonPanic
	if c.open.Load() > own {
		if b, ok := c.adapter.parent.(Breaker); ok {
			shield(b.RollbackAfterPanic)
		}
		return
	}
	c.closeBroken()
}

// closeBroken closes a broken connection, and informs the Recorders or the pool.
func (c *Conn) closeBroken() {
	if c.gate == nil {
		shield(func() { _ = c.Close() })
	}
	_ = c.closeEngine() // also if a Recorder has panicked
	if c.gate != nil {
		shield(c.gate.Panicked)
	}
}

// Spared reports whether a panic has passed without touching the engine. It does so once for
// each such panic.
func (l Lease) Spared() bool {
	spared := l.conn.spared
	l.conn.spared = false
	return spared
}

// shield calls f and hides its panic, because the program is to see another one.
func shield(f func()) {
	defer func() { _ = recover() }()
	f()
}

// closeEngine closes the engine's connection after a panic, once. It returns the error of
// that close.
func (c *Conn) closeEngine() error {
	if !c.engineClosed {
		c.engineClosed = true
		c.engineErr = c.closeParent()
	}
	return c.engineErr
}

func (c *Conn) closeParent() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = NewPanicError(v)
		}
	}()
	if b, ok := c.adapter.parent.(Breaker); ok {
		return b.CloseAfterPanic()
	}
	return c.adapter.parent.Close()
}

// breakOnPanic breaks the connection if a panic passes through a call of the engine. Defer
// it.
func (c *Conn) breakOnPanic() {
	if c.inCall {
		c.breakWithOwnRows(0)
	}
}

// breakOnPanicOrRecover is breakOnPanic for calls whose panic may be [Lost]. It turns such a
// panic into an error: database/sql has made the call on a goroutine of its own, or would
// hold a lock forever.
func (c *Conn) breakOnPanicOrRecover(err *error) {
	if !c.inCall {
		return
	}
	c.breakWithOwnRows(0)
	if Lost() {
		if v := recover(); v != nil {
			*err = NewPanicError(v)
		}
	}
}

// breakOnQueryPanic is breakOnPanic for a query. Its rows raise the panic; see
// [PanickedRows].
func (c *Conn) breakOnQueryPanic(rows *driver.Rows) {
	if !c.inCall {
		return
	}
	c.breakWithOwnRows(0)
	if v := recover(); v != nil {
		*rows = PanickedRows(NewPanicError(v))
	}
}

// breakOnClosePanic is breakOnPanic for the close of a statement. It always turns the panic
// into an error. database/sql holds its own mutex during the call, and would hold it forever.
func (c *Conn) breakOnClosePanic(err *error) {
	if !c.inCall {
		return
	}
	c.breakWithOwnRows(0)
	if v := recover(); v != nil {
		*err = NewPanicError(v)
	}
}

// Lost reports whether a panic that passes now would do lasting damage. It does so on
// database/sql's own goroutines, where no caller can recover it. It also does in methods of
// *sql.Conn that do not unlock in a defer: the *sql.Conn could never be closed. Use Lost only
// on rare paths; see [calledBy].
func Lost() bool {
	return OnOwnGoroutine() || onStack("(*Conn).BeginTx", "(*Conn).PingContext")
}

// OnOwnGoroutine reports whether this goroutine is one of database/sql's own. A panic there
// ends the process, because no program can recover it. The function reads the stack, which
// takes some microseconds.
func OnOwnGoroutine() bool {
	return onStack("(*Rows).awaitDone", "(*Tx).awaitDone", "(*DB).connectionCleaner", "(*DB).connectionOpener")
}

// stackDepth is the number of frames that are searched. All frames that a panic passes lie
// between a deferred function and database/sql: some thirty of SQLite, and any number of the
// program's functions.
const stackDepth = 512

// onStack reports whether one of these functions of database/sql is on the stack.
func onStack(names ...string) bool {
	pcs := make([]uintptr, stackDepth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, "database/sql."); ok && slices.Contains(names, name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// InPanicOfRaw reports whether this goroutine is in a panic of the function that was passed
// to (*sql.Conn).Raw. database/sql does not distinguish that from driver.ErrBadConn. The
// function reads the stack, which takes some microseconds.
func InPanicOfRaw() bool {
	pcs := make([]uintptr, stackDepth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panics := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panics = true
		case strings.HasPrefix(frame.Function, "database/sql.(*Conn).Raw") && !strings.Contains(frame.Function, ").Raw."):
			return panics
		}
		if !more {
			return false
		}
	}
}

// Callers are the innermost stack frames of a statement's prepare. They are enough to tell
// which function of database/sql prepared it. Recording them takes a fraction of the time of
// naming them.
type Callers [8]uintptr

// Note records the callers of its caller.
func (c *Callers) Note() { runtime.Callers(3, c[:]) }

// OfConn reports whether the statement was prepared by a *sql.Conn.
func (c *Callers) OfConn() bool {
	frames := runtime.CallersFrames(c[:])
	for {
		frame, more := frames.Next()
		if frame.Function == "database/sql.(*Conn).PrepareContext" {
			return true
		}
		if !more {
			return false
		}
	}
}

// PanickedRows returns rows for a query that a panic has passed through. The first call of
// Columns or Next panics again. If there is no such call, Close returns the panic as an
// error.
//
// If the panic passed through the query itself, database/sql would keep the connection
// forever. It would also keep the lock that the end of a transaction or of a *sql.Conn waits
// for.
func PanickedRows(err *PanicError) driver.Rows { return &panickedRows{err: err} }

type panickedRows struct {
	err    *PanicError
	raised bool
}

func (r *panickedRows) raise() {
	if !r.raised {
		r.raised = true
		panic(r.err.Value)
	}
}

func (r *panickedRows) Columns() []string {
	r.raise()
	return nil
}

func (r *panickedRows) Next([]driver.Value) error {
	r.raise()
	return ErrPanicked
}

func (r *panickedRows) Close() error {
	if r.raised {
		return ErrPanicked
	}
	return r.err
}
