package wrap

import (
	"database/sql/driver"
	"io"
	"reflect"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// rows are the parent's rows, and the call that they end.
//
// database/sql calls one method at a time, though not always on the same
// goroutine, so there is no lock. It calls none once they are closed, when they
// are the connection's again, for its next query: to make them is dear, and to
// have them watched dearer.
type rows struct {
	parent  driver.Rows
	scanner parentScanner // the parent's, if it scans columns itself
	stmt    driver.Stmt   // closed with the rows; nil if it is the program's own
	conn    *Conn
	call    *tracing.Call // nil once it has ended
	watch   *tracing.Watch

	rows      uint8 // that it has had, as long as that matters
	stepped   bool  // the call is told of steps
	stepping  bool  // the parent is asked for a row, or was when a panic passed
	exhausted bool  // the result set at hand, if there may be another
	failed    bool  // with an error that the connection has been told of
	closed    bool

	// shaped is what database/sql is given: these rows with the optional
	// interfaces that the parent's have.
	shaped driver.Rows
	shape  shape
}

// A shape is which optional interfaces rows have.
//
// Two serve all parents. That of typedRows is that of ncruces/go-sqlite3 and
// most SQLite drivers, to the letter. That of fullRows is for any other: what
// the parent lacks answers as database/sql does for it. Each has a variant for
// Go 1.27's RowsColumnScanner, for which there is no neutral answer.
type shape uint8

const (
	fullShape shape = iota
	typedShape
	scannerTypedShape
	scannerFullShape
	shapes = iota
)

// newRows returns rows in the shape of parent's: those that the connection's
// last query left, if it can.
func newRows(conn *Conn, parent driver.Rows, stmt driver.Stmt) *rows {
	shape := conn.adapter.shapeOf(parent)
	r := conn.left[shape]
	conn.left[shape] = nil // while they are in use, only who uses them keeps them
	if r == nil {
		r = makeRows(shape)
		r.conn, r.shape = conn, shape
	}
	r.parent, r.scanner, r.stmt = parent, scannerOf(parent), stmt
	r.rows, r.exhausted, r.failed, r.closed = 0, false, false, false
	return r
}

func makeRows(shape shape) *rows {
	switch shape {
	case typedShape:
		s := &typedRows{}
		s.shaped = s
		return &s.rows
	case fullShape:
		s := &fullRows{}
		s.shaped = s
		return &s.rows
	default:
		return makeScannerRows(shape)
	}
}

// leave has the connection keep the rows, which are closed. Nobody may come
// back to them: interceptors might.
func (r *rows) leave() {
	if !r.stepping && !r.conn.adapter.seen {
		r.scanner = nil
		r.conn.left[r.shape] = r
	}
}

// shapeOf returns the shape of parent's rows. A connection's rows are mostly all
// of one type, which is looked at once.
func (a *adapter) shapeOf(parent driver.Rows) shape {
	if t := reflect.TypeOf(parent); a.shaped.of != t {
		a.shaped.of, a.shaped.shape = t, shapeOf(parent)
	}
	return a.shaped.shape
}

func shapeOf(parent driver.Rows) shape {
	_, name := parent.(driver.RowsColumnTypeDatabaseTypeName)
	_, nullable := parent.(driver.RowsColumnTypeNullable)
	_, scan := parent.(driver.RowsColumnTypeScanType)
	_, next := parent.(driver.RowsNextResultSet)
	_, length := parent.(driver.RowsColumnTypeLength)
	_, precision := parent.(driver.RowsColumnTypePrecisionScale)
	typed := name && nullable && scan && !next && !length && !precision
	scans := scannerOf(parent) != nil
	switch {
	case typed && scans:
		return scannerTypedShape
	case scans:
		return scannerFullShape
	case typed:
		return typedShape
	default:
		return fullShape
	}
}

// HoldCall implements [tracing.CallHolder].
func (r *rows) HoldCall(call *tracing.Call) {
	r.call, r.stepped = call, call.Watches()
	r.watch = tracing.WatchOver(r, r.watch, call)
}

// Columns may run the query: some must, to know its columns.
func (r *rows) Columns() []string {
	gate := r.conn.gate
	if gate != nil && gate.Enter() != nil {
		gate = nil // the first row will say so
	}
	r.stepping = true
	defer r.panicked()
	began := r.call.Step()
	columns := r.parent.Columns()
	r.call.Stepped(began, false)
	r.stepping = false
	if gate != nil {
		gate.Leave()
	}
	return columns
}

// Next is as short as can be: it is called for every row.
func (r *rows) Next(dest []driver.Value) error {
	gate := r.conn.gate
	if gate != nil {
		if err := gate.Enter(); err != nil {
			r.over(err)
			return err
		}
	}
	var err error
	if !r.stepped {
		r.conn.startStep()
		err = r.parent.Next(dest)
		r.conn.inCall = false
	} else {
		err = r.tracedNext(dest)
	}
	if gate != nil {
		gate.Leave()
	}
	if err != nil {
		r.over(err)
	}
	return err
}

func (r *rows) tracedNext(dest []driver.Value) error {
	r.stepping = true
	defer r.panicked()
	began := r.call.Step()
	err := r.parent.Next(dest)
	r.call.Stepped(began, err == nil)
	r.stepping = false
	return err
}

// panicked, in a defer, ends the call if a panic is passing, for the program
// need not close rows that panicked, and sees to it that the connection goes.
func (r *rows) panicked() {
	if r.stepping {
		r.conn.unfit = ReasonPanic
		r.takeCall().Panicked()
	}
}

// over ends the call once there are no more rows: whether the program closes
// them later, or never, the query is done. Where another result set may follow,
// that is known when database/sql asks, which it does next.
func (r *rows) over(err error) {
	if err != io.EOF {
		r.failed = true
		r.conn.failed(err)
	} else if _, ok := r.parent.(driver.RowsNextResultSet); ok {
		r.exhausted = true
		return
	}
	r.call.Tell(r.parent)
	r.takeCall().End(err)
}

// takeCall returns the call for the one who ends it.
func (r *rows) takeCall() *tracing.Call {
	call := r.call
	r.call, r.stepped = nil, false
	return call
}

// Close closes the parent's rows, once: a parent may use them again for another
// query.
func (r *rows) Close() error {
	call, again := r.takeCall(), r.closed
	defer call.Panicked()
	parent := r.parent
	if !r.closed { // once they are: to close those that write is to write the rest
		defer r.conn.open.Add(-1)
	}
	r.parent, r.closed = closedRows{}, true
	var failure error // of which the program is not told, but its span is
	if call != nil {
		if f, ok := parent.(interface{ Failure() error }); ok {
			failure = f.Failure()
		}
	}
	began := call.Step()
	err := parent.Close()
	call.Stepped(began, false)
	call.Tell(parent)
	if err != nil && !r.failed { // else it is the same
		r.conn.failed(err)
	}
	if r.stmt != nil {
		r.stmt.Close() // its error is nobody's in database/sql either
		r.stmt = nil
	}
	switch {
	case err == nil && failure != nil:
		call.End(failure)
	case r.exhausted:
		call.End(err)
	default:
		call.Closed(err)
	}
	if !again {
		r.leave()
	}
	return err
}

// closedRows are what is left of rows that are closed.
type closedRows struct{}

func (closedRows) Columns() []string         { return nil }
func (closedRows) Next([]driver.Value) error { return io.EOF }
func (closedRows) Close() error              { return nil }

type typedRows struct{ rows }

var (
	_ driver.RowsColumnTypeDatabaseTypeName = &typedRows{}
	_ driver.RowsColumnTypeNullable         = &typedRows{}
	_ driver.RowsColumnTypeScanType         = &typedRows{}
)

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (r *typedRows) ColumnTypeDatabaseTypeName(i int) string {
	if p, ok := r.parent.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return p.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (r *typedRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if p, ok := r.parent.(driver.RowsColumnTypeNullable); ok {
		return p.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *typedRows) ColumnTypeScanType(i int) reflect.Type {
	if p, ok := r.parent.(driver.RowsColumnTypeScanType); ok {
		return p.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

type fullRows struct{ typedRows }

var (
	_ driver.RowsNextResultSet              = &fullRows{}
	_ driver.RowsColumnTypeLength           = &fullRows{}
	_ driver.RowsColumnTypePrecisionScale   = &fullRows{}
	_ driver.RowsColumnTypeDatabaseTypeName = &fullRows{}
)

// HasNextResultSet implements [driver.RowsNextResultSet].
func (r *fullRows) HasNextResultSet() bool {
	r.stepping = true
	defer r.panicked()
	p, ok := r.parent.(driver.RowsNextResultSet)
	has := ok && p.HasNextResultSet()
	r.stepping = false
	if !has && r.exhausted {
		r.takeCall().End(nil)
	}
	return has
}

// NextResultSet implements [driver.RowsNextResultSet].
func (r *fullRows) NextResultSet() error {
	p, ok := r.parent.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	r.exhausted = false
	r.stepping = true
	defer r.panicked()
	err := p.NextResultSet()
	r.stepping = false
	if err != nil {
		if err != io.EOF {
			r.conn.failed(err)
		}
		r.takeCall().End(err)
	}
	return err
}

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (r *fullRows) ColumnTypeLength(i int) (length int64, ok bool) {
	if p, ok := r.parent.(driver.RowsColumnTypeLength); ok {
		return p.ColumnTypeLength(i)
	}
	return 0, false
}

// ColumnTypePrecisionScale implements [driver.RowsColumnTypePrecisionScale].
func (r *fullRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if p, ok := r.parent.(driver.RowsColumnTypePrecisionScale); ok {
		return p.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
