package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Name is the name under which this package registers its driver.
const Name = "sqlitemw"

func init() { sql.Register(Name, &Driver{}) }

// Driver is the driver. The zero Driver is the one that is registered as
// [Name]; a program that wants another [Config] under a name of its own says
//
//	sql.Register("mine", &driver.Driver{Config: driver.Config{...}})
//
// It is safe for concurrent use, and not to be changed once in use.
type Driver struct {
	Config Config

	// connector is whose Driver method returned this Driver, so that
	// a *sql.DB leads back to it.
	connector *Connector
}

var _ driver.DriverContext = &Driver{}

// Open opens a connection that belongs to no [sql.DB].
func (d *Driver) Open(name string) (driver.Conn, error) {
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector checks the DSN. It opens no file.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	c, err := NewConnector(name, d.Config)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ConnectorOf returns the connector of a database that was opened through this
// package, or nil. It uses no connection.
func ConnectorOf(db *sql.DB) *Connector {
	d, ok := db.Driver().(*Driver)
	if !ok {
		return nil
	}
	return d.connector
}
