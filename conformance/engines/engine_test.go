package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// An engine is a database and somebody else's driver for it.
type engine struct {
	name     string
	system   string // db.system.name
	raw      string // the type of the driver's own connections
	discards bool   // its connections cannot be reset and validated, both
	classify func(error) tracing.ErrorClass
	start    func(*testing.T, *transcript) site
	programs []program
}

// A site is a running server, and the two ways to it.
type site struct {
	connector driver.Connector // by the driver's own constructor
	driver    driver.Driver    // by the driver,
	dsn       string           // and a name
	drop      func()           // has the server close all connections
}

// A program is what a user of database/sql may write.
type program struct {
	name string
	play func(*run)

	// cancelsTx says that the context of a transaction ends in it. Of an engine
	// that discards, package wrap keeps the connection then, as its
	// documentation says: what the program sees and what the server is sent is
	// the same, but not the pool's statistics.
	cancelsTx bool

	// scansItself says that the program leaves scanning to the rows, as Go 1.27
	// lets them: as Config.Interceptors says, that and interceptors exclude each other.
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

// A dsnConnector is what sql.Open makes of a driver that has no connectors.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }
