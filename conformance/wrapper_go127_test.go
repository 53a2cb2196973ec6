//go:build go1.27

package conformance_test

import "database/sql/driver"

// What rows scan with since Go 1.27, as an interface and without what it holds.
type (
	baseScanner interface{ driver.RowsColumnScanner }
	scanner     interface {
		NextRow() error
		ScanColumn(driver.ScanContext, int, any) error
	}
)
