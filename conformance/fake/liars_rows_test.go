package fake_test

import (
	"context"
	"database/sql/driver"
	"io"
)

// rowsLiars have faults in rows. Go 1.27 adds one more.
var rowsLiars = []liar{
	{
		name:   "further result sets are hidden",
		conn:   full(func(c fullConn) driver.Conn { return hidingRows{c} }),
		fails:  []string{"interfaces/two result sets", "interfaces/skipped to the next set"},
		passes: []string{"interfaces/begin"},
	},
	{
		name: "rows end early when they fail",
		conn: full(func(c fullConn) driver.Conn { return endingRows{c} }),
		fails: []string{
			"faults/db, error at next", "faults/conn, bad connection wrapped at next", "interfaces/rows.Next failing the second time",
		},
		passes: []string{"faults/db, delay at next"},
	},
}

type hidingRows struct{ fullConn }

func (c hidingRows) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	if _, ok := rows.(driver.RowsNextResultSet); ok {
		return struct{ driver.Rows }{rows}, nil
	}
	return rows, err
}

type endingRows struct{ fullConn }

func (c endingRows) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	if typed, ok := asTyped(rows); ok {
		return tidyRows{typed}, nil
	}
	return rows, err
}

// typedRows are rows like those of ncruces/go-sqlite3.
type typedRows interface {
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypeScanType
}

// asTyped returns rows that have only those interfaces, as far as Go 1.26 knows.
func asTyped(rows driver.Rows) (typedRows, bool) {
	if _, ok := rows.(driver.RowsNextResultSet); ok {
		return nil, false
	}
	typed, ok := rows.(typedRows)
	return typed, ok
}

type tidyRows struct{ typedRows }

func (r tidyRows) Next(dest []driver.Value) error {
	if err := r.typedRows.Next(dest); err != nil {
		return io.EOF
	}
	return nil
}
