package wrap

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"reflect"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// rows are the parent's rows, together with the call that they end.
//
// database/sql calls one method at a time, but not always on the same goroutine, so there is
// no lock. It calls none after Close, so the connection then keeps the rows for its next
// query. New rows are expensive, and registering a cleanup for them (see [instrument.WatchOver])
// is even more so.
type rows struct {
	parent  driver.Rows
	scanner parentScanner // the parent's rows, if they scan columns themselves
	stmt    driver.Stmt   // closed with the rows; nil if it is the program's own
	conn    *Conn
	call    *instrument.Call // nil once it has ended
	ctx     context.Context  // of the query, for the connection's settler
	query   string           // if Config.Once is set
	watch   *instrument.Watch

	count     uint8 // the number of rows read, up to delegateAfter
	watched   bool  // the call records its steps
	exhausted bool  // the current result set is exhausted, but another may follow
	failed    bool  // the rows failed with an error that the connection has handled
	closed    bool
	held      bool // between Hold and Drop of the Gate

	// shaped is the value for database/sql: these rows with the same optional interfaces as
	// the parent's.
	shaped driver.Rows
	shape  shape
}

// A shape is a set of optional interfaces of rows.
//
// Two shapes serve all parents. typedRows has exactly the interfaces of ncruces/go-sqlite3
// and most SQLite drivers. fullRows is for all others: if the parent lacks an interface, it
// answers as database/sql does. Each has a variant for Go 1.27's RowsColumnScanner, which has
// no neutral answer.
type shape uint8

const (
	fullShape shape = iota
	typedShape
	scannerTypedShape
	scannerFullShape
	shapes = iota
)

// newRows returns rows in the shape of parent. It reuses closed rows of an earlier query if
// there are any.
func newRows(conn *Conn, parent driver.Rows, stmt driver.Stmt) *rows {
	shape := conn.adapter.shapeOf(parent)
	r := conn.freeRows[shape]
	conn.freeRows[shape] = nil // while rows are open, only their user refers to them
	if r == nil {
		r = makeRows(shape)
		r.conn, r.shape = conn, shape
	}
	r.parent, r.scanner, r.stmt = parent, scannerOf(parent), stmt
	r.ctx = conn.callCtx
	r.count, r.exhausted, r.failed, r.closed = 0, false, false, false
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

// recycle keeps the closed rows for the connection's next query. It does not with
// interceptors, because they might still use the rows.
func (r *rows) recycle() {
	if !r.conn.broken && r.conn.direct {
		r.scanner, r.ctx, r.query = nil, nil, ""
		r.conn.freeRows[r.shape] = r
	}
}

// shapeOf returns the shape of parent. It looks at the type only when it changes, because
// most rows of a connection have the same type.
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

// HoldCall implements [instrument.CallHolder].
func (r *rows) HoldCall(call *instrument.Call) {
	r.call, r.watched = call, call.Watches()
	r.watch = instrument.WatchOver(r, r.watch, call)
}

// enter starts a request to the parent that is not a step. It returns false if the connection
// is broken. The caller then defers breakOnPanic, and sets inCall to false after the request.
func (r *rows) enter() bool {
	if r.conn.broken {
		return false
	}
	_ = r.hold() // the next step returns the error
	r.conn.inCall = true
	return true
}

// hold reserves the connection for the rows until drop. It returns an error if the connection
// has been taken away.
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
		return r.finish(err)
	}
	r.conn.inCall = true
	return nil
}

// breakOnPanic ends the call and breaks the connection if a panic passes. Defer it. The call
// must end here, because the program need not close rows that panicked.
func (r *rows) breakOnPanic() {
	defer r.drop()
	if r.conn.inCall {
		r.takeCall().Panicked()
		r.closeAfterPanic(r.parent)
		r.conn.breakWithOwnRows(1)
	}
}

// closeAfterPanic closes the parent's rows and their statement. It does not if the engine is
// a [Breaker], because that must not be asked anything after a panic.
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

// Columns may run the query, because some parents know the columns only then.
func (r *rows) Columns() []string {
	gate := r.conn.gate
	if gate != nil && !r.conn.broken && gate.Enter() != nil {
		gate = nil // the first row will return the error
	}
	if !r.enter() {
		return nil
	}
	defer r.breakOnPanic()
	began := r.call.Step()
	columns := r.parent.Columns()
	r.call.Stepped(began, false)
	r.conn.inCall = false
	if gate != nil {
		gate.Leave()
	}
	return columns
}

