//go:build !go1.27

package conformance_test

// Rows have these interfaces only since Go 1.27.
type (
	baseScanner any
	scanner     any
)
