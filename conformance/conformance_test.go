package conformance_test

import (
	"database/sql"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	_ "github.com/sqlitemw/sqlitemw/driver"
)

func TestDriver(t *testing.T) {
	conformance.Run(t, conformance.Target{
		Name:   "sqlitemw",
		Engine: ncruces.Engine(),
		Open:   func(dsn string) (*sql.DB, error) { return sql.Open("sqlitemw", dsn) },

		Deviations: deviations,
	})
}

// deviations are the differences that the documentation of package driver
// lists, by the cases that show them.
var deviations = map[string]string{
	"DSN/immutable, to be written":                  "mode=rw, rwc: a database that can only be read fails to open",
	"cancellation/before ping":                      "Ping: reads the file's header; the plain driver's does nothing",
	"errors/no database":                            "opening: a file that is no database fails to open",
	"errors/panic, connection":                      "panics: a connection through which a panic passed is closed when it is released",
	"query/a change and a statement of all columns": "queries: begin at the first question for columns, which are then those of the rows",
	"query/a change by another connection":          "schema changes by another connection show at once; the plain driver tells old column names",
	"savepoints/driver.Savepoint's name":            "savepoints: the name that driver.Savepoint makes up holds another function's name",
	"transactions/context ends, connection":         "transactions: the connection of a transaction whose context ended is kept",
}
