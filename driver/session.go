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

// A session is the innermost connection of this package. It adds to the plain driver's
// connection what that one lacks. If it can, it serves a query and its arguments in one
// call, with a cached statement.
//
// The plain driver's own statements check, count and bind arguments, handle contexts, and
// create results and errors. So all of these are exactly the plain driver's.
type session struct {
	baseConn
	cache    stmtCache
	times    timeFormats
	dialect  *dialect // nil for the plain driver's behavior
	location *location
	file     *dbFile         // nil if the operating system knows no name for it
	inWAL    bool            // file counts the connection as one that has the WAL open
	ioFailed bool            // an I/O error has happened; see checkAfterError
	cleanup  runtime.Cleanup // calls file.leave if the program drops the connection
	quotes   quotes

	authorizer *authorizer // nil unless a pool watches the connection
	prepared   bool        // a statement was prepared since a pool last asked

	locks    *lockWatch // nil without tracing.Config.Details: calls are not measured
	executed bool       // facts holds a statement of the call in progress

	watchers *Watchers
	watch    *watch // of the call in progress; nil if it is not watched

	converting bool // arguments are being converted, perhaps by functions of the program
	facts      facts

	notices           []notice          // warnings from opening the connection
	explainMissingKey func(error) error // adds a hint to errors of a file without its key; or nil

	configured struct { // how the connection was configured when it was opened
		pragmas []string
		took    time.Duration
	}

	queryOnly bool // the pragma's value when the connection was opened

	term     func(*sqlite3.Conn) error // nil after it was called
	panicked bool                      // a panic has passed: nothing is executed any more
	closed   bool
}

// baseConn has the methods of the plain driver's connection.
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
		// Pass the call on unchanged: it may be a savepoint, which the plain driver
		// recognizes by its context. The session does not see a later rollback to it.
		res, err := s.ExecContext(ctx, query, args)
		s.cache.suspended = true
		s.checkTxEnd()
		if err == nil && s.isForeign() {
			res = result{} // otherwise the result of an earlier statement would show
		}
		return res, err
	}
	if s.mustWatch() {
		return s.execWatched(ctx, query, args)
	}
	res, err := s.execDirect(ctx, query, args)
	s.checkTxEnd() // not deferred: after a panic, SQLite must not be called
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
		if len(args) == 0 { // the plain driver does this before it prepares
			s.baseConn.Raw().SetLastInsertRowID(0)
		}
		return nil, err
	}
	// As in the plain driver's Exec, a query without arguments needs none: its parameters
	// are NULL.
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
	if err == nil && (!st.readOnly || kind != queryData) { // COMMIT is read-only, but ends writes
		err = s.afterWrite()
	}
	s.cache.put(st)
	if err != nil {
		return nil, err
	}
	return res, nil
}

// unjoin returns the only error in an errors.Join of the plain driver. Where the plain
// driver executes a query without a statement, it does not join errors.
func unjoin(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := joined.Unwrap(); len(errs) == 1 {
			return errs[0]
		}
	}
	return err
}

// execAll executes all statements of a query without arguments.
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

// run executes statements one by one, as sqlite3_exec does, and calls note with each.
// Unlike those of sqlite3_exec, the statements can be closed after a panic has passed
// through them.
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
		if stmt == nil { // no statement is left
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
		// After a statement, sqlite3_exec skips white space. That includes a vertical tab,
		// with which no statement may begin.
		rest = strings.TrimLeft(tail, " \t\n\v\f\r")
	}
	return nil
}

