package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// This file has the methods of a [shell] that database/sql calls.

var (
	_ sqlitemw.Conn             = &shell{}
	_ sqlite3driver.Conn        = &shell{}
	_ driver.ExecerContext      = &shell{}
	_ driver.QueryerContext     = &shell{}
	_ driver.Pinger             = &shell{}
	_ driver.SessionResetter    = &shell{}
	_ driver.Validator          = &shell{}
	_ driver.NamedValueChecker  = &shell{}
	_ driver.ConnPrepareContext = &shell{}
	_ driver.ConnBeginTx        = &shell{}
)

// ExecContext implements [driver.ExecerContext].
func (s *shell) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, commit, err := s.exec(ctx, query, args, wrap.ExecutedByDB)
	return res, commit.wait(ctx, err)
}

// exec executes a query. If that has committed, it returns what ExecContext waits for. endsUse
// reports whether the call is the last one of its checkout.
func (s *shell) exec(ctx context.Context, query string, args []driver.NamedValue, endsUse func() bool) (_ driver.Result, commit *pendingSync, _ error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	defer s.panicked()
	t := s.pool.routing.queries.Of(query)
	c, err := s.forExec(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	s.calling = c
	if query == "" {
		c.doing.raw.Store(true) // it may be a savepoint, which uses SQLite's connection
	}
	s.pool.beforeQuery(c, t)
	c.sync.byShell = true
	res, err := c.ExecContext(c.context(ctx, t), query, args)
	commit = c.takePending()
	s.pool.afterQuery(c, t, true)
	s.calling = nil
	s.endTimedOutTx(c)
	err = s.explain(c, t, err)
	s.afterCommit(commit, endsUse)
	return res, commit, err
}

// afterCommit lets the next transaction begin after a call. If the call has committed, and the
// checkout ends with it, that ends now, before the wait for the disk.
func (s *shell) afterCommit(commit *pendingSync, endsUse func() bool) {
	if commit == nil || !s.mayEndUse() || !endsUse() {
		s.offerTurn()
		return
	}
	commit.detach(func() { s.giveBack(&s.writer) })
}

// mayEndUse reports whether nothing is open on the writer that the checkout has leased.
func (s *shell) mayEndUse() bool {
	return s.writer != nil && s.tx == nil && s.writer.Lease().OpenRows() == 0
}

// endUse gives back the writer after a commit.
func (s *shell) endUse(commit *pendingSync) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	if s.mayEndUse() {
		commit.detach(func() { s.giveBack(&s.writer) })
	}
}

// QueryContext implements [driver.QueryerContext].
func (s *shell) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return s.queryOrPanic(ctx, query, args, wrap.QueriedByDB)
}

// queryOrPanic executes a query. Its rows raise a panic of it, as in package driver; see
// [wrap.PanickedRows]. endsUse reports whether the checkout ends when they are closed.
func (s *shell) queryOrPanic(ctx context.Context, query string, args []driver.NamedValue, endsUse func() bool) (answer driver.Rows, _ error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer func() {
		s.panicked()
		if !finished {
			if v := recover(); v != nil {
				answer = wrap.PanickedRows(wrap.NewPanicError(v))
			}
		}
	}()
	answer, err := s.query(ctx, query, args, endsUse)
	finished = true
	return answer, err
}

func (s *shell) query(ctx context.Context, query string, args []driver.NamedValue, endsUse func() bool) (driver.Rows, error) {
	t := s.pool.routing.queries.Of(query)
	c, err := s.forQuery(ctx, t)
	if err != nil {
		return nil, err
	}
	s.calling = c
	s.pool.beforeQuery(c, t)
	ctx = c.context(ctx, t)
	c.sync.endsUse = c.sync.defers && !t.Selects && s.tx == nil && endsUse()
	rows, err := c.QueryContext(ctx, query, args)
	s.pool.afterQuery(c, t, false)
	s.calling = nil
	s.endTimedOutTx(c)
	if !t.Begins || err != nil { // a BEGIN is executed later, when its rows are stepped
		s.offerTurnAfterQuery(t)
	}
	return rows, s.explain(c, t, err)
}

