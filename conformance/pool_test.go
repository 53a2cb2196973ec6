package conformance_test

import (
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/sqlitemwpool"
)

// A pool does what the plain driver does with the same settings, but for what its
// documentation says.
func TestPool(t *testing.T) {
	conformance.Run(t, conformance.Target{
		Name:       "pool",
		Engine:     sqlitemwpool.Engine(),
		Open:       sqlitemwpool.Open,
		Timeout:    20 * time.Second,
		Lanes:      true,
		Own:        sqlitemwpool.Own,
		Deviations: sqlitemwpool.Deviations,
		Cases: func(c conformance.Case) bool {
			_, not := sqlitemwpool.Unplayed[c.ID()]
			return !not
		},
	})
}
