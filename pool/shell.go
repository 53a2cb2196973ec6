package pool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A shell is a connection as database/sql sees it. It leases a connection from the pool when it
// first needs one, and gives it back when database/sql gives back the shell. An idle shell
// costs nothing.
//
// The first request of a checkout decides its lane. Once the checkout has leased the writer, it
// keeps it until the end, because later queries may depend on that connection.
type shell struct {
	pool   *Pool
	pinned wrap.Lane // the lane of Reader or Writer; LaneNone for DB

	writer, reader *conn // leased connections, or nil
	tx             *conn // connection of the open transaction, or nil
	calling        *conn // connection of the running call, or of a call that has panicked
	broken         bool  // a panic has passed, and its connection has been given back

	// callMu is held during calls on the leased connections. So the pool does not take a
	// connection away during a call. database/sql makes one call at a time.
	callMu sync.Mutex
}

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
	s.callMu.Lock()
	defer s.callMu.Unlock()
	defer s.panicked()
	t := s.pool.queries.of(query)
	c, err := s.forExec(ctx, t)
	if err != nil {
		return nil, err
	}
	s.calling = c
	if query == "" {
		c.rawLent = true // it may be a savepoint, which uses SQLite's connection
	}
	if t.marks&markJournal != 0 {
		s.pool.beforeJournal(c)
	}
	res, err := c.ExecContext(c.context(ctx, t), query, args)
	s.pool.afterQuery(c, t, true)
	s.calling = nil
	s.endTimedOutTx(c)
	s.offerTurn()
	return res, err
}

// QueryContext implements [driver.QueryerContext]. A panic of the query is raised by its rows,
// as in package driver; see [wrap.PanickedRows].
func (s *shell) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (answer driver.Rows, _ error) {
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
	answer, err := s.query(ctx, query, args)
	finished = true
	return answer, err
}

func (s *shell) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	t := s.pool.queries.of(query)
	c, err := s.forQuery(ctx, t)
	if err != nil {
		return nil, err
	}
	s.calling = c
	if t.marks&markJournal != 0 {
		s.pool.beforeJournal(c)
	}
	rows, err := c.QueryContext(c.context(ctx, t), query, args)
	s.pool.afterQuery(c, t, false)
	s.calling = nil
	s.endTimedOutTx(c)
	if !t.begins || err != nil { // a BEGIN is executed later, when its rows are stepped
		s.offerTurn()
	}
	return rows, err
}

// PrepareContext prepares the query on a connection that is available without waiting for the
// writer, to get its errors. Then it keeps the query, not the statement. Each call of the
// statement executes the query on the right connection, which caches its own statements.
func (s *shell) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	defer s.panicked()
	query = s.pool.preparable(query)
	t := s.pool.queries.of(query)
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
		return nil, err
	}
	st := &stmt{shell: s, query: query, inputs: n}
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

func (s *shell) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	var c *conn
	err := s.pool.takeDirtyErr()
	if err != nil {
		return nil, err
	}
	if opts.ReadOnly && sql.IsolationLevel(opts.Isolation) == sql.LevelDefault {
		c, err = s.forRead(ctx)
	} else {
		c, err = s.forWrite(ctx)
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
	return &tx{inner, s, c}, nil
}

// A tx is a transaction. All its calls go to one connection.
type tx struct {
	driver.Tx
	shell *shell
	conn  *conn
}

func (t *tx) Commit() error {
	t.shell.callMu.Lock()
	defer t.shell.callMu.Unlock()
	defer t.end()
	return t.Tx.Commit()
}

func (t *tx) Rollback() error {
	t.shell.callMu.Lock()
	defer t.shell.callMu.Unlock()
	defer t.end()
	return t.Tx.Rollback()
}

// end is deferred, so that it runs after a panic too. By then database/sql regards the
// transaction as ended, and gives nothing back.
func (t *tx) end() {
	t.shell.tx = nil
	t.conn.doing.tx.Store(false)
	t.shell.panicked()
	t.shell.offerTurn()
}

// forExec leases the connection for an Exec.
func (s *shell) forExec(ctx context.Context, t *parsedQuery) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if t.query == "" {
		return s.forRead(ctx) // there is nothing to execute
	}
	return s.forWrite(ctx)
}

