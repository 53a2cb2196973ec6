package main

import (
	"context"
	"fmt"
)

func seedWide(Size) []string {
	return []string{
		`CREATE TABLE wide(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, d TEXT, e TEXT, f REAL, g INTEGER, h BLOB)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
			INSERT INTO wide SELECT i, hex(zeroblob(20)), hex(zeroblob(50)), hex(zeroblob(100)), 'd' || i, 'e' || i,
			i / 3.0, i * 1000, zeroblob(4096) FROM n`,
	}
}

func seedOrders(Size) []string {
	return []string{
		"CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
		"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers, cents INTEGER NOT NULL)",
		"CREATE INDEX orders_customer ON orders(customer)",
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
			INSERT INTO customers SELECT i, 'customer ' || i FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO orders SELECT i, i % 50 + 1, i FROM n`,
	}
}

func scanWorkloads() []*Workload {
	one := Options{Synchronous: "normal", Conns: 1}
	return []*Workload{
		{
			Name: "scan", What: "1000 rows of three columns",
			Tour: true, Options: one, Seed: seedItems,
			Start: startScan,
		},
		{
			Name: "wide", What: "100 rows of nine columns, five texts and a blob of 4096 bytes among them",
			Tour: true, Options: one, Seed: seedWide,
			Start: startWide,
		},
		{
			Name: "join", What: "50 groups of a join of 50 customers with 1000 orders",
			Tour: true, Options: one, Seed: seedOrders,
			Start: startJoin,
		},
	}
}

func startScan(ctx context.Context, e *Env) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	var (
		id, quantity int64
		name         string
		rows, sum    int64
	)
	dest := []any{&id, &name, &quantity}
	each := func() { rows++; sum += id + int64(len(name)) }
	const want = items*(items+1)/2 + 9*6 + 90*7 + 900*8 + 9 // ids, and the lengths of their names
	return &Run{
		Op: func(ctx context.Context) error {
			rows, sum = 0, 0
			if err := db.Rows(ctx, "SELECT id, name, quantity FROM items", dest, each); err != nil {
				return err
			}
			if rows != items || sum != want {
				return fmt.Errorf("verify: %d rows with sum %d, want %d with %d", rows, sum, items, want)
			}
			return nil
		},
		Close: db.Close,
	}, nil
}

func startWide(ctx context.Context, e *Env) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	var (
		id, number    int64
		real          float64
		texts         [5]string
		blob          []byte
		rows, content int
	)
	dest := []any{&id, &texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &real, &number, &blob}
	each := func() { rows++; content += len(texts[0]) + len(texts[1]) + len(texts[2]) + len(blob) }
	return &Run{
		Op: func(ctx context.Context) error {
			rows, content = 0, 0
			if err := db.Rows(ctx, "SELECT * FROM wide", dest, each); err != nil {
				return err
			}
			if want := 100 * (40 + 100 + 200 + 4096); rows != 100 || content != want {
				return fmt.Errorf("verify: %d rows with %d bytes, want 100 with %d", rows, content, want)
			}
			return nil
		},
		Close: db.Close,
	}, nil
}

func startJoin(ctx context.Context, e *Env) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	const query = `SELECT c.name, count(*), sum(o.cents) FROM customers c JOIN orders o ON o.customer = c.id
		WHERE o.cents > ? GROUP BY c.id ORDER BY 3 DESC`
	var (
		name              string
		orders, cents     int64
		groups, sumOrders int64
	)
	dest := []any{&name, &orders, &cents}
	each := func() { groups++; sumOrders += orders }
	return &Run{
		Op: func(ctx context.Context) error {
			groups, sumOrders = 0, 0
			if err := db.Rows(ctx, query, dest, each, int64(100)); err != nil {
				return err
			}
			if groups != 50 || sumOrders != 900 {
				return fmt.Errorf("verify: %d groups of %d orders, want 50 of 900", groups, sumOrders)
			}
			return nil
		},
		Close: db.Close,
	}, nil
}
