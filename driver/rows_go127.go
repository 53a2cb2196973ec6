//go:build go1.27

package driver

import "database/sql/driver"

// baseScanner is what rows of the plain driver can do besides.
type baseScanner interface{ driver.RowsColumnScanner }

var _ driver.RowsColumnScanner = &rows{}

// NextRow implements [driver.RowsColumnScanner].
func (r *rows) NextRow() error { return r.nextRow() }

// ScanColumn implements [driver.RowsColumnScanner].
func (r *rows) ScanColumn(ctx driver.ScanContext, i int, dest any) error {
	r.ready()
	return r.base.ScanColumn(ctx, i, dest)
}
