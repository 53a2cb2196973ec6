package driver

import (
	"iter"

	"github.com/ncruces/go-sqlite3"
)

// Of the methods that a connection has from *sqlite3.Conn, these change what a
// text means, or show what the connection keeps: it lets go of its statements
// first, so that they do as on the plain driver's connection.

// Exec executes one or more statements.
func (c *conn) Exec(sql string) error { return c.Raw().Exec(sql) }

// Stmts lists the program's own prepared statements.
func (c *conn) Stmts() iter.Seq[*sqlite3.Stmt] { return c.Raw().Stmts() }

// SetAuthorizer has a callback allow or deny what statements do.
func (c *conn) SetAuthorizer(cb func(action sqlite3.AuthorizerActionCode, name3rd, name4th, schema, inner string) sqlite3.AuthorizerReturnCode) error {
	return c.Raw().SetAuthorizer(cb)
}

// Config changes the connection's configuration.
func (c *conn) Config(op sqlite3.DBConfig, arg ...bool) (bool, error) {
	return c.Raw().Config(op, arg...)
}

// Limit changes one of the connection's limits.
func (c *conn) Limit(id sqlite3.LimitCategory, value int) int { return c.Raw().Limit(id, value) }

// Savepoint begins a savepoint. What is rolled back to it is not seen by the
// connection, which keeps no statements until the transaction ends.
func (c *conn) Savepoint() sqlite3.Savepoint {
	c.session.cache.suspended = true
	return c.Raw().Savepoint()
}
