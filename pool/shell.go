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
	broken         bool  // a panic has passed, and what was leased is gone
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
	defer s.panicked()
	t := s.pool.texts.of(query)
	c, err := s.forExec(ctx, t)
	if err != nil {
		return nil, err
	}
	if t.marks&markJournal != 0 {
		s.pool.beforeJournal(c)
	}
	res, err := c.ExecContext(c.context(ctx, t), query, args)
	s.pool.after(c, t, true)
	s.park()
	return res, err
}

// QueryContext implements [driver.QueryerContext].
func (s *shell) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	defer s.panicked()
	t := s.pool.texts.of(query)
	c, err := s.forQuery(ctx, t)
	if err != nil {
		return nil, err
	}
	if t.marks&markJournal != 0 {
		s.pool.beforeJournal(c)
	}
	rows, err := c.QueryContext(c.context(ctx, t), query, args)
	s.pool.after(c, t, false)
	if !t.begins || err != nil { // else it does once it is asked for a row
		s.park()
	}
	return rows, err
}

// PrepareContext prepares a text where it can be prepared without waiting for
// the writer, for the errors that come of it. What is executed later is the text,
// on the connection that is right then, which keeps its statements.
func (s *shell) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	defer s.panicked()
	t := s.pool.texts.of(query)
	c, err := s.forPrepare(ctx, t)
	if err != nil {
		return nil, err
	}
	prepared, err := c.PrepareContext(c.context(ctx, t), query)
	s.pool.after(c, t, true)
	defer s.park()
	if err != nil {
		return nil, err
	}
	n := prepared.NumInput()
	if err := prepared.Close(); err != nil {
		return nil, err
	}
	return &stmt{shell: s, query: query, inputs: n}, nil
}

// BeginTx begins a transaction: one that only reads on a reader, any other on the
// writer, whose lock it takes at once.
func (s *shell) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	defer s.panicked()
	var c *conn
	err := s.pool.reproach()
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
		s.park()
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
	defer t.end()
	return t.Tx.Commit()
}

func (t *tx) Rollback() error {
	defer t.end()
	return t.Tx.Rollback()
}

// end is deferred, for a panic: database/sql takes the transaction for ended by
// then, and gives nothing back.
func (t *tx) end() {
	t.shell.tx = nil
	t.conn.lease.tx.Store(false)
	t.shell.panicked()
	t.shell.park()
}

// forExec leases what a text that is executed for its effect is to be on.
func (s *shell) forExec(ctx context.Context, t *text) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.reproach(); err != nil {
		return nil, err
	}
	if t.query == "" {
		return s.forRead(ctx) // nothing
	}
	return s.forWrite(ctx)
}

// forQuery leases what a text that is asked for rows is to be on.
func (s *shell) forQuery(ctx context.Context, t *text) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.reproach(); err != nil {
		return nil, err
	}
	switch t.where() {
	case toReader:
		return s.forRead(ctx)
	case toAsk:
		return s.ask(ctx, t)
	}
	return s.forWrite(ctx)
}

// ask has SQLite say whether a text only reads, on a reader, for good.
func (s *shell) ask(ctx context.Context, t *text) (*conn, error) {
	c, err := s.forRead(ctx)
	if err != nil || !c.lane.reads {
		return c, err
	}
	readOnly, err := c.OnlyReads(ctx, t.query)
	switch {
	case err != nil:
		return c, nil // which says it again, to the program
	case readOnly:
		t.route.Store(uint32(toReader))
		return c, nil
	}
	t.route.Store(uint32(toWriter))
	return s.forWrite(ctx)
}

// forPrepare leases what a text is to be prepared on: a reader, unless to prepare
// it is to execute it.
func (s *shell) forPrepare(ctx context.Context, t *text) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.reproach(); err != nil {
		return nil, err
	}
	if !t.preparable {
		return s.forWrite(ctx)
	}
	return s.forRead(ctx)
}

// forRead leases a reader, unless the checkout has the writer, or what is to be
// read may be there alone.
func (s *shell) forRead(ctx context.Context) (*conn, error) {
	switch {
	case s.tx != nil:
		return s.tx, nil
	case s.broken:
		return nil, errBroken
	case s.writer != nil, s.pinned == wrap.LaneWriter, s.pinned == wrap.LaneNone && s.pool.bears():
		return s.forWrite(ctx)
	case s.reader != nil:
		return s.reader.refresh(), nil
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
	return c.refresh(), nil
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
		return s.resume(ctx)
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
	return c, nil
}

// panicked, in a defer, gives back what is leased if a panic has passed through it:
// database/sql does not in most cases, and the lane would be without it for ever.
// What is open on it is the program's to end; then the checkout ends, too.
func (s *shell) panicked() {
	if s.writer != nil && s.writer.Wrapped().Panicked() || s.reader != nil && s.reader.Wrapped().Panicked() {
		s.giveUp()
	}
}

func (s *shell) giveUp() {
	if s.tx != nil {
		return
	}
	for _, c := range []*conn{s.reader, s.writer} {
		if c != nil && c.Wrapped().OpenRows() > 0 {
			return
		}
	}
	s.broken = true
	s.release()
}

var errBroken = errors.New("pool: a panic has passed through this connection: close it")

func (s *shell) giveBack(leased **conn) {
	if c := *leased; c != nil {
		*leased = nil
		c.lane.release(c)
	}
}

// release ends the checkout.
func (s *shell) release() {
	s.tx = nil
	s.giveBack(&s.reader)
	s.giveBack(&s.writer)
}

// Ping reads a page.
func (s *shell) Ping(ctx context.Context) error {
	defer s.panicked()
	c, err := s.forRead(ctx)
	if err != nil {
		return err
	}
	err = c.Ping(c.context(ctx, nil))
	s.park()
	return err
}

// ResetSession implements [driver.SessionResetter]. A shell has no session.
func (s *shell) ResetSession(context.Context) error { return nil }

// IsValid implements [driver.Validator]: database/sql asks when it is given back
// the shell, which is when the lease ends.
func (s *shell) IsValid() bool {
	s.release()
	return !s.broken && !s.pool.Closed()
}

// Close implements [driver.Conn]. database/sql has asked IsValid before that, but
// if a call has said [driver.ErrBadConn], or Raw panicked: what is leased is then
// not to be lent again.
func (s *shell) Close() error {
	for _, c := range []*conn{s.reader, s.writer} {
		if c != nil {
			c.Wrapped().Retire(wrap.ReasonBad)
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
// error; [Pool.Raw] has.
func (s *shell) Raw() *sqlite3.Conn {
	c, err := s.forWrite(context.Background())
	if err != nil {
		panic(err)
	}
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

// A stmt is a statement that the program has prepared: its text, which every
// connection keeps a statement for once it has executed it.
type stmt struct {
	shell  *shell
	query  string
	inputs int
	closed bool
}

var (
	_ driver.StmtExecContext   = &stmt{}
	_ driver.StmtQueryContext  = &stmt{}
	_ driver.NamedValueChecker = &stmt{}
)

var errStmtClosed = errors.New("pool: the statement is closed")

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.closed {
		return nil, errStmtClosed
	}
	return s.shell.ExecContext(ctx, s.query, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.closed {
		return nil, errStmtClosed
	}
	return s.shell.QueryContext(ctx, s.query, args)
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
