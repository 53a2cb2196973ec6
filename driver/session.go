package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
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
	cache    stmtCache
	times    timeFormats
	dialect  *dialect // nil for the plain driver's
	location *location
	file     *dbFile         // nil if it is none that the operating system knows by name
	inWAL    bool            // file knows that the connection has the WAL open
	ioFailed bool            // a file could not be read or written
	cleanup  runtime.Cleanup // leaves the file
	quotes   quotes

	authorizer *authorizer // nil unless a pool has the connection watched
	prepared   bool        // something, since a pool last asked

	locks    *lockWatch // nil without tracing.Config.Details: nothing is told of calls
	executed bool       // something, in the call under way

	converting bool // arguments, with functions of the program's
	facts      facts

	notices           []notice          // of its opening
	explainMissingKey func(error) error // explains errors of a file that may want a key, and got none; or nil

	configured struct { // the connection, when it was opened
		pragmas []string
		took    time.Duration
	}

	queryOnly bool // as the pragma was when the connection was opened

	term     func(*sqlite3.Conn) error // nil once called
	panicked bool                      // a panic has passed: nothing is executed any more
	closed   bool
}

// baseConn is what a connection of the plain driver can do.
type baseConn interface {
	sqlite3driver.Conn
	driver.ExecerContext
	driver.NamedValueChecker
}

var (
	_ driver.Pinger       = &session{}
	_ wrap.DirectConn     = &session{}
	_ wrap.ConfiguredConn = &session{}
	_ wrap.SickConn       = &session{}
	_ wrap.DirectConn     = watchedSession{}
)

// ExecDirect implements [wrap.DirectConn].
func (s *session) ExecDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := s.lost(); err != nil {
		return nil, err
	}
	if query == "" && len(args) == 0 {
		// As it is, for it may be a savepoint, which the plain driver knows by
		// its context. What is later rolled back to one is not seen here.
		res, err := s.ExecContext(ctx, query, args)
		s.cache.suspended = true
		s.checkTxEnd()
		if err == nil && s.isForeign() {
			res = result{} // or it would be of what was executed before
		}
		return res, err
	}
	res, err := s.execDirect(ctx, query, args)
	s.checkTxEnd() // in no defer: after a panic, SQLite is asked nothing
	return res, err
}

func (s *session) execDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if s.isForeign() {
		return s.execForeign(ctx, query, args)
	}
	kind := queryData
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind = queryKindOf(query)
		s.before(kind, query)
		if len(args) == 0 && (kind == queryEmpty || severalStatements(query)) {
			return s.execAll(ctx, query)
		}
		if kind == queryEmpty {
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
	// A text without arguments wants none, as in the plain driver's Exec of it:
	// its parameters are NULL.
	if len(args) > 0 {
		if args, err = s.convert(st, args); err != nil {
			s.cache.put(st)
			return nil, err
		}
	}
	res, err := st.base.ExecContext(ctx, args)
	st.unclean = err != nil
	s.addFacts(st.base)
	s.afterStep(st, err)
	if len(args) == 0 {
		err = unjoin(err)
	}
	if err == nil && (!st.readOnly || kind != queryData) { // COMMIT is read-only
		err = s.afterWrite()
	}
	s.cache.put(st)
	if err != nil {
		return nil, err
	}
	return res, nil
}

// alone takes an error out of the plain driver's errors.Join, which it is not
// in where a text is executed without a statement.
func unjoin(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := joined.Unwrap(); len(errs) == 1 {
			return errs[0]
		}
	}
	return err
}

// execAll executes the statements of a text without arguments.
func (s *session) execAll(ctx context.Context, query string) (driver.Result, error) {
	raw := s.baseConn.Raw()
	raw.SetLastInsertRowID(0)
	if err := s.run(ctx, query, s.addFacts); err != nil {
		return nil, err
	}
	if err := s.afterWrite(); err != nil {
		return nil, err
	}
	return resultOf(raw), nil
}

