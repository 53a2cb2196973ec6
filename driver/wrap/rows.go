package wrap

import (
	"bytes"
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
	exhausted bool  // the result set at hand, if there may be another
	failed    bool  // with an error that the connection has been told of
	closed    bool
	held      bool // nobody else may ask the connection anything; see Gate

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
	if !r.conn.broken && r.conn.direct {
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

// enter begins to ask the parent for something, unless its connection is broken.
// It is followed by a defer of passed, and by inCall being false.
func (r *rows) enter() bool {
	if r.conn.broken {
		return false
	}
	_ = r.hold() // it is no step, and the next says so
	r.conn.inCall = true
	return true
}

// hold has the connection for the rows alone until drop, and fails if it has been
// taken away.
func (r *rows) hold() error {
	gate := r.conn.gate
	if gate == nil {
		return nil
	}
	r.held = true
	return gate.Hold()
}

func (r *rows) drop() {
	if r.held {
		r.held = false
		r.conn.gate.Drop()
	}
}

// step is enter for a step to the next row.
func (r *rows) step() error {
	err := r.hold()
	if gate := r.conn.gate; gate != nil && err == nil {
		err = gate.Enter()
	}
	if err != nil {
		r.drop()
		return r.over(err)
	}
	r.conn.inCall = true
	return nil
}

// passed, in a defer, ends the call if a panic is passing, for the program
// need not close rows that panicked, and breaks the connection.
func (r *rows) passed() {
	defer r.drop()
	if r.conn.inCall {
		r.takeCall().Panicked()
		r.closeAfterPanic(r.parent)
		r.conn.breakBeside(1)
	}
}

// closeAfterPanic closes the parent's rows and their statement, but not those of
// an engine that is to be asked nothing after a panic; see [Breaker].
func (r *rows) closeAfterPanic(parent driver.Rows) {
	stmt := r.stmt
	r.parent, r.stmt = closedRows{}, nil
	if _, ok := r.conn.adapter.parent.(Breaker); ok {
		return
	}
	shield(func() { parent.Close() })
	if stmt != nil {
		shield(func() { stmt.Close() })
	}
}

// Columns may run the query: some must, to know its columns.
func (r *rows) Columns() []string {
	gate := r.conn.gate
	if gate != nil && !r.conn.broken && gate.Enter() != nil {
		gate = nil // the first row will say so
	}
	if !r.enter() {
		return nil
	}
	defer r.passed()
	began := r.call.Step()
	columns := r.parent.Columns()
	r.call.Stepped(began, false)
	r.conn.inCall = false
	if gate != nil {
		gate.Leave()
	}
	return columns
}

// Next is as short as can be: it is called for every row.
func (r *rows) Next(dest []driver.Value) error {
	if r.conn.broken {
		return r.lost()
	}
	if err := r.step(); err != nil {
		return err
	}
	defer r.passed()
	var err error
	if !r.stepped {
		err = r.parent.Next(dest)
	} else {
		began := r.call.Step()
		err = r.parent.Next(dest)
		r.call.Stepped(began, err == nil)
	}
	r.conn.inCall = false
	if gate := r.conn.gate; gate != nil {
		gate.Leave()
	}
	if err != nil {
		return r.over(err)
	}
	if r.conn.copies {
		for i, v := range dest {
			if b, ok := v.([]byte); ok {
				dest[i] = bytes.Clone(b)
			}
		}
	}
	return nil
}

// lost ends rows that were open when a panic passed through their connection.
func (r *rows) lost() error {
	r.takeCall().End(ErrPanicked)
	return ErrPanicked
}

// over ends the call once there are no more rows: whether the program closes
// them later, or never, the query is done. Where another result set may follow,
// that is known when database/sql asks, which it does next. It returns what the program
// is told.
func (r *rows) over(err error) error {
	if err != io.EOF {
		r.failed = true
		err = r.conn.failed(err)
	} else if _, ok := r.parent.(driver.RowsNextResultSet); ok {
		r.exhausted = true
		return err
	}
	r.call.Tell(r.parent)
	r.takeCall().End(err)
	return err
}

// takeCall returns the call for the one who ends it.
func (r *rows) takeCall() *tracing.Call {
	call := r.call
	r.call, r.stepped = nil, false
	return call
}

// Close closes the parent's rows, once: a parent may use them again for another
// query. In a transaction, and on database/sql's own goroutines, a panic of the
// parent's is an error; see [PanicError].
func (r *rows) Close() (err error) {
	call, again := r.takeCall(), r.closed
	defer call.Panicked()
	parent := r.parent
	if !r.closed { // once they are: to close those that write is to write the rest
		defer r.conn.open.Add(-1)
	}
	r.parent, r.closed = closedRows{}, true
	if !r.enter() {
		r.closeAfterPanic(parent)
		call.End(ErrPanicked)
		if !again && r.conn.open.Load() == 1 {
			r.conn.finish()
		}
		return ErrPanicked
	}
	defer r.passedClose(&err)
	var failure error // of which the program is not told, but its span is
	if call != nil {
		if f, ok := parent.(FailedRows); ok {
			failure = f.Failure()
		}
	}
	began := call.Step()
	err = parent.Close()
	call.Stepped(began, false)
	call.Tell(parent)
	if err != nil && !r.failed { // else it is the same
		err = r.conn.failed(err)
	}
	if r.stmt != nil {
		r.stmt.Close() // its error is nobody's in database/sql either
		r.stmt = nil
	}
	r.conn.inCall = false
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

// passedClose is passed for Close. In a transaction, database/sql would hold a lock
// for ever that the transaction's end waits for.
func (r *rows) passedClose(err *error) {
	defer r.drop()
	if !r.conn.inCall {
		return
	}
	r.closeAfterPanic(closedRows{}) // and its statement
	r.conn.breakBeside(1)
	if r.conn.inTx || OnOwnGoroutine() {
		if v := recover(); v != nil {
			*err = NewPanicError(v)
		}
	}
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
	var name string
	if p, ok := r.parent.(driver.RowsColumnTypeDatabaseTypeName); ok && r.enter() {
		defer r.passed()
		name = p.ColumnTypeDatabaseTypeName(i)
		r.conn.inCall = false
	}
	return name
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (r *typedRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypeNullable); is && r.enter() {
		defer r.passed()
		nullable, ok = p.ColumnTypeNullable(i)
		r.conn.inCall = false
	}
	return nullable, ok
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *typedRows) ColumnTypeScanType(i int) reflect.Type {
	typ := reflect.TypeFor[any]()
	if p, ok := r.parent.(driver.RowsColumnTypeScanType); ok && r.enter() {
		defer r.passed()
		typ = p.ColumnTypeScanType(i)
		r.conn.inCall = false
	}
	return typ
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
	if !r.enter() {
		return false
	}
	defer r.passed()
	p, ok := r.parent.(driver.RowsNextResultSet)
	has := ok && p.HasNextResultSet()
	r.conn.inCall = false
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
	if !r.enter() {
		return r.lost()
	}
	r.exhausted = false
	defer r.passed()
	err := p.NextResultSet()
	r.conn.inCall = false
	if err != nil {
		if err != io.EOF {
			err = r.conn.failed(err)
		}
		r.takeCall().End(err)
	}
	return err
}

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (r *fullRows) ColumnTypeLength(i int) (length int64, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypeLength); is && r.enter() {
		defer r.passed()
		length, ok = p.ColumnTypeLength(i)
		r.conn.inCall = false
	}
	return length, ok
}

// ColumnTypePrecisionScale implements [driver.RowsColumnTypePrecisionScale].
func (r *fullRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypePrecisionScale); is && r.enter() {
		defer r.passed()
		precision, scale, ok = p.ColumnTypePrecisionScale(i)
		r.conn.inCall = false
	}
	return precision, scale, ok
}
