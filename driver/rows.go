package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// rows are the plain driver's, but for when a query begins.
//
// The plain driver tells of the columns of the statement as it was prepared,
// and steps it afterwards. If the schema has changed since, SQLite prepares the
// statement again in that step, and the columns that it told of are not those
// of the rows. Here a statement that only reads takes its first step before
// anything is told of columns; the row in hand is then the first that the
// caller asks for.
type rows struct {
	session *session
	cached  *cachedStmt
	ctx     context.Context // of the query
	base    baseRows        // nil until they are needed: not for a first row

	program *stmt // whose rows these are, if the program prepared it; else it is put back with them
	closed  bool

	begun      bool     // the first step has been taken
	asked      bool     // for a row, by the caller
	rowPending bool     // a row has been stepped to that the caller has not asked for
	failure    error    // of the first step, io.EOF included, for the caller to ask for
	names      []string // nil until they are asked for
	spareNames []string // for the names of later queries
	baseReady  bool     // the base knows its columns
	direct     bool     // what is asked for is all the base's

	account *account // nil without tracing.Config.Details
}

// baseRows is what rows of the plain driver can do.
type baseRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypeScanType
	baseScanner
	NextRow() error
}

var (
	_ driver.RowsColumnTypeDatabaseTypeName = &rows{}
	_ driver.RowsColumnTypeNullable         = &rows{}
	_ driver.RowsColumnTypeScanType         = &rows{}
	_ wrap.FailedRows                       = &rows{}
)

// sqliteStmt is what is asked of SQLite's statement itself.
type sqliteStmt interface {
	ReadOnly() bool
	Conn() *sqlite3.Conn
	Step() bool
	Err() error
	Reset() error
	ClearBindings() error
	BindCount() int
	BindName(int) string
	BindIndex(string) int
	BindBool(int, bool) error
	BindInt(int, int) error
	BindInt64(int, int64) error
	BindFloat(int, float64) error
	BindText(int, string) error
	BindBlob(int, []byte) error
	BindNull(int) error
	Status(op sqlite3.StmtStatus, reset bool) int
	ColumnCount() int
	ColumnName(int) string
	ColumnType(int) sqlite3.Datatype
	ColumnDeclType(int) string
	ColumnDatabaseName(int) string
	ColumnTableName(int) string
	ColumnOriginName(int) string
	ColumnInt64(int) int64
	ColumnFloat(int) float64
	ColumnText(int) string
	ColumnRawBlob(int) []byte
	Columns(...any) error
}

// newRows returns rows of a statement. They are kept with it, and made anew for
// its next use, which is after they are closed: package wrap sees to it that
// nobody uses them then. The rows of a program's own statement may overlap, and
// then each has its own.
func newRows(ctx context.Context, s *session, st *cachedStmt, base driver.Rows, program *stmt) *rows {
	r := &st.rows
	if program != nil {
		if program.open > 0 {
			r = new(rows)
		}
		program.open++
	}
	*r = rows{session: s, cached: st, ctx: ctx, program: program, spareNames: r.spareNames}
	if base != nil {
		r.base = base.(baseRows)
	}
	if s.locks != nil {
		r.account = new(account)
	}
	if !st.readOnly {
		r.begin() // it writes, whether the caller asks for rows or not
	}
	return r
}

// begin takes the first step.
func (r *rows) begin() {
	if r.begun {
		return
	}
	r.begun = true
	may := reads
	if !r.cached.readOnly {
		may = mayWrite
	}
	r.enter(may)
	r.failure = r.step()
	r.leave(r.failure)
	r.rowPending = r.failure == nil
	r.session.afterStep(r.cached, r.failure)
}

// step is the base's NextRow.
func (r *rows) step() error {
	st := r.cached.base
	c := st.Conn()
	if old := c.SetInterrupt(r.ctx); old != r.ctx {
		defer c.SetInterrupt(old)
	}
	if st.Step() {
		return nil
	}
	if err := st.Err(); err != nil {
		return err
	}
	return io.EOF
}

// plain returns the base's rows, of what is bound and stepped already.
func (r *rows) openBase() baseRows {
	if r.base == nil {
		base, err := r.cached.base.QueryContext(r.ctx, nil)
		if err != nil {
			panic(err) // without arguments there is nothing to fail
		}
		r.base = base.(baseRows)
	}
	return r.base
}

// Columns implements [driver.Rows].
func (r *rows) Columns() []string {
	r.begin()
	if r.names == nil {
		r.names = r.columnNames()
	}
	return r.names
}

// ready has the base know its columns, without which it panics.
func (r *rows) loadColumns() {
	if !r.baseReady {
		r.loadColumnsSlow()
	}
}

func (r *rows) loadColumnsSlow() {
	r.begin()
	r.openBase().Columns()
	r.baseReady = true
}

// Next implements [driver.Rows].
func (r *rows) Next(dest []driver.Value) error {
	if r.direct {
		return r.base.Next(dest)
	}
	if r.asked && r.stepsItself() {
		if err := r.step(); err != nil {
			return err
		}
		return r.read(dest)
	}
	switch row, err := r.first(); {
	case err != nil:
		return err
	case row:
		return r.read(dest)
	}
	return r.wrote(r.base.Next(dest))
}

// nextRow is Next without the values.
func (r *rows) nextRow() error {
	if r.direct {
		return r.base.NextRow()
	}
	if row, err := r.first(); row || err != nil {
		return err
	}
	return r.wrote(r.base.NextRow())
}