// run executes statements one after the other, as sqlite3_exec does, and shows
// each to note. Unlike sqlite3_exec's, they can be finalised when a panic has
// passed through them.
func (s *session) run(ctx context.Context, query string, note func(sqliteStmt)) error {
	raw := s.baseConn.Raw()
	s.prepared = true
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	if ctx.Err() != nil {
		return sqlite3.INTERRUPT
	}
	for rest := query; rest != ""; {
		if err := s.guardAuthorizer(rest); err != nil {
			return err
		}
		stmt, tail, err := raw.Prepare(rest)
		if err != nil {
			return s.explain(err)
		}
		if stmt == nil { // there is no other
			break
		}
		err = stmt.Exec()
		note(stmt)
		closeErr := stmt.Close()
		if err != nil {
			s.checkAfterError(err)
			return err
		}
		if closeErr != nil {
			return closeErr
		}
		// Behind a statement, sqlite3_exec skips white space, and with it a vertical tab, which
		// nothing may begin with.
		rest = strings.TrimLeft(tail, " \t\n\v\f\r")
	}
	return nil
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

// QueryDirect implements [wrap.DirectConn].
func (s *session) QueryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.lost(); err != nil {
		return nil, err
	}
	if s.isForeign() {
		return s.queryForeign(ctx, query, args)
	}
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind := queryKindOf(query)
		if kind == queryEmpty {
			return noStmt{}.query(args)
		}
		s.before(kind, query)
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
	return s.foreign(rows)
}

// convert converts the arguments of a statement that is about to be executed. A
// panic of a [driver.Valuer] of the program's leaves the connection as it was: with
// the plain driver, database/sql calls it beside the connection.
func (s *session) convert(st *cachedStmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	s.converting = true
	defer func() {
		if s.converting {
			s.cache.put(st)
		}
	}()
	args, err := wrap.ConvertArgs(s, st.base, args)
	s.converting = false
	s.dialect.arguments(args)
	return args, err
}

// Unharmed implements [wrap.Breaker].
func (s *session) Unharmed() bool {
	unharmed := s.converting
	s.converting = false
	return unharmed
}

