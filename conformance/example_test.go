package conformance_test

import (
	"database/sql"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	_ "github.com/sqlitemw/sqlitemw/driver"
)

// In a test of a wrapper of yours, Run plays all programs on the plain driver and through
// the wrapper, and reports where they differ.
func ExampleRun() {
	_ = func(t *testing.T) {
		conformance.Run(t, conformance.Target{
			Name:   "mine",
			Engine: ncruces.Engine(),
			Open:   func(dsn string) (*sql.DB, error) { return sql.Open("sqlitemw", dsn) },
		})
	}
}
