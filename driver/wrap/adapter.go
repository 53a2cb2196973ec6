package wrap

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
)

// An adapter gives any connection all the interfaces that sqlmw may call. Where the
// connection lacks one, it does what database/sql does. It does not use sqlmw's own
// fallbacks, because those drop isolation levels and panic without Execer.
//
// It also executes or queries in one call where database/sql would make three: prepare,
// execute and close.
type adapter struct {
	conn   *Conn // the Conn around this adapter
	parent driver.Conn

	// The parent's optional interfaces; nil if it does not implement them.
	direct    DirectConn
	begin     driver.ConnBeginTx
	prepare   driver.ConnPrepareContext
	execCtx   driver.ExecerContext
	exec      driver.Execer
	queryCtx  driver.QueryerContext
	query     driver.Queryer
	pinger    driver.Pinger
	resetter  driver.SessionResetter
	validator driver.Validator
	sick      SickConn

	shaped struct { // the shape of the type of rows that was seen last
		of    reflect.Type
		shape shape
	}

	prepared *innerStmt // by the last PrepareContext, for takePrepared
	tx       innerTx    // the last transaction
}

var _ chain = &adapter{}

func newAdapter(conn *Conn, parent driver.Conn) *adapter {
	a := &adapter{conn: conn, parent: parent}
	a.direct, _ = parent.(DirectConn)
	a.begin, _ = parent.(driver.ConnBeginTx)
	a.prepare, _ = parent.(driver.ConnPrepareContext)
	a.execCtx, _ = parent.(driver.ExecerContext)
	a.exec, _ = parent.(driver.Execer)
	a.queryCtx, _ = parent.(driver.QueryerContext)
	a.query, _ = parent.(driver.Queryer)
	a.pinger, _ = parent.(driver.Pinger)
	a.resetter, _ = parent.(driver.SessionResetter)
	a.validator, _ = parent.(driver.Validator)
	a.sick, _ = parent.(SickConn)
	return a
}

// takePrepared returns the statement that the last PrepareContext made, or nil. The Conn
// needs it because sqlmw's statement cannot convert arguments.
func (a *adapter) takePrepared() *innerStmt {
	s := a.prepared
	a.prepared = nil
	return s
}

// ExecContext executes in one call. It passes ctx to the parent unchanged.
func (a *adapter) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := a.conn.unusable(); err != nil {
		return nil, err
	}
	if a.direct != nil {
		res, err := a.direct.ExecDirect(ctx, query, args)
		return res, a.conn.outcome("Exec", query, err)
	}
	if a.execCtx != nil || a.exec != nil {
		converted, err := convertArgs(a.parent, nil, args)
		if err != nil {
			return nil, err
		}
		res, err := a.execDirect(ctx, query, converted)
		if err != driver.ErrSkip {
			return res, a.conn.outcome("Exec", query, err)
		}
	}

	res, err := a.execOnce(ctx, query, args)
	return res, notSkipped(err)
}

// execOnce prepares, executes and closes the statement, as database/sql does.
func (a *adapter) execOnce(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := a.prepareParent(ctx, query)
	if err != nil {
		return nil, err
	}
	finished := false
	defer closeAfterPanic(stmt, &finished)
	converted, err := convertArgs(a.parent, stmt, args)
	var res driver.Result
	if err == nil {
		res, err = execStmt(ctx, stmt, converted)
		err = a.conn.outcome("Exec", query, err)
	}
	finished = true
	stmt.Close()
	return res, err
}

// closeAfterPanic closes stmt if a panic interrupted its call. Defer it. It hides a panic of
// stmt's Close, because the program sees the first one.
func closeAfterPanic(stmt driver.Stmt, finished *bool) {
	if !*finished {
		shield(func() { stmt.Close() })
	}
}

// notSkipped wraps driver.ErrSkip. To database/sql, an ErrSkip means that the call did
// nothing, so it would do everything again. If the parent's statement returns ErrSkip, the
// program sees that error.
func notSkipped(err error) error {
	if err == driver.ErrSkip {
		return skipped{}
	}
	return err
}

type skipped struct{}

func (skipped) Error() string { return driver.ErrSkip.Error() }
func (skipped) Unwrap() error { return driver.ErrSkip }

func (a *adapter) execDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if a.execCtx != nil {
		return a.execCtx.ExecContext(ctx, query, args)
	}
	values, err := plainArgs(args)
	if err != nil {
		return nil, err
	}
	if err := ctxErr(ctx); err != nil {
		return nil, err
	}
	return a.exec.Exec(query, values)
}

