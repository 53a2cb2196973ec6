package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A session is the innermost connection of ours: the plain driver's, with what
// it lacks. It serves a text with its arguments in one call, from a statement
// that it has kept if it can.
//
// Arguments are checked, counted and bound, and contexts, results and errors
// made, by the plain driver's own statements, so that they are to the letter
// the same.
type session struct {
	baseConn
	cache stmtCache
	times timeFormats
	file  openFile

	locks    *lockWatch // nil without tracing.Config.Details: nothing is told of calls
	executed bool       // something, in the call under way
	facts    facts

	configured struct { // the connection, when it was opened
		pragmas []string
		took    time.Duration
	}

	term func(*sqlite3.Conn) error // nil once called
}

// baseConn is what a connection of the plain driver can do.
type baseConn interface {
	sqlite3driver.Conn
	driver.ExecerContext
	driver.NamedValueChecker
}

var (
	_ driver.Pinger = &session{}
	_ wrap.Server   = &session{}
)

// ServeExec implements [wrap.Server].
func (s *session) ServeExec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if query == "" && len(args) == 0 {
		// As it is, for it may be a savepoint, which the plain driver knows by
		// its context. What is later rolled back to one is not seen here.
		res, err := s.ExecContext(ctx, query, args)
		s.cache.suspended = true
		s.settle()
		return res, err
	}
	defer s.settle()
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind := kindOf(query)
		s.cache.before(kind, query)
		if len(args) == 0 && (kind == textEmpty || severalStatements(query)) {
			return s.execAll(ctx, query)
		}
		if kind == textEmpty {
			return noStmt{}.exec(args)
		}
		st, err = s.prepare(ctx, kind, query)
	}
	if err != nil {
		if len(args) == 0 { // the plain driver does so before it prepares
			s.baseConn.Raw().SetLastInsertRowID(0)
		}
		return nil, err
	}
	defer s.cache.put(st)
	// A text without arguments wants none, as in the plain driver's Exec of it:
	// its parameters are NULL.
	if len(args) > 0 {
		if args, err = wrap.ConvertArgs(s, st.base, args); err != nil {
			return nil, err
		}
	}
	st.stepping = true
	res, err := st.base.ExecContext(ctx, args)
	st.stepping, st.unclean = false, err != nil
	s.note(st.base)
	s.stepped(st, err)
	if len(args) == 0 {
		err = alone(err)
	}
	return res, err
}

// alone takes an error out of the plain driver's errors.Join, which it is not
// in where a text is executed without a statement.
func alone(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := joined.Unwrap(); len(errs) == 1 {
			return errs[0]
		}
	}
	return err
}

// execAll executes statements one after the other, as sqlite3_exec does. Unlike
// its, they can be finalised when a panic has passed through them.
func (s *session) execAll(ctx context.Context, query string) (driver.Result, error) {
	raw := s.baseConn.Raw()
	raw.SetLastInsertRowID(0)
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	if ctx.Err() != nil {
		return nil, sqlite3.INTERRUPT
	}
	for rest := skipSpace(query); rest != ""; rest = skipSpace(rest) {
		stmt, tail, err := raw.Prepare(rest)
		if err != nil {
			return nil, err
		}
		err = stmt.Exec()
		s.note(stmt)
		closeErr := stmt.Close()
		if err != nil {
			return nil, err
		}
		if closeErr != nil {
			return nil, closeErr
		}
		rest = tail
	}
	return resultOf(raw), nil
}

// A result is what the last statement did. Of a statement that changed nothing,
// there is no row ID.
type result struct{ id, changes int64 }

func resultOf(raw *sqlite3.Conn) driver.Result {
	r := result{changes: raw.Changes()}
	if r.changes != 0 {
		r.id = raw.LastInsertRowID()
	}
	return r
}

func (r result) LastInsertId() (int64, error) { return r.id, nil }
func (r result) RowsAffected() (int64, error) { return r.changes, nil }

// ServeQuery implements [wrap.Server].
func (s *session) ServeQuery(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind := kindOf(query)
		if kind == textEmpty {
			return noStmt{}.query(args)
		}
		s.cache.before(kind, query)
		st, err = s.prepare(ctx, kind, query)
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.query(ctx, st, args)
	if err != nil {
		s.cache.put(st)
		return nil, err
	}
	return rows, nil
}

