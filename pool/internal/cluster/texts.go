package cluster

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// RoleFrom returns a function of an engine's package as one for [Engine].
func RoleFrom[R ~struct {
	Primary  bool
	System   string
	Timeline uint64
}](ask func(context.Context, driver.Conn) (R, error)) func(context.Context, driver.Conn) (Role, error) {
	return func(ctx context.Context, c driver.Conn) (Role, error) {
		r, err := ask(ctx, c)
		return Role(r), err
	}
}

// QueryTexts runs a query without arguments on a driver's connection, and returns its only row, which
// must have n columns of texts.
func QueryTexts(ctx context.Context, c driver.Conn, query string, n int) (texts []string, err error) {
	rows, err := queryRows(ctx, c, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if got := len(rows.Columns()); got != n {
		return nil, fmt.Errorf("pool: %q returns %d columns, not %d", query, got, n)
	}
	values := make([]driver.Value, n)
	if err := rows.Next(values); err != nil {
		if err == io.EOF {
			err = fmt.Errorf("pool: %q returns no row", query)
		}
		return nil, err
	}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case []byte:
			texts = append(texts, string(v))
		default:
			return nil, fmt.Errorf("pool: %q returns a %T, not a text", query, v)
		}
	}
	return texts, nil
}

// queryRows runs a query with what the driver has for that, as database/sql does.
func queryRows(ctx context.Context, c driver.Conn, query string) (driver.Rows, error) {
	if q, ok := c.(driver.QueryerContext); ok {
		if rows, err := q.QueryContext(ctx, query, nil); err != driver.ErrSkip {
			return rows, err
		}
	}
	prepare := func() (driver.Stmt, error) { return c.Prepare(query) }
	if p, ok := c.(driver.ConnPrepareContext); ok {
		prepare = func() (driver.Stmt, error) { return p.PrepareContext(ctx, query) }
	}
	st, err := prepare()
	if err != nil {
		return nil, err
	}
	var rows driver.Rows
	if q, ok := st.(driver.StmtQueryContext); ok {
		rows, err = q.QueryContext(ctx, nil)
	} else {
		rows, err = st.Query(nil)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return preparedRows{rows, st}, nil
}

// preparedRows close their statement too.
type preparedRows struct {
	driver.Rows
	stmt driver.Stmt
}

func (r preparedRows) Close() error { return errors.Join(r.Rows.Close(), r.stmt.Close()) }
