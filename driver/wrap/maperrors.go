package wrap

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// An ErrorMap maps the errors that database/sql receives. It is the outermost layer of a
// connection. A nil ErrorMap does not change errors. ctx is the context of the call.
type ErrorMap func(ctx context.Context, err error) error

// Map returns the error that database/sql receives instead of err. It does not change values
// that database/sql itself looks for: nil, io.EOF, driver.ErrBadConn, driver.ErrSkip and
// driver.ErrRemoveArgument.
func (m ErrorMap) Map(ctx context.Context, err error) error {
	if m == nil || err == nil || err == io.EOF || err == driver.ErrSkip || err == driver.ErrRemoveArgument || errors.Is(err, driver.ErrBadConn) {
		return err
	}
	if mapped := m(ctx, err); mapped != nil {
		return mapped
	}
	return err
}

// A PanicMap returns the error that database/sql receives instead of a panic, such as one of
// the engine itself, or nil if the panic must pass. The connection is closed in both cases. A
// nil PanicMap lets all panics pass.
type PanicMap func(p *PanicError) error

// An OuterConn is a connection with the interfaces that database/sql uses.
type OuterConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
}

// A MappedConn is a connection with mapped errors and panics.
type MappedConn struct {
	conn    OuterConn
	mapping mapping
	options func(driver.TxOptions) driver.TxOptions
}

// NewMappedConn returns conn with mapped errors and panics. Its transactions have the options
// that options returns.
func NewMappedConn(conn OuterConn, errors ErrorMap, panics PanicMap, options func(driver.TxOptions) driver.TxOptions) *MappedConn {
	return &MappedConn{conn, mapping{errors, panics}, options}
}

// A mapping maps the errors and panics of a connection's calls.
type mapping struct {
	errors ErrorMap
	panics PanicMap
}

func (m mapping) Map(ctx context.Context, err error) error { return m.errors.Map(ctx, err) }

// recover maps a panic to *err, or lets it pass. Defer it.
func (m mapping) recover(ctx context.Context, err *error) {
	if m.panics == nil {
		return
	}
	v := recover()
	if v == nil {
		return
	}
	e := m.panics(NewPanicError(v))
	if e == nil {
		panic(v)
	}
	*err = m.Map(ctx, e)
}

// rows returns rows with mapped errors, or the error of a query that has panicked.
func (m mapping) rows(ctx context.Context, rows driver.Rows) (driver.Rows, error) {
	if p, ok := rows.(*panickedRows); ok && m.panics != nil {
		if err := m.panics(p.err); err != nil {
			_ = p.Close()
			return nil, m.Map(ctx, err)
		}
	}
	return shapedMappedRows(&mappedRows{rows: rows, ctx: ctx, mapping: m}), nil
}

var _ OuterConn = &MappedConn{}

// Prepare implements [driver.Conn].
func (c *MappedConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *MappedConn) PrepareContext(ctx context.Context, query string) (_ driver.Stmt, err error) {
	defer c.mapping.recover(ctx, &err)
	stmt, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.mapping.Map(ctx, err)
	}
	return &mappedStmt{stmt, ctx, c.mapping}, nil
}

// ExecContext implements [driver.ExecerContext].
func (c *MappedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (_ driver.Result, err error) {
	defer c.mapping.recover(ctx, &err)
	res, err := c.conn.ExecContext(ctx, query, args)
	return res, c.mapping.Map(ctx, err)
}

// QueryContext implements [driver.QueryerContext].
func (c *MappedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, c.mapping.Map(ctx, err)
	}
	return c.mapping.rows(ctx, rows)
}

