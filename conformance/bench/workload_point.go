package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	items     = 1000
	itemQuery = "SELECT name FROM items WHERE id = ?"
)

func seedItems(Size) []string { return seedItemRows(items) }

func seedItemRows(n int) []string {
	return []string{
		"CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL, quantity INTEGER NOT NULL)",
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO items SELECT i, 'item ' || i, i %% 7 FROM n`, n),
	}
}

// An itemReader reads one item after the other, and checks the results.
type itemReader struct {
	names []string // by id, from 1
	id    int64
	got   string
	dest  []any
}

func newItemReader() *itemReader {
	r := &itemReader{names: make([]string, items+1)}
	for i := range r.names {
		r.names[i] = fmt.Sprintf("item %d", i)
	}
	r.dest = []any{&r.got}
	return r
}

func (r *itemReader) next() int64 {
	r.id = r.id%items + 1
	r.got = ""
	return r.id
}

func (r *itemReader) check() error {
	if r.got != r.names[r.id] {
		return fmt.Errorf("verify: item %d is %q, want %q", r.id, r.got, r.names[r.id])
	}
	return nil
}

func pointWorkloads() []*Workload {
	one := Options{Synchronous: "normal", Conns: 1}
	return []*Workload{
		{
			Name: "point", What: "one row by its key, without Prepare",
			Tour: true, Options: one, Seed: seedItems,
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startItems(ctx, e, func(ctx context.Context, db Database, r *itemReader) error {
					if err := db.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
						return err
					}
					return r.check()
				})
			},
		},
		{
			Name: "point-statements", What: "one row by its key, without Prepare, beside statistics by statement",
			Only: []string{Baseline, "sqlitemw", counted}, Options: one, Seed: seedItems,
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startItems(ctx, e, func(ctx context.Context, db Database, r *itemReader) error {
					if err := db.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
						return err
					}
					return r.check()
				})
			},
		},
		{
			Name: "point-prepared", What: "one row by its key, with a statement prepared once",
			Tour: true, Options: one, Seed: seedItems,
			Start: startPrepared,
		},
		{
			Name: "point-tx", What: "begin, one row by its key, commit",
			Tour: true, Options: one, Seed: seedItems,
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startItems(ctx, e, func(ctx context.Context, db Database, r *itemReader) error {
					return db.Transact(ctx, func(q Queryer) error {
						if err := q.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
							return err
						}
						return r.check()
					})
				})
			},
		},
		{
			Name: "point-cancellable", What: "one row by its key, without Prepare, with a context that can be canceled",
			Options: one, Seed: seedItems,
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startItems(ctx, e, func(ctx context.Context, db Database, r *itemReader) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					if err := db.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
						return err
					}
					return r.check()
				})
			},
		},
		{
			Name: "acquire", What: "a connection acquired from the pool and released",
			Tour: true, Quiet: true, Options: one, Seed: seedItems,
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startItems(ctx, e, func(ctx context.Context, db Database, _ *itemReader) error {
					c, err := db.Acquire(ctx)
					if err != nil {
						return err
					}
					return c.Release()
				})
			},
		},
		{
			Name: "open", What: "a database opened, its first row read, and closed",
			Tour: true, Options: one, Seed: seedItems,
			Start: func(_ context.Context, e *Env) (*Run, error) {
				r := newItemReader()
				return &Run{Op: func(ctx context.Context) error {
					db, err := e.Open(ctx)
					if err != nil {
						return err
					}
					err = db.Row(ctx, itemQuery, r.dest, r.next())
					return errors.Join(err, r.check(), db.Close())
				}}, nil
			},
		},
	}
}

// startItems makes an operation that uses one database for all operations.
func startItems(ctx context.Context, e *Env, op func(context.Context, Database, *itemReader) error) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	r := newItemReader()
	return &Run{
		Op:    func(ctx context.Context) error { return op(ctx, db, r) },
		Close: db.Close,
	}, nil
}

func startPrepared(ctx context.Context, e *Env) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := db.Prepare(ctx, itemQuery)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	r := newItemReader()
	return &Run{
		Op: func(ctx context.Context) error {
			if err := s.Row(ctx, r.dest, r.next()); err != nil {
				return err
			}
			return r.check()
		},
		Close: func() error { return errors.Join(s.Close(), db.Close()) },
	}, nil
}
