package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// A mattnError is an error as mattn/go-sqlite3 has it, but for its type: it has that one's
// text, and its fields, so that what encodes it as JSON sees the codes.
type mattnError struct {
	Code         int
	ExtendedCode int
	SystemErrno  int

	text string
	err  error
}

func (e *mattnError) Error() string { return e.text }

// Unwrap returns the error as the plain driver has it.
func (e *mattnError) Unwrap() error { return e.err }

// A moderncError is an error as modernc.org/sqlite has it, but for its type.
type moderncError struct {
	code int
	text string
	err  error
}

func (e *moderncError) Error() string { return e.text }

// Code returns SQLite's extended result code.
func (e *moderncError) Code() int { return e.code }

// Unwrap returns the error as the plain driver has it.
func (e *moderncError) Unwrap() error { return e.err }

// A contextError is the error of a call whose context has ended, as other drivers have it.
type contextError struct{ ctx, err error }

func (e *contextError) Error() string { return e.ctx.Error() }

// Unwrap returns the context's error, and the plain driver's.
func (e *contextError) Unwrap() []error { return []error{e.ctx, e.err} }

// mapError returns an error as another driver has it. On what it returns, errors.Is and
// errors.As find what they find on err.
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
		extended = code // SQLite's own code has no more
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

// plainText is what SQLite says of a code.
func plainText(err error) string { return strings.TrimPrefix(err.Error(), "sqlite3: ") }

// messageOf returns what SQLite says of an error of its own, which the plain driver puts behind
// what it says of the code. Of an error that says more, it is the whole text.
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
