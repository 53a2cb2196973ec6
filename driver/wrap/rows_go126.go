//go:build !go1.27

package wrap

import "database/sql/driver"

// parentScanner is of nobody: before Go 1.27, no rows scan columns themselves.
type parentScanner interface{ none() }

func scannerOf(driver.Rows) parentScanner { return nil }

func makeScannerRows(shape) *rows { panic("unreachable") }
