package fake

import (
	"context"
	"database/sql/driver"
	"strings"
)

// A conn is the state that all parts of one connection share.
type conn struct {
	b      *Base
	name   string
	opened *object
}

func (c *conn) call(op string, ctx context.Context, format string, args ...any) error {
	return c.b.Call(c.name, op, ctx, format, args...)
}

// result returns the result of an Exec whose hook returned err.
func (c *conn) result(err error) (driver.Result, error) {
	if err != nil {
		return nil, err
	}
	return result{c}, nil
}

// answer returns the rows of a Query whose hook returned err.
func (c *conn) answer(err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	return c.b.Rows.make(&rows{c: c, sets: max(c.b.Sets, 1), opened: c.b.newObject("rows")}), nil
}

func (c *conn) prepare(query string, err error) (driver.Stmt, error) {
	if err != nil {
		return nil, err
	}
	inputs := strings.Count(query, "?")
	if strings.Contains(query, "*") {
		inputs = -1
	}
	return c.b.Stmt.make(&stmt{c, query, inputs, c.b.newObject("statement")}), nil
}

func (c *conn) begin(err error) (driver.Tx, error) {
	if err != nil {
		return nil, err
	}
	return tx{c}, nil
}

// The parts of connections, one for each interface.
type (
	connCore       struct{ c *conn }
	connExec       struct{ c *conn }
	connExecCtx    struct{ c *conn }
	connQuery      struct{ c *conn }
	connQueryCtx   struct{ c *conn }
	connPrepareCtx struct{ c *conn }
	connBeginTx    struct{ c *conn }
	connPing       struct{ c *conn }
	connReset      struct{ c *conn }
	connValid      struct{ c *conn }
	connCheck      struct{ c *conn }
)

func (p connCore) Prepare(query string) (driver.Stmt, error) {
	return p.c.prepare(query, p.c.call("Prepare", nil, "%s", query))
}

func (p connCore) Begin() (driver.Tx, error) { return p.c.begin(p.c.call("Begin", nil, "")) }

func (p connCore) Close() error {
	p.c.opened.close()
	return p.c.call("Close", nil, "")
}

func (p connExec) Exec(query string, args []driver.Value) (driver.Result, error) {
	return p.c.result(p.c.call("Exec", nil, "%s%s", query, showValues(args)))
}

func (p connExecCtx) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return p.c.result(p.c.call("ExecContext", ctx, "%s%s", query, showArgs(args)))
}

func (p connQuery) Query(query string, args []driver.Value) (driver.Rows, error) {
	return p.c.answer(p.c.call("Query", nil, "%s%s", query, showValues(args)))
}

func (p connQueryCtx) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return p.c.answer(p.c.call("QueryContext", ctx, "%s%s", query, showArgs(args)))
}

func (p connPrepareCtx) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return p.c.prepare(query, p.c.call("PrepareContext", ctx, "%s", query))
}

func (p connBeginTx) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return p.c.begin(p.c.call("BeginTx", ctx, "isolation %d, read-only %t", opts.Isolation, opts.ReadOnly))
}

func (p connPing) Ping(ctx context.Context) error { return p.c.call("Ping", ctx, "") }

func (p connReset) ResetSession(ctx context.Context) error { return p.c.call("ResetSession", ctx, "") }

func (p connValid) IsValid() bool { return p.c.call("IsValid", nil, "") == nil }

func (p connCheck) CheckNamedValue(arg *driver.NamedValue) error {
	if err := p.c.call("CheckNamedValue", nil, "%s", showArg(*arg)); err != nil {
		return err
	}
	return checkSpecial(arg, "connection")
}

// A ConnKind is a set of optional interfaces of a connection.
type ConnKind struct {
	Name string
	make func(*conn) driver.Conn
}

// ConnKinds are all kinds of connections, including those without contexts. "SQLite's" has the
// interfaces of ncruces/go-sqlite3.
var ConnKinds = []ConnKind{
	{"none", func(c *conn) driver.Conn { return connCore{c} }},
	{"Execer", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExec
		}{connCore{c}, connExec{c}}
	}},
	{"Queryer", func(c *conn) driver.Conn {
		return struct {
			connCore
			connQuery
		}{connCore{c}, connQuery{c}}
	}},
	{"Execer+Queryer+Checker", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExec
			connQuery
			connCheck
		}{connCore{c}, connExec{c}, connQuery{c}, connCheck{c}}
	}},
	{"ExecerContext", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExecCtx
		}{connCore{c}, connExecCtx{c}}
	}},
	{"QueryerContext", func(c *conn) driver.Conn {
		return struct {
			connCore
			connQueryCtx
		}{connCore{c}, connQueryCtx{c}}
	}},
	{"ExecerContext+Execer+QueryerContext+Queryer", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExec
			connExecCtx
			connQuery
			connQueryCtx
		}{connCore{c}, connExec{c}, connExecCtx{c}, connQuery{c}, connQueryCtx{c}}
	}},
	{"PrepareContext", func(c *conn) driver.Conn {
		return struct {
			connCore
			connPrepareCtx
		}{connCore{c}, connPrepareCtx{c}}
	}},
	{"BeginTx", func(c *conn) driver.Conn {
		return struct {
			connCore
			connBeginTx
		}{connCore{c}, connBeginTx{c}}
	}},
	{"Pinger", func(c *conn) driver.Conn {
		return struct {
			connCore
			connPing
		}{connCore{c}, connPing{c}}
	}},
	{"Resetter", func(c *conn) driver.Conn {
		return struct {
			connCore
			connReset
		}{connCore{c}, connReset{c}}
	}},
	{"Validator", func(c *conn) driver.Conn {
		return struct {
			connCore
			connValid
		}{connCore{c}, connValid{c}}
	}},
	{"Resetter+Validator", func(c *conn) driver.Conn {
		return struct {
			connCore
			connReset
			connValid
		}{connCore{c}, connReset{c}, connValid{c}}
	}},
	{"Checker", func(c *conn) driver.Conn {
		return struct {
			connCore
			connCheck
		}{connCore{c}, connCheck{c}}
	}},
	{"SQLite's", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExecCtx
			connPrepareCtx
			connBeginTx
			connCheck
		}{connCore{c}, connExecCtx{c}, connPrepareCtx{c}, connBeginTx{c}, connCheck{c}}
	}},
	{"all with contexts", func(c *conn) driver.Conn {
		return struct {
			connCore
			connExecCtx
			connQueryCtx
			connPrepareCtx
			connBeginTx
			connPing
			connReset
			connValid
			connCheck
		}{connCore{c}, connExecCtx{c}, connQueryCtx{c}, connPrepareCtx{c}, connBeginTx{c}, connPing{c}, connReset{c}, connValid{c}, connCheck{c}}
	}},
}

// ConnOf returns the kind of connection with the name. It panics if there is none.
func ConnOf(name string) ConnKind {
	for _, k := range ConnKinds {
		if k.Name == name {
			return k
		}
	}
	panic("there is no kind of connection " + name)
}

// Has reports whether connections of this kind implement I, which is one of the optional
// interfaces of package driver.
func Has[I any](k ConnKind) bool {
	_, has := k.make(nil).(I)
	return has
}

type tx struct{ c *conn }

func (t tx) Commit() error   { return t.c.call("Commit", nil, "") }
func (t tx) Rollback() error { return t.c.call("Rollback", nil, "") }

type result struct{ c *conn }

func (r result) LastInsertId() (int64, error) { return 7, r.c.call("LastInsertId", nil, "") }
func (r result) RowsAffected() (int64, error) { return 8, r.c.call("RowsAffected", nil, "") }