// Deprecated: use BeginTx.
func (c *MappedConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements [driver.ConnBeginTx].
func (c *MappedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.conn.BeginTx(ctx, c.options(opts))
	if err != nil {
		return nil, c.mapping.Map(ctx, err)
	}
	return &mappedTx{tx, ctx, c.mapping}, nil
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *MappedConn) CheckNamedValue(arg *driver.NamedValue) error {
	return c.mapping.Map(context.Background(), c.conn.CheckNamedValue(arg))
}

// Ping implements [driver.Pinger].
func (c *MappedConn) Ping(ctx context.Context) error { return c.mapping.Map(ctx, c.conn.Ping(ctx)) }

// Close implements [driver.Conn].
func (c *MappedConn) Close() error { return c.mapping.Map(context.Background(), c.conn.Close()) }

type mappedTx struct {
	tx  driver.Tx
	ctx context.Context
	mapping
}

// Commit and Rollback have no context of their own, so they use that of BeginTx. That context
// may have ended when the transaction is rolled back. It is not why a rollback fails, so
// Rollback uses it without its cancellation.
func (t *mappedTx) Commit() (err error) {
	defer t.recover(t.ctx, &err)
	return t.Map(t.ctx, t.tx.Commit())
}

func (t *mappedTx) Rollback() (err error) {
	ctx := context.WithoutCancel(t.ctx)
	defer t.recover(ctx, &err)
	return t.Map(ctx, t.tx.Rollback())
}

type mappedStmt struct {
	driver.Stmt
	ctx context.Context
	mapping
}

var (
	_ driver.StmtExecContext   = &mappedStmt{}
	_ driver.StmtQueryContext  = &mappedStmt{}
	_ driver.NamedValueChecker = &mappedStmt{}
)

func (s *mappedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer s.recover(ctx, &err)
	res, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return res, s.Map(ctx, err)
}

func (s *mappedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, s.Map(ctx, err)
	}
	return s.rows(ctx, rows)
}

func (s *mappedStmt) CheckNamedValue(arg *driver.NamedValue) error {
	if c, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return s.Map(s.ctx, c.CheckNamedValue(arg))
	}
	return driver.ErrSkip
}

func (s *mappedStmt) Close() error { return s.Map(s.ctx, s.Stmt.Close()) }

// mappedRows implements all optional interfaces except RowsColumnScanner. If the rows lack
// one, it answers as database/sql does.
type mappedRows struct {
	rows driver.Rows
	ctx  context.Context
	mapping

	lastErr, lastMapped error // the last error, and what it is mapped to
	panicked            error // of a panic of Columns
}

// fail maps an error. Rows that have failed return the same error again when they are closed,
// and fail maps that only once.
func (r *mappedRows) fail(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if r.lastErr == nil || r.lastErr.Error() != err.Error() {
		r.lastErr, r.lastMapped = err, r.Map(r.ctx, err)
	}
	return r.lastMapped
}

var (
	_ driver.RowsNextResultSet              = &mappedRows{}
	_ driver.RowsColumnTypeScanType         = &mappedRows{}
	_ driver.RowsColumnTypeDatabaseTypeName = &mappedRows{}
	_ driver.RowsColumnTypeLength           = &mappedRows{}
	_ driver.RowsColumnTypeNullable         = &mappedRows{}
	_ driver.RowsColumnTypePrecisionScale   = &mappedRows{}
)

// Columns may execute the query. Next returns the error of its panic.
func (r *mappedRows) Columns() []string {
	defer r.recover(r.ctx, &r.panicked)
	return r.rows.Columns()
}

func (r *mappedRows) Close() (err error) {
	defer r.recover(r.ctx, &err)
	return r.fail(r.rows.Close())
}

// Next implements [driver.Rows].
func (r *mappedRows) Next(dest []driver.Value) (err error) {
	if r.panicked != nil {
		return r.panicked
	}
	defer r.recover(r.ctx, &err)
	return r.fail(r.rows.Next(dest))
}

func (r *mappedRows) HasNextResultSet() bool {
	n, ok := r.rows.(driver.RowsNextResultSet)
	return ok && n.HasNextResultSet()
}

func (r *mappedRows) NextResultSet() error {
	if n, ok := r.rows.(driver.RowsNextResultSet); ok {
		return r.fail(n.NextResultSet())
	}
	return io.EOF
}

func (r *mappedRows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.rows.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (r *mappedRows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (r *mappedRows) ColumnTypeLength(i int) (length int64, ok bool) {
	if t, is := r.rows.(driver.RowsColumnTypeLength); is {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

func (r *mappedRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, is := r.rows.(driver.RowsColumnTypeNullable); is {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

func (r *mappedRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, is := r.rows.(driver.RowsColumnTypePrecisionScale); is {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
