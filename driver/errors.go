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

// ErrDSN is what every error about a data source name is.
var ErrDSN = errors.New("sqlitemw: invalid data source name")

func dsnError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDSN}, args...)...)
}

// problems are all that is wrong with a data source name.
type problems []error

func (ps *problems) add(format string, args ...any) { *ps = append(*ps, dsnError(format, args...)) }

// err returns nil if there are none, and else an error that tells all of them.
func (ps problems) err() error {
	switch len(ps) {
	case 0:
		return nil
	case 1:
		return ps[0]
	}
	return &dsnErrors{ps}
}

// mostProblems is how many problems an error tells: a long name may have any number.
const maxProblems = 20

// dsnErrors are several errors of one data source name.
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

// errPlainDriver is for a data source name that the plain driver cannot read. Its own error
// would show all of the name.
var errPlainDriver = dsnError("the plain driver cannot read it: look for characters that must be written as %%xx, and for thousands of parameters, which package url refuses")

// Code returns SQLite's result codes of an error, such as 19 and 2067 for a UNIQUE
// constraint that has failed, and whether it has any. The extended one is the same as the
// other where there is none that says more. https://sqlite.org/rescode.html
func Code(err error) (code, extended int, ok bool) {
	var c sqlite3.ExtendedErrorCode
	if !errors.As(err, &c) {
		return 0, 0, false
	}
	return int(c.Code()), int(c), true
}

// An OpenError says that a connection could not be opened.
type OpenError struct {
	File string // as the DSN names it, without parameters
	Err  error
}

func (e *OpenError) Error() string { return fmt.Sprintf("sqlitemw: open %q: %v", e.File, e.Err) }

// Unwrap returns the cause, on which errors.Is and errors.As find SQLite's code.
func (e *OpenError) Unwrap() error { return e.Err }

// redacted returns the error of an opening without what may be a secret of the data source
// name: the paths that the operating system names in it, where the file's name looks like
// more than one, or SQLite looks at another file.
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

// explainKey returns the error of an opening with what it may have to do with a key. A file
// that is encrypted is no database to SQLite.
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
		return &keyError{err, "the VFS " + strconv.Quote(redact.Value(vfs)) + " may want a key: write _pragma=textkey('...') in the DSN, or give it in Config.Init"}
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

// A keyError is an error that a missing or wrong key may be the reason of.
type keyError struct {
	err  error
	hint string
}

func (e *keyError) Error() string { return e.err.Error() + ": " + e.hint }

// Unwrap returns the error without the hint.
func (e *keyError) Unwrap() error { return e.err }

// A systemError is an error of the operating system's without the path that it is about.
type systemError struct {
	code sqlite3.ExtendedErrorCode
	err  error
}

func (e *systemError) Error() string { return e.code.Error() + ": " + e.err.Error() }

// Unwrap returns SQLite's code and the operating system's error.
func (e *systemError) Unwrap() []error { return []error{e.code, e.err} }

// checkOpen returns the error of opening a connection that SQLite would return, but for what
// that shows: all of the value of a parameter. Which VFSs there are is not known before.
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
	if isLost(err) {
		return tracing.ErrorClass{StatusCode: strconv.Itoa(int(code)), Description: ErrFileLost.Error(), Sick: true}
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
