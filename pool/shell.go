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

// A shell is what database/sql takes for a connection. It leases one from the
// pool when it is first asked for something, and gives it back when database/sql
// gives back the shell: from then on it costs nothing to keep.
//
// What a checkout asks first decides its lane; once it has had the writer, it
// stays there until it ends, for it may ask for what only that connection knows.
type shell struct {
	pool   *Pool
	pinned wrap.Lane // of Reader and Writer; empty for one that is routed

	writer, reader *conn // leased, or nil
	tx             *conn // that a transaction is on, or nil
	calling        *conn // by the call under way, or by one through which a panic passed
	broken         bool  // a panic has passed, and what it passed through is gone

	// hands are in use while something is asked of what is leased, lest the pool takes
	// it away meanwhile. database/sql asks one thing at a time.
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
		c.rawLent = true // it may be a savepoint, which is SQLite's own
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

// QueryContext implements [driver.QueryerContext]. A panic comes from its rows, as
// with package driver's; see [wrap.PanickedRows].
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
	if !t.begins || err != nil { // else it does once it is asked for a row
		s.offerTurn()
	}
	return rows, err
}

// PrepareContext prepares a text where it can be prepared without waiting for
// the writer, for the errors that come of it. What is executed later is the text,
// on the connection that is right then, which keeps its statements.
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

// preparable returns what of a text is prepared: with mattn/go-sqlite3, its first statement.
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

// BeginTx begins a transaction: one that only reads on a reader, any other on the
// writer, whose lock it takes at once.
//
// Of a *sql.Conn, which could not be closed any more, a panic is an error; see
// [wrap.PanicError].
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
	c.lease.tx.Store(true)
	return &tx{inner, s, c}, nil
}

// A tx is a transaction, to whose connection all its calls go.
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

// end is deferred, for a panic: database/sql takes the transaction for ended by
// then, and gives nothing back.
func (t *tx) end() {
	t.shell.tx = nil
	t.conn.lease.tx.Store(false)
	t.shell.panicked()
	t.shell.offerTurn()
}

// forExec leases what a text that is executed for its effect is to be on.
func (s *shell) forExec(ctx context.Context, t *parsedQuery) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if t.query == "" {
		return s.forRead(ctx) // nothing
	}
	return s.forWrite(ctx)
}

// forQuery leases what a text that is asked for rows is to be on.
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

// forRead leases a reader, unless the checkout has the writer, or what is to be
// read may be there alone.
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
	if !lane.reads {
		return s.forWrite(ctx)
	}
	c, err := lane.acquire(ctx)
	if err != nil {
		return nil, err
	}
	s.reader = c
	c.shell.Store(s)
	return s.refreshSchema(c), nil
}

// forWrite leases the writer. A reader that the checkout has is given back first,
// so that nobody who waits for one waits for who waits for the writer, unless
// rows of its are open.
func (s *shell) forWrite(ctx context.Context) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil:
		return s.reclaimTurn(ctx)
	case s.pinned == wrap.LaneReader && s.pool.forReaders().reads:
		return s.forRead(ctx)
	}
	if s.reader != nil && s.reader.Wrapped().OpenRows() == 0 {
		s.giveBack(&s.reader)
	}
	c, err := s.pool.writer.acquire(ctx)
	if err != nil {
		return nil, err
	}
	s.writer = c
	c.shell.Store(s)
	return c, nil
}

// refresh is conn.refresh for the call under way.
func (s *shell) refreshSchema(c *conn) *conn {
	s.calling = c
	c.refreshSchema()
	s.calling = nil
	return c
}

// panicked, in a defer and when a connection has ended, gives back what a panic has
// passed through: database/sql does not in most cases, and the lane would be
// without it for ever. So it does with whatever else is leased and not in use by
// rows or a transaction, which may go on. Then the checkout is of no more use.
//
// A second panic, of a hook that is called when a connection is given back, is the
// pool's to tell of: the program sees the first.
func (s *shell) panicked() {
	if c := s.calling; c != nil {
		s.calling = nil
		if !c.Wrapped().Spared() {
			c.Wrapped().Break()
		}
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c.Wrapped().Ended() {
			s.broken = true
			s.pool.recoverPanics(placeAfterRelease, func() { s.giveBack(leased) })
		}
	}
	if !s.broken {
		return
	}
	for _, leased := range []**conn{&s.reader, &s.writer} {
		if c := *leased; c != nil && c != s.tx && c.Wrapped().OpenRows() == 0 {
			s.pool.recoverPanics(placeAfterRelease, func() { s.giveBack(leased) })
		}
	}
}

// panickedOrLost is panicked for calls after whose panic database/sql would keep a lock
// for ever: there, the panic is an error.
func (s *shell) panickedOrLost(finished *bool, err *error) {
	s.panicked()
	if *finished || !wrap.Lost() {
		return
	}
	if v := recover(); v != nil {
		*err = wrap.NewPanicError(v)
	}
}

// errBroken is what a checkout answers after a panic, which would lease another
// connection.
var errBroken = fmt.Errorf("pool: %w", wrap.ErrPanicked)

func (s *shell) giveBack(leased **conn) {
	if c := *leased; c != nil {
		*leased = nil
		c.shell.Store(nil)
		c.lane.release(c)
	}
}

// release ends the checkout.
func (s *shell) release() {
	s.tx = nil
	defer s.giveBack(&s.writer) // deferred, for a panic in a hook
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

// IsValid implements [driver.Validator]: database/sql asks when it is given back
// the shell, which is when the lease ends.
//
// On database/sql's own goroutines, a panic of a hook is the pool's to tell of.
func (s *shell) IsValid() bool {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	finished := false
	defer func() {
		if !finished && wrap.OnOwnGoroutine() {
			if v := recover(); v != nil {
				_ = s.pool.guard.recordPanic(placeAfterRelease, "", v)
			}
		}
	}()
	s.release()
	finished = true
	return !s.broken && !s.pool.Closed()
}

// Close implements [driver.Conn]. database/sql has asked IsValid before that, but
// if a call has said [driver.ErrBadConn], or Raw panicked: what is leased is then
// not to be lent again.
func (s *shell) Close() error {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	for _, c := range []*conn{s.reader, s.writer} {
		if c != nil {
			c.Wrapped().Retire(wrap.ReasonBad)
			if wrap.InPanicOfRaw() {
				c.Wrapped().Break()
			}
		}
	}
	s.release()
	return nil
}

// CheckNamedValue implements [driver.NamedValueChecker]. It accepts everything,
// as the physical connection's does: arguments are checked once it is known what
// they are for.
func (s *shell) CheckNamedValue(*driver.NamedValue) error { return nil }

// Raw returns SQLite's connection: the writer's, for the program may do anything
// to it. From then on, queries go there, where they see what it has done. Raw can
// wait as an acquire can, and has no other way to fail than to panic with its
// error, or a [*TimeLimitError]; [Pool.Raw] has.
func (s *shell) Raw() *sqlite3.Conn {
	s.callMu.Lock()
	defer s.callMu.Unlock()
	c, err := s.forWrite(context.Background())
	if err == nil && c.stopped.Load() != nil {
		err = *c.stopped.Load()
	}
	if err != nil {
		panic(err)
	}
	c.rawLent = true
	s.pool.mark(c, markRaw, "Raw")
	return c.Raw()
}

// ID returns the name of the connection that is leased, or 0.
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
