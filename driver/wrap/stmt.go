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
	if s.adapter.conn.broken {
		return nil, ErrPanicked
	}
	return execStmt(ctx, s.parent, args)
}

func (s *innerStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.adapter.conn.broken {
		return nil, ErrPanicked
	}
	rows, err := queryStmt(ctx, s.parent, args)
	return s.adapter.made(rows, nil, err)
}

// Close closes the parent's statement.
func (s *innerStmt) Close() error {
	if s.adapter.conn.broken {
		return ErrPanicked
	}
	return s.parent.Close()
}

// NumInput returns -1, for any number, if the parent's is not to be asked any more.
func (s *innerStmt) NumInput() int {
	if s.adapter.conn.broken {
		return -1
	}
	return s.parent.NumInput()
}

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
	made  Callers // of whoever prepared it
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
	s := stmt{conn: conn, outer: outer.(chainStmt), inner: inner}
	s.made.Note()
	if _, ok := inner.parent.(driver.ColumnConverter); ok {
		return &convertingStmt{s}
	}
	return &s
}

// After a panic of a statement's Exec, unlike after one of a connection's,
// database/sql holds the lock of the transaction or *sql.Conn that the statement
// is of: there, the panic is an error.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	defer s.passed(&err)
	res, err := s.execute(ctx, args)
	return res, s.conn.endCall(err)
}

// A panic comes from its rows; see [PanickedRows].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (answer driver.Rows, _ error) {
	if err := s.conn.enter(ctx); err != nil {
		return nil, err
	}
	defer s.conn.passedQuery(&answer)
	rows, err := s.query(ctx, args)
	return rows, s.conn.endCall(err)
}

// passed is [Conn.passed] for Exec.
func (s *stmt) passed(err *error) {
	c := s.conn
	if !c.inCall {
		return
	}
	c.Break()
	if c.inTx || s.made.OfConn() || OnOwnGoroutine() {
		if v := recover(); v != nil {
			*err = NewPanicError(v)
		}
	}
}

// CheckNamedValue asks the parent's statement, or its connection, or leaves it
// to database/sql.
func (s *stmt) CheckNamedValue(arg *driver.NamedValue) error {
	if s.conn.broken {
		return nil // the call says why it cannot be executed
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

// Close may be called while database/sql holds its mutex, which it would hold for
// ever if a panic passed: so a panic is an error.
func (s *stmt) Close() (err error) {
	s.conn.inCall = true
	defer s.conn.passedClose(&err)
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
