//go:build go1.27

package conformance_test

import "database/sql/driver"

// The interfaces with which rows scan since Go 1.27.
type (
	baseScanner interface{ driver.RowsColumnScanner }
	scanner     interface {
		NextRow() error
		ScanColumn(driver.ScanContext, int, any) error
	}
)
