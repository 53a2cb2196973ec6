package pool

import "strings"

// Name is the name under which this package registers its driver.
const Name = "sqlitemw-pool"

// NameMattn and NameModernc are the driver names for programs of github.com/mattn/go-sqlite3
// and of modernc.org/sqlite; see [driver.Compat].
const (
	NameMattn   = "sqlitemw-pool-mattn"
	NameModernc = "sqlitemw-pool-modernc"
)

// poolKey is the prefix of the keys of a DSN that are for the pool.
const poolKey = "_pool_"

func isPoolKey(key string) bool { return strings.HasPrefix(strings.ToLower(key), poolKey) }
