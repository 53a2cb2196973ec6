package fake_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
)

func liars() []liar {
	return slices.Concat(callLiars, rowsLiars, waitingLiars)
}

// callLiars have faults in calls and interfaces of connections.
var callLiars = []liar{
	{
		name:   "BeginTx drops the isolation level",
		conn:   full(func(c fullConn) driver.Conn { return noIsolation{c} }),
		fails:  []string{"interfaces/begin"},
		passes: []string{"interfaces/two transactions at once"},
		says:   "isolation 0",
	},
	{
		name:   "Ping says ErrSkip where there is none",
		conn:   sqlite(func(c sqliteConn) driver.Conn { return skippingPinger{c} }),
		fails:  []string{"interfaces/ping", "interfaces/without a context"},
		passes: []string{"interfaces/begin"},
		says:   "ErrSkip",
	},
	{
		name:   "a query is claimed and skipped, so that arguments are converted twice",
		conn:   sqlite(func(c sqliteConn) driver.Conn { return skippingQueryer{c} }),
		fails:  []string{"arguments/converting themselves"},
		passes: []string{"arguments/none", "interfaces/begin"},
		says:   "Value()",
	},
	{
		name:  "a Validator is hidden",
		conn:  full(func(c fullConn) driver.Conn { return hidingValidator{c} }),
		fails: []string{"faults/db, error at validation", "faults/conn, error at validation"},
	},
	{
		name:   "ErrBadConn is swallowed",
		conn:   full(func(c fullConn) driver.Conn { return noBadConn{c} }),
		fails:  []string{"faults/db, bad connection at direct", "faults/db, bad connection once at direct", "faults/db, bad connection wrapped once at direct"},
		passes: []string{"faults/db, error at direct"},
		says:   "connection lost",
	},
	{
		name:   "errors are wrapped",
		conn:   full(func(c fullConn) driver.Conn { return wrappingErrors{c} }),
		fails:  []string{"faults/db, error at direct", "faults/tx, error once at direct"},
		passes: []string{"faults/db, error at result"},
		says:   "liar: fake: fault",
	},
	{
		name:  "connections are closed twice",
		conn:  full(func(c fullConn) driver.Conn { return closingTwice{c} }),
		fails: []string{"interfaces/raw", "interfaces/pool"},
		says:  "closed 2 times",
	},
	{
		name:   "the context is asked before Prepare only",
		conn:   plain(func(c driver.Conn) driver.Conn { return askingBefore{c} }),
		fails:  []string{"faults/db, cancel and ok at prepare", "faults/stmt, hang at prepare"},
		passes: []string{"faults/db, delay at prepare"},
	},
	{
		name:   "the context is not passed on",
		conn:   full(func(c fullConn) driver.Conn { return withoutCancel{c} }),
		fails:  []string{"faults/db, hang at direct"},
		passes: []string{"interfaces/begin"},
		says:   "took 1m0s",
	},
	{
		name:   "the context is another",
		conn:   full(func(c fullConn) driver.Conn { return derivedContext{c} }),
		fails:  []string{"interfaces/contexts"},
		passes: []string{"interfaces/begin", "faults/db, hang at direct", "interfaces/cancelled before"},
		says:   "another",
	},
	{
		name:   "a statement is not closed",
		conn:   full(func(c fullConn) driver.Conn { return keepingStmt{c} }),
		fails:  []string{"interfaces/without a context", "faults/stmt, error at statement"},
		passes: []string{"interfaces/begin"},
		says:   "statement never closed",
	},
}

type derivedContext struct{ fullConn }

func (c derivedContext) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.fullConn.ExecContext(context.WithValue(ctx, c, "a span"), query, args)
}

type noIsolation struct{ fullConn }

func (c noIsolation) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.fullConn.BeginTx(ctx, driver.TxOptions{ReadOnly: opts.ReadOnly})
}

type skippingPinger struct{ sqliteConn }

func (skippingPinger) Ping(context.Context) error { return driver.ErrSkip }

type skippingQueryer struct{ sqliteConn }

func (skippingQueryer) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return nil, driver.ErrSkip
}

type hidingValidator struct{ validConn }

type noBadConn struct{ fullConn }

func (c noBadConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.fullConn.ExecContext(ctx, query, args)
	if errors.Is(err, driver.ErrBadConn) {
		err = errors.New("liar: connection lost")
	}
	return res, err
}

type wrappingErrors struct{ fullConn }

func (c wrappingErrors) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.fullConn.ExecContext(ctx, query, args)
	if err != nil {
		err = fmt.Errorf("liar: %w", err)
	}
	return res, err
}

type closingTwice struct{ fullConn }

func (c closingTwice) Close() error {
	c.fullConn.Close()
	return c.fullConn.Close()
}

type askingBefore struct{ driver.Conn }

func (c askingBefore) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.Prepare(query)
}

type withoutCancel struct{ fullConn }

func (c withoutCancel) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.fullConn.ExecContext(context.WithoutCancel(ctx), query, args)
}

type keepingStmt struct{ fullConn }

func (c keepingStmt) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return unclosedStmt{stmt}, nil
}

type unclosedStmt struct{ driver.Stmt }

func (unclosedStmt) Close() error { return nil }

type noBegin struct{ fullConn }

func (c noBegin) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return nil, errors.New("liar: no transactions")
}