func (s *session) query(ctx context.Context, st *cachedStmt, args []driver.NamedValue) (*rows, error) {
	args, err := wrap.ConvertArgs(s, st.base, args)
	if err != nil {
		return nil, err
	}
	return s.bind(ctx, st, args, nil)
}

// bind begins a query of program's statement, or, if that is nil, of one of the
// connection's own.
func (s *session) bind(ctx context.Context, st *cachedStmt, args []driver.NamedValue, program *stmt) (*rows, error) {
	simple, err := bindSimple(st.base, args)
	var base driver.Rows
	if !simple {
		base, err = st.base.QueryContext(ctx, args)
	}
	if err != nil {
		st.unclean = true
		return nil, err
	}
	return newRows(ctx, s, st, base, program), nil
}

// bindSimple binds arguments as the plain driver does, if they are of types that
// most are. It reports whether they are.
func bindSimple(st baseStmt, args []driver.NamedValue) (simple bool, err error) {
	for _, arg := range args {
		if arg.Name != "" {
			return false, nil
		}
		switch arg.Value.(type) {
		case bool, int, int64, float64, string, []byte, nil:
		default:
			return false, nil
		}
	}
	for _, arg := range args {
		switch a := arg.Value.(type) {
		case bool:
			err = st.BindBool(arg.Ordinal, a)
		case int:
			err = st.BindInt(arg.Ordinal, a)
		case int64:
			err = st.BindInt64(arg.Ordinal, a)
		case float64:
			err = st.BindFloat(arg.Ordinal, a)
		case string:
			err = st.BindText(arg.Ordinal, a)
		case []byte:
			err = st.BindBlob(arg.Ordinal, a)
		case nil:
			err = st.BindNull(arg.Ordinal)
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// kept returns the statement that is kept for query, for the caller alone until
// it is put back, or nil if there is none. What is kept is one statement that
// reads or writes rows, so that nothing need be known of the text.
func (s *session) kept(ctx context.Context, query string) (*cachedStmt, error) {
	s.settle()
	st := s.cache.take(query)
	if st != nil && ctx.Err() != nil {
		s.cache.put(st)
		return nil, sqlite3.INTERRUPT // as if it were prepared now
	}
	return st, nil
}

// prepare returns a new statement for query, for the caller alone until it is put
// back.
func (s *session) prepare(ctx context.Context, kind textKind, query string) (*cachedStmt, error) {
	s.cache.missed(kind)
	base, err := s.baseConn.PrepareContext(ctx, query)
	if err != nil {
		s.cache.forget() // SQLite has read the schema anew, to be sure
		return nil, err
	}
	st := s.cache.add(kind, query, base.(baseStmt))
	if st.kept && len(s.cache.stmts) > eager {
		s.prepareToLast(ctx, st)
	}
	return st, nil
}

// stepped is told of a statement that has taken its first step. SQLite may then
// have found that another connection has changed the schema, and prepared the
// statement again: its columns are others, and whatever else is kept may not be
// what its text means any more. Or it has failed to, since what the statement is
// for is gone.
func (s *session) stepped(st *cachedStmt, err error) {
	n := st.base.Status(sqlite3.STMTSTATUS_REPREPARE, false)
	if n != st.reprepared {
		st.names, st.scans, st.reprepared = nil, nil, n
		current := st.age == s.cache.age
		s.cache.forget()
		if current { // it is as new
			st.age = s.cache.age
		}
	}
	if err != nil && err != io.EOF && len(s.cache.stmts) > 0 && s.gone(st, err) {
		s.cache.forget()
	}
}

// gone reports whether a statement that has failed could not be prepared now.
func (s *session) gone(st *cachedStmt, err error) bool {
	var code sqlite3.ErrorCode
	if st.closed || !errors.As(err, &code) || code != sqlite3.ERROR && code != sqlite3.SCHEMA && code != sqlite3.MISUSE {
		return false
	}
	stmt, _, err := s.baseConn.Raw().Prepare(st.query)
	if err != nil {
		return true
	}
	stmt.Close()
	return false
}

// settle looks whether a transaction has ended that changed what texts mean. It
// may have by a call, by an error that makes SQLite roll back, or by a method
// that is not seen here.
func (s *session) settle() {
	if s.cache.unsettled() && s.baseConn.Raw().GetAutocommit() {
		s.cache.settled()
	}
}

// PrepareContext prepares a statement for the program.
func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	kind := kindOf(query)
	if kind == textEmpty {
		return noStmt{}, nil
	}
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		st, err = s.prepare(ctx, kind, query)
	}
	if err != nil {
		return nil, err
	}
	return &stmt{session: s, cached: st, kind: kind}, nil
}

// BeginTx begins a transaction, whose rollback may undo a change of the schema.
func (s *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := s.baseConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return sessionTx{tx, s}, nil
}

type sessionTx struct {
	driver.Tx
	session *session
}

func (tx sessionTx) Commit() error {
	err := tx.Tx.Commit()
	tx.session.settle()
	return err
}

func (tx sessionTx) Rollback() error {
	err := tx.Tx.Rollback()
	tx.session.settle()
	return err
}

// Ping reads the first page of the file, as the plain driver's does not.
func (s *session) Ping(ctx context.Context) error {
	raw := s.baseConn.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	if _, err := scalar(raw, "PRAGMA schema_version"); err != nil {
		return err
	}
	return s.file.look()
}

// Configured tells package wrap of the pragmas that the connection was opened
// with, in their order, and how long it took to apply them and read them back.
func (s *session) Configured() ([]string, time.Duration) {
	return s.configured.pragmas, s.configured.took
}

// Sick reports whether the connection's file is there no more. It implements
// what package wrap asks a connection that is released.
func (s *session) Sick(now time.Time) bool {
	if s.locks != nil {
		s.locks.released()
	}
	return s.file.lookAgain(now) != nil
}

// Raw returns SQLite's connection, with nothing of ours on it: a program may do
// anything to it.
func (s *session) Raw() *sqlite3.Conn {
	s.cache.forget()
	return s.busy()
}

// busy returns SQLite's connection, for the program to set or see what it does
// when a lock is not to be had.
func (s *session) busy() *sqlite3.Conn {
	if s.locks != nil {
		s.locks.lend()
	}
	return s.baseConn.Raw()
}

// Close calls Term, once, and closes the connection whatever it says.
func (s *session) Close() (err error) {
	// Deferred, for a panic: a connection that is out of memory panics again.
	defer func() { err = errors.Join(err, s.baseConn.Close()) }()
	if s.locks != nil {
		s.locks.close()
	}
	s.cache.forget()
	err = s.terminate()
	// A statement that nobody closed, or through which a panic passed, would
	// keep SQLite from closing, and the file open and locked.
	raw := s.baseConn.Raw()
	for _, stmt := range slices.Collect(raw.Stmts()) {
		stmt.Close()
	}
	return err
}

func (s *session) terminate() error {
	term := s.term
	if term == nil {
		return nil
	}
	s.term = nil
	done := false
	defer func() {
		if !done { // a panic: it goes on, but the connection does not
			s.Close()
		}
	}()
	err := term(s.baseConn.Raw())
	done = true
	return err
}

// noStmt is what a text without SQL in it is prepared as. The plain driver's
// panics when it is used.
type noStmt struct{}

var (
	_ driver.StmtExecContext   = noStmt{}
	_ driver.StmtQueryContext  = noStmt{}
	_ driver.NamedValueChecker = noStmt{}
)

func (s noStmt) exec(args []driver.NamedValue) (driver.Result, error) {
	if _, err := wrap.ConvertArgs(nil, s, args); err != nil {
		return nil, err
	}
	return driver.RowsAffected(0), nil
}

func (s noStmt) query(args []driver.NamedValue) (driver.Rows, error) {
	if _, err := wrap.ConvertArgs(nil, s, args); err != nil {
		return nil, err
	}
	return noRows{}, nil
}

func (s noStmt) ExecContext(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.exec(args)
}

func (s noStmt) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.query(args)
}

func (noStmt) CheckNamedValue(*driver.NamedValue) error   { return nil }
func (noStmt) NumInput() int                              { return 0 }
func (noStmt) Exec([]driver.Value) (driver.Result, error) { return driver.RowsAffected(0), nil }
func (noStmt) Query([]driver.Value) (driver.Rows, error)  { return noRows{}, nil }
func (noStmt) Close() error                               { return nil }

type noRows struct{}

func (noRows) Columns() []string         { return []string{} }
func (noRows) Next([]driver.Value) error { return io.EOF }
func (noRows) Close() error              { return nil }
