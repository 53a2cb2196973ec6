//go:build !go1.27

package driver

// baseScanner is empty because rows do not scan columns themselves before Go 1.27.
type baseScanner interface{}

// NextRow exists because the plain driver's rows have it. database/sql calls it from Go
// 1.27 on.
func (r *rows) NextRow() error { return r.nextRow() }
