package driver

import (
	"context"
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// ErrorMap returns how errors reach database/sql with this configuration: those of Compat, and
// then what MapError makes of them. It is nil where they are left as they are.
func (c Config) ErrorMap() wrap.ErrorMap {
	if c.Compat == CompatNone && c.MapError == nil {
		return nil
	}
	return func(ctx context.Context, err error) error {
		err = c.Compat.mapError(ctx, err)
		if c.MapError != nil {
			if mapped := c.MapError(err); mapped != nil {
				return mapped
			}
		}
		return err
	}
}

// Options returns the options with which a transaction is begun, of those that a program asks
// for: the other drivers take any isolation level, of which SQLite has the strongest alone.
func (c Compat) Options(opts driver.TxOptions) driver.TxOptions {
	if c != CompatNone {
		opts.Isolation = 0
	}
	return opts
}

// mapped returns what database/sql is given in the place of an error of Connect.
func (c *Connector) mapped(ctx context.Context, err error) error {
	return c.config.ErrorMap().Map(ctx, err)
}

// outermost returns what database/sql is given for a connection.
func (c *Connector) outermost(made *conn) driver.Conn {
	errors := c.config.ErrorMap()
	if errors == nil {
		return made
	}
	return &mappedConn{wrap.NewMappedConn(made, errors, c.config.Compat.Options), unmapped{made}}
}

// A mappedConn is a connection whose errors are mapped.
type mappedConn struct {
	*wrap.MappedConn
	unmapped // what has no errors, or errors of SQLite's own methods
}

type unmapped struct{ *conn }

var (
	_ Conn                   = &mappedConn{}
	_ driver.SessionResetter = &mappedConn{}
	_ driver.Validator       = &mappedConn{}
)
