package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/sqlitemw/sqlitemw/pool"
)

// poolDatabase is a Database over this module's own pool.
type poolDatabase struct {
	sqlDatabase
	pool *pool.Pool
	own  *sql.DB // which opened pool; nil if pool.Open did
}

func openPool(ctx context.Context, file string, o Options) (Database, error) {
	cfg := poolConfig(o)
	cfg.Path = uri(file, nil)
	p, err := pool.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return newPoolDatabase(p, nil), nil
}

// openPoolWith returns a function that opens the pool with more parameters in the DSN. Only
// database/sql accepts those of the pool.
func openPoolWith(params string) opener {
	return func(ctx context.Context, file string, o Options) (Database, error) {
		more, err := url.ParseQuery(params)
		if err != nil {
			return nil, fmt.Errorf("read the parameters %q: %w", params, err)
		}
		c, err := (&pool.Driver{Config: poolConfig(o)}).OpenConnector(uri(file, more))
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(c)
		if err := db.PingContext(ctx); err != nil { // the first call opens the pool
			return nil, errors.Join(err, db.Close())
		}
		return newPoolDatabase(pool.Of(db), db), nil
	}
}

// newPoolDatabase uses the same *sql.DB of p however p was opened, so that contenders differ only
// in their parameters.
func newPoolDatabase(p *pool.Pool, own *sql.DB) *poolDatabase {
	return &poolDatabase{sqlDatabase{sqlQueryer{p.DB()}, p.DB()}, p, own}
}

func poolConfig(o Options) pool.Config {
	cfg := pool.Config{
		MaxConns: o.Conns,
		Logger:   slog.New(slog.DiscardHandler),
		// The pool sets WAL, foreign keys and the busy timeout by itself.
	}
	cfg.Synchronous = pool.SynchronousNormal
	if o.Synchronous == SyncFull {
		cfg.Synchronous = pool.SynchronousFull
	}
	return cfg
}

// Acquire waits for a connection, as the other contenders do. The pool's own *sql.Conn would
// not wait: it acquires a connection at its first call.
func (d *poolDatabase) Acquire(ctx context.Context) (Conn, error) {
	acquire := d.pool.AcquireRead
	if d.pool.Config().MaxConns == 1 {
		acquire = d.pool.AcquireWrite // the only connection
	}
	return d.acquire(ctx, acquire)
}

func (d *poolDatabase) acquire(ctx context.Context, acquire func(context.Context) (*pool.Conn, error)) (Conn, error) {
	c, err := acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &sqlConn{sqlQueryer{c}, c.Conn}, nil
}

// AcquireAll acquires every possible connection: the writer and all readers.
func (d *poolDatabase) AcquireAll(ctx context.Context) (all []Conn, err error) {
	defer func() {
		if err != nil {
			for _, c := range all {
				err = errors.Join(err, c.Release())
			}
		}
	}()
	for i := range d.pool.Config().MaxConns {
		acquire := d.pool.AcquireRead
		if i == 0 {
			acquire = d.pool.AcquireWrite
		}
		c, err := d.acquire(ctx, acquire)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (d *poolDatabase) Close() error {
	err := d.pool.Close()
	if d.own != nil {
		err = errors.Join(err, d.own.Close())
	}
	return err
}
