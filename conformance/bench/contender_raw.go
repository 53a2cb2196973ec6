package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// rawDatabase is a Database on ncruces' connections, without database/sql. Its pool is a
// channel, which is the minimum for sharing connections between goroutines.
type rawDatabase struct {
	file    string
	options Options

	idle chan *sqlite3.Conn // holds nil for each connection that is not open yet

	mu  sync.Mutex
	all []*sqlite3.Conn
}

func openRaw(_ context.Context, file string, o Options) (Database, error) {
	d := &rawDatabase{file: file, options: o, idle: make(chan *sqlite3.Conn, max(1, o.Conns))}
	for range cap(d.idle) {
		d.idle <- nil
	}
	// The first connection is opened immediately, and is the first to be reused.
	c, err := d.take(context.Background())
	if err != nil {
		return nil, err
	}
	for range cap(d.idle) - 1 {
		<-d.idle
	}
	d.put(c)
	for range cap(d.idle) - 1 {
		d.idle <- nil
	}
	return d, nil
}

func (d *rawDatabase) take(ctx context.Context) (*sqlite3.Conn, error) {
	var c *sqlite3.Conn
	select {
	case c = <-d.idle:
	default:
		select {
		case c = <-d.idle:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c != nil {
		return c, nil
	}
	c, err := openRawConn(d.file, d.options)
	if err != nil {
		d.idle <- nil
		return nil, err
	}
	d.mu.Lock()
	d.all = append(d.all, c)
	d.mu.Unlock()
	return c, nil
}

func (d *rawDatabase) put(c *sqlite3.Conn) { d.idle <- c }

// openRawConn opens and configures a connection.
func openRawConn(file string, o Options) (*sqlite3.Conn, error) {
	c, err := sqlite3.Open(uri(file, nil))
	if err != nil {
		return nil, err
	}
	for _, p := range o.pragmas() {
		if err := c.Exec(p); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p, err), c.Close())
		}
	}
	return c, nil
}

func (d *rawDatabase) with(ctx context.Context, f func(rawQueryer) error) error {
	c, err := d.take(ctx)
	if err != nil {
		return err
	}
	defer d.put(c)
	return f(rawQueryer{c})
}

func (d *rawDatabase) Exec(ctx context.Context, query string, args ...any) error {
	return d.with(ctx, func(q rawQueryer) error { return q.Exec(ctx, query, args...) })
}

func (d *rawDatabase) Row(ctx context.Context, query string, dest []any, args ...any) error {
	return d.with(ctx, func(q rawQueryer) error { return q.Row(ctx, query, dest, args...) })
}

func (d *rawDatabase) Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error {
	return d.with(ctx, func(q rawQueryer) error { return q.Rows(ctx, query, dest, each, args...) })
}

// Prepare reserves a connection for the statement until it is closed.
func (d *rawDatabase) Prepare(ctx context.Context, query string) (Statement, error) {
	c, err := d.take(ctx)
	if err != nil {
		return nil, err
	}
	s, err := rawPrepare(c, query)
	if err != nil {
		d.put(c)
		return nil, err
	}
	s.release = func() { d.put(c) }
	return s, nil
}

func (d *rawDatabase) Acquire(ctx context.Context) (Conn, error) {
	c, err := d.take(ctx)
	if err != nil {
		return nil, err
	}
	return rawConn{rawQueryer{c}, d}, nil
}

func (d *rawDatabase) Transact(ctx context.Context, f func(Queryer) error) error {
	return d.with(ctx, func(q rawQueryer) error {
		if err := q.c.Exec("BEGIN"); err != nil {
			return err
		}
		if err := f(q); err != nil {
			return errors.Join(err, q.c.Exec("ROLLBACK"))
		}
		if err := q.c.Exec("COMMIT"); err != nil {
			return errors.Join(err, q.c.Exec("ROLLBACK"))
		}
		return nil
	})
}

func (d *rawDatabase) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for _, c := range d.all {
		err = errors.Join(err, c.Close())
	}
	d.all = nil
	return err
}

type rawConn struct {
	rawQueryer
	d *rawDatabase
}

func (c rawConn) Release() error {
	c.d.put(c.c)
	return nil
}

type rawQueryer struct{ c *sqlite3.Conn }

func (q rawQueryer) Exec(ctx context.Context, query string, args ...any) error {
	s, err := rawPrepare(q.c, query)
	if err != nil {
		return err
	}
	return errors.Join(s.Exec(ctx, args...), s.Close())
}

func (q rawQueryer) Row(ctx context.Context, query string, dest []any, args ...any) error {
	s, err := rawPrepare(q.c, query)
	if err != nil {
		return err
	}
	return errors.Join(s.Row(ctx, dest, args...), s.Close())
}

func (q rawQueryer) Rows(_ context.Context, query string, dest []any, each func(), args ...any) error {
	s, err := rawPrepare(q.c, query)
	if err != nil {
		return err
	}
	return errors.Join(s.rows(dest, each, args), s.Close())
}

func (q rawQueryer) Prepare(_ context.Context, query string) (Statement, error) {
	return rawPrepare(q.c, query)
}

type rawStatement struct {
	s       *sqlite3.Stmt
	release func() // may be nil
}

func rawPrepare(c *sqlite3.Conn, query string) (*rawStatement, error) {
	s, _, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	return &rawStatement{s: s}, nil
}

func (s *rawStatement) bind(args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case int64:
			err = s.s.BindInt64(i+1, v)
		case float64:
			err = s.s.BindFloat(i+1, v)
		case string:
			err = s.s.BindText(i+1, v)
		case []byte:
			err = s.s.BindBlob(i+1, v)
		default:
			err = fmt.Errorf("bind argument %d: a %T is not known", i+1, arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *rawStatement) Exec(_ context.Context, args ...any) error {
	if err := s.bind(args); err != nil {
		return err
	}
	return s.s.Exec()
}

func (s *rawStatement) Row(_ context.Context, dest []any, args ...any) error {
	n := 0
	if err := s.rows(dest, func() { n++ }, args); err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("read one row: got %d", n)
	}
	return nil
}

func (s *rawStatement) rows(dest []any, each func(), args []any) error {
	if err := s.bind(args); err != nil {
		return err
	}
	for s.s.Step() {
		for i, d := range dest {
			switch d := d.(type) {
			case *int64:
				*d = s.s.ColumnInt64(i)
			case *float64:
				*d = s.s.ColumnFloat(i)
			case *string:
				*d = s.s.ColumnText(i)
			case *[]byte:
				*d = s.s.ColumnBlob(i, (*d)[:0])
			default:
				return errors.Join(fmt.Errorf("read column %d: a %T is not known", i, d), s.s.Reset())
			}
		}
		each()
	}
	return errors.Join(s.s.Err(), s.s.Reset())
}

func (s *rawStatement) Close() error {
	err := s.s.Close()
	if s.release != nil {
		s.release()
	}
	return err
}
