package driver

import (
	"context"
	"database/sql/driver"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// ErrorMap returns the function that maps errors before database/sql gets them: first as
// Compat does, then as MapError does. It returns nil if neither is set.
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

// Options returns the options for beginning a transaction for which a program asks with
// opts. The other drivers accept any isolation level. SQLite has only the strongest, so
// Options clears the level.
func (c Compat) Options(opts driver.TxOptions) driver.TxOptions {
	if c != CompatNone {
		opts.Isolation = 0
	}
	return opts
}

// mapped maps an error of Connect.
func (c *Connector) mapped(ctx context.Context, err error) error {
	return c.config.ErrorMap().Map(ctx, err)
}

// outermost returns the connection that database/sql gets.
func (c *Connector) outermost(made *conn) driver.Conn {
	errors := c.config.ErrorMap()
	if errors == nil {
		return made
	}
	return &mappedConn{wrap.NewMappedConn(made, errors, c.config.Compat.PanicMap(), c.config.Compat.Options), unmapped{made}}
}

// A mappedConn is a connection that maps its errors.
type mappedConn struct {
	*wrap.MappedConn
	unmapped // methods without errors, or with errors of SQLite's own methods
}

type unmapped struct{ *conn }

var (
	_ Conn                   = &mappedConn{}
	_ driver.SessionResetter = &mappedConn{}
	_ driver.Validator       = &mappedConn{}
)
