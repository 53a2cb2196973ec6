package conformance_test

import (
	"database/sql"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	_ "github.com/sqlitemw/sqlitemw/driver"
)

// In a test of your own wrapper, Run plays all cases on the plain driver and through the
// wrapper, and reports the differences.
func ExampleRun() {
	_ = func(t *testing.T) {
		conformance.Run(t, conformance.Target{
			Name:   "mine",
			Engine: ncruces.Engine(),
			Open:   func(dsn string) (*sql.DB, error) { return sql.Open("sqlitemw", dsn) },
		})
	}
}
