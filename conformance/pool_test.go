package conformance_test

import (
	"database/sql"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/sqlitemwpool"
)

// A pool must behave like the plain driver with the same settings, except for the documented
// differences. In the deviating cases, a caller waits for a connection that it holds itself, so
// those get a short acquire timeout.
func TestPool(t *testing.T) {
	for _, part := range []struct {
		name     string
		deviates bool
		open     func(dsn string) (*sql.DB, error)
	}{
		{"same", false, sqlitemwpool.Open},
		{"deviating", true, sqlitemwpool.OpenHasty},
	} {
		t.Run(part.name, func(t *testing.T) {
			conformance.Run(t, conformance.Target{
				Name:       "pool",
				Engine:     sqlitemwpool.Engine(),
				Open:       part.open,
				Timeout:    patient,
				Lanes:      true,
				Own:        sqlitemwpool.Own,
				Deviations: sqlitemwpool.Deviations,
				Cases: func(c conformance.Case) bool {
					_, unplayed := sqlitemwpool.Unplayed[c.ID()]
					_, deviates := sqlitemwpool.Deviations[c.ID()]
					return !unplayed && deviates == part.deviates
				},
			})
		})
	}
}