func (s *session) query(ctx context.Context, st *cachedStmt, args []driver.NamedValue) (*rows, error) {
	args, err := s.convert(st, args)
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
func bindSimple(st sqliteStmt, args []driver.NamedValue) (simple bool, err error) {
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
	s.checkTxEnd()
	st := s.cache.take(query)
	if st != nil && ctx.Err() != nil {
		s.cache.put(st)
		return nil, sqlite3.INTERRUPT // as if it were prepared now
	}
	return st, nil
}

// before is called with every text before it is prepared or executed.
func (s *session) before(kind queryKind, query string) {
	if kind == queryOther {
		s.mayLeaveWAL(query)
	}
	s.cache.before(kind, query)
}

// prepare returns a new statement for query, for the caller alone until it is put
// back.
func (s *session) prepare(ctx context.Context, kind queryKind, query string) (*cachedStmt, error) {
	s.cache.countMiss(kind)
	s.prepared = true
	if err := s.guardAuthorizer(query); err != nil {
		return nil, err
	}
	base, err := s.baseConn.PrepareContext(ctx, query)
	if err != nil {
		err = s.explain(err)
		s.cache.forget() // SQLite has read the schema anew, to be sure
		if a := s.authorizer; a != nil {
			a.session = false
		}
		s.checkAfterError(err)
		return nil, err
	}
	st := s.cache.add(kind, query, base.(baseStmt))
	if a := s.authorizer; a != nil {
		st.session, a.session = a.session, false
	}
	if st.kept && len(s.cache.stmts) > eagerStatements {
		s.preparePersistent(ctx, st)
	}
	return st, nil
}

// stepped is told of a statement that has taken its first step. SQLite may then
// have found that another connection has changed the schema, and prepared the
// statement again: its columns are others, and whatever else is kept may not be
// what its text means any more. Or it has failed to, since what the statement is
// for is gone.
func (s *session) afterStep(st *cachedStmt, err error) {
	n := st.base.Status(sqlite3.STMTSTATUS_REPREPARE, false)
	if n != st.reprepared {
		st.names, st.scans, st.decls, st.reprepared = nil, nil, nil, n
		current := st.age == s.cache.age
		s.cache.forget()
		if current { // it is as new
			st.age = s.cache.age
		}
		if a := s.authorizer; a != nil {
			st.session, a.session = a.session, false
		}
	}
	if err == nil || err == io.EOF {
		return
	}
	s.checkAfterError(err)
	if len(s.cache.stmts) > 0 && s.cannotPrepare(st, err) {
		s.cache.forget()
	}
}

// gone reports whether a statement that has failed could not be prepared now.
func (s *session) cannotPrepare(st *cachedStmt, err error) bool {
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

// explain returns an error with what a missing key may have to do with it.
func (s *session) explain(err error) error {
	if s.explainMissingKey == nil {
		return err
	}
	return s.explainMissingKey(err)
}

// settle looks whether a transaction has ended that changed what texts mean. It
// may have by a call, by an error that makes SQLite roll back, or by a method
// that is not seen here.
func (s *session) checkTxEnd() {
	if s.cache.waitsForTxEnd() && s.baseConn.Raw().GetAutocommit() {
		s.cache.txEnded()
	}
}

// PrepareContext prepares a statement for the program.
func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := s.lost(); err != nil {
		return nil, err
	}
	kind := queryKindOf(query)
	if kind == queryEmpty {
		return noStmt{}, nil
	}
	if s.isForeign() && severalStatements(query) {
		if s.dialect.compat == CompatModernc {
			return script{s, query}, nil
		}
		query = s.firstOnly(query)
		kind = queryKindOf(query)
	}
	if kind == queryOther {
		s.mayLeaveWAL(query)
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

// Ping reads the first page of the file, as the plain driver's does not.
func (s *session) Ping(ctx context.Context) error {
	raw := s.baseConn.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	_, err := scalar(raw, "PRAGMA schema_version")
	if err == nil {
		s.seeContent()
	} else {
		err = s.explain(err)
	}
	if lookErr := s.checkFile(); err == nil || isLost(lookErr) {
		return lookErr
	}
	return err
}

// Configured implements [wrap.ConfiguredConn]. It returns the pragmas that the
// connection was opened with, in their order, and how long it took to apply them
// and read them back.
func (s *session) Configured() ([]string, time.Duration) {
	return s.configured.pragmas, s.configured.took
}

// Sick implements [wrap.SickConn]. It reports whether the connection's file is lost, or
// SQLite's view of the file may be wrong since an I/O error.
func (s *session) Sick(now time.Time) bool {
	if s.locks != nil {
		s.locks.released()
	}
	if s.quotes.rawInUse {
		s.quotes = quotes{}
		// Whatever failed then was not seen here. After a journal that could not be synced,
		// SQLite's cache may have pages that are in no file, and its next commit would write
		// what follows from them.
		if s.file != nil && !s.panicked {
			_ = s.baseConn.Raw().ReleaseMemory()
		}
	}
	return s.checkFileIfDue(now) != nil || s.ioFailed
}

// Raw returns SQLite's connection, with nothing of ours on it: a program may do
// anything to it.
func (s *session) Raw() *sqlite3.Conn {
	if s.panicked {
		return s.baseConn.Raw()
	}
	s.cache.forget()
	s.leaveWAL() // the program may
	s.quotes.rawInUse = true
	return s.busy()
}

// busy returns SQLite's connection, for the program to set or see what it does
// when a lock is not to be had.
func (s *session) busy() *sqlite3.Conn {
	if s.locks != nil {
		s.locks.beforeRaw()
	}
	return s.baseConn.Raw()
}

// Close calls Term, once, and closes the connection whatever it says. If a panic
// passes, Term's or one of SQLite's callbacks', the connection is closed as after
// any other.
func (s *session) Close() error {
	if s.closed {
		return nil
	}
	through := false
	defer func() {
		if !through {
			_ = s.CloseAfterPanic()
		}
	}()
	s.quotes = quotes{known: true} // SQLite is not to be asked any more
	if s.locks != nil {
		s.locks.close()
	}
	s.cache.forget()
	err := s.terminate()
	// A statement that nobody closed would keep SQLite from closing, and the file
	// open and locked.
	for _, stmt := range slices.Collect(s.baseConn.Raw().Stmts()) {
		stmt.Close()
	}
	err = errors.Join(err, s.closeBase())
	through, s.closed = true, true
	return err
}

// closeBase closes the plain driver's connection, and with it the file.
func (s *session) closeBase() error {
	if s.file == nil {
		return s.baseConn.Close()
	}
	plan, err := s.beforeClose()
	s.leaveFile()
	return errors.Join(err, s.baseConn.Close(), plan.removeLeftovers())
}

func (s *session) leaveFile() {
	s.cleanup.Stop()
	s.file.leave()
	s.file = nil
}

func (s *session) terminate() error { return s.terminateIn(s.baseConn.Raw().GetInterrupt()) }

// terminateIn calls Term, whose context for SQLite is ctx.
func (s *session) terminateIn(ctx context.Context) error {
	term := s.term
	if term == nil {
		return nil
	}
	s.term = nil
	raw := s.baseConn.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	return term(raw)
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
