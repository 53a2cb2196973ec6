//go:build go1.27

package fake_test

import (
	"context"
	"database/sql/driver"
)

func init() {
	rowsLiars = append(rowsLiars, liar{
		name:   "that rows scan columns themselves is hidden",
		conn:   full(func(c fullConn) driver.Conn { return hidingScanner{c} }),
		fails:  []string{"interfaces/scanned in all ways", "interfaces/rows.ScanColumn failing"},
		passes: []string{"interfaces/begin", "faults/db, error at next"},
	})
}

type hidingScanner struct{ fullConn }

func (c hidingScanner) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	if _, ok := rows.(driver.RowsColumnScanner); ok {
		return struct{ driver.Rows }{rows}, nil
	}
	return rows, err
}
