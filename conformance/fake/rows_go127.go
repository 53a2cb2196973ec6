//go:build go1.27

package fake

import (
	"database/sql"
	"database/sql/driver"
)

// rowsScanner is the part of rows that scans columns itself.
type rowsScanner struct {
	r   *rows
	row *[]driver.Value
}

func newRowsScanner(r *rows) rowsScanner { return rowsScanner{r, new([]driver.Value)} }

func (p rowsScanner) NextRow() (err error) {
	p.r.call("NextRow", "")
	*p.row, err = p.r.step()
	return err
}

// ScanColumn marks strings, so that a wrapper that scans instead of it is detected.
func (p rowsScanner) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	if err := p.r.call("ScanColumn", "%d, %T", i, dest); err != nil {
		return err
	}
	if s, ok := dest.(*string); ok {
		*s = "scanned by the base"
		return nil
	}
	return sql.ConvertAssign(ctx, dest, (*p.row)[i])
}

func init() {
	RowsKinds = append(RowsKinds,
		RowsKind{"Scanner", func(r *rows) driver.Rows {
			return struct {
				rowsCore
				rowsScanner
			}{rowsCore{r}, newRowsScanner(r)}
		}},
		RowsKind{"SQLite's+Scanner", func(r *rows) driver.Rows {
			return struct {
				typedRows
				rowsScanner
			}{newTypedRows(r), newRowsScanner(r)}
		}},
		RowsKind{"NextResultSet+Scanner", func(r *rows) driver.Rows {
			return struct {
				rowsCore
				rowsNextSet
				rowsScanner
			}{rowsCore{r}, rowsNextSet{r}, newRowsScanner(r)}
		}})
}
