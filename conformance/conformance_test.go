package conformance_test

import (
	"database/sql"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	"github.com/sqlitemw/sqlitemw/conformance/sqlitemw"
	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// patient is a timeout for a wrapper that does not hang. On two cores the longest case takes
// 1.3 seconds, and under full load ten times that.
const patient = 5 * time.Minute

// The driver must behave like the plain driver, except for the documented differences: traced
// or not, with a statement cache or without.
func TestDriver(t *testing.T) {
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider()})
	if err != nil {
		t.Fatal(err)
	}
	detailed, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(), Details: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []struct {
		name string
		cfg  driver.Config
	}{
		{"untraced", driver.Config{}},
		{"traced", driver.Config{Tracing: tracer}},
		{"traced in detail", driver.Config{Tracing: detailed}},
		{"with a cache of one", driver.Config{StatementCache: 1}},
		{"without a cache", driver.Config{StatementCache: -1}},
	} {
		t.Run(how.name, func(t *testing.T) {
			conformance.Run(t, conformance.Target{
				Name:   "sqlitemw",
				Engine: ncruces.Engine(),
				Open: func(dsn string) (*sql.DB, error) {
					c, err := driver.NewConnector(dsn, how.cfg)
					if err != nil {
						return nil, err
					}
					return sql.OpenDB(c), nil
				},
				Deviations: sqlitemw.Deviations,
				Timeout:    patient,
			})
		})
	}
}
