// Package sqlitemw says for package conformance where this module differs from
// the drivers that it wraps, on purpose and documented.
package sqlitemw

import (
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// Deviations are the differences of the driver "sqlitemw" from the plain driver
// that the documentation of package driver lists, by the cases that show them.
var Deviations = map[string]string{
	"DSN/foreign parameter":                         "DSN: unknown parameters are refused",
	"DSN/immutable, to be written":                  "mode=rw, rwc: a database that can only be read fails to open",
	"cancellation/between statements":               "several statements: a text ends where its context ends",
	"cancellation/waiting for a lock":               "several statements: a text ends where its context ends",
	"errors/no directory":                           "opening: an error of opening is an *OpenError, which names the file",
	"exec/several statements, of which one fails":   "several statements: (*sqlite3.Error).SQL begins at the error",
	"cancellation/before ping":                      "Ping: reads the file's header; the plain driver's does nothing",
	"errors/no database":                            "opening: a file that is no database fails to open",
	"errors/panic in a transaction":                 "panics: a connection through which a panic passed is closed, and its transaction rolled back",
	"errors/panic, connection":                      "panics: a connection through which a panic passed is closed when it is released",
	"query/a change and a statement of all columns": "queries: begin at the first question for columns, which are then those of the rows",
	"query/a change by another connection":          "schema changes show at once; the plain driver tells old column names",
	"query/an insert, not read":                     "queries: a query of a statement that writes executes it, whether rows are asked for or not",
	"query/returning, not read":                     "queries: a query of a statement that writes executes it, whether rows are asked for or not",
	"savepoints/driver.Savepoint's name":            "savepoints: the name that driver.Savepoint makes up holds another function's name",
	"transactions/context ends, connection":         "transactions: the connection of a transaction whose context ended is kept",
}

// Allowed are the differences of package driver/wrap from any driver that its
// documentation lists.
var Allowed = []conformance.Allowance{
	{
		Reason: "the connection of a transaction whose context ended is kept: the wrapped one can be reset and validated",
		Where: func(s conformance.Setup) bool {
			return s.InTx && s.Cancels && !(fake.Has[driver.SessionResetter](s.Conn) && fake.Has[driver.Validator](s.Conn))
		},
	},
	{
		Reason: "a bad name is refused before the statement is prepared",
		Where:  func(s conformance.Setup) bool { return s.Case.ID() == "arguments/a bad name" },
	},
	{
		Reason: "a connection through which a panic passed is retired",
		Where:  func(s conformance.Setup) bool { return s.Panics },
	},
}
