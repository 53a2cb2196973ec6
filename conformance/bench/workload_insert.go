package main

import "context"

const insertLog = "INSERT INTO log(at, text) VALUES (?, ?)"

func seedLog(Size) []string {
	return []string{"CREATE TABLE log(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL)"}
}

func insertWorkloads() []*Workload {
	one := func(ctx context.Context, db Database, n int64) error {
		return db.Exec(ctx, insertLog, n, "something happened")
	}
	ten := func(ctx context.Context, db Database, n int64) error {
		return db.Transact(ctx, func(q Queryer) error {
			for i := range int64(10) {
				if err := q.Exec(ctx, insertLog, n*10+i, "something happened"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return atBothSyncs([]*Workload{
		{
			Name: "insert", What: "one row inserted and committed",
			Tour: true, TourFull: true, Options: Options{Synchronous: "normal", Conns: 1}, Seed: seedLog,
			Start: func(ctx context.Context, e *Env) (*Run, error) { return startInserts(ctx, e, 1, one) },
		},
		{
			Name: "tx10", What: "a transaction that inserts ten rows",
			Tour: true, TourFull: true, Options: Options{Synchronous: "normal", Conns: 1}, Seed: seedLog,
			Start: func(ctx context.Context, e *Env) (*Run, error) { return startInserts(ctx, e, 10, ten) },
		},
	})
}

// startInserts makes an operation that inserts a number of rows, and a check that counts them.
func startInserts(ctx context.Context, e *Env, rows int64, op func(context.Context, Database, int64) error) (*Run, error) {
	db, err := e.OpenAll(ctx)
	if err != nil {
		return nil, err
	}
	var n int64
	return &Run{
		Op: func(ctx context.Context) error {
			n++
			return op(ctx, db, n)
		},
		Check: func(ops int64) error { return e.Expect("SELECT count(DISTINCT at) FROM log", ops*rows) },
		Close: db.Close,
	}, nil
}
