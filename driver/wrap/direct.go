package wrap

import (
	"context"
	"database/sql/driver"
)

// This file has the only shortcut around sqlmw. Without interceptors of the program, Exec and
// Query call the tracing interceptor directly. sqlmw would call the same methods, but would
// wrap each result and all rows. That hides methods of rows (Go 1.27's RowsColumnScanner) and
// costs two allocations for each query.
//
// All other calls go through sqlmw, and so do all calls of a connection with interceptors.

func (c *Conn) execute(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.direct {
		return c.spans.ConnExecContext(ctx, c.adapter, query, args)
	}
	return c.chain.ExecContext(ctx, query, args)
}

func (c *Conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.direct {
		_, rows, err := c.spans.ConnQueryContext(ctx, c.adapter, query, args)
		return rows, err
	}
	return c.chain.QueryContext(ctx, query, args)
}

func (s *stmt) execute(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.conn.direct {
		return s.conn.spans.StmtExecContext(ctx, s.inner, s.inner.query, args)
	}
	return s.outer.ExecContext(ctx, args)
}

func (s *stmt) query(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.conn.direct {
		_, rows, err := s.conn.spans.StmtQueryContext(ctx, s.inner, s.inner.query, args)
		return rows, err
	}
	return s.outer.QueryContext(ctx, args)
}
