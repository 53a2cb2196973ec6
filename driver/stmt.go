package driver

import (
	"context"
	"database/sql/driver"
	"errors"
)

// errClosed is the error of using a closed statement, which database/sql never does.
var errClosed = errors.New("sqlitemw: the statement is closed")

// A stmt is a statement that the program prepared. When it is closed, the connection may
// use it again.
type stmt struct {
	session *session
	cached  *cachedStmt // nil after Close
	kind    queryKind
	open    int // number of open rows
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
	if err := s.session.lost(); err != nil {
		return nil, err
	}
	if s.session.mustWatch() {
		return s.execWatched(ctx, args)
	}
	s.called = true
	s.before()
	args, err := s.arranged(args)
	if err != nil {
		return nil, err
	}
	if s.session.isForeign() {
		res, err := s.session.execStmt(ctx, s.cached, args)
		s.session.checkTxEnd()
		return res, err
	}
	res, err := s.cached.base.ExecContext(ctx, args)
	s.cached.unclean = s.cached.unclean || err != nil
	s.session.addFacts(s.cached.base)
	s.session.afterStep(s.cached, err)
	if err == nil && (!s.cached.readOnly || s.kind != queryData) {
		err = s.session.afterWrite()
	}
	s.session.checkTxEnd()
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (s *stmt) before() {
	if s.kind == queryOther {
		s.session.mayLeaveWAL(s.cached.query)
	}
	s.session.cache.before(s.kind, "")
	if w := s.session.watch; w != nil {
		w.startCounters(s.cached.base)
	}
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.cached == nil {
		return nil, errClosed
	}
	if err := s.session.lost(); err != nil {
		return nil, err
	}
	if s.session.mustWatch() {
		return s.queryWatched(ctx, args)
	}
	s.called = true
	s.before()
	args, err := s.arranged(args)
	if err != nil {
		return nil, err
	}
	rows, err := s.session.bind(ctx, s.cached, args, s)
	if err != nil {
		return nil, err
	}
	return s.session.foreign(rows)
}

// arranged returns the arguments as the session's dialect passes them to SQLite.
func (s *stmt) arranged(args []driver.NamedValue) (_ []driver.NamedValue, err error) {
	if d := s.session.dialect; d != nil {
		d.arguments(args)
		if s.session.isForeign() {
			args, _, err = d.arrange(s.cached.base, args, 0)
		}
	}
	return args, err
}

// Close puts the statement back into the cache. If rows are open, it closes the statement,
// as the plain driver does, because no other call could use it.
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
		return s.session.cache.putAsked(st)
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
	if s.session.isForeign() {
		if s.session.dialect.compat == CompatModernc {
			return -1
		}
		return s.cached.base.BindCount()
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
