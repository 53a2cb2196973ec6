package driver

import (
	"context"
	"database/sql/driver"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Conn is the connection that (*sql.Conn).Raw passes to its function. It also implements
// ncruces' driver.Conn.
type Conn interface {
	sqlite3driver.Conn

	// ID returns the connection's ID in events and spans.
	ID() ConnID
}

// conn is the connection that database/sql and programs see. It combines the methods of
// *sqlite3.Conn, as the plain driver's connection has them, with the driver methods of
// package wrap.
type conn struct {
	*sqlite3.Conn
	w       *wrap.Conn
	session *session
}

var (
	_ Conn                     = &conn{}
	_ driver.ExecerContext     = &conn{}
	_ driver.QueryerContext    = &conn{}
	_ driver.Pinger            = &conn{}
	_ driver.SessionResetter   = &conn{}
	_ driver.Validator         = &conn{}
	_ driver.NamedValueChecker = &conn{}
)

func newConn(w *wrap.Conn) *conn {
	var s *session
	switch parent := w.Parent().(type) {
	case *session:
		s = parent
	case watchedSession:
		s = parent.session
		s.locks.open(w.ID())
	}
	return &conn{Conn: s.baseConn.Raw(), w: w, session: s}
}

// Raw returns SQLite's connection. The caller must not close or retain it.
func (c *conn) Raw() *sqlite3.Conn { return c.session.Raw() }

func (c *conn) ID() ConnID { return c.w.ID() }

func (c *conn) Prepare(query string) (driver.Stmt, error) { return c.w.Prepare(query) }

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.w.PrepareContext(ctx, query)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.w.ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.w.QueryContext(ctx, query, args)
}

// Deprecated: use BeginTx.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.w.BeginTx(ctx, opts)
}

func (c *conn) CheckNamedValue(arg *driver.NamedValue) error { return c.w.CheckNamedValue(arg) }

func (c *conn) Ping(ctx context.Context) error { return c.w.Ping(ctx) }

func (c *conn) ResetSession(ctx context.Context) error { return c.w.ResetSession(ctx) }

func (c *conn) IsValid() bool { return c.w.IsValid() }

func (c *conn) Close() error { return c.w.Close() }
