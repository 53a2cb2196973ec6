package conformance_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
)

// This file holds a wrapper of the plain driver that adds nothing. It has each method in which
// a sin can be committed. The suite must find no fault in it, but must catch each of the sins
// in liars_test.go.

// A sin is a set of wrong implementations. A nil field is implemented correctly.
type sin struct {
	dsn     func(string) string
	connect func(honestConn) driver.Conn // returns the connection that is used instead
	exec    func(honestConn, context.Context, string, []driver.NamedValue) (driver.Result, error)
	prepare func(honestConn, context.Context, string) (driver.Stmt, error)
	begin   func(honestConn, context.Context, driver.TxOptions) (driver.Tx, error)
	close   func(honestConn) error

	stmt  func(honestStmt) driver.Stmt // returns the statement that is used instead
	run   func(honestStmt, context.Context, []driver.NamedValue) (driver.Result, error)
	query func(honestStmt, context.Context, []driver.NamedValue) (driver.Rows, error)
	check func(honestStmt, *driver.NamedValue) error

	rows func(honestRows) driver.Rows // returns the rows that are used instead
	next func(honestRows, []driver.Value) error
}

// open opens a database through the wrapper with the sin.
func (s *sin) open(dsn string) (*sql.DB, error) {
	if s.dsn != nil {
		dsn = s.dsn(dsn)
	}
	base, err := (&sqlite3driver.SQLite{}).OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(honestConnector{base, s}), nil
}

type honestConnector struct {
	driver.Connector
	sin *sin
}

func (c honestConnector) Connect(ctx context.Context) (driver.Conn, error) {
	base, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := honestConn{base.(baseConn).Raw(), base.(baseConn), c.sin}
	if c.sin.connect != nil {
		return c.sin.connect(conn), nil
	}
	return conn, nil
}

func (c honestConnector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// baseConn, baseStmt and baseRows are the methods of the plain driver's objects.
type (
	baseConn interface {
		sqlite3driver.Conn
		driver.Tx
		driver.ExecerContext
		driver.NamedValueChecker
	}
	baseStmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
		driver.NamedValueChecker
	}
	baseRows interface {
		driver.Rows
		driver.RowsColumnTypeDatabaseTypeName
		driver.RowsColumnTypeNullable
		driver.RowsColumnTypeScanType
		baseScanner
		NextRow() error
	}
)

type honestConn struct {
	*sqlite3.Conn
	base baseConn
	sin  *sin
}

func (c honestConn) Raw() *sqlite3.Conn                           { return c.base.Raw() }
func (c honestConn) CheckNamedValue(arg *driver.NamedValue) error { return c.base.CheckNamedValue(arg) }
func (c honestConn) Commit() error                                { return c.base.Commit() }
func (c honestConn) Rollback() error                              { return c.base.Rollback() }

func (c honestConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.sin.exec != nil {
		return c.sin.exec(c, ctx, query, args)
	}
	return c.base.ExecContext(ctx, query, args)
}

func (c honestConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c honestConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.sin.prepare != nil {
		return c.sin.prepare(c, ctx, query)
	}
	return c.prepare(ctx, query)
}

func (c honestConn) prepare(ctx context.Context, query string) (driver.Stmt, error) {
	base, err := c.base.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return c.wrap(base), nil
}

func (c honestConn) wrap(base driver.Stmt) driver.Stmt {
	s := honestStmt{base.(baseStmt), c}
	if c.sin.stmt != nil {
		return c.sin.stmt(s)
	}
	return s
}

func (c honestConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c honestConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.sin.begin != nil {
		return c.sin.begin(c, ctx, opts)
	}
	return c.base.BeginTx(ctx, opts)
}

func (c honestConn) Close() error {
	if c.sin.close != nil {
		return c.sin.close(c)
	}
	return c.base.Close()
}

type honestStmt struct {
	baseStmt
	conn honestConn
}

func (s honestStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.conn.sin.run != nil {
		return s.conn.sin.run(s, ctx, args)
	}
	return s.baseStmt.ExecContext(ctx, args)
}

func (s honestStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.conn.sin.query != nil {
		return s.conn.sin.query(s, ctx, args)
	}
	return s.wrap(s.baseStmt.QueryContext(ctx, args))
}

func (s honestStmt) CheckNamedValue(arg *driver.NamedValue) error {
	if s.conn.sin.check != nil {
		return s.conn.sin.check(s, arg)
	}
	return s.baseStmt.CheckNamedValue(arg)
}

func (s honestStmt) wrap(base driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	r := honestRows{base.(baseRows), s.conn.sin}
	if s.conn.sin.rows != nil {
		return s.conn.sin.rows(r), nil
	}
	return r, nil
}

type honestRows struct {
	baseRows
	sin *sin
}

func (r honestRows) Next(dest []driver.Value) error {
	if r.sin.next != nil {
		return r.sin.next(r, dest)
	}
	return r.baseRows.Next(dest)
}

// NextRow is called instead of Next since Go 1.27.
func (r honestRows) NextRow() error {
	if r.sin.next != nil {
		return r.sin.next(r, nil)
	}
	return r.baseRows.NextRow()
}

func (r honestRows) ColumnTypeScanType(i int) reflect.Type { return r.baseRows.ColumnTypeScanType(i) }

// step goes to the next row. It reads the row's values if dest is not nil.
func (r honestRows) step(dest []driver.Value) error {
	if dest == nil {
		return r.baseRows.NextRow()
	}
	return r.baseRows.Next(dest)
}
