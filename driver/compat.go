package driver

import (
	"database/sql"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// The names under which this package registers its driver for programs written for
// github.com/mattn/go-sqlite3 and modernc.org/sqlite; see [Compat].
const (
	NameMattn   = "sqlitemw-mattn"
	NameModernc = "sqlitemw-modernc"
)

func init() {
	sql.Register(NameMattn, &Driver{Config: Config{Compat: CompatMattn}})
	sql.Register(NameModernc, &Driver{Config: Config{Compat: CompatModernc}})
}

// A Compat selects the driver whose behavior a connection imitates, so that programs
// written for that driver run unchanged. It covers DSNs and their defaults, the format of
// times, and the types of columns and values. It also covers isolation levels, strings in
// double quotes, queries of several statements, and error texts. The package documentation
// lists what still differs.
type Compat uint8

const (
	// CompatNone is the plain driver, ncruces/go-sqlite3. It is the default.
	CompatNone Compat = iota
	// CompatMattn is github.com/mattn/go-sqlite3.
	CompatMattn
	// CompatModernc is modernc.org/sqlite.
	CompatModernc
)

var compatNames = [...]string{"none", "mattn", "modernc"}

// String returns none, mattn or modernc, as in the DSN parameter _compat.
func (c Compat) String() string {
	if int(c) >= len(compatNames) {
		return fmt.Sprintf("Compat(%d)", uint8(c))
	}
	return compatNames[c]
}

func compatOf(name string) (Compat, bool) {
	for i, known := range compatNames {
		if strings.EqualFold(name, known) {
			return Compat(i), true
		}
	}
	return 0, false
}

// pragmas returns the default settings of the other driver that differ from the defaults of
// this build of SQLite. The busy timeout is not among them.
func (c Compat) pragmas() []Pragma {
	switch c {
	case CompatMattn:
		return []Pragma{{Name: "foreign_keys", Value: "off"}, {Name: "trusted_schema", Value: "on"}, {Name: "synchronous", Value: "normal"}}
	case CompatModernc:
		// This build of SQLite defaults to a weaker setting in WAL mode.
		return []Pragma{{Name: "foreign_keys", Value: "off"}, {Name: "trusted_schema", Value: "on"}, {Name: "synchronous", Value: "full"}}
	}
	return nil
}

// dbConfig holds the settings of a connection that only sqlite3_db_config can change.
// https://sqlite.org/c3ref/c_dbconfig_defensive.html
type dbConfig struct {
	quotes    *bool // names in double quotes may be strings; nil keeps the build's default
	defensive bool
}

// apply applies the settings to c. It must be called before any statement is prepared.
func (s dbConfig) apply(c *sqlite3.Conn) error {
	if s.quotes != nil {
		for _, op := range []sqlite3.DBConfig{sqlite3.DBCONFIG_DQS_DML, sqlite3.DBCONFIG_DQS_DDL} {
			if _, err := c.Config(op, *s.quotes); err != nil {
				return err
			}
		}
	}
	if s.defensive {
		_, err := c.Config(sqlite3.DBCONFIG_DEFENSIVE, true)
		return err
	}
	return nil
}
