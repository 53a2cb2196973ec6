package driver

import (
	"context"
	"iter"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A connection has the methods of *sqlite3.Conn. Those in this file change what a query
// means, show the connection's cached statements, or use the busy timeout. They first drop
// the cached statements, or restore the busy timeout, so that they work as on the plain
// driver's connection.

// Exec executes one or more statements.
func (c *conn) Exec(sql string) error { return c.Raw().Exec(sql) }

// Stmts lists the program's own prepared statements.
func (c *conn) Stmts() iter.Seq[*sqlite3.Stmt] { return c.Raw().Stmts() }

// SetAuthorizer sets a callback that allows or denies what statements do.
func (c *conn) SetAuthorizer(cb func(action sqlite3.AuthorizerActionCode, name3rd, name4th, schema, inner string) sqlite3.AuthorizerReturnCode) error {
	return c.Raw().SetAuthorizer(cb)
}

// Config changes the connection's configuration.
func (c *conn) Config(op sqlite3.DBConfig, arg ...bool) (bool, error) {
	return c.Raw().Config(op, arg...)
}

// Limit changes one of the connection's limits.
func (c *conn) Limit(id sqlite3.LimitCategory, value int) int { return c.Raw().Limit(id, value) }

// Restore copies another database into one of the connection's databases.
func (c *conn) Restore(dstDB, srcURI string) error { return c.Raw().Restore(dstDB, srcURI) }

// CreateFunction defines, redefines or removes a function.
func (c *conn) CreateFunction(name string, nArg int, flag sqlite3.FunctionFlag, fn sqlite3.ScalarFunction) error {
	return c.Raw().CreateFunction(name, nArg, flag, fn)
}

// CreateAggregateFunction defines, redefines or removes an aggregate function.
func (c *conn) CreateAggregateFunction(name string, nArg int, flag sqlite3.FunctionFlag, fn sqlite3.AggregateSeqFunction) error {
	return c.Raw().CreateAggregateFunction(name, nArg, flag, fn)
}

// CreateWindowFunction defines, redefines or removes a window function.
func (c *conn) CreateWindowFunction(name string, nArg int, flag sqlite3.FunctionFlag, fn sqlite3.AggregateConstructor) error {
	return c.Raw().CreateWindowFunction(name, nArg, flag, fn)
}

// OverloadFunction creates a function that virtual tables can overload.
func (c *conn) OverloadFunction(name string, nArg int) error {
	return c.Raw().OverloadFunction(name, nArg)
}

// CreateCollation defines, redefines or removes a collating sequence.
func (c *conn) CreateCollation(name string, fn sqlite3.CollatingFunction) error {
	return c.Raw().CreateCollation(name, fn)
}

// BusyTimeout sets how long SQLite waits for a lock.
func (c *conn) BusyTimeout(timeout time.Duration) error { return c.session.busy().BusyTimeout(timeout) }

// BusyHandler sets or removes a callback that decides whether SQLite keeps waiting for a
// lock.
func (c *conn) BusyHandler(cb func(ctx context.Context, count int) (retry bool)) error {
	return c.session.busy().BusyHandler(cb)
}

// Savepoint starts a savepoint. The connection does not see a rollback to it, so it uses no
// cached statements until the transaction ends.
func (c *conn) Savepoint() sqlite3.Savepoint {
	raw := c.Raw()
	c.session.cache.suspended = true
	return raw.Savepoint()
}
