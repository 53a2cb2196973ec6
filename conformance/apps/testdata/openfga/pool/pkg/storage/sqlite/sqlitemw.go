package sqlite

import (
	"database/sql"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// Goose, which makes the tables, opens databases only through drivers whose names it knows.
func init() {
	sql.Register("sqlite", &pool.Driver{Config: pool.Config{Compat: driver.CompatModernc}})
}

// A sqliteError is what this package uses of modernc.org/sqlite's *Error.
type sqliteError interface {
	error
	Code() int
}
