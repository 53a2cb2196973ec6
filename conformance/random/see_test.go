package random

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// show returns everything that a program can find out about a value.
func show(v any) string {
	switch v := v.(type) {
	case time.Time:
		return fmt.Sprintf("time.Time(%s %s)", v.Format(time.RFC3339Nano), v.Location())
	case string, []byte:
		return fmt.Sprintf("%T(%q)", v, v)
	}
	return fmt.Sprintf("%T(%v)", v, v)
}

// The generated name of a savepoint contains a function's name and a random number.
var savepointName = regexp.MustCompile(`no such savepoint: \S+_\d+`)

func mask(text string) string {
	return savepointName.ReplaceAllString(text, "no such savepoint")
}

// sentinels are the errors with which errors are compared.
var sentinels = []error{
	context.Canceled, context.DeadlineExceeded, sql.ErrTxDone, sql.ErrConnDone, sql.ErrNoRows,
	driver.ErrBadConn, driver.ErrSkip, driver.ErrRemoveArgument,
	sqlite3.ABORT_ROLLBACK, sqlite3.INTERRUPT, sqlite3.MISUSE, sqlite3.READONLY,
}

// showError returns everything that a program can find out about an error.
func showError(err error) string { return explain(err, true) }

// explain is showError, with or without the position of the error in the query.
func explain(err error, place bool) string {
	if err == nil {
		return "no error"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%T %q", err, mask(err.Error()))
	var code sqlite3.ErrorCode
	if errors.As(err, &code) {
		fmt.Fprintf(&b, ", code %d", code)
	}
	var extended sqlite3.ExtendedErrorCode
	if errors.As(err, &extended) {
		fmt.Fprintf(&b, ", extended %d", extended)
	}
	var full *sqlite3.Error
	if errors.As(err, &full) {
		b.WriteString(", full")
		if place {
			fmt.Fprintf(&b, ", at %q", mask(full.SQL()))
		}
	}
	var passing interface {
		Temporary() bool
		Timeout() bool
	}
	if errors.As(err, &passing) {
		fmt.Fprintf(&b, ", temporary %t, timeout %t", passing.Temporary(), passing.Timeout())
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			fmt.Fprintf(&b, ", is %q", s)
		}
	}
	return b.String()
}

// An outcome is what a program has seen in a step.
type outcome struct {
	misplaced bool // positions of errors in the query are not compared: see known
	vague     bool // the message of a misuse is not compared either
	skipped   bool // its variable does not exist, because an earlier step failed
	err       error
	columns   []string
	rows      [][]string
	lines     []string // all of it
}

func (o *outcome) see(format string, args ...any) {
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

// fail records an error, if err is not nil.
func (o *outcome) fail(what string, err error) {
	if err != nil && o.err == nil {
		o.err = err
	}
	if o.vague && errors.Is(err, sqlite3.MISUSE) {
		o.see("%s: misuse", what)
		return
	}
	o.see("%s: %s", what, explain(err, !o.misplaced))
}

func (o outcome) String() string { return strings.Join(o.lines, "\n\t\t") }

// head records the columns of rows.
func (o *outcome) head(rows *sql.Rows) {
	var err error
	o.columns, err = rows.Columns()
	o.see("columns %q, %s", o.columns, showError(err))
	o.types(rows)
}

func (o *outcome) types(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	if err != nil {
		o.see("types: %s", showError(err))
		return
	}
	var b strings.Builder
	for _, t := range types {
		nullable, known := t.Nullable()
		length, variable := t.Length()
		fmt.Fprintf(&b, " %q %q %v nullable %t %t length %d %t;", t.Name(), t.DatabaseTypeName(), t.ScanType(), nullable, known, length, variable)
	}
	o.see("types%s", b.String())
}

// next records one more row. It returns false if there is none.
func (o *outcome) next(rows *sql.Rows) bool {
	if !rows.Next() {
		o.fail("end", rows.Err())
		return false
	}
	columns, err := rows.Columns()
	if err != nil {
		o.fail("columns", err)
		return false
	}
	row := make([]any, len(columns))
	dest := make([]any, len(columns))
	for i := range row {
		dest[i] = &row[i]
	}
	err = rows.Scan(dest...)
	shown := make([]string, len(row))
	for i, v := range row {
		shown[i] = show(v)
	}
	o.rows = append(o.rows, shown)
	o.see("row %s", strings.Join(shown, ", "))
	if err != nil {
		o.fail("scan", err)
	}
	return true
}
