package cluster

import (
	"context"
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// This file has the methods of a [shell] that database/sql calls.

var (
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
func (s *shell) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	defer s.panicked()
	q := s.pool.query(text)
	c, err := s.forCall(ctx, q, false)
	if err != nil {
		return nil, err
	}
	s.calling = c
	ctx = c.begin(ctx, q)
	res, err := c.wrapped.ExecContext(ctx, text, args)
	c.calls.done()
	c.executed(q)
	s.calling = nil
	return res, err
}

// QueryContext implements [driver.QueryerContext]. Its rows raise a panic of it; see
// [wrap.PanickedRows].
func (s *shell) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (answer driver.Rows, _ error) {
	finished := false
	defer func() {
		s.panicked()
		if !finished {
			if v := recover(); v != nil {
				answer = wrap.PanickedRows(wrap.NewPanicError(v))
			}
		}
	}()
	answer, err := s.queryRows(ctx, text, args)
	finished = true
	return answer, err
}

func (s *shell) queryRows(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	q := s.pool.query(text)
	c, err := s.forCall(ctx, q, s.pool.onlyReads(text))
	if err != nil {
		return nil, err
	}
	s.calling = c
	alone := c.Lease().OpenRows() == 0
	ctx = c.begin(ctx, q)
	rows, err := c.wrapped.QueryContext(ctx, text, args)
	if err == nil {
		c.calls.keepForRows(alone)
	} else {
		c.calls.done()
	}
	c.executed(q)
	s.calling = nil
	return rows, err
}

// PrepareContext prepares the query to get its errors and the number of its arguments. Then it keeps
// the query, not the statement, because each call of the statement may be on another connection.
func (s *shell) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	defer s.panicked()
	q := s.pool.query(text)
	c, err := s.forCall(ctx, q, s.pool.onlyReads(text))
	if err != nil {
		return nil, err
	}
	s.calling = c
	ctx = c.begin(ctx, q)
	prepared, err := c.wrapped.PrepareContext(ctx, text)
	c.calls.done()
	n := 0
	if err == nil {
		n = prepared.NumInput()
		err = prepared.Close()
	}
	s.calling = nil
	if err != nil {
		return nil, err
	}
	st := &stmt{shell: s, text: text, inputs: n}
	st.made.Note()
	return st, nil
}

// BeginTx begins a transaction: a read-only one on a reader, if there are any, and any other on the
// primary. For a *sql.Conn, a panic is returned as an error, because otherwise the Conn could never
// be closed; see [wrap.PanicError].
func (s *shell) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	finished := false
	defer s.panickedOrLost(&finished, &err)
	began, err := s.beginTx(ctx, opts)
	finished = true
	if err != nil {
		return nil, err
	}
	return began, nil
}

func (s *shell) beginTx(ctx context.Context, opts driver.TxOptions) (*tx, error) {
	c, err := s.forTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	s.calling = c
	ctx = c.begin(ctx, s.pool.begin)
	inner, err := c.wrapped.BeginTx(ctx, opts)
	s.calling = nil
	if err != nil {
		c.calls.done()
		return nil, err
	}
	c.calls.keepForTx()
	s.tx, c.readOnly = c, opts.ReadOnly
	c.doing.tx.Store(true)
	return &tx{inner, s, c}, nil
}

// A tx is a transaction. All its calls go to one connection.
type tx struct {
	driver.Tx
	shell *shell
	conn  *conn
}

func (t *tx) Commit() error { return t.end(t.Tx.Commit) }

func (t *tx) Rollback() error { return t.end(t.Tx.Rollback) }

func (t *tx) end(how func() error) error {
	defer func() { // also after a panic: database/sql then regards the transaction as ended
		t.shell.tx = nil
		t.conn.doing.tx.Store(false)
		t.conn.readOnly = false
		t.conn.calls.endTx()
		t.shell.panicked()
	}()
	return how()
}

// Ping implements [driver.Pinger].
func (s *shell) Ping(ctx context.Context) (err error) {
	finished := false
	defer s.panickedOrLost(&finished, &err)
	c, err := s.forCall(ctx, nil, false)
	if err == nil {
		s.calling = c
		err = c.wrapped.Ping(c.begin(ctx, nil))
		c.calls.done()
		s.calling = nil
	}
	finished = true
	return err
}

// ResetSession implements [driver.SessionResetter]. A shell has no session.
func (s *shell) ResetSession(context.Context) error { return nil }

// IsValid implements [driver.Validator]. database/sql calls it when the shell is given back, which
// ends the lease.
func (s *shell) IsValid() bool {
	s.release()
	return !s.broken && !s.pool.Closed()
}

// Close implements [driver.Conn]. database/sql has called IsValid before, unless a call returned
// [driver.ErrBadConn] or Raw panicked. In these cases the leased connections must not be leased
// again.
func (s *shell) Close() error {
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

// CheckNamedValue implements [driver.NamedValueChecker]. It accepts everything. The arguments are
// checked later, by the leased connection.
func (s *shell) CheckNamedValue(*driver.NamedValue) error { return nil }

// Parent returns the driver's connection of the writer, or of the reader for [Pool.Reader], as that
// of [wrap.Conn] does. It may wait like an acquire, and reports an error by a panic. The pool does
// not see what the program does with the connection.
func (s *shell) Parent() driver.Conn {
	c, err := s.forCall(context.Background(), nil, false)
	if err == nil {
		err = c.Stopped()
	}
	if err != nil {
		panic(err)
	}
	c.doing.raw.Store(true)
	return c.wrapped.Parent()
}

// Prepare implements [driver.Conn].
func (s *shell) Prepare(text string) (driver.Stmt, error) {
	return s.PrepareContext(context.Background(), text)
}

// Begin implements [driver.Conn].
//
// Deprecated: use BeginTx.
func (s *shell) Begin() (driver.Tx, error) {
	return s.BeginTx(context.Background(), driver.TxOptions{})
}
