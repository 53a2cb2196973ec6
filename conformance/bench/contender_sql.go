package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// sqlDatabase is a Database on database/sql.
type sqlDatabase struct {
	sqlQueryer
	db *sql.DB
}

// newSQLDatabase sets the limits of db's pool.
func newSQLDatabase(db *sql.DB, o Options) Database {
	db.SetMaxOpenConns(o.Conns)
	db.SetMaxIdleConns(o.Conns)
	return &sqlDatabase{sqlQueryer{db}, db}
}

func (d *sqlDatabase) Acquire(ctx context.Context) (Conn, error) {
	c, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &sqlConn{sqlQueryer{c}, c}, nil
}

func (d *sqlDatabase) Transact(ctx context.Context, f func(Queryer) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(sqlQueryer{tx}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (d *sqlDatabase) Close() error { return d.db.Close() }

type sqlConn struct {
	sqlQueryer
	c *sql.Conn
}

func (c *sqlConn) Release() error { return c.c.Close() }

// sqlQueryer is a Queryer on a *sql.DB, a *sql.Conn or a *sql.Tx.
type sqlQueryer struct {
	q interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
}

func (q sqlQueryer) Exec(ctx context.Context, query string, args ...any) error {
	_, err := q.q.ExecContext(ctx, query, args...)
	return err
}

func (q sqlQueryer) Row(ctx context.Context, query string, dest []any, args ...any) error {
	return q.q.QueryRowContext(ctx, query, args...).Scan(dest...)
}

func (q sqlQueryer) Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error {
	rows, err := q.q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		each()
	}
	return rows.Err()
}

func (q sqlQueryer) Prepare(ctx context.Context, query string) (Statement, error) {
	s, err := q.q.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &sqlStatement{s}, nil
}

type sqlStatement struct{ s *sql.Stmt }

func (s *sqlStatement) Exec(ctx context.Context, args ...any) error {
	_, err := s.s.ExecContext(ctx, args...)
	return err
}

func (s *sqlStatement) Row(ctx context.Context, dest []any, args ...any) error {
	return s.s.QueryRowContext(ctx, args...).Scan(dest...)
}

func (s *sqlStatement) Close() error { return s.s.Close() }

// connectorFor makes a connector from a driver and a DSN, like sql.Open, but without a
// registered name.
func connectorFor(d driver.Driver, dsn string) (driver.Connector, error) {
	if d, ok := d.(driver.DriverContext); ok {
		return d.OpenConnector(dsn)
	}
	return dsnConnector{d, dsn}, nil
}

type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

// openDriver opens a driver that is not registered.
func openDriver(d driver.Driver, dsn string, o Options) (Database, error) {
	c, err := connectorFor(d, dsn)
	if err != nil {
		return nil, err
	}
	return newSQLDatabase(sql.OpenDB(c), o), nil
}
