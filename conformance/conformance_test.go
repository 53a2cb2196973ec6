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
	})
}