// Next is as short as possible, because it is called for every row.
func (r *rows) Next(dest []driver.Value) error {
	if r.conn.broken {
		return r.failPanicked()
	}
	if err := r.step(); err != nil {
		return err
	}
	defer r.breakOnPanic()
	var err error
	if !r.watched {
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
	if r.conn.settler != nil {
		err = r.show(err)
	}
	if err != nil {
		return r.finish(err)
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

// show asks the settler whether the program may have the result of a step.
func (r *rows) show(err error) error {
	if err == nil || err == io.EOF {
		if failed := r.conn.settler.Show(r.ctx); failed != nil {
			return failed
		}
	}
	return err
}

// failPanicked ends the call of rows that were open when a panic passed through their
// connection.
func (r *rows) failPanicked() error {
	r.takeCall().End(ErrPanicked)
	return ErrPanicked
}

// finish ends the call when there are no more rows. The query is done then, even if the
// program never closes the rows. If another result set may follow, the call goes on:
// HasNextResultSet, which database/sql calls next, decides. finish returns the error for the
// program.
func (r *rows) finish(err error) error {
	if err != io.EOF {
		r.failed = true
		err = r.fail(err)
	} else if _, ok := r.parent.(driver.RowsNextResultSet); ok {
		r.exhausted = true
		return err
	}
	r.call.Tell(r.parent)
	call := r.takeCall()
	if r.conn.settler == nil {
		call.End(err)
		return err
	}
	call.KeepClosed(err, true)
	var result error
	if err != io.EOF {
		result = err
	}
	if failed := r.conn.settler.Settle(r.ctx, call, result); failed != nil {
		return failed
	}
	return err
}

// fail handles an error of the parent's rows and returns the error for the program. If the rows
// are those of a write, as with RETURNING, its outcome may be unknown.
func (r *rows) fail(err error) error {
	return r.conn.handleErr(r.conn.outcome("Query", r.query, err))
}

// takeCall returns the call, and removes it from the rows. The caller must end it.
func (r *rows) takeCall() *instrument.Call {
	call := r.call
	r.call, r.watched = nil, false
	return call
}

// Close closes the parent's rows. If that has committed, it waits for the commit after the
// connection may have been given back.
func (r *rows) Close() error {
	finish, err := r.close()
	if finish != nil {
		return finish()
	}
	return err
}

// close closes the parent's rows, but only once, because the parent may use them again for
// another query. A panic of the parent becomes an error in a transaction and on
// database/sql's own goroutines; see [PanicError].
//
// If finish is not nil, it must be called last, and ends the call.
func (r *rows) close() (finish func() error, err error) {
	call, again := r.takeCall(), r.closed
	defer call.Panicked()
	parent := r.parent
	if !r.closed { // deferred, because closing a query that writes executes the rest of it
		defer r.conn.open.Add(-1)
	}
	r.parent, r.closed = closedRows{}, true
	if !r.enter() {
		r.closeAfterPanic(parent)
		call.End(ErrPanicked)
		if !again && r.conn.open.Load() == 1 {
			r.conn.closeBroken()
		}
		return nil, ErrPanicked
	}
	defer r.breakOnClosePanic(&err)
	var failure error // for the span only; the program does not see it
	if call != nil {
		if f, ok := parent.(FailedRows); ok {
			failure = f.Failure()
		}
	}
	settler := r.conn.settler
	if settler != nil {
		settler.CloseRows()
	}
	began := call.Step()
	err = parent.Close()
	call.Stepped(began, false)
	call.Tell(parent)
	if err != nil && !r.failed { // otherwise it is the same error
		err = r.fail(err)
	}
	if r.stmt != nil {
		r.stmt.Close() // database/sql ignores its error, too
		r.stmt = nil
	}
	r.conn.inCall = false
	if settler != nil && !again {
		finish = settler.RowsClosed(r.ctx, call, err)
	}
	switch {
	case finish != nil:
		call.KeepClosed(err, r.exhausted)
	case err == nil && failure != nil:
		call.End(failure)
	case r.exhausted:
		call.End(err)
	default:
		call.Closed(err)
	}
	if !again {
		r.recycle()
	}
	return finish, err
}

// breakOnClosePanic is breakOnPanic for Close. In a transaction it recovers, because
// database/sql would hold a lock forever that the transaction's end needs.
func (r *rows) breakOnClosePanic(err *error) {
	defer r.drop()
	if !r.conn.inCall {
		return
	}
	r.closeAfterPanic(closedRows{}) // and closes the statement
	r.conn.breakWithOwnRows(1)
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
		defer r.breakOnPanic()
		name = p.ColumnTypeDatabaseTypeName(i)
		r.conn.inCall = false
	}
	return name
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (r *typedRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypeNullable); is && r.enter() {
		defer r.breakOnPanic()
		nullable, ok = p.ColumnTypeNullable(i)
		r.conn.inCall = false
	}
	return nullable, ok
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *typedRows) ColumnTypeScanType(i int) reflect.Type {
	typ := reflect.TypeFor[any]()
	if p, ok := r.parent.(driver.RowsColumnTypeScanType); ok && r.enter() {
		defer r.breakOnPanic()
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
	defer r.breakOnPanic()
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
		return r.failPanicked()
	}
	r.exhausted = false
	defer r.breakOnPanic()
	err := p.NextResultSet()
	r.conn.inCall = false
	if err != nil {
		if err != io.EOF {
			err = r.fail(err)
		}
		r.takeCall().End(err)
	}
	return err
}

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (r *fullRows) ColumnTypeLength(i int) (length int64, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypeLength); is && r.enter() {
		defer r.breakOnPanic()
		length, ok = p.ColumnTypeLength(i)
		r.conn.inCall = false
	}
	return length, ok
}

// ColumnTypePrecisionScale implements [driver.RowsColumnTypePrecisionScale].
func (r *fullRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if p, is := r.parent.(driver.RowsColumnTypePrecisionScale); is && r.enter() {
		defer r.breakOnPanic()
		precision, scale, ok = p.ColumnTypePrecisionScale(i)
		r.conn.inCall = false
	}
	return precision, scale, ok
}
