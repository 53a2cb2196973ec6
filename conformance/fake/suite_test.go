package fake_test

import (
	"context"
	"database/sql/driver"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// A wrapper that adds nothing must not differ.
func TestHonestWrapper(t *testing.T) {
	conformance.Run(t, conformance.Target{
		Name: "honest",
		Wrap: wrapping(func(c driver.Conn) driver.Conn {
			switch c := c.(type) {
			case fullConn:
				return &honestConn{fullConn: c}
			case sqliteConn:
				return &honestSQLiteConn{c}
			}
			return c
		}),
	})
}

// A liar is a wrapper with one fault.
type liar struct {
	name    string
	conn    func(driver.Conn) driver.Conn
	fails   []string // cases that must detect it
	passes  []string // cases that must not, because they test something else
	says    string   // a part of the difference
	timeout time.Duration
}

// Each fault must be detected by the cases about it, and by no other.
func TestLiars(t *testing.T) {
	for _, l := range liars() {
		t.Run(l.name, func(t *testing.T) {
			results := conformance.Check(t, conformance.Target{
				Name:    "liar",
				Wrap:    wrapping(l.conn),
				Timeout: l.timeout,
				Cases: func(c conformance.Case) bool {
					return slices.Contains(l.fails, c.ID()) || slices.Contains(l.passes, c.ID())
				},
			})
			if len(results) != len(l.fails)+len(l.passes) {
				t.Errorf("%d cases were played, want %d", len(results), len(l.fails)+len(l.passes))
			}
			for _, r := range results {
				if got, want := r.Difference != "", slices.Contains(l.fails, r.Case.ID()); got != want {
					t.Errorf("%s: differs %t, want %t\n%s", r.Case.ID(), got, want, r.Difference)
				}
				if r.Difference != "" && !strings.Contains(r.Difference, l.says) {
					t.Errorf("%s: the difference must show %q\n%s", r.Case.ID(), l.says, r.Difference)
				}
			}
		})
	}
}

// wrapping returns a wrapper that calls conn for each connection.
func wrapping(conn func(driver.Conn) driver.Conn) func(driver.Connector) driver.Connector {
	return func(c driver.Connector) driver.Connector { return connector{c, conn} }
}

type connector struct {
	driver.Connector
	conn func(driver.Conn) driver.Conn
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c.conn(conn), nil
}

func (c connector) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// The connections to which liars add faults. They leave others unchanged.
type (
	fullConn interface { // has all optional interfaces
		validConn
		driver.Validator
	}
	validConn interface { // has all but one
		sqliteConn
		driver.QueryerContext
		driver.Pinger
		driver.SessionResetter
	}
	sqliteConn interface { // has the interfaces of ncruces/go-sqlite3
		driver.Conn
		driver.ExecerContext
		driver.ConnPrepareContext
		driver.ConnBeginTx
		driver.NamedValueChecker
	}
)

// full adds a fault to connections with all interfaces.
func full(lie func(fullConn) driver.Conn) func(driver.Conn) driver.Conn {
	return func(c driver.Conn) driver.Conn {
		if c, ok := c.(fullConn); ok {
			return lie(c)
		}
		return c
	}
}

// sqlite adds a fault to connections like those of ncruces/go-sqlite3.
func sqlite(lie func(sqliteConn) driver.Conn) func(driver.Conn) driver.Conn {
	return func(c driver.Conn) driver.Conn {
		_, pings := c.(driver.Pinger)
		if c, ok := c.(sqliteConn); ok && !pings {
			return lie(c)
		}
		return c
	}
}

// plain adds a fault to connections without PrepareContext.
func plain(lie func(driver.Conn) driver.Conn) func(driver.Conn) driver.Conn {
	return func(c driver.Conn) driver.Conn {
		switch c.(type) {
		case driver.ConnPrepareContext, driver.ConnBeginTx, driver.ExecerContext, driver.QueryerContext, driver.NamedValueChecker,
			driver.Pinger, driver.SessionResetter, driver.Validator, interface {
				Exec(string, []driver.Value) (driver.Result, error)
			}, interface {
				Query(string, []driver.Value) (driver.Rows, error)
			}:
			return c
		}
		return lie(c)
	}
}

// An honestConn only counts its calls.
type honestConn struct {
	fullConn
	count int
}

func (c *honestConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.count++
	return c.fullConn.BeginTx(ctx, opts)
}

func (c *honestConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.count++
	return c.fullConn.ExecContext(ctx, query, args)
}

func (c *honestConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.count++
	return c.fullConn.QueryContext(ctx, query, args)
}

func (c *honestConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.count++
	return c.fullConn.PrepareContext(ctx, query)
}

// An honestSQLiteConn is the same with fewer interfaces.
type honestSQLiteConn struct{ sqliteConn }