// PrepareContext prepares the query on a connection that is available without waiting for the
// writer, to get its errors. Then it keeps the query, not the statement. Each call of the
// statement executes the query on the right connection, which caches its own statements.
func (s *shell) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	defer s.panicked()
	query = s.pool.preparable(query)
	t := s.pool.routing.queries.Of(query)
	c, err := s.forPrepare(ctx, t)
	if err != nil {
		return nil, err
	}
	s.calling = c
	prepared, err := c.PrepareContext(c.context(ctx, t), query)
	s.pool.afterQuery(c, t, true)
	n := 0
	if err == nil {
		n = prepared.NumInput()
		err = prepared.Close()
	}
	s.calling = nil
	s.offerTurn()
	if err != nil {
		return nil, s.explain(c, t, err)
	}
	st := &stmt{shell: s, query: query, inputs: n, byDB: s.pool.plan.sharesSyncs() && wrap.PreparedByDB()}
	st.made.Note()
	return st, nil
}

// preparable returns the part of the query that is prepared. With mattn/go-sqlite3, that is its
// first statement.
func (p *Pool) preparable(query string) string {
	if p.cfg.Compat != sqlitemw.CompatMattn {
		return query
	}
	statements := sqltext.SQLite.Statements(query)
	if st, ok := statements.Next(); ok {
		return query[:st.End]
	}
	return query
}

// BeginTx begins a transaction: a read-only one on a reader, any other on the writer, where it
// takes SQLite's write lock immediately.
//
// For a *sql.Conn, a panic is returned as an error, because otherwise the Conn could never be
// closed; see [wrap.PanicError].
func (s *shell) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer s.panickedOrLost(&finished, &err)
	tx, err := s.begin(ctx, opts)
	finished = true
	return tx, err
}

// toBegin is what a transaction waits for.
const toBegin = summary("BEGIN")

// A summary is that of a query. It implements [core.Summarizer].
type summary string

func (s summary) Summary() string { return string(s) }

func (s *shell) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	var c *conn
	err := s.pool.takeDirtyErr()
	if err != nil {
		return nil, err
	}
	if opts.ReadOnly && sql.IsolationLevel(opts.Isolation) == sql.LevelDefault && !s.pool.routing.left.Load().All() {
		c, err = s.forRead(ctx, toBegin)
	} else {
		c, err = s.forWrite(ctx, toBegin)
	}
	if err != nil {
		return nil, err
	}
	inner, err := c.BeginTx(c.context(ctx, nil), opts)
	if err != nil {
		s.offerTurn()
		return nil, err
	}
	s.tx = c
	c.doing.tx.Store(true)
	return &tx{inner, s, c, ctx, c.sync.file != nil && !c.reads && wrap.BegunByDB()}, nil
}

// A tx is a transaction. All its calls go to one connection.
type tx struct {
	driver.Tx
	shell   *shell
	conn    *conn
	ctx     context.Context // of its begin
	endsUse bool            // its end ends the checkout; false if unknown
}

func (t *tx) Commit() error { return t.end(t.Tx.Commit) }

func (t *tx) Rollback() error { return t.end(t.Tx.Rollback) }

func (t *tx) end(how func() error) error {
	commit, err := t.endWithoutWait(how)
	return commit.wait(t.ctx, err)
}

func (t *tx) endWithoutWait(how func() error) (commit *pendingSync, err error) {
	t.shell.callMu.Lock()
	defer t.shell.callMu.Unlock()
	defer func() { t.ended(commit) }()
	t.conn.deferCommit()
	err = how()
	return t.conn.takePending(), err
}

// ended is deferred, so that it runs after a panic too. By then database/sql regards the
// transaction as ended, and gives nothing back.
func (t *tx) ended(commit *pendingSync) {
	t.shell.tx = nil
	t.conn.doing.tx.Store(false)
	t.shell.panicked()
	if !t.shell.broken {
		t.shell.pool.afterCall(t.conn)
	}
	t.shell.afterCommit(commit, func() bool { return t.endsUse })
}