// ours reports whether rows after the first are read here, too: it is quicker
// than the base where there are no BLOBs.
func (r *rows) stepsItself() bool {
	return r.failure == nil && !r.rowPending && r.cached.readOnly && !r.cached.blobs
}

// first reports whether the caller is given the row in hand, or the failure of
// the first step. Else it is for the base to go on.
func (r *rows) first() (row bool, err error) {
	r.begin()
	r.asked = true
	switch {
	case r.rowPending:
		r.rowPending = false
		return true, nil
	case r.failure != nil:
		return false, r.failure
	}
	if !r.cached.readOnly {
		if err := r.session.lost(); err != nil {
			r.failure = err
			return false, err
		}
	}
	r.loadColumns()
	r.direct = r.account == nil || r.cached.readOnly // what only reads waits in its first step, if at all
	if !r.direct {
		r.enter(mayWrite)
	}
	return false, nil
}

// enter and leave stand around what may wait for a lock.
func (r *rows) enter(may hold) {
	if r.account != nil {
		r.session.locks.enter(r.cached.query, may)
	}
}

func (r *rows) leave(err error) {
	if r.account != nil {
		r.session.locks.leave(err)
		r.account.waits.add(r.session.locks.take())
	}
}

// wrote is told of the first step of a statement that writes, which is the
// base's to take.
func (r *rows) wrote(err error) error {
	if !r.direct {
		r.leave(err)
	}
	if err != nil && !r.cached.readOnly && !r.cached.closed {
		r.session.afterStep(r.cached, err)
	}
	return err
}

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	r.loadColumns()
	return r.openBase().ColumnTypeDatabaseTypeName(i)
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	r.loadColumns()
	return r.openBase().ColumnTypeNullable(i)
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType]. Until the
// caller has asked for a row, it is that of the declared type.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	r.loadColumns()
	if !r.asked {
		return declaredScanType(r.cached.base, i).reflect()
	}
	return r.openBase().ColumnTypeScanType(i)
}

// Close implements [driver.Rows].
func (r *rows) Close() error {
	if r.closed {
		return r.reset()
	}
	r.enter(holdsNone)
	err := r.reset()
	r.leave(err)
	r.session.checkAfterError(err) // it may be the commit that has failed
	if r.account != nil && !r.account.closed {
		r.account.close(r.cached)
	}
	r.closed = true
	switch {
	case r.failure == nil || r.asked:
	case r.cached.readOnly:
		err = nil // that of a step which the caller has not asked for
	case r.failure != io.EOF:
		err = r.failure
	}
	if !r.cached.readOnly && !r.cached.closed {
		r.session.afterStep(r.cached, nil)
	}
	if err == nil && !r.cached.readOnly && r.failure == nil {
		err = r.session.afterWrite()
	}
	if r.program != nil {
		r.program.open--
	} else {
		r.session.cache.put(r.cached) // its error is that of the base's Close
	}
	r.session.checkTxEnd()
	return err
}

// Failure implements [wrap.FailedRows]. It returns the error of a first step that
// was taken before the caller asked for a row.
func (r *rows) Failure() error {
	if r.asked || r.failure == io.EOF || !r.cached.readOnly {
		return nil
	}
	return r.failure
}

// reset is the base's Close.
func (r *rows) reset() error {
	if r.base != nil {
		return r.base.Close()
	}
	return errors.Join(r.cached.base.Reset(), r.cached.base.ClearBindings())
}

// columnNames returns the names of the statement's columns. They are the caller's,
// who may do anything to them: each query has its own, but room for those of
// several is made at once.
func (r *rows) columnNames() []string {
	names := r.cached.columnNames()
	switch {
	case r.spareNames == nil:
		r.spareNames = make([]string, len(names))
	case len(r.spareNames) < len(names):
		r.spareNames = make([]string, max(len(names), 16))
	}
	n := copy(r.spareNames, names)
	callers := r.spareNames[:n:n]
	r.spareNames = r.spareNames[n:]
	return callers
}

// columnNames returns the names of the statement's columns, for nobody to change.
func (st *cachedStmt) columnNames() []string {
	if st.names == nil {
		st.names = make([]string, st.base.ColumnCount())
		for i := range st.names {
			st.names[i] = st.base.ColumnName(i)
		}
	}
	return st.names
}

// scanTypes returns those of the statement's columns.
func (st *cachedStmt) scanTypes() []scanType {
	if st.scans == nil {
		st.scans = make([]scanType, st.base.ColumnCount())
		for i := range st.scans {
			st.scans[i] = scanTypeOf(st.base.ColumnDeclType(i))
			st.blobs = st.blobs || st.scans[i] == blobScan
		}
	}
	return st.scans
}

// declared returns the declared types of the statement's columns, in lower case.
func (st *cachedStmt) declared() []string {
	if st.decls == nil {
		st.decls = make([]string, st.base.ColumnCount())
		for i := range st.decls {
			st.decls[i] = strings.ToLower(st.base.ColumnDeclType(i))
		}
	}
	return st.decls
}

// declaredScanType asks the table for a column's type: a view's column has none
// of its own.
func declaredScanType(st baseStmt, i int) scanType {
	column := st.ColumnOriginName(i)
	if column == "" {
		return scanTypeOf(st.ColumnDeclType(i))
	}
	decl, _, _, _, _, _ := st.Conn().TableColumnMetadata(st.ColumnDatabaseName(i), st.ColumnTableName(i), column)
	return scanTypeOf(decl)
}
