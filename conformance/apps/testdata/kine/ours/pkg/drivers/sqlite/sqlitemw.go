package sqlite

import (
	"github.com/mattn/go-sqlite3"
	"github.com/sqlitemw/sqlitemw/driver"
)

// Kine's connector opens connections with this driver, and kine reads the codes in mattn's errors.
var sqlitemw = &driver.Driver{Config: driver.Config{
	Compat: driver.CompatMattn,
	MapError: func(err error) error {
		if code, extended, ok := driver.Code(err); ok {
			return sqlite3.Error{Code: sqlite3.ErrNo(code), ExtendedCode: sqlite3.ErrNoExtended(extended)}
		}
		return err
	},
}}
