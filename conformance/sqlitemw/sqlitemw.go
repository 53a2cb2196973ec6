// Package sqlitemw lists, for package conformance, the intended and documented differences
// between this module and the drivers that it wraps.
package sqlitemw

import (
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// Deviations are the documented differences between the driver "sqlitemw" and the plain driver,
// by the cases that show them. The reasons begin with the entry in the documentation of package
// driver.
var Deviations = map[string]string{
	"DSN/foreign parameter":                         "DSN: unknown parameters are refused",
	"DSN/immutable, to be written":                  "mode=rw, rwc: a database that is read-only fails to open",
	"cancellation/between statements":               "several statements: a query ends when its context ends",
	"cancellation/waiting for a lock":               "several statements: a query ends when its context ends",
	"errors/no directory":                           "opening: an error of opening is an *OpenError, which names the file",
	"exec/several statements, of which one fails":   "several statements: (*sqlite3.Error).SQL begins at the error",
	"cancellation/before ping":                      "Ping: reads the file's header; the plain driver's does nothing",
	"errors/no database":                            "opening: a file that is not a database fails to open",
	"errors/panic in a transaction":                 "panics: a connection through which a panic has passed is closed, and its transaction rolled back",
	"errors/panic, connection":                      "panics: a connection through which a panic has passed is closed",
	"query/a change and a statement of all columns": "queries: a query takes its first step when the program asks for columns, which are then those of the rows",
	"query/a change by another connection":          "schema changes are visible immediately; the plain driver reports old column names",
	"query/an insert, not read":                     "queries: Query executes a query that writes, even if no row is read",
	"query/returning, not read":                     "queries: Query executes a query that writes, even if no row is read",
	"savepoints/driver.Savepoint's name":            "savepoints: the name that driver.Savepoint makes up contains another function's name",
	"transactions/context ends, connection":         "transactions: the connection of a transaction whose context has ended is kept",
}

// Allowed are the documented differences between package driver/wrap and any driver.
var Allowed = []conformance.Allowance{
	{
		Reason: "the connection of a transaction whose context has ended is kept, because wrapped connections have ResetSession and IsValid",
		Where: func(s conformance.Setup) bool {
			return s.InTx && s.Cancels && !(fake.Has[driver.SessionResetter](s.Conn) && fake.Has[driver.Validator](s.Conn))
		},
	},
	{
		Reason: "an invalid argument name is refused before the statement is prepared",
		Where:  func(s conformance.Setup) bool { return s.Case.ID() == "arguments/a bad name" },
	},
	{
		Reason: "a connection through which a panic has passed is closed",
		Where:  func(s conformance.Setup) bool { return s.Panics },
	},
}
