package main

import (
	"context"
	"database/sql/driver"
	"fmt"

	xsam "github.com/XSAM/otelsql"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"github.com/ngrok/sqlmw"
	uptrace "github.com/uptrace/opentelemetry-go-extra/otelsql"
	nhat "go.nhat.io/otelsql"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Drivers are used by their types, not by their registered names, because ncruces' name differs
// between builds of this program.

func openNcruces(_ context.Context, file string, o Options) (Database, error) {
	return openDriver(&sqlite3driver.SQLite{}, pragmaURI(file, o, nil), o)
}

func openSqlmw(_ context.Context, file string, o Options) (Database, error) {
	return openDriver(sqlmw.Driver(&sqlite3driver.SQLite{}, sqlmw.NullInterceptor{}), pragmaURI(file, o, nil), o)
}

// openSqlitemw returns a function that opens "sqlitemw" with an SDK and a policy for acquire
// spans.
func openSqlitemw(acquire tracing.Acquire) func(*sdk) opener {
	return func(s *sdk) opener {
		return func(_ context.Context, file string, o Options) (Database, error) {
			var cfg sqlitemw.Config
			if s != nil {
				tracer, err := tracing.New(tracing.Config{TracerProvider: s.provider, Acquire: acquire})
				if err != nil {
					return nil, fmt.Errorf("make a tracer: %w", err)
				}
				cfg.Tracing = tracer
			}
			return openDriver(&sqlitemw.Driver{Config: cfg}, pragmaURI(file, o, nil), o)
		}
	}
}

// The other tracing packages run with their defaults, as in their first examples.

func openXSAM(s *sdk) opener {
	var opts []xsam.Option
	if s != nil {
		opts = append(opts, xsam.WithTracerProvider(s.provider))
	}
	return openWrapped(func(d driver.Driver) driver.Driver { return xsam.WrapDriver(d, opts...) })
}

func openNhat(s *sdk) opener {
	opts := []nhat.DriverOption{nhat.TraceQueryWithoutArgs()}
	if s != nil {
		opts = append(opts, nhat.WithTracerProvider(s.provider))
	}
	return openWrapped(func(d driver.Driver) driver.Driver { return nhat.Wrap(d, opts...) })
}

func openUptrace(s *sdk) opener {
	var opts []uptrace.Option
	if s != nil {
		opts = append(opts, uptrace.WithTracerProvider(s.provider))
	}
	return func(_ context.Context, file string, o Options) (Database, error) {
		c, err := connectorFor(&sqlite3driver.SQLite{}, pragmaURI(file, o, nil))
		if err != nil {
			return nil, err
		}
		return newSQLDatabase(uptrace.OpenDB(c, opts...), o), nil
	}
}

func openWrapped(wrap func(driver.Driver) driver.Driver) opener {
	return func(_ context.Context, file string, o Options) (Database, error) {
		return openDriver(wrap(&sqlite3driver.SQLite{}), pragmaURI(file, o, nil), o)
	}
}
