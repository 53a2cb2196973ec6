//go:build go1.27

package driver

import (
	"database/sql/driver"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// baseScanner has the methods of the plain driver's rows that exist only since Go 1.27.
type baseScanner interface{ driver.RowsColumnScanner }

var (
	_ driver.RowsColumnScanner = &rows{}
	_ wrap.RowsDelegate        = &rows{}
)

// Delegate implements [wrap.RowsDelegate].
func (r *rows) Delegate() driver.Rows {
	if !r.direct {
		return nil
	}
	return r.base
}

// NextRow implements [driver.RowsColumnScanner].
func (r *rows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *rows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	if !r.baseReady {
		if r.scan(i, dest) {
			return nil
		}
		r.loadColumns()
	}
	return r.base.ScanColumn(ctx, i, dest)
}

// scan scans the most common types, whose conversion does not depend on the column's
// declared type. It saves loading the columns in the plain driver's rows. It reports
// whether it has set dest.
func (r *rows) scan(i int, dest any) bool {
	st := r.cached.base
	switch d := dest.(type) {
	case *string:
		if st.ColumnType(i) == sqlite3.TEXT {
			*d = st.ColumnText(i)
			return true
		}
	case *int64:
		if st.ColumnType(i) == sqlite3.INTEGER {
			*d = st.ColumnInt64(i)
			return true
		}
	case *int:
		if st.ColumnType(i) == sqlite3.INTEGER {
			n := st.ColumnInt64(i)
			*d = int(n)
			return int64(*d) == n
		}
	case *float64:
		if st.ColumnType(i) == sqlite3.FLOAT {
			*d = st.ColumnFloat(i)
			return true
		}
	}
	return false
}
