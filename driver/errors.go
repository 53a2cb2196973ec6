package driver

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// ErrDSN is what every error about a data source name is.
var ErrDSN = errors.New("sqlitemw: invalid data source name")

func dsnError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDSN}, args...)...)
}

// An OpenError says that a connection could not be opened.
type OpenError struct {
	File string // as the DSN names it, without parameters
	Err  error
}

func (e *OpenError) Error() string { return fmt.Sprintf("sqlitemw: open %q: %v", e.File, e.Err) }

// Unwrap returns the cause, on which errors.Is and errors.As find SQLite's code.
func (e *OpenError) Unwrap() error { return e.Err }

// A PragmaError says that a pragma did not take effect.
type PragmaError struct {
	Name string // as it was asked for, with its schema
	Want string // the value asked for; a secret's is left out
	Got  string // the value in force; empty if there is none to be had

	// Hint says what the reason may be, and what to do.
	Hint string

	// Err is what SQLite said, if it said something: a sqlite3.ExtendedErrorCode.
	Err error
}

func (e *PragmaError) Error() string {
	text := fmt.Sprintf("pragma %s: asked for %q", e.Name, e.Want)
	if e.Want == "" {
		text = fmt.Sprintf("pragma %s", e.Name)
	}
	if e.Got != "" {
		text += fmt.Sprintf(", got %q", e.Got)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns Err.
func (e *PragmaError) Unwrap() error { return e.Err }

// classify reads an error for tracing. It finds the code in whatever shape the
// plain driver returns it, errors.Join's included.
func classify(err error) tracing.ErrorClass {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return tracing.ErrorClass{}
	}
	// A call that waits for a lock reports the end of its context as BUSY.
	primary := code.Code()
	return tracing.ErrorClass{
		StatusCode:  strconv.Itoa(int(code)),
		Description: code.Error(),
		Interrupted: primary == sqlite3.INTERRUPT || primary == sqlite3.BUSY,
		Sick:        sick(code),
	}
}

// sick reports whether a connection's file is not what it was: corrupt, cut
// short, gone, or another. One that is opened anew may find a good file, or says
// at once what is wrong.
func sick(code sqlite3.ExtendedErrorCode) bool {
	switch code.Code() {
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		return true
	}
	switch code {
	case sqlite3.READONLY_DBMOVED, sqlite3.IOERR_READ, sqlite3.IOERR_SHORT_READ, sqlite3.IOERR_CORRUPTFS:
		return true
	}
	return false
}
