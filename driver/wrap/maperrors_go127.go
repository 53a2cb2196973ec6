//go:build go1.27

package wrap

import "database/sql/driver"

func shapedMappedRows(r *mappedRows) driver.Rows {
	if s := scannerOf(r.rows); s != nil {
		return &mappedScanner{r, s}
	}
	return r
}

// A mappedScanner is mappedRows that scan columns themselves.
type mappedScanner struct {
	*mappedRows
	scanner parentScanner
}

var _ driver.RowsColumnScanner = &mappedScanner{}

// NextRow implements [driver.RowsColumnScanner].
func (r *mappedScanner) NextRow() (err error) {
	if r.panicked != nil {
		return r.panicked
	}
	defer r.recover(r.ctx, &err)
	return r.fail(r.scanner.NextRow())
}

// ScanColumn implements [driver.RowsColumnScanner].
func (r *mappedScanner) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	return r.fail(r.scanner.ScanColumn(ctx, i, dest))
}
