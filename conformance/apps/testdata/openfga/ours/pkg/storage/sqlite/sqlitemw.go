package sqlite

import (
	"database/sql"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Goose, which makes the tables, opens databases only through drivers whose names it knows.
func init() {
	sql.Register("sqlite", &driver.Driver{Config: driver.Config{Compat: driver.CompatModernc}})
}

// A sqliteError is what this package uses of modernc.org/sqlite's *Error.
type sqliteError interface {
	error
	Code() int
}
