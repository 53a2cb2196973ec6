package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"testing"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A serverConn has the methods that both pgx's and MySQL's connections have.
type serverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.NamedValueChecker
}

// Wrappers with one fault each.
type (
	faithful     struct{ serverConn } // no fault
	noOptions    struct{ serverConn }
	otherContext struct{ serverConn }
	otherErrors  struct{ serverConn }
	twice        struct{ serverConn }
	noSets       struct{ serverConn }
	noPings      struct{ serverConn }
	noResets     struct{ serverConn }
	hidesChecker struct {
		driver.Conn
		driver.ConnBeginTx
		driver.ConnPrepareContext
		driver.ExecerContext
		driver.QueryerContext
		driver.Pinger
		driver.SessionResetter
	}
	hidesBeginTx struct {
		driver.Conn
		driver.ConnPrepareContext
		driver.ExecerContext
		driver.QueryerContext
		driver.Pinger
		driver.SessionResetter
		driver.NamedValueChecker
	}
)

func (c noOptions) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	return c.serverConn.BeginTx(ctx, driver.TxOptions{})
}

func (c otherContext) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.serverConn.ExecContext(context.WithoutCancel(ctx), query, args)
}

func (c otherErrors) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.serverConn.ExecContext(ctx, query, args)
	if err != nil && err != driver.ErrSkip && err != driver.ErrBadConn {
		err = fmt.Errorf("%w", err)
	}
	return res, err
}

func (c twice) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.serverConn.PrepareContext(ctx, query)
	if err == nil {
		stmt.Close()
		stmt, err = c.serverConn.PrepareContext(ctx, query)
	}
	return stmt, err
}

func (c noSets) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.serverConn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return struct{ driver.Rows }{rows}, nil
}

func (noPings) Ping(context.Context) error          { return nil }
func (noResets) ResetSession(context.Context) error { return nil }

// A brokenConnector wraps each connection.
type brokenConnector struct {
	driver.Connector
	wrapper func(serverConn) driver.Conn
}

func (c brokenConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c.wrapper(conn.(serverConn)), nil
}

// Open makes it a driver, for wrappers of drivers.
func (c brokenConnector) Open(string) (driver.Conn, error) { return c.Connect(context.Background()) }

// by returns the way that goes through a wrapper.
func by(wrapper func(serverConn) driver.Conn) way {
	return way{"a wrapper", func(s site) (*sql.DB, error) { return sql.OpenDB(brokenConnector{s.connector, wrapper}), nil }}
}

func find(t *testing.T, engineName, programName string) (engine, program) {
	t.Helper()
	for _, e := range engines {
		for _, p := range e.programs {
			if e.name == engineName && p.name == programName {
				return e, p
			}
		}
	}
	t.Fatalf("there is no program %q for %q", programName, engineName)
	return engine{}, program{}
}

// A wrapper with one fault must differ from the bare driver, and one without a fault must not.
func TestDifferencesAreSeen(t *testing.T) {
	hideBeginTx := func(c serverConn) driver.Conn { return hidesBeginTx{c, c, c, c, c, c, c} }
	for _, tc := range []struct {
		wrong    string
		wrapper  func(serverConn) driver.Conn
		engine   string
		programs []string
	}{
		{"drops the options of transactions", func(c serverConn) driver.Conn { return noOptions{c} }, "postgres", []string{"isolation levels"}},
		{"drops the options of transactions", func(c serverConn) driver.Conn { return noOptions{c} }, "mysql", []string{"isolation levels"}},
		{"passes on another context", func(c serverConn) driver.Conn { return otherContext{c} }, "postgres", []string{"calls", "errors"}},
		{"wraps errors", func(c serverConn) driver.Conn { return otherErrors{c} }, "postgres", []string{"errors"}},
		{"wraps errors", func(c serverConn) driver.Conn { return otherErrors{c} }, "mysql", []string{"errors"}},
		{"prepares twice", func(c serverConn) driver.Conn { return twice{c} }, "mysql", []string{"statements", "calls"}},
		{"prepares twice", func(c serverConn) driver.Conn { return twice{c} }, "postgres", []string{"statements"}},
		{"hides what rows can do", func(c serverConn) driver.Conn { return noSets{c} }, "mysql", []string{"several results", "types"}},
		{"hides what rows can do", func(c serverConn) driver.Conn { return noSets{c} }, "postgres", []string{"types"}},
		{"does not ping", func(c serverConn) driver.Conn { return noPings{c} }, "mysql", []string{"calls"}},
		{"does not reset", func(c serverConn) driver.Conn { return noResets{c} }, "postgres", []string{"idle for long", "a transaction left open in a text"}},
		{"hides that it checks arguments", func(c serverConn) driver.Conn { return hidesChecker{c, c, c, c, c, c, c} }, "postgres", []string{"arguments", "ways to execute"}},
		{"hides that it checks arguments", func(c serverConn) driver.Conn { return hidesChecker{c, c, c, c, c, c, c} }, "mysql, interpolating", []string{"arguments"}},
		{"hides isolation levels", hideBeginTx, "postgres", []string{"isolation levels"}},
	} {
		for _, name := range tc.programs {
			e, p := find(t, tc.engine, name)
			bare := play(t, e, p, byConnector)
			if difference(bare, play(t, e, p, by(tc.wrapper))) == "" {
				t.Errorf("%s: program %q does not detect a wrapper that %s", tc.engine, name, tc.wrong)
			}
			if d := difference(bare, play(t, e, p, by(func(c serverConn) driver.Conn { return faithful{c} }))); d != "" {
				t.Errorf("%s: program %q reports a wrapper without a fault\n%s", tc.engine, name, d)
			}
		}
	}
}

// With a driver without isolation levels, sqlmw alone claims to have them and drops them.
// Package wrap, which uses sqlmw, refuses them as database/sql does.
func TestLevelsOnDriverWithout(t *testing.T) {
	e, p := find(t, "mysql", "isolation levels")
	hidden := func(s site) brokenConnector {
		return brokenConnector{s.connector, func(c serverConn) driver.Conn { return hidesBeginTx{c, c, c, c, c, c, c} }}
	}
	bare := play(t, e, p, way{"bare", func(s site) (*sql.DB, error) { return sql.OpenDB(hidden(s)), nil }})
	alone := play(t, e, p, way{"sqlmw", func(s site) (*sql.DB, error) {
		return open(sqlmw.Driver(hidden(s), sqlmw.NullInterceptor{}), s.dsn)
	}})
	if difference(bare, alone) == "" {
		t.Error("sqlmw alone must differ, or this test proves nothing")
	}
	ours := play(t, e, p, way{"wrap", func(s site) (*sql.DB, error) {
		return sql.OpenDB(wrap.NewConnector(hidden(s), wrap.Config{})), nil
	}})
	if d := difference(bare, ours); d != "" {
		t.Errorf("package wrap must behave like the bare driver\n%s", d)
	}
}
