//go:build !go1.27

package wrap

// newScannerRows returns nil: before Go 1.27, no rows scan columns themselves.
func newScannerRows(rows, bool) *rows { return nil }
