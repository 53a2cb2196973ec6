package driver

import (
	"database/sql"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// The names under which this package registers its driver for programs of
// github.com/mattn/go-sqlite3 and of modernc.org/sqlite; see [Compat].
const (
	NameMattn   = "sqlitemw-mattn"
	NameModernc = "sqlitemw-modernc"
)

func init() {
	sql.Register(NameMattn, &Driver{Config: Config{Compat: CompatMattn}})
	sql.Register(NameModernc, &Driver{Config: Config{Compat: CompatModernc}})
}

// A Compat is the driver whose programs find here what they know: the meaning and the
// defaults of their data source names, how times are written and read, the types of
// columns and values, isolation levels, strings in double quotes, texts of several
// statements and the texts of errors. The package documentation lists what differs.
type Compat uint8

const (
	// CompatNone is the plain driver, ncruces/go-sqlite3: the default.
	CompatNone Compat = iota
	// CompatMattn is github.com/mattn/go-sqlite3.
	CompatMattn
	// CompatModernc is modernc.org/sqlite.
	CompatModernc
)

var compatNames = [...]string{"none", "mattn", "modernc"}

// String returns none, mattn or modernc, as _compat has it in a data source name.
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

// pragmas returns the settings that connections of the driver have where a program asks
// for none, and those of this build of SQLite differ. The busy timeout is not among them.
func (c Compat) pragmas() []Pragma {
	switch c {
	case CompatMattn:
		return []Pragma{{Name: "foreign_keys", Value: "off"}, {Name: "trusted_schema", Value: "on"}, {Name: "synchronous", Value: "normal"}}
	case CompatModernc:
		// This build of SQLite would commit with less in WAL mode.
		return []Pragma{{Name: "foreign_keys", Value: "off"}, {Name: "trusted_schema", Value: "on"}, {Name: "synchronous", Value: "full"}}
	}
	return nil
}

// A switches are the settings of a connection that only sqlite3_db_config has.
// https://sqlite.org/c3ref/c_dbconfig_defensive.html
type dbConfig struct {
	quotes    *bool // strings in double quotes; nil for as the build has it
	defensive bool
}

// apply must come before anything is prepared.
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
