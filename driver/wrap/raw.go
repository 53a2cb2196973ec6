package wrap

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
)

// Raw calls f with the driver's own connection of conn, as a T: the connection that package wrap
// has wrapped. It also works for a connection that is not wrapped. T may be an interface.
//
//	err := wrap.Raw(conn, func(c *stdlib.Conn) error {
//		_, err := c.Conn().CopyFrom(ctx, ...)
//		return err
//	})
//
// f must not keep the connection. What it does has no span. Raw returns f's error. If that is
// [driver.ErrBadConn], database/sql closes the connection, and conn. If no connection is a T, Raw
// does not call f, and its error names the types. See [sql.Conn.Raw] for the rest.
//
// A connection that another package has put around this package's is searched as well, if it has
// a method Parent() driver.Conn.
func Raw[T any](conn *sql.Conn, f func(T) error) error {
	return conn.Raw(func(outer any) error {
		var seen []any
		for c := outer; c != nil; c = parentOf(c) {
			if wrapped, ok := c.(*Conn); ok {
				if err := wrapped.unusable(); err != nil {
					return err
				}
			}
			seen = append(seen, c)
		}
		// The driver's own first: to an interface, a wrapper is as good as what it wraps.
		for i := len(seen) - 1; i >= 0; i-- {
			if t, ok := seen[i].(T); ok {
				return f(t)
			}
		}
		if len(seen) == 0 {
			return fmt.Errorf("sqlitemw: there is no connection to pass as a %s", reflect.TypeFor[T]())
		}
		return fmt.Errorf("sqlitemw: the driver's connection is a %T: pass a function that takes one, not a %s", seen[len(seen)-1], reflect.TypeFor[T]())
	})
}

// parentOf returns the connection that c has wrapped, or nil.
func parentOf(c any) any {
	if p, ok := c.(interface{ Parent() driver.Conn }); ok {
		return p.Parent()
	}
	return nil
}
