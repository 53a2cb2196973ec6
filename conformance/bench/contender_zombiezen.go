package main

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// zombieDatabase is a Database on sqlitex.Pool. Its connections cache statements, as is usual
// with that package, so Prepare is a lookup.
type zombieDatabase struct{ pool *sqlitex.Pool }

func openZombiezen(_ context.Context, file string, o Options) (Database, error) {
	pool, err := sqlitex.NewPool(uri(file, nil), sqlitex.PoolOptions{
		PoolSize: max(1, o.Conns),
		PrepareConn: func(c *sqlite.Conn) error {
			for _, p := range o.pragmas() {
				if err := sqlitex.ExecuteTransient(c, p, nil); err != nil {
					return fmt.Errorf("%s: %w", p, err)
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &zombieDatabase{pool}, nil
}

func (d *zombieDatabase) with(ctx context.Context, f func(zombieQueryer) error) error {
	c, err := d.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer d.pool.Put(c)
	return f(zombieQueryer{c})
}

func (d *zombieDatabase) Exec(ctx context.Context, query string, args ...any) error {
	return d.with(ctx, func(q zombieQueryer) error { return q.Exec(ctx, query, args...) })
}

func (d *zombieDatabase) Row(ctx context.Context, query string, dest []any, args ...any) error {
	return d.with(ctx, func(q zombieQueryer) error { return q.Row(ctx, query, dest, args...) })
}

func (d *zombieDatabase) Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error {
	return d.with(ctx, func(q zombieQueryer) error { return q.Rows(ctx, query, dest, each, args...) })
}

// Prepare reserves a connection for the statement until it is closed.
func (d *zombieDatabase) Prepare(ctx context.Context, query string) (Statement, error) {
	c, err := d.pool.Take(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.Prepare(query)
	if err != nil {
		d.pool.Put(c)
		return nil, err
	}
	return &zombieStatement{s: s, release: func() { d.pool.Put(c) }}, nil
}

func (d *zombieDatabase) Acquire(ctx context.Context) (Conn, error) {
	c, err := d.pool.Take(ctx)
	if err != nil {
		return nil, err
	}
	return zombieConn{zombieQueryer{c}, d.pool}, nil
}

func (d *zombieDatabase) Transact(ctx context.Context, f func(Queryer) error) error {
	return d.with(ctx, func(q zombieQueryer) (err error) {
		defer sqlitex.Transaction(q.c)(&err)
		return f(q)
	})
}

func (d *zombieDatabase) Close() error { return d.pool.Close() }

type zombieConn struct {
	zombieQueryer
	pool *sqlitex.Pool
}

func (c zombieConn) Release() error {
	c.pool.Put(c.c)
	return nil
}

type zombieQueryer struct{ c *sqlite.Conn }

func (q zombieQueryer) Exec(ctx context.Context, query string, args ...any) error {
	s, err := q.prepare(query)
	if err != nil {
		return err
	}
	return s.Exec(ctx, args...)
}

func (q zombieQueryer) Row(ctx context.Context, query string, dest []any, args ...any) error {
	s, err := q.prepare(query)
	if err != nil {
		return err
	}
	return s.Row(ctx, dest, args...)
}

func (q zombieQueryer) Rows(_ context.Context, query string, dest []any, each func(), args ...any) error {
	s, err := q.prepare(query)
	if err != nil {
		return err
	}
	return s.rows(dest, each, args)
}

func (q zombieQueryer) Prepare(_ context.Context, query string) (Statement, error) {
	return q.prepare(query)
}

func (q zombieQueryer) prepare(query string) (*zombieStatement, error) {
	s, err := q.c.Prepare(query)
	if err != nil {
		return nil, err
	}
	return &zombieStatement{s: s}, nil
}

type zombieStatement struct {
	s       *sqlite.Stmt
	release func() // may be nil
}

func (s *zombieStatement) bind(args []any) error {
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			s.s.BindInt64(i+1, v)
		case float64:
			s.s.BindFloat(i+1, v)
		case string:
			s.s.BindText(i+1, v)
		case []byte:
			s.s.BindBytes(i+1, v)
		default:
			return fmt.Errorf("bind argument %d: a %T is not known", i+1, arg)
		}
	}
	return nil
}

func (s *zombieStatement) Exec(_ context.Context, args ...any) error {
	return s.rows(nil, func() {}, args)
}

func (s *zombieStatement) Row(_ context.Context, dest []any, args ...any) error {
	n := 0
	if err := s.rows(dest, func() { n++ }, args); err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("read one row: got %d", n)
	}
	return nil
}

func (s *zombieStatement) rows(dest []any, each func(), args []any) error {
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		ok, err := s.s.Step()
		if err != nil {
			return errors.Join(err, s.s.Reset())
		}
		if !ok {
			return s.s.Reset()
		}
		if err := s.read(dest); err != nil {
			return errors.Join(err, s.s.Reset())
		}
		each()
	}
}

func (s *zombieStatement) read(dest []any) error {
	for i, d := range dest {
		switch d := d.(type) {
		case *int64:
			*d = s.s.ColumnInt64(i)
		case *float64:
			*d = s.s.ColumnFloat(i)
		case *string:
			*d = s.s.ColumnText(i)
		case *[]byte:
			n := s.s.ColumnLen(i)
			if cap(*d) < n {
				*d = make([]byte, n)
			}
			*d = (*d)[:n]
			s.s.ColumnBytes(i, *d)
		default:
			return fmt.Errorf("read column %d: a %T is not known", i, d)
		}
	}
	return nil
}

// Close releases the connection. The statement remains in its cache.
func (s *zombieStatement) Close() error {
	if s.release != nil {
		s.release()
	}
	return nil
}
