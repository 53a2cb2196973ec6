package driver

import (
	"context"
	"database/sql/driver"
	"errors"
)

// errClosed is what a statement says that is used after it was closed, which
// database/sql never does.
var errClosed = errors.New("sqlitemw: the statement is closed")

// A stmt is a statement that the program prepared. It is the connection's own
// again when it is closed.
type stmt struct {
	session *session
	cached  *cachedStmt // nil once closed
	kind    textKind
	open    int // rows that have not been closed
	called  bool
}

var (
	_ driver.StmtExecContext   = &stmt{}
	_ driver.StmtQueryContext  = &stmt{}
	_ driver.NamedValueChecker = &stmt{}
)

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.cached == nil {
		return nil, errClosed
	}
	s.called = true
	s.session.cache.before(s.kind, "")
	defer s.session.settle()
	s.cached.stepping = true
	res, err := s.cached.base.ExecContext(ctx, args)
	s.cached.stepping, s.cached.unclean = false, s.cached.unclean || err != nil
	s.session.note(s.cached.base)
	s.session.stepped(s.cached, err)
	return res, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.cached == nil {
		return nil, errClosed
	}
	s.called = true
	s.session.cache.before(s.kind, "")
	rows, err := s.session.bind(ctx, s.cached, args, s)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Close gives the statement back. With rows open, it is finalised under them,
// as the plain driver's is: it could not be anybody else's.
func (s *stmt) Close() error {
	st := s.cached
	if st == nil {
		return nil
	}
	s.cached = nil
	if s.open > 0 && st.kept {
		s.session.cache.drop(st)
	}
	if !s.called {
		return s.session.cache.setAside(st)
	}
	return s.session.cache.put(st)
}

func (s *stmt) CheckNamedValue(arg *driver.NamedValue) error {
	if s.cached == nil {
		return errClosed
	}
	return s.cached.base.CheckNamedValue(arg)
}

func (s *stmt) NumInput() int {
	if s.cached == nil {
		return -1
	}
	return s.cached.base.NumInput()
}

// Deprecated: use ExecContext.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Deprecated: use QueryContext.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}
