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

// ErrPanicked is the error of every call on a connection through which a panic
// has passed. Such a connection is closed: what it had not committed is rolled
// back, and its locks are free. The program goes on with another connection.
var ErrPanicked = errors.New("sqlitemw: a panic passed through this connection, and so it is closed and what it had not committed is rolled back: use another connection")

// A PanicError is a panic that was recovered and is returned as an error, where
// to let it pass would end the process or leave database/sql with a lock or a
// connection that nothing can free any more. It is also [ErrPanicked].
type PanicError struct {
	Value any    // what was given to panic; nil for runtime.Goexit
	Stack []byte // of the goroutine, when it panicked
}

// NewPanicError returns the error for a recovered value. It is to be called by
// the deferred function that recovers, whose stack still has the panic's.
func NewPanicError(value any) *PanicError { return &PanicError{Value: value, Stack: debug.Stack()} }

func (e *PanicError) Error() string { return fmt.Sprintf("sqlitemw: panic: %v", e.Value) }

// Unwrap returns [ErrPanicked], and Value if that is an error.
func (e *PanicError) Unwrap() []error {
	if err, ok := e.Value.(error); ok {
		return []error{ErrPanicked, err}
	}
	return []error{ErrPanicked}
}

// Break closes the engine's connection, because a panic passes or has passed
// through it, and has every later call answer [ErrPanicked]. It may be called
// more than once. It never panics: a panic that passes stays the one that the
// program sees.
//
// While the program has other rows of the connection open, it may have their
// memory in hand (sql.RawBytes). So then the engine only rolls back, and is closed
// with the last of them.
//
// Of a connection that a pool lends, the pool records and counts the end, once it
// is given back; see [Gate].
func (c *Conn) Break() { c.breakBeside(0) }

// breakBeside is Break for so many of the open rows that are not to be waited for.
func (c *Conn) breakBeside(own int32) {
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
	c.finish()
}

// finish closes a broken connection, and has whoever keeps account of it know.
func (c *Conn) finish() {
	if c.gate == nil {
		shield(func() { _ = c.Close() })
	}
	_ = c.closeEngine() // also if a Recorder has panicked
	if c.gate != nil {
		shield(c.gate.Panicked)
	}
}

// Spared reports, once, whether a panic has passed that has not touched the engine.
func (c *Conn) Spared() bool {
	spared := c.spared
	c.spared = false
	return spared
}

// Broken reports whether a panic has passed through the connection.
func (c *Conn) Broken() bool { return c.broken }

// shield calls f, whose panics, if any, are hidden: there is another that the
// program is to see.
func shield(f func()) {
	defer func() { _ = recover() }()
	f()
}

// closeEngine closes the engine's connection after a panic, once, and returns what
// that has failed with.
func (c *Conn) closeEngine() error {
	if !c.ended {
		c.ended = true
		c.endErr = c.closeParent()
	}
	return c.endErr
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

// passed, in a defer, breaks the connection if a panic passes through its engine.
func (c *Conn) passed() {
	if c.inCall {
		c.Break()
	}
}

// passedOrLost is passed for calls after whose panic database/sql would keep a lock
// for ever, or which it makes on goroutines of its own: there, the panic is an
// error.
func (c *Conn) passedOrLost(err *error) {
	if !c.inCall {
		return
	}
	c.Break()
	if Lost() {
		if v := recover(); v != nil {
			*err = NewPanicError(v)
		}
	}
}

// passedQuery is passed for a query, whose panic is its rows'; see [PanickedRows].
func (c *Conn) passedQuery(rows *driver.Rows) {
	if !c.inCall {
		return
	}
	c.Break()
	if v := recover(); v != nil {
		*rows = PanickedRows(NewPanicError(v))
	}
}

// passedClose is passed for the close of a statement, which database/sql calls with
// its own mutex held, and would hold it for ever: a panic is always an error.
func (c *Conn) passedClose(err *error) {
	if !c.inCall {
		return
	}
	c.Break()
	if v := recover(); v != nil {
		*err = NewPanicError(v)
	}
}

// Lost reports whether a panic that passes now is seen by no program, because
// the goroutine is database/sql's own and has no caller; or would leave a *sql.Conn
// that can never be closed, because its methods are deferred by nothing. It is for
// rare paths; see [calledBy].
func Lost() bool {
	return OnOwnGoroutine() || onStack("(*Conn).BeginTx", "(*Conn).PingContext")
}

// OnOwnGoroutine reports whether the goroutine is one of database/sql's own, on
// which a panic ends the process and no program can recover it. It looks at the
// stack, which takes some microseconds.
func OnOwnGoroutine() bool {
	return onStack("(*Rows).awaitDone", "(*Tx).awaitDone", "(*DB).connectionCleaner", "(*DB).connectionOpener")
}

// stackDepth is how much of a stack is looked through. Between a deferred function and
// database/sql there is all that a panic passes: of SQLite, some thirty frames, and of
// the program's functions, any number.
const stackDepth = 512

// onStack reports whether one of these functions of database/sql is among the callers.
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

// InPanicOfRaw reports whether the goroutine is in a panic of the function given
// to (*sql.Conn).Raw, which database/sql does not tell from driver.ErrBadConn. It
// looks at the stack, which takes some microseconds.
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

// Callers are the innermost frames of the stack on which a statement was prepared,
// enough of them to tell which function of database/sql has asked for it. To note
// them takes a fraction of the time that it takes to name them.
type Callers [8]uintptr

// Note notes the callers of its caller.
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

// PanickedRows returns rows for a query through which a panic has passed. The
// first that asks for columns or a row has the panic; who does not is told by
// Close.
//
// Were the panic to pass through the query itself, database/sql would keep the
// connection for ever, and with it the lock that the end of a transaction or of a
// *sql.Conn waits for.
func PanickedRows(err *PanicError) driver.Rows { return &panickedRows{err: err} }

type panickedRows struct {
	err  *PanicError
	told bool
}

func (r *panickedRows) tell() {
	if !r.told {
		r.told = true
		panic(r.err.Value)
	}
}

func (r *panickedRows) Columns() []string {
	r.tell()
	return nil
}

func (r *panickedRows) Next([]driver.Value) error {
	r.tell()
	return ErrPanicked
}

func (r *panickedRows) Close() error {
	if r.told {
		return ErrPanicked
	}
	return r.err
}
