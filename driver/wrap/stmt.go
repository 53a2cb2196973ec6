package wrap

import (
	"context"
	"database/sql/driver"
)

// An innerStmt is the parent's prepared statement, inside of sqlmw. It has database/sql's
// fallbacks.
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
	if err := s.adapter.conn.unusable(); err != nil {
		return nil, err
	}
	res, err := execStmt(ctx, s.parent, args)
	return res, s.adapter.conn.outcome("Exec", s.query, err)
}

func (s *innerStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.adapter.conn.unusable(); err != nil {
		return nil, err
	}
	rows, err := queryStmt(ctx, s.parent, args)
	return s.adapter.wrapRows(s.query, rows, nil, err)
}

// Close closes the parent's statement.
func (s *innerStmt) Close() error {
	if s.adapter.conn.broken {
		return ErrPanicked
	}
	return s.parent.Close()
}

// NumInput returns the parent's number. After a panic it returns -1, for any number, because
// the parent must not be called any more.
func (s *innerStmt) NumInput() int {
	if s.adapter.conn.broken {
		return -1
	}
	return s.parent.NumInput()
}

// Exec implements [driver.Stmt]. sqlmw does not call it.
func (s *innerStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), namedArgs(args))
}

// Query implements [driver.Stmt]. sqlmw does not call it.
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
	if err := ctxErr(ctx); err != nil {
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
	if err := ctxErr(ctx); err != nil {
		return nil, err
	}
	return stmt.Query(values)
}

// A stmt is the prepared statement that database/sql uses. Calls go through sqlmw. Questions
// about arguments go to the parent.
type stmt struct {
	conn         *Conn
	outer        chainStmt
	inner        *innerStmt
	prepareStack Callers // the stack of its prepare
}

// chainStmt is a statement that sqlmw has wrapped.
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

// newStmt returns a statement that converts columns exactly if the parent's does. There is no
// neutral implementation of ColumnConverter.
func newStmt(conn *Conn, outer driver.Stmt, inner *innerStmt) driver.Stmt {
	if inner == nil { // an interceptor has made the statement itself
		inner = &innerStmt{adapter: conn.adapter, parent: outer}
		outer = inner
	}
	s := stmt{conn: conn, outer: outer.(chainStmt), inner: inner}
	s.prepareStack.Note()
	if _, ok := inner.parent.(driver.ColumnConverter); ok {
		return &convertingStmt{s}
	}
	return &s
}

// ExecContext turns a panic into an error if the statement belongs to a transaction or a
// *sql.Conn. database/sql holds their lock during the call, unlike in an Exec of a
// connection.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	defer s.breakOnExecPanic(&err)
	s.conn.begins(execCall, ctx, s.inner.query)
	res, err := s.execute(ctx, args)
	return res, s.conn.ended(execCall, ctx, s.inner.query, s.conn.endCall(err))
}

// QueryContext lets its rows raise a panic of the query; see [PanickedRows].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (answer driver.Rows, _ error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	defer s.conn.breakOnQueryPanic(&answer)
	s.conn.begins(queryCall, ctx, s.inner.query)
	rows, err := s.query(ctx, args)
	return rows, s.conn.ended(queryCall, ctx, s.inner.query, s.conn.endCall(err))
}

// breakOnExecPanic is [Conn.breakOnPanic] for ExecContext.
func (s *stmt) breakOnExecPanic(err *error) {
	c := s.conn
	if !c.inCall {
		return
	}
	c.breakWithOwnRows(0)
	if c.inTx || s.prepareStack.OfConn() || OnOwnGoroutine() {
		if v := recover(); v != nil {
			*err = NewPanicError(v)
		}
	}
}

// CheckNamedValue asks the parent's statement, or else its connection, or else leaves the
// argument to database/sql.
func (s *stmt) CheckNamedValue(arg *driver.NamedValue) error {
	if s.conn.broken {
		return nil // the call returns the error
	}
	if nvc, ok := s.inner.parent.(driver.NamedValueChecker); ok {
		return nvc.CheckNamedValue(arg)
	}
	if nvc, ok := s.inner.adapter.parent.(driver.NamedValueChecker); ok {
		return nvc.CheckNamedValue(arg)
	}
	return driver.ErrSkip
}

func (s *stmt) NumInput() int { return s.inner.NumInput() }

// Close turns a panic into an error. database/sql may hold its mutex during the call, and
// would hold it forever if the panic passed.
func (s *stmt) Close() (err error) {
	s.conn.inCall = true
	defer s.conn.breakOnClosePanic(&err)
	err = s.outer.Close()
	s.conn.inCall = false
	return err
}

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
