package cluster

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A stmt is a prepared statement of the program. It has only the query, which each call executes.
type stmt struct {
	shell  *shell
	text   string
	inputs int
	closed bool
	made   wrap.Callers // stack of the call that prepared it
}

var (
	_ driver.StmtExecContext   = &stmt{}
	_ driver.StmtQueryContext  = &stmt{}
	_ driver.NamedValueChecker = &stmt{}
)

var errStmtClosed = errors.New("pool: the statement is closed")

// ExecContext implements [driver.StmtExecContext]. For a statement of a transaction or of a
// *sql.Conn, a panic is returned as an error. Otherwise these could never be closed.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	if s.closed {
		return nil, errStmtClosed
	}
	finished, held := false, s.shell.tx != nil
	defer func() {
		if !finished && (held || s.made.OfConn()) {
			if v := recover(); v != nil {
				err = wrap.NewPanicError(v)
			}
		}
	}()
	res, err := s.shell.ExecContext(ctx, s.text, args)
	finished = true
	return res, err
}

// QueryContext implements [driver.StmtQueryContext].
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.closed {
		return nil, errStmtClosed
	}
	return s.shell.QueryContext(ctx, s.text, args)
}

func (s *stmt) NumInput() int                            { return s.inputs }
func (s *stmt) CheckNamedValue(*driver.NamedValue) error { return nil }

func (s *stmt) Close() error {
	s.closed = true
	return nil
}

// Deprecated: use ExecContext.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), namedValues(args))
}

// Deprecated: use QueryContext.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), namedValues(args))
}

func namedValues(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}
