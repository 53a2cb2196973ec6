//go:build !go1.27

package driver

// baseScanner is empty: before Go 1.27, no rows scan columns themselves.
type baseScanner interface{}

// NextRow is the plain driver's method too, which database/sql calls from
// Go 1.27 on.
func (r *rows) NextRow() error { return r.nextRow() }