// forQuery leases the connection for a Query.
func (s *shell) forQuery(ctx context.Context, t *parsedQuery) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if t.route == toWriter {
		return s.forWrite(ctx)
	}
	return s.routeBySQLite(ctx, t)
}

// forRead leases a reader. It uses the writer instead if the checkout has leased it, or if the
// query may depend on session state.
func (s *shell) forRead(ctx context.Context) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil, s.pinned == wrap.LaneWriter, s.pinned == wrap.LaneNone && s.pool.pinnedToWriter():
		return s.forWrite(ctx)
	case s.reader != nil:
		return s.refreshSchema(s.reader), nil
	}
	lane := s.pool.forReaders()
	if !lane.Reads() {
		return s.forWrite(ctx)
	}
	c, err := leased(lane.Acquire(ctx))
	if err != nil {
		return nil, err
	}
	s.reader = c
	c.shell.Store(s)
	return s.refreshSchema(c), nil
}

// forWrite leases the writer. First it gives back the checkout's reader, unless that has open
// rows. Otherwise callers that wait for a reader would also wait for the writer.
func (s *shell) forWrite(ctx context.Context) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil:
		return s.reclaimTurn(ctx)
	case s.pinned == wrap.LaneReader && s.pool.forReaders().Reads():
		return s.forRead(ctx)
	}
	if s.reader != nil && s.reader.Lease().OpenRows() == 0 {
		s.giveBack(&s.reader)
	}
	c, err := leased(s.pool.lanes.writer.Acquire(ctx))
	if err != nil {
		return nil, err
	}
	s.writer = c
	c.shell.Store(s)
	return c, nil
}

// refreshSchema calls conn.refreshSchema as part of the running call.
func (s *shell) refreshSchema(c *conn) *conn {
	s.calling = c
	c.refreshSchema()
	s.calling = nil
	return c
}

// panicked gives back the connections that a panic has passed through. It is deferred by calls,
// and called when a connection has ended. In most cases database/sql does not give them back,
// and the lane would lose them forever.
//
// It also gives back the other leased connection, unless that has open rows or a transaction,
// which may go on. After that, the checkout fails every call.
//
// If a hook panics too when the connection is given back, the pool reports that panic. The
// program sees the first one.
func (s *shell) panicked() {
	if c := s.calling; c != nil {
		s.calling = nil
		if !c.Lease().Spared() {
			c.Lease().Break()
		}
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c.Lease().Ended() {
			s.broken = true
			s.pool.recoverPanics(s.pool.places.afterRelease, func() { s.giveBack(leased) })
		}
	}
	if !s.broken {
		return
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c != s.tx && c.Lease().OpenRows() == 0 {
			s.pool.recoverPanics(s.pool.places.afterRelease, func() { s.giveBack(leased) })
		}
	}
}

// panickedOrLost is panicked for calls whose panic would make database/sql keep a lock forever.
// It returns such a panic as an error.
func (s *shell) panickedOrLost(finished *bool, err *error) {
	s.panicked()
	if *finished || !wrap.Lost() {
		return
	}
	if v := recover(); v != nil {
		*err = wrap.NewPanicError(v)
	}
}

// errBroken is the error of a checkout after a panic, when a call would lease another
// connection.
var errBroken = fmt.Errorf("pool: %w", wrap.ErrPanicked)

func (s *shell) giveBack(leased **conn) {
	if c := *leased; c != nil {
		*leased = nil
		c.shell.Store(nil)
		c.release()
	}
}

// release ends the checkout.
func (s *shell) release() {
	s.tx = nil
	defer s.giveBack(&s.writer) // also if a hook panics
	s.giveBack(&s.reader)
}

// Ping reads a page.
func (s *shell) Ping(ctx context.Context) (err error) {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer s.panickedOrLost(&finished, &err)
	c, err := s.forRead(ctx)
	if err == nil {
		err = c.Ping(c.context(ctx, nil))
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
// From then on, queries go to the writer, where they see what the program has done. Raw may
// wait like an acquire. It reports an error by a panic, with the error of the acquire or a
// [*TimeLimitError]; [Pool.Raw] returns its error.
func (s *shell) Raw() *sqlite3.Conn {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	c, err := s.forWrite(context.Background())
	if err == nil {
		err = c.Stopped()
	}
	if err != nil {
		panic(err)
	}
	c.rawLent = true
	s.pool.mark(c, markRaw, "Raw")
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
