package random

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A target is a way to open a database.
type target struct {
	name string
	open func(dsn string) (*sql.DB, error)
}

var plain = target{"plain", func(dsn string) (*sql.DB, error) { return sql.Open("sqlite3", dsn) }}

// ours are all configurations of "sqlitemw" that a program cannot distinguish.
func ours(t *testing.T) []target {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(tracetest.NewNoopExporter()))
	t.Cleanup(func() { provider.Shutdown(t.Context()) })
	tracer, err := tracing.New(tracing.Config{TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	with := func(cfg driver.Config) func(string) (*sql.DB, error) {
		return (&through{func(dsn string) (sqldriver.Connector, error) { return driver.NewConnector(dsn, cfg) }}).open
	}
	return []target{
		{"sqlitemw", func(dsn string) (*sql.DB, error) { return sql.Open("sqlitemw", dsn) }},
		{"sqlitemw that keeps two statements", with(driver.Config{StatementCache: 2})},
		{"sqlitemw that keeps none", with(driver.Config{StatementCache: -1})},
		{"sqlitemw with errors mapped to themselves", with(driver.Config{MapError: func(err error) error { return err }})},
		{"sqlitemw traced", with(driver.Config{Tracing: tracer})},
	}
}

// through opens a database through a connector.
type through struct {
	connector func(dsn string) (sqldriver.Connector, error)
}

func (c *through) open(dsn string) (*sql.DB, error) {
	connector, err := c.connector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// plainConnector returns the plain driver's connector, for wrappers of it.
func plainConnector(dsn string) (sqldriver.Connector, error) {
	return (&sqlite3driver.SQLite{}).OpenConnector(dsn)
}