// A result is the result of the last statement. The row ID is 0 if that statement changed
// nothing.
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
	if s.mustWatch() {
		return s.queryWatched(ctx, query, args)
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

// convert converts the arguments of a statement that is about to be executed. If a
// [driver.Valuer] of the program panics, the connection stays usable. With the plain
// driver, database/sql calls the Valuer outside the connection.
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

// bind starts a query with the statement program, or with one of the connection's own if
// program is nil.
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

// bindSimple binds arguments as the plain driver does, if all of them have common types and
// no names. simple reports whether they have; if not, nothing is bound.
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

// kept returns the cached statement for query, or nil. No other call can use the statement
// until it is put back. The cache holds only single statements that read or write rows, so
// the query need not be examined.
func (s *session) kept(ctx context.Context, query string) (*cachedStmt, error) {
	s.checkTxEnd()
	st := s.cache.take(query)
	if st != nil && ctx.Err() != nil {
		s.cache.put(st)
		return nil, sqlite3.INTERRUPT // as if the statement were prepared now
	}
	if st != nil && s.watch != nil {
		s.watch.startCounters(st.base)
	}
	return st, nil
}

// before must be called with every query that is not cached, before it is prepared or
// executed.
func (s *session) before(kind queryKind, query string) {
	if kind == queryOther {
		s.mayLeaveWAL(query)
	}
	s.cache.before(kind, query)
}

// prepare prepares a statement for query. No other call can use the statement until it is
// put back.
func (s *session) prepare(ctx context.Context, kind queryKind, query string) (*cachedStmt, error) {
	s.cache.countMiss(kind)
	s.prepared = true
	if err := s.guardAuthorizer(query); err != nil {
		return nil, err
	}
	base, err := s.baseConn.PrepareContext(ctx, query)
	if err != nil {
		err = s.explain(err)
		s.cache.forget() // SQLite has probably read a changed schema
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

// afterStep must be called after a statement's first step. In that step, SQLite may have
// found that another connection has changed the schema, and have prepared the statement
// again. Then its columns are different, and other cached statements may no longer match
// their queries. Or preparing it again failed, because a table that it uses is gone.
func (s *session) afterStep(st *cachedStmt, err error) {
	n := st.base.Status(sqlite3.STMTSTATUS_REPREPARE, false)
	if n != st.reprepared {
		st.names, st.scans, st.decls, st.reprepared = nil, nil, nil, n
		current := st.age == s.cache.age
		s.cache.forget()
		if current { // it has just been prepared again
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

// cannotPrepare reports whether a statement that has failed could no longer be prepared.
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

// explain adds a hint to an error that a missing key may have caused.
func (s *session) explain(err error) error {
	if s.explainMissingKey == nil {
		return err
	}
	return s.explainMissingKey(err)
}

// checkTxEnd informs the cache when a transaction has ended that changed the schema or had
// savepoints. A call may have ended it, or an error that makes SQLite roll back. Or a
// method ended it that the session does not see.
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

// Ping reads the first page of the file. The plain driver's Ping does not.
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

// Configured implements [wrap.ConfiguredConn]. It returns the pragmas with which the
// connection was opened, in order. It also returns the time taken to apply them and read
// them back.
func (s *session) Configured() ([]string, time.Duration) {
	return s.configured.pragmas, s.configured.took
}

// Sick implements [wrap.SickConn]. It reports whether the connection's file is lost. It
// also returns true if an I/O error may have left SQLite with a wrong view of the file.
func (s *session) Sick(now time.Time) bool {
	if s.locks != nil {
		s.locks.released()
	}
	if s.quotes.rawInUse {
		s.quotes = quotes{}
		// The session has not seen errors of that time. After a failed sync of a journal,
		// SQLite's cache may hold pages that are in no file. The next commit would write
		// pages based on them.
		if s.file != nil && !s.panicked {
			_ = s.baseConn.Raw().ReleaseMemory()
		}
	}
	return s.checkFileIfDue(now) != nil || s.ioFailed
}

// Raw returns SQLite's connection without cached statements and busy handler. The program
// may do anything with it.
func (s *session) Raw() *sqlite3.Conn {
	if s.panicked {
		return s.baseConn.Raw()
	}
	s.cache.forget()
	s.leaveWAL() // the program may leave WAL mode
	s.quotes.rawInUse = true
	return s.busy()
}

// busy returns SQLite's connection with its own busy timeout in place. The program may read
// or change how the connection waits for locks.
func (s *session) busy() *sqlite3.Conn {
	if s.locks != nil {
		s.locks.beforeRaw()
	}
	return s.baseConn.Raw()
}

// Close calls Term once, and then closes the connection even if Term fails. If Term or a
// callback of SQLite panics, the connection is closed by CloseAfterPanic.
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
	s.quotes = quotes{known: true} // SQLite must not be asked any more
	if s.locks != nil {
		s.locks.close()
	}
	s.cache.forget()
	err := s.terminate()
	// An open statement would keep SQLite from closing, and the file open and locked.
	for _, stmt := range slices.Collect(s.baseConn.Raw().Stmts()) {
		stmt.Close()
	}
	err = errors.Join(err, s.closeBase())
	through, s.closed = true, true
	return err
}

// closeBase closes the plain driver's connection, and its file.
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

// terminateIn calls Term while ctx is SQLite's interrupt context.
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

// noStmt is the statement for an empty query. The plain driver's statement for it panics
// when it is used.
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
