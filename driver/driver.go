package driver

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Name is the name under which this package registers its driver.
const Name = "sqlitemw"

func init() { sql.Register(Name, &Driver{}) }

// Driver implements [driver.Driver]. The zero Driver is registered as [Name]. To use
// another [Config], register a Driver under a name of your own:
//
//	sql.Register("mine", &driver.Driver{Config: driver.Config{...}})
//
// A Driver is safe for concurrent use. It must not be changed after its first use.
type Driver struct {
	Config Config

	// connector is the Connector whose Driver method returned this Driver. It leads from a
	// *sql.DB back to the Connector.
	connector *Connector
}

var (
	_ driver.DriverContext = &Driver{}
	_ wrap.Attacher        = &Driver{}
)

// Open opens a connection that belongs to no [sql.DB].
func (d *Driver) Open(name string) (driver.Conn, error) {
	parsed, err := DSNReader{Compat: d.Config.Compat}.Parse(name)
	if err != nil {
		return nil, err
	}
	cfg := d.Config // one pool name for all such connections, not one for each
	cfg.PoolName = cmp.Or(cfg.PoolName, cmp.Or(cfg.Tracing, tracing.Default()).Config().PoolName, parsed.Database())
	c, err := parsed.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector parses and checks the DSN. It opens no file.
func (d *Driver) OpenConnector(name string) (driver.Connector, error) {
	c, err := NewConnector(name, d.Config)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Attach implements [wrap.Attacher].
func (d *Driver) Attach(r Recorder) (detach func()) {
	if d.connector == nil {
		return nil
	}
	return d.connector.Attach(r)
}

// ConnectorOf returns the Connector of a database opened through this package, or nil. It
// uses no connection.
func ConnectorOf(db *sql.DB) *Connector {
	d, ok := db.Driver().(*Driver)
	if !ok {
		return nil
	}
	return d.connector
}
