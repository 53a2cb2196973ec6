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

// rows wrap the plain driver's rows. They differ in when a query starts.
//
// The plain driver reports the columns of the statement as it was prepared, and takes the
// first step later. If the schema has changed since, SQLite prepares the statement again in
// that step. The reported columns are then not those of the rows. Here, a read-only
// statement takes its first step before it reports any column. The row of that step is kept
// until the caller asks for it.
type rows struct {
	session *session
	cached  *cachedStmt
	ctx     context.Context // the query's context
	base    baseRows        // the plain driver's rows; nil until needed, which is after the first row

	program *stmt // the program's statement; nil if the statement belongs to the connection
	closed  bool

	begun      bool     // the first step has been taken
	asked      bool     // the caller has asked for a row
	rowPending bool     // the first step's row has not been returned yet
	failure    error    // the error of the first step, including io.EOF
	names      []string // nil until needed
	spareNames []string // room for the names of later queries
	baseReady  bool     // base has loaded its columns
	direct     bool     // base serves all further calls

	accounts bool    // the account is kept
	account  account // of what the query has waited for and counted
	watch    *watch  // nil if the query is not watched; see [Watch]
}

// baseRows has the methods of the plain driver's rows.
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

// sqliteStmt has the methods of *sqlite3.Stmt that this package calls.
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

// newRows returns the rows of a statement. They are stored in the statement, and reused for
// its next query after they have been closed. Package wrap ensures that no caller uses
// closed rows. Rows of a program's own statement may overlap. If so, each query gets its
// own rows.
func newRows(ctx context.Context, s *session, st *cachedStmt, base driver.Rows, program *stmt) *rows {
	r := &st.rows
	if program != nil {
		if program.open > 0 {
			r = new(rows)
		}
		program.open++
	}
	*r = rows{session: s, cached: st, ctx: ctx, program: program, spareNames: r.spareNames, accounts: s.locks != nil}
	if base != nil {
		r.base = base.(baseRows)
	}
	if s.watch != nil {
		s.watch.hold(r)
	}
	if !st.readOnly {
		r.begin() // a statement that writes does so even if the caller reads no row
	}
	return r
}

// begin takes the first step, once.
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

// step takes a step, as the base's NextRow does.
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

// openBase returns the plain driver's rows. The statement is already bound, and may have
// been stepped.
func (r *rows) openBase() baseRows {
	if r.base == nil {
		base, err := r.cached.base.QueryContext(r.ctx, nil)
		if err != nil {
			panic(err) // without arguments, binding cannot fail
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

// loadColumns makes the base load its columns. The base panics if it has not.
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
		err := r.step()
		if r.watch != nil {
			r.watch.stepped(err)
		}
		if err != nil {
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

// stepsItself reports whether r, and not the base, reads the rows after the first. That is
// faster if there are no BLOBs.
func (r *rows) stepsItself() bool {
	return r.failure == nil && !r.rowPending && r.cached.readOnly && !r.cached.blobs
}

// first returns true for the first step's row, or the error of that step. If it returns
// false and nil, the base continues.
func (r *rows) first() (row bool, err error) {
	r.begin()
	r.asked = true
	switch {
	case r.rowPending:
		r.rowPending = false
		if r.watch != nil {
			r.watch.stepped(nil)
		}
		return true, nil
	case r.failure != nil:
		if r.watch != nil {
			r.watch.stepped(r.failure)
		}
		return false, r.failure
	}
	if !r.cached.readOnly {
		if err := r.session.lost(); err != nil {
			r.failure = err
			return false, err
		}
	}
	r.loadColumns()
	measured := r.accounts && !r.cached.readOnly // a read-only statement waits for locks in its first step, or never
	r.direct = !measured && r.watch == nil
	if measured {
		r.enter(mayWrite)
	}
	return false, nil
}

// enter and leave measure a step that may wait for a lock.
func (r *rows) enter(may hold) {
	if r.accounts {
		r.session.locks.enter(r.cached.query, may)
	}
}

func (r *rows) leave(err error) {
	if r.accounts {
		r.session.locks.leave(err)
		r.account.waits.add(r.session.locks.take())
	}
}

// wrote records the result of a later step, which the base has taken.
func (r *rows) wrote(err error) error {
	if r.watch != nil {
		r.watch.stepped(err)
	}
	if !r.direct && !r.cached.readOnly {
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

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType]. Before the caller has
// asked for a row, it returns the type of the declared type.
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
	r.session.checkAfterError(err) // the commit may have failed
	if r.watch != nil {
		r.watch.closeCounters(r) // before account.close resets the counters
	}
	if r.accounts && !r.account.closed {
		r.account.close(r.cached, !r.session.locks.quiet)
	}
	r.closed = true
	switch {
	case r.failure == nil || r.asked:
	case r.cached.readOnly:
		err = nil // the caller never asked for that row
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
		r.session.cache.put(r.cached) // any error is already that of reset
	}
	r.session.checkTxEnd()
	if w := r.watch; w != nil {
		r.watch = nil
		w.closed(r, err)
	}
	return err
}

// Failure implements [wrap.FailedRows]. It returns the error of the first step, if the
// caller has not asked for a row yet.
func (r *rows) Failure() error {
	if r.asked || r.failure == io.EOF || !r.cached.readOnly {
		return nil
	}
	return r.failure
}

// reset does what the base's Close does.
func (r *rows) reset() error {
	if r.base != nil {
		return r.base.Close()
	}
	return errors.Join(r.cached.base.Reset(), r.cached.base.ClearBindings())
}

// columnNames returns a copy of the statement's column names, which the caller may change.
// It allocates room for the copies of several queries together.
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

// columnNames returns the names of the statement's columns. The caller must not change
// them.
func (st *cachedStmt) columnNames() []string {
	if st.names == nil {
		st.names = make([]string, st.base.ColumnCount())
		for i := range st.names {
			st.names[i] = st.base.ColumnName(i)
		}
	}
	return st.names
}

// scanTypes returns the scan types of the statement's columns.
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

// declaredScanType returns the scan type of the table column behind column i. A column of a
// view has no declared type of its own.
func declaredScanType(st baseStmt, i int) scanType {
	column := st.ColumnOriginName(i)
	if column == "" {
		return scanTypeOf(st.ColumnDeclType(i))
	}
	decl, _, _, _, _, _ := st.Conn().TableColumnMetadata(st.ColumnDatabaseName(i), st.ColumnTableName(i), column)
	return scanTypeOf(decl)
}
