package wrap

import (
	"context"
	"database/sql/driver"
)

//lint:file-ignore SA1019 a parent may have only the deprecated interfaces, and they count as database/sql counts them

// An innerStmt is a prepared statement inside of sqlmw: the parent's, with
// database/sql's fallbacks.
type innerStmt struct {
	adapter *adapter
	parent  driver.Stmt
	query   string
}

var (
	_ driver.StmtExecContext  = &innerStmt{}
	_ driver.StmtQueryContext = &innerStmt{}
)

func (s *innerStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	res, err := execStmt(ctx, s.parent, args)
	s.adapter.madeResult = res
	return res, err
}

func (s *innerStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := queryStmt(ctx, s.parent, args)
	return s.adapter.made(rows, nil, err)
}

func (s *innerStmt) Close() error  { return s.parent.Close() }
func (s *innerStmt) NumInput() int { return s.parent.NumInput() }

// Exec implements [driver.Stmt]; sqlmw has no use for it.
func (s *innerStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), namedArgs(args))
}

// Query implements [driver.Stmt]; sqlmw has no use for it.
func (s *innerStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), namedArgs(args))
}

func execStmt(ctx context.Context, stmt driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	if sc, ok := stmt.(driver.StmtExecContext); ok {
		return sc.ExecContext(ctx, args)
	}
	values, err := plainArgs(args)
	if err != nil {
		return nil, err
	}
	if err := done(ctx); err != nil {
		return nil, err
	}
	return stmt.Exec(values)
}

func queryStmt(ctx context.Context, stmt driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	if sc, ok := stmt.(driver.StmtQueryContext); ok {
		return sc.QueryContext(ctx, args)
	}
	values, err := plainArgs(args)
	if err != nil {
		return nil, err
	}
	if err := done(ctx); err != nil {
		return nil, err
	}
	return stmt.Query(values)
}

// A stmt is a prepared statement as database/sql sees it.
// Calls go through sqlmw; what is asked about arguments goes to the parent.
type stmt struct {
	conn  *Conn
	outer chainStmt
	inner *innerStmt
}

// chainStmt is what sqlmw makes of a statement.
type chainStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

var (
	_ chainStmt                = &stmt{}
	_ driver.NamedValueChecker = &stmt{}
	_ driver.ColumnConverter   = &convertingStmt{}
)

// newStmt returns a statement that converts columns if, and only if, the
// parent's does: there is no neutral way to claim it.
func newStmt(conn *Conn, outer driver.Stmt, inner *innerStmt) driver.Stmt {
	if inner == nil { // an interceptor's own
		inner = &innerStmt{adapter: conn.adapter, parent: outer}
		outer = inner
	}
	s := stmt{conn, outer.(chainStmt), inner}
	if _, ok := inner.parent.(driver.ColumnConverter); ok {
		return &convertingStmt{s}
	}
	return &s
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	var res driver.Result
	var err error
	if s.conn.adapter.seen {
		res, err = s.outer.ExecContext(ctx, args)
	} else {
		res, err = s.conn.spans.StmtExecContext(ctx, s.inner, s.inner.query, args)
	}
	s.conn.endCall(err)
	return s.conn.result(res, err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	var rows driver.Rows
	var err error
	if s.conn.adapter.seen {
		rows, err = s.outer.QueryContext(ctx, args)
	} else {
		_, rows, err = s.conn.spans.StmtQueryContext(ctx, s.inner, s.inner.query, args)
	}
	s.conn.endCall(err)
	return s.conn.answer(rows, err)
}

// CheckNamedValue asks the parent's statement, or its connection, or leaves it
// to database/sql.
func (s *stmt) CheckNamedValue(arg *driver.NamedValue) error {
	if nvc, ok := s.inner.parent.(driver.NamedValueChecker); ok {
		return nvc.CheckNamedValue(arg)
	}
	if nvc, ok := s.inner.adapter.parent.(driver.NamedValueChecker); ok {
		return nvc.CheckNamedValue(arg)
	}
	return driver.ErrSkip
}

func (s *stmt) NumInput() int { return s.inner.parent.NumInput() }

// Close may be called while database/sql holds its mutex.
func (s *stmt) Close() error { return s.outer.Close() }

// Exec implements [driver.Stmt].
//
// Deprecated: use ExecContext.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), namedArgs(args))
}

// Query implements [driver.Stmt].
//
// Deprecated: use QueryContext.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), namedArgs(args))
}

type convertingStmt struct{ stmt }

// ColumnConverter implements [driver.ColumnConverter].
func (s *convertingStmt) ColumnConverter(i int) driver.ValueConverter {
	return s.inner.parent.(driver.ColumnConverter).ColumnConverter(i)
}

func namedArgs(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}