// forExec leases the connection for an Exec.
func (s *shell) forExec(ctx context.Context, t *route.Query) (*conn, error) {
	if s.tx != nil {
		return s.tx, s.mayUse(t)
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if t.Text == "" {
		return s.forRead(ctx, nil) // there is nothing to execute
	}
	return s.forWriteOf(ctx, t)
}

// forQuery leases the connection for a Query.
func (s *shell) forQuery(ctx context.Context, t *route.Query) (*conn, error) {
	if s.tx != nil {
		return s.tx, s.mayUse(t)
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if t.Route == route.ToWriter {
		return s.forWriteOf(ctx, t)
	}
	return s.routeBySQLite(ctx, t)
}

// Ping reads a page.
func (s *shell) Ping(ctx context.Context) (err error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer s.panickedOrLost(&finished, &err)
	c, err := s.forRead(ctx, nil)
	if err == nil {
		err = c.Ping(c.context(ctx, nil))
		s.pool.afterCall(c)
		s.offerTurn()
	}
	finished = true
	return err
}

// ResetSession implements [driver.SessionResetter]. A shell has no session.
func (s *shell) ResetSession(context.Context) error { return nil }

// IsValid implements [driver.Validator]. database/sql calls it when the shell is given back,
// which ends the lease.
//
// On a goroutine of database/sql, the pool recovers and reports a panic of a hook.
func (s *shell) IsValid() bool {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer func() {
		if !finished && wrap.OnOwnGoroutine() {
			if v := recover(); v != nil {
				_ = s.pool.guard.RecordPanic(s.pool.places.afterRelease, v)
			}
		}
	}()
	s.release()
	finished = true
	return !s.broken && !s.pool.Closed()
}

// Close implements [driver.Conn]. database/sql has called IsValid before, unless a call
// returned [driver.ErrBadConn] or Raw panicked. In these cases the leased connections must not
// be leased again.
func (s *shell) Close() error {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	for _, c := range []*conn{s.reader, s.writer} {
		if c != nil {
			c.Lease().Retire(wrap.ReasonBad)
			if wrap.InPanicOfRaw() {
				c.Lease().Break()
			}
		}
	}
	s.release()
	return nil
}

// CheckNamedValue implements [driver.NamedValueChecker]. It accepts everything, as the physical
// connection does. The arguments are checked later, with their statement.
func (s *shell) CheckNamedValue(*driver.NamedValue) error { return nil }

// Raw returns SQLite's connection of the writer, because the program may do anything with it.
// What it leaves on the connection is session state. Raw may wait like an acquire. It reports an error by a panic, with the error of the acquire or a
// [*TimeLimitError]; [Pool.Raw] returns its error.
func (s *shell) Raw() *sqlite3.Conn {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	c, err := s.forWrite(context.Background(), nil)
	if err == nil {
		err = c.Stopped()
	}
	if err == nil {
		err = c.waitForAll(context.Background())
	}
	if err != nil {
		panic(err)
	}
	c.doing.raw.Store(true)
	s.pool.beforeRaw(c)
	return c.Raw()
}

// ID returns the ID of the leased connection, or 0.
func (s *shell) ID() sqlitemw.ConnID {
	switch {
	case s.writer != nil:
		return s.writer.ID()
	case s.reader != nil:
		return s.reader.ID()
	}
	return 0
}

// Prepare implements [driver.Conn].
func (s *shell) Prepare(query string) (driver.Stmt, error) {
	return s.PrepareContext(context.Background(), query)
}

// Begin implements [driver.Conn].
//
// Deprecated: use BeginTx.
func (s *shell) Begin() (driver.Tx, error) {
	return s.BeginTx(context.Background(), driver.TxOptions{})
}

// A stmt is a prepared statement of the program. It holds only the query. Each connection that
// executes the query caches a statement of its own.
type stmt struct {
	shell  *shell
	query  string
	inputs int
	closed bool
	byDB   bool         // a *sql.DB has prepared it; false if unknown
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
	res, commit, err := s.shell.exec(ctx, s.query, args, s.endsUse)
	finished = true
	return res, commit.wait(ctx, err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.closed {
		return nil, errStmtClosed
	}
	return s.shell.queryOrPanic(ctx, s.query, args, s.endsUse)
}

// endsUse reports whether a call of the statement, outside of a transaction, is the last one of its
// checkout.
func (s *stmt) endsUse() bool { return s.byDB }

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
