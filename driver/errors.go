package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// ErrDSN is the error that every error about a data source name wraps.
var ErrDSN = errors.New("sqlitemw: invalid data source name")

func dsnError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDSN}, args...)...)
}

// problems are the errors found in one DSN.
type problems []error

func (ps *problems) add(format string, args ...any) { *ps = append(*ps, dsnError(format, args...)) }

// err returns nil, the only problem, or an error that lists all of them.
func (ps problems) err() error {
	switch len(ps) {
	case 0:
		return nil
	case 1:
		return ps[0]
	}
	return &dsnErrors{ps}
}

// maxProblems limits the problems that one error lists, because a long DSN may have any
// number.
const maxProblems = 20

// dsnErrors lists several errors in one DSN.
type dsnErrors struct{ all []error }

func (e *dsnErrors) Error() string {
	shown := e.all[:min(len(e.all), maxProblems)]
	texts := make([]string, len(shown))
	for i, err := range shown {
		texts[i] = strings.TrimPrefix(err.Error(), ErrDSN.Error()+": ")
	}
	if n := len(e.all) - len(shown); n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", n))
	}
	return ErrDSN.Error() + ": " + strings.Join(texts, "; ")
}

func (e *dsnErrors) Unwrap() []error { return e.all }

// errPlainDriver replaces the plain driver's error for a DSN that it cannot read. That
// error would show the whole DSN.
var errPlainDriver = dsnError("the plain driver cannot read it: look for characters that must be written as %%xx, and for thousands of parameters, which package url refuses")

// Code returns SQLite's primary and extended result code of err, such as 19 and 2067 for a
// failed UNIQUE constraint. If SQLite has no extended code, both are equal. ok reports
// whether err has a code. https://sqlite.org/rescode.html
func Code(err error) (code, extended int, ok bool) {
	var c sqlite3.ExtendedErrorCode
	if !errors.As(err, &c) {
		return 0, 0, false
	}
	return int(c.Code()), int(c), true
}

// An OpenError says that a connection could not be opened.
type OpenError struct {
	File string // as in the DSN, without parameters
	Err  error
}

func (e *OpenError) Error() string { return fmt.Sprintf("sqlitemw: open %q: %v", e.File, e.Err) }

// Unwrap returns the cause, in which errors.Is and errors.As find SQLite's code.
func (e *OpenError) Unwrap() error { return e.Err }

// redacted removes possible secrets of the DSN from an opening error: the paths in an error
// of the operating system. It keeps the paths if the file name is plain and the DSN has no
// modeof parameter. With modeof, SQLite uses a second file.
func (d *DSN) redacted(err error) error {
	var os *fs.PathError
	if !errors.As(err, &os) {
		return err
	}
	if name := d.filename(); !d.modeof && redact.Name(name) == name {
		return redact.Error(err)
	}
	e := &systemError{err: os.Err}
	if !errors.As(err, &e.code) {
		e.code = sqlite3.ExtendedErrorCode(sqlite3.CANTOPEN)
	}
	return e
}

// explainKey adds a hint to an opening error that a missing or wrong encryption key may
// have caused. To SQLite, an encrypted file is not a database.
func (c *Connector) explainKey(err error) error {
	code, _, ok := Code(err)
	if !ok {
		return err
	}
	keyed, vfs := c.settings.keyed(), c.dsn.vfs
	if !c.dsn.mayWantKey() {
		if sqlite3.ErrorCode(code) == sqlite3.NOTADB && !keyed {
			return &keyError{err, "if it is encrypted, name its VFS and its key in the DSN, as in vfs=adiantum&_pragma=textkey('...')"}
		}
		return err
	}
	switch sqlite3.ErrorCode(code) {
	case sqlite3.NOTADB, sqlite3.CANTOPEN, sqlite3.IOERR:
		if keyed {
			return &keyError{err, "the key in the DSN may be wrong, or of a length that the VFS " + strconv.Quote(redact.Value(vfs)) + " does not take"}
		}
		return &keyError{err, "the VFS " + strconv.Quote(redact.Value(vfs)) + " may need a key: write _pragma=textkey('...') in the DSN, or give it in Config.Init"}
	}
	return err
}

// mayWantKey reports whether the VFS may encrypt the file.
func (d *DSN) mayWantKey() bool {
	switch d.vfs {
	case "", "os", "memdb", "mvcc", "reader":
		return false
	}
	return true
}

// A keyError is an error that a missing or wrong key may have caused.
type keyError struct {
	err  error
	hint string
}

func (e *keyError) Error() string { return e.err.Error() + ": " + e.hint }

// Unwrap returns the error without the hint.
func (e *keyError) Unwrap() error { return e.err }

// A systemError is an operating system error without its path.
type systemError struct {
	code sqlite3.ExtendedErrorCode
	err  error
}

func (e *systemError) Error() string { return e.code.Error() + ": " + e.err.Error() }

// Unwrap returns SQLite's code and the operating system's error.
func (e *systemError) Unwrap() []error { return []error{e.code, e.err} }

// checkOpen returns the error for a parameter value that SQLite does not know. SQLite's own
// error would show the whole value. VFSs are looked up here, because they may be registered
// after the DSN is parsed.
func (d *DSN) checkOpen() error {
	if d.openErr == nil && d.vfs != "" && vfs.Find(d.vfs) == nil {
		return &parameterError{fmt.Sprintf("no such vfs: %q: import the package that registers it, or leave vfs out", redact.Value(d.vfs))}
	}
	return d.openErr
}

// A parameterError says that SQLite does not know the value of a parameter.
type parameterError struct{ text string }

func (e *parameterError) Error() string { return e.text }

// Unwrap returns [ErrDSN], and [sqlite3.ERROR] as SQLite does.
func (e *parameterError) Unwrap() []error { return []error{ErrDSN, sqlite3.ERROR} }

// A PragmaError says that a pragma did not take effect.
type PragmaError struct {
	Name string // as requested, with its schema
	Want string // the value requested; "..." for a secret
	Got  string // the value in force; empty if there is none

	// Hint says what may be the cause, and how to fix it.
	Hint string

	// Err is SQLite's error code, a sqlite3.ExtendedErrorCode, or nil.
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

// Unwrap returns e.Err.
func (e *PragmaError) Unwrap() error { return e.Err }

// classify describes an error for tracing. It finds the code in every form in which the
// plain driver returns it, including errors.Join.
func classify(err error) tracing.ErrorClass {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return tracing.ErrorClass{}
	}
	if isLost(err) {
		return tracing.ErrorClass{StatusCode: strconv.Itoa(int(code)), Description: ErrFileLost.Error(), Sick: true}
	}
	// A call that waits for a lock returns BUSY when its context ends.
	primary := code.Code()
	return tracing.ErrorClass{
		StatusCode:  strconv.Itoa(int(code)),
		Description: code.Error(),
		Interrupted: primary == sqlite3.INTERRUPT || primary == sqlite3.BUSY,
		Sick:        sick(code),
	}
}

// sick reports whether the code says that the file is corrupt, cut short, gone or replaced.
// A new connection may find a good file, or fails immediately with the reason.
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
