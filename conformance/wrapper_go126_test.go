//go:build !go1.27

package conformance_test

// What rows scan with since Go 1.27.
type (
	baseScanner any
	scanner     any
)
