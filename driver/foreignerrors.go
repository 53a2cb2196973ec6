package driver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A mattnError has the text of the error that mattn/go-sqlite3 returns, and its fields, so
// that its JSON has the codes. Only its type differs.
type mattnError struct {
	Code         int
	ExtendedCode int
	SystemErrno  int

	text string
	err  error
}

func (e *mattnError) Error() string { return e.text }

// Unwrap returns the plain driver's error.
func (e *mattnError) Unwrap() error { return e.err }

// A moderncError has the text of the error that modernc.org/sqlite returns. Only its type
// differs.
type moderncError struct {
	code int
	text string
	err  error
}

func (e *moderncError) Error() string { return e.text }

// Code returns SQLite's extended result code.
func (e *moderncError) Code() int { return e.code }

// Unwrap returns the plain driver's error.
func (e *moderncError) Unwrap() error { return e.err }

// A contextError is the error that other drivers return for a call whose context has ended.
type contextError struct{ ctx, err error }

func (e *contextError) Error() string { return e.ctx.Error() }

// Unwrap returns the context's error and the plain driver's.
func (e *contextError) Unwrap() []error { return []error{e.ctx, e.err} }

// mapError returns err as the other driver would. errors.Is and errors.As find the same
// errors in the result as in err.
func (c Compat) mapError(ctx context.Context, err error) error {
	if c == CompatNone {
		return err
	}
	code, extended, ok := Code(err)
	if !ok {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil && (code == int(sqlite3.INTERRUPT) || code == int(sqlite3.BUSY)) {
		return &contextError{ctxErr, err}
	}
	primary := plainText(sqlite3.ErrorCode(code))
	message := messageOf(err, sqlite3.ExtendedErrorCode(extended), primary)
	var opening *OpenError
	isOpening := errors.As(err, &opening)
	switch sqlite3.ErrorCode(code) {
	case sqlite3.CANTOPEN:
		extended = code // SQLite itself has no extended code here
		if isOpening {
			message = primary
		}
		var system syscall.Errno
		if c == CompatMattn && errors.As(err, &system) {
			message += ": " + system.Error()
		}
	case sqlite3.NOTADB:
		if isOpening {
			message = primary
		}
	}
	if c == CompatMattn {
		// Programs look for "database is locked", which a pool's own text does not have.
		if code == int(sqlite3.BUSY) && !strings.Contains(message, primary) {
			message = primary + ": " + message
		}
		return &mattnError{Code: code, ExtendedCode: extended, text: message, err: err}
	}
	text := primary
	if message != primary {
		text += ": " + message
	}
	text += fmt.Sprintf(" (%d)", extended)
	if extended == int(sqlite3.BUSY) {
		text += " (SQLITE_BUSY)"
	}
	return &moderncError{code: extended, text: text, err: err}
}

// plainText returns SQLite's description of a code.
func plainText(err error) string { return strings.TrimPrefix(err.Error(), "sqlite3: ") }

// messageOf returns SQLite's own message, which the plain driver appends to the description
// of the code. If err wraps SQLite's error in a text of its own, messageOf returns the
// whole text.
func messageOf(err error, code sqlite3.ExtendedErrorCode, primary string) string {
	var sqlite *sqlite3.Error
	if !errors.As(err, &sqlite) || err.Error() != sqlite.Error() {
		return plainText(err)
	}
	text := plainText(sqlite)
	if system := sqlite.Unwrap(); system != nil {
		text = strings.TrimSuffix(text, ": "+system.Error())
	}
	for _, known := range []string{plainText(code), primary} {
		if rest, ok := strings.CutPrefix(text, known+": "); ok {
			return rest
		}
	}
	return text
}

// PanicMap returns the function that turns panics of the engine itself into errors. In C,
// SQLite runs the query, or returns an error. It is nil for [CompatNone].
func (c Compat) PanicMap() wrap.PanicMap {
	if c == CompatNone {
		return nil
	}
	return enginePanic
}

// enginePanic returns the error of a panic of the engine: for lack of memory, or because its
// stack, which is smaller than C's, has overflowed. It returns nil for all other panics.
func enginePanic(p *wrap.PanicError) error {
	if isOutOfMemory(p.Value) {
		return &memoryError{p.Value.(error)}
	}
	if err, ok := p.Value.(runtime.Error); ok && strings.HasPrefix(panicOrigin(p.Stack), "github.com/ncruces/go-sqlite3-wasm/") {
		return &stackError{err}
	}
	return nil
}

// panicOrigin returns the function that panicked, from the stack of a function that has
// recovered: the first outside of the runtime below the last "panic".
func panicOrigin(stack []byte) string {
	text := string(stack)
	i := strings.LastIndex(text, "\npanic(")
	if i < 0 {
		return ""
	}
	for line := range strings.Lines(text[i+1:]) {
		if line[0] != '\t' && !strings.HasPrefix(line, "panic(") && !strings.HasPrefix(line, "runtime.") {
			return line
		}
	}
	return ""
}

// A stackError is the error of a query that is too complex for the engine's stack.
type stackError struct{ err error }

func (e *stackError) Error() string { return "the query is too complex for the engine's stack" }

// Unwrap returns [sqlite3.ERROR], [ErrPanicked] and the engine's panic value.
func (e *stackError) Unwrap() []error { return []error{sqlite3.ERROR, ErrPanicked, e.err} }
