package fidelity

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"strings"
	"sync"
	"testing"

	xsam "github.com/XSAM/otelsql"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"github.com/ngrok/sqlmw"
	uptrace "github.com/uptrace/opentelemetry-go-extra/otelsql"
	nhat "go.nhat.io/otelsql"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/conformance"
	ours "github.com/sqlitemw/sqlitemw/conformance/sqlitemw"
	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A wrapper is a package that wraps drivers.
type wrapper struct {
	name   string
	module string // "" for this module
	target func(t *testing.T, p *sdktrace.TracerProvider) conformance.Target
}

// wrappers are set up as in their own first examples, with an SDK that records every span.
var wrappers = []wrapper{
	{"sqlitemw", "", func(t *testing.T, p *sdktrace.TracerProvider) conformance.Target {
		tracer, err := tracing.New(tracing.Config{TracerProvider: p})
		if err != nil {
			t.Fatal(err)
		}
		return conformance.Target{
			Open: func(dsn string) (*sql.DB, error) {
				c, err := sqlitemw.NewConnector(dsn, sqlitemw.Config{Tracing: tracer})
				if err != nil {
					return nil, err
				}
				return sql.OpenDB(c), nil
			},
			Wrap: func(c driver.Connector) driver.Connector {
				return wrap.NewConnector(c, wrap.Config{Tracing: tracer})
			},
			Deviations: ours.Deviations,
			Allowed:    ours.Allowed,
		}
	}},
	{"sqlmw alone", "github.com/ngrok/sqlmw", func(*testing.T, *sdktrace.TracerProvider) conformance.Target {
		return ofDriver(func(d driver.Driver) driver.Driver { return sqlmw.Driver(d, sqlmw.NullInterceptor{}) })
	}},
	{"XSAM/otelsql", "github.com/XSAM/otelsql", func(_ *testing.T, p *sdktrace.TracerProvider) conformance.Target {
		return ofDriver(func(d driver.Driver) driver.Driver { return xsam.WrapDriver(d, xsam.WithTracerProvider(p)) })
	}},
	{"nhatthm/otelsql", "go.nhat.io/otelsql", func(_ *testing.T, p *sdktrace.TracerProvider) conformance.Target {
		return ofDriver(func(d driver.Driver) driver.Driver {
			return nhat.Wrap(d, nhat.WithTracerProvider(p), nhat.TraceQueryWithoutArgs())
		})
	}},
	{"uptrace/otelsql", "github.com/uptrace/opentelemetry-go-extra/otelsql", func(t *testing.T, p *sdktrace.TracerProvider) conformance.Target {
		return ofConnector(func(c driver.Connector) driver.Connector { return uptraced(t, c, p) })
	}},
}

// ofDriver returns a target for a package that wraps drivers.
func ofDriver(wrap func(driver.Driver) driver.Driver) conformance.Target {
	return ofConnector(func(c driver.Connector) driver.Connector { return connectorOf(wrap(driverOf{c})) })
}

// ofConnector returns a target for a package that wraps connectors.
func ofConnector(wrap func(driver.Connector) driver.Connector) conformance.Target {
	return conformance.Target{
		Open: func(dsn string) (*sql.DB, error) {
			c, err := (&sqlite3driver.SQLite{}).OpenConnector(dsn)
			if err != nil {
				return nil, err
			}
			return sql.OpenDB(wrap(c)), nil
		},
		Wrap: wrap,
	}
}

// driverOf is a driver with exactly one connector.
type driverOf struct{ driver.Connector }

func (d driverOf) Open(string) (driver.Conn, error)               { return d.Connect(context.Background()) }
func (d driverOf) OpenConnector(string) (driver.Connector, error) { return d.Connector, nil }

// connectorOf returns the connector that sql.Open makes of a driver.
func connectorOf(d driver.Driver) driver.Connector {
	if d, ok := d.(driver.DriverContext); ok {
		c, err := d.OpenConnector("")
		if err != nil {
			panic(err) // driverOf never fails
		}
		return c
	}
	return dsnConnector{d}
}

type dsnConnector struct{ driver driver.Driver }

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open("") }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

// uptraced wraps a connector. The package only exports functions that open a database by a
// driver's name, so uptraced registers the connector's driver under a name for a while.
func uptraced(t *testing.T, c driver.Connector, p *sdktrace.TracerProvider) driver.Connector {
	lent.mu.Lock()
	defer lent.mu.Unlock()
	lent.connector = lentConnector{c}
	db, err := uptrace.Open("lent", "", uptrace.WithTracerProvider(p))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return connectorOf(db.Driver())
}

var lent lending

func init() { sql.Register("lent", &lent) }

type lending struct {
	mu        sync.Mutex
	connector driver.Connector
}

// A lentConnector returns the lending driver from Driver.
type lentConnector struct{ driver.Connector }

func (lentConnector) Driver() driver.Driver { return &lent }

func (l *lending) Open(string) (driver.Conn, error)               { return l.connector.Connect(context.Background()) }
func (l *lending) OpenConnector(string) (driver.Connector, error) { return l.connector, nil }

// version returns the version of a module in go.mod.
func version(t *testing.T, module string) string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	t.Fatalf("go.mod requires no %s", module)
	return ""
}
