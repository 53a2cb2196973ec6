package sqlite

import (
	"github.com/mattn/go-sqlite3"
	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// Kine's connector opens connections with this driver, one by one, so that each has a pool of its own;
// and kine reads the codes in mattn's errors.
var sqlitemw = &pool.Driver{Config: pool.Config{
	Compat: driver.CompatMattn,
	MapError: func(err error) error {
		if code, extended, ok := driver.Code(err); ok {
			return sqlite3.Error{Code: sqlite3.ErrNo(code), ExtendedCode: sqlite3.ErrNoExtended(extended)}
		}
		return err
	},
}}
