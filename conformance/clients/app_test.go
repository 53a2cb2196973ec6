package clients

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// An app is a program that runs on one database.
type app struct {
	db     *sql.DB
	driver string // the name of db's driver for clients
	dsn    string

	// leaks is the number of connections that the client leaves in use, with rows that it
	// never closes.
	leaks int

	transcript strings.Builder
}

// A program uses a client as applications do, and writes what it sees. It writes nothing that
// depends on time, chance or scheduling.
type program func(*app)

// stopped is the panic of a program that cannot continue.
type stopped struct{ why string }

// run runs p to its end. It returns the reason if p stopped earlier.
func (a *app) run(p program) (why string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stopped:
			why = r.why
			a.see("stopped", why)
		default:
			why = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
			a.see("panic", r)
		}
	}()
	p(a)
	return ""
}

func (a *app) stop(format string, args ...any) {
	_, file, line, _ := runtime.Caller(2)
	panic(stopped{fmt.Sprintf("%s:%d: ", filepath.Base(file), line) + fmt.Sprintf(format, args...)})
}

// chapter starts a part of the transcript.
func (a *app) chapter(title string) { fmt.Fprintf(&a.transcript, "# %s\n", title) }

// see writes values with their types, and errors with everything that can be found out about
// them.
func (a *app) see(what string, values ...any) {
	fmt.Fprintf(&a.transcript, "%s:", what)
	for _, v := range values {
		a.transcript.WriteString(" " + describe(v))
	}
	a.transcript.WriteByte('\n')
}

// ok stops the program if err is not nil, because its next steps would be meaningless.
func (a *app) ok(err error) {
	if err != nil {
		a.stop("%s", describe(err))
	}
}

// fails writes an error that the program provokes. If err is nil, it stops the program, because
// the program would prove less than it claims.
func (a *app) fails(what string, err error) {
	if err == nil {
		a.stop("%s: no error", what)
	}
	a.see(what, err)
}

// gaveUp reports whether err is the error of a call whose context is canceled while it runs.
// Either database/sql or SQLite reports that, whichever notices it first.
func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, sqlite3.INTERRUPT) || errors.Is(err, sql.ErrTxDone)
}

// columns writes everything that rows report about their columns.
func (a *app) columns(what string, rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	if err != nil {
		a.see(what, err)
		return
	}
	a.chapter(what)
	for _, c := range types {
		nullable, nok := c.Nullable()
		length, lok := c.Length()
		precision, scale, dok := c.DecimalSize()
		a.see("column", c.Name(), c.DatabaseTypeName(), c.ScanType().String(), nullable, nok, length, lok, precision, scale, dok)
	}
}

// rows writes the contents of rows.
func (a *app) rows(what string, rows *sql.Rows, err error) {
	if err != nil {
		a.see(what, err)
		return
	}
	columns, err := rows.Columns()
	a.see(what, columns, err)
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		a.see("  row", rows.Scan(dest...), values)
	}
	a.see("  end", rows.Err(), rows.Close())
}

// parallel calls f in n goroutines, and stops the program if one of them fails.
func (a *app) parallel(n int, f func(int) error) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		a.stop("%s", describe(err))
	}
}
