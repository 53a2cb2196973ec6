//go:build !go1.27

package wrap

import "database/sql/driver"

// parentScanner has no implementation: before Go 1.27, rows do not scan columns themselves.
type parentScanner interface{ none() }

func scannerOf(driver.Rows) parentScanner { return nil }

func makeScannerRows(shape) *rows { panic("unreachable") }