// QueryContext queries in one call. It passes ctx to the parent unchanged.
func (a *adapter) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := a.conn.unusable(); err != nil {
		return nil, err
	}
	if a.direct != nil {
		rows, err := a.direct.QueryDirect(ctx, query, args)
		return a.wrapRows(query, rows, nil, err)
	}
	if a.queryCtx != nil || a.query != nil {
		converted, err := convertArgs(a.parent, nil, args)
		if err != nil {
			return nil, err
		}
		rows, err := a.queryDirect(ctx, query, converted)
		if err != driver.ErrSkip {
			return a.wrapRows(query, rows, nil, err)
		}
	}

	stmt, err := a.prepareParent(ctx, query)
	if err != nil {
		return nil, notSkipped(err)
	}
	finished := false
	defer closeAfterPanic(stmt, &finished)
	converted, err := convertArgs(a.parent, stmt, args)
	if err != nil {
		finished = true
		stmt.Close()
		return nil, notSkipped(err)
	}
	rows, err := queryStmt(ctx, stmt, converted)
	finished = true
	if err != nil {
		stmt.Close()
	}
	return a.wrapRows(query, rows, stmt, notSkipped(err))
}

func (a *adapter) queryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if a.queryCtx != nil {
		return a.queryCtx.QueryContext(ctx, query, args)
	}
	values, err := plainArgs(args)
	if err != nil {
		return nil, err
	}
	if err := ctxErr(ctx); err != nil {
		return nil, err
	}
	return a.query.Query(query, values)
}

// wrapRows returns rows around the parent's, or the error for the program. Closing the rows also
// closes stmt, if that is not nil.
func (a *adapter) wrapRows(query string, parent driver.Rows, stmt driver.Stmt, err error) (driver.Rows, error) {
	if err != nil {
		return nil, a.conn.outcome("Query", query, err)
	}
	a.conn.open.Add(1)
	r := newRows(a.conn, parent, stmt)
	if a.conn.opener.once {
		r.query = query
	}
	return r.shaped, nil
}

// PrepareContext prepares a statement for the program.
func (a *adapter) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := a.conn.unusable(); err != nil {
		return nil, err
	}
	stmt, err := a.prepareParent(ctx, query)
	if err != nil {
		return nil, err
	}
	a.prepared = &innerStmt{adapter: a, parent: stmt, query: query}
	return a.prepared, nil
}

func (a *adapter) prepareParent(ctx context.Context, query string) (driver.Stmt, error) {
	if a.prepare != nil {
		return a.prepare.PrepareContext(ctx, query)
	}
	stmt, err := a.parent.Prepare(query)
	if err == nil {
		if err := ctxErr(ctx); err != nil {
			stmt.Close()
			return nil, err
		}
	}
	return stmt, err
}

// BeginTx begins a transaction.
func (a *adapter) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := a.conn.unusable(); err != nil {
		return nil, err
	}
	tx, err := a.beginTx(ctx, opts)
	if err != nil {
		return tx, err
	}
	a.tx = innerTx{a, tx}
	return &a.tx, nil
}

// An innerTx is the parent's transaction, inside of sqlmw.
type innerTx struct {
	adapter *adapter
	parent  driver.Tx
}

func (tx *innerTx) Commit() error {
	if err := tx.adapter.conn.unusable(); err != nil {
		return err
	}
	return tx.adapter.conn.commitOutcome(tx.parent.Commit())
}

// Rollback reaches the parent even if the connection is lost: it does no harm, and the parent may
// have something to free.
func (tx *innerTx) Rollback() error {
	if tx.adapter.conn.broken {
		return ErrPanicked
	}
	return tx.parent.Rollback()
}

// beginTx begins the parent's transaction. If the parent lacks BeginTx, beginTx refuses
// options that it does not support.
func (a *adapter) beginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if a.begin != nil {
		return a.begin.BeginTx(ctx, opts)
	}
	if sql.IsolationLevel(opts.Isolation) != sql.LevelDefault {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if opts.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	tx, err := a.parent.Begin()
	if err == nil {
		if err := ctxErr(ctx); err != nil {
			tx.Rollback()
			return nil, err
		}
	}
	return tx, err
}

// Ping pings the parent. It is called only if the parent implements Pinger.
func (a *adapter) Ping(ctx context.Context) error {
	if err := a.conn.unusable(); err != nil {
		return err
	}
	return a.pinger.Ping(ctx)
}

// Close closes the parent.
func (a *adapter) Close() error { return a.parent.Close() }

// Prepare implements [driver.Conn]. sqlmw does not call it.
func (a *adapter) Prepare(query string) (driver.Stmt, error) {
	return a.PrepareContext(context.Background(), query)
}

// Begin implements [driver.Conn]. sqlmw does not call it.
func (a *adapter) Begin() (driver.Tx, error) {
	return a.BeginTx(context.Background(), driver.TxOptions{})
}

// ctxErr returns ctx's error if ctx has ended. It does not wait.
func ctxErr(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
		return nil
	}
}
