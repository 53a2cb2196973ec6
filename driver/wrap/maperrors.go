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

// Rows returns rows with mapped errors.
func (m ErrorMap) Rows(ctx context.Context, rows driver.Rows) driver.Rows {
	if m == nil || rows == nil {
		return rows
	}
	return shapedMappedRows(&mappedRows{rows: rows, ctx: ctx, errors: m})
}

// Stmt returns a statement with mapped errors. stmt must have the interfaces of a statement
// of [Conn.PrepareContext].
func (m ErrorMap) Stmt(ctx context.Context, stmt driver.Stmt) driver.Stmt {
	if m == nil || stmt == nil {
		return stmt
	}
	return &mappedStmt{stmt, ctx, m}
}

// Tx returns a transaction with mapped errors.
func (m ErrorMap) Tx(ctx context.Context, tx driver.Tx) driver.Tx {
	if m == nil || tx == nil {
		return tx
	}
	return &mappedTx{tx, ctx, m}
}

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

// A MappedConn is a connection with mapped errors.
type MappedConn struct {
	conn    OuterConn
	errors  ErrorMap
	options func(driver.TxOptions) driver.TxOptions
}

// NewMappedConn returns conn with mapped errors. Its transactions have the options that
// options returns.
func NewMappedConn(conn OuterConn, errors ErrorMap, options func(driver.TxOptions) driver.TxOptions) *MappedConn {
	return &MappedConn{conn, errors, options}
}

var _ OuterConn = &MappedConn{}

// Prepare implements [driver.Conn].
func (c *MappedConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *MappedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.errors.Map(ctx, err)
	}
	return c.errors.Stmt(ctx, stmt), nil
}

// ExecContext implements [driver.ExecerContext].
func (c *MappedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.conn.ExecContext(ctx, query, args)
	return res, c.errors.Map(ctx, err)
}

// QueryContext implements [driver.QueryerContext].
func (c *MappedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, c.errors.Map(ctx, err)
	}
	return c.errors.Rows(ctx, rows), nil
}

// Deprecated: use BeginTx.
func (c *MappedConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements [driver.ConnBeginTx].
func (c *MappedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.conn.BeginTx(ctx, c.options(opts))
	if err != nil {
		return nil, c.errors.Map(ctx, err)
	}
	return c.errors.Tx(ctx, tx), nil
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *MappedConn) CheckNamedValue(arg *driver.NamedValue) error {
	return c.errors.Map(context.Background(), c.conn.CheckNamedValue(arg))
}

// Ping implements [driver.Pinger].
func (c *MappedConn) Ping(ctx context.Context) error { return c.errors.Map(ctx, c.conn.Ping(ctx)) }

// Close implements [driver.Conn].
func (c *MappedConn) Close() error { return c.errors.Map(context.Background(), c.conn.Close()) }

type mappedTx struct {
	tx     driver.Tx
	ctx    context.Context
	errors ErrorMap
}

// Commit and Rollback have no context of their own, so they use that of BeginTx. That context
// may have ended when the transaction is rolled back. It is not why a rollback fails, so
// Rollback uses it without its cancellation.
func (t *mappedTx) Commit() error { return t.errors.Map(t.ctx, t.tx.Commit()) }
func (t *mappedTx) Rollback() error {
	return t.errors.Map(context.WithoutCancel(t.ctx), t.tx.Rollback())
}

type mappedStmt struct {
	driver.Stmt
	ctx    context.Context
	errors ErrorMap
}

var (
	_ driver.StmtExecContext   = &mappedStmt{}
	_ driver.StmtQueryContext  = &mappedStmt{}
	_ driver.NamedValueChecker = &mappedStmt{}
)

func (s *mappedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	res, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return res, s.errors.Map(ctx, err)
}

func (s *mappedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, s.errors.Map(ctx, err)
	}
	return s.errors.Rows(ctx, rows), nil
}

func (s *mappedStmt) CheckNamedValue(arg *driver.NamedValue) error {
	if c, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return s.errors.Map(s.ctx, c.CheckNamedValue(arg))
	}
	return driver.ErrSkip
}

func (s *mappedStmt) Close() error { return s.errors.Map(s.ctx, s.Stmt.Close()) }

// mappedRows implements all optional interfaces except RowsColumnScanner. If the rows lack
// one, it answers as database/sql does.
type mappedRows struct {
	rows   driver.Rows
	ctx    context.Context
	errors ErrorMap

	lastErr, lastMapped error // the last error, and what it is mapped to
}

// fail maps an error. Rows that have failed return the same error again when they are closed,
// and fail maps that only once.
func (r *mappedRows) fail(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if r.lastErr == nil || r.lastErr.Error() != err.Error() {
		r.lastErr, r.lastMapped = err, r.errors.Map(r.ctx, err)
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

func (r *mappedRows) Columns() []string              { return r.rows.Columns() }
func (r *mappedRows) Close() error                   { return r.fail(r.rows.Close()) }
func (r *mappedRows) Next(dest []driver.Value) error { return r.fail(r.rows.Next(dest)) }

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
