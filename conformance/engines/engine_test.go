package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// An engine is a database with a third-party driver.
type engine struct {
	name     string
	system   string // db.system.name
	raw      string // the type of the driver's own connections
	discards bool   // its connections do not have both ResetSession and IsValid
	classify func(error) tracing.ErrorClass
	start    func(*testing.T, *transcript) site
	programs []program
}

// A site is a running server, with two ways to reach it.
type site struct {
	connector driver.Connector // from the driver's own constructor
	driver    driver.Driver    // the driver itself,
	dsn       string           // with a DSN
	drop      func()           // makes the server close all connections
}

// A program is code that a user of database/sql may write.
type program struct {
	name string
	play func(*run)

	// cancelsTx says that the context of a transaction ends in the program. With an engine
	// that discards, package wrap then keeps the connection, as documented. The program and
	// the server see the same, but the statistics of the pool differ.
	cancelsTx bool

	// scansItself says that the program leaves scanning to the rows, as is possible since
	// Go 1.27. That and interceptors exclude each other; see Config.Interceptors.
	scansItself bool
}

var engines = []engine{
	postgresEngine("postgres", nil, allPostgresPrograms),
	postgresEngine("postgres, cancelling", cancelRequest, postgresCancelPrograms),
	mysqlEngine("mysql", ""),
	mysqlEngine("mysql, interpolating", "interpolateParams=true&parseTime=true&multiStatements=true"),
	sqliteEngine,
}

// open is sql.Open without a registered name.
func open(d driver.Driver, dsn string) (*sql.DB, error) {
	dc, ok := d.(driver.DriverContext)
	if !ok {
		return sql.OpenDB(dsnConnector{d, dsn}), nil
	}
	connector, err := dc.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// A dsnConnector is the connector that sql.Open makes for a driver without connectors.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }
