package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	accounts     = 100
	sumAccounts  = "SELECT sum(balance) FROM accounts"
	readAccount  = "SELECT balance FROM accounts WHERE id = ?"
	writeAccount = "UPDATE accounts SET balance = balance + 1 WHERE id = ?"
)

func seedAccounts(Size) []string {
	return []string{
		"CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO accounts SELECT i, 0 FROM n`, accounts),
	}
}

// contentionWorkloads are trials, because they use many goroutines and the slowest call
// matters.
func contentionWorkloads() []*Workload {
	pool := Options{Synchronous: "normal", Conns: 10}
	autocommit := func(ctx context.Context, db Database, id int64) error { return db.Exec(ctx, writeAccount, id) }
	list := atBothSyncs([]*Workload{
		{
			Name: "contention", What: "32 writers that update a row and commit, and 8 readers of one row, without pauses, on 10 connections",
			Tour: true, TourFull: true, Options: pool, Seed: seedAccounts,
			Trial: func(ctx context.Context, e *Env) (Figures, error) { return contend(ctx, e, autocommit, 0) },
		},
		{
			Name: "contention-tx", What: "the same, but writers read the row and then update it, in a transaction",
			Tour: true, TourFull: true, Options: pool, Seed: seedAccounts,
			Trial: func(ctx context.Context, e *Env) (Figures, error) { return contend(ctx, e, readThenWrite, 0) },
		},
		{
			Name: "contention-tx-pause", What: "the same, but readers pause for 1 ms after each row",
			Tour: true, Options: pool, Seed: seedAccounts,
			Trial: func(ctx context.Context, e *Env) (Figures, error) {
				return contend(ctx, e, readThenWrite, time.Millisecond)
			},
		},
		{
			Name: "queue", What: "64 goroutines on 8 connections, each held for 1 ms: how long they wait",
			Tour: true, Quiet: true, Options: Options{Synchronous: "normal", Conns: 8}, Seed: seedAccounts,
			Trial: queue,
		},
	})
	list = append(list, &Workload{
		Name: "contention-tx-viewed", What: "as contention-tx, beside a viewer of the pool's page",
		Only: []string{Baseline, "sqlitemw-pool", viewed}, Options: pool, Seed: seedAccounts,
		Trial: func(ctx context.Context, e *Env) (Figures, error) { return contend(ctx, e, readThenWrite, 0) },
	})
	// Not at synchronous=full: it writes nothing, and its connections must not be open
	// beforehand.
	return append(list, &Workload{
		Name: "burst", What: "64 goroutines that each read a row at the same time, while one connection of 8 is open: until the last has finished",
		Tour: true, Options: Options{Synchronous: "normal", Conns: 8}, Seed: seedAccounts,
		Trial: burst,
	})
}

func readThenWrite(ctx context.Context, db Database, id int64) error {
	return db.Transact(ctx, func(q Queryer) error {
		var balance int64
		if err := q.Row(ctx, readAccount, []any{&balance}, id); err != nil {
			return err
		}
		return q.Exec(ctx, "UPDATE accounts SET balance = ? WHERE id = ?", balance+1, id)
	})
}

// A lane holds the observations of one goroutine.
type lane struct {
	took   []float64 // nanoseconds of calls that succeeded
	errors int
	late   int // calls that succeeded after the window
}

// until repeats op until end, with a pause after each. It waits for the last op to finish.
func (l *lane) until(end time.Time, pause time.Duration, op func() error) {
	for {
		began := time.Now()
		if began.After(end) {
			return
		}
		if err := op(); err != nil {
			l.errors++
		} else {
			ended := time.Now()
			l.took = append(l.took, float64(ended.Sub(began).Nanoseconds()))
			if ended.After(end) {
				l.late++
			}
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}

// summarise adds the figures of the lanes to f.
func summarise(f Figures, what string, lanes []lane, elapsed time.Duration) {
	var took []float64
	failed := 0
	for _, l := range lanes {
		took = append(took, l.took...)
		failed += l.errors
	}
	slices.Sort(took)
	f[what+"s/s"] = float64(len(took)) / elapsed.Seconds()
	f[what+" errors"] = float64(failed)
	if len(took) == 0 { // no call ended within the window
		took = []float64{float64(elapsed.Nanoseconds())}
	}
	f[what+" p50"] = quantile(took, 0.5)
	f[what+" p99"] = quantile(took, 0.99)
	f[what+" max"] = took[len(took)-1]
}

// contend runs writers and readers for the window, and then counts the writes.
func contend(ctx context.Context, e *Env, write func(context.Context, Database, int64) error, pause time.Duration) (Figures, error) {
	const writers, readers = 32, 8
	db, err := e.OpenAll(ctx)
	if err != nil {
		return nil, err
	}
	lanes := make([]lane, writers+readers)
	began := time.Now()
	end := began.Add(e.Window)
	err = together(len(lanes), func(i int) error {
		l := &lanes[i]
		if i < writers {
			id := int64(i)
			l.until(end, 0, func() error {
				id = id%accounts + 1
				return write(ctx, db, id)
			})
			return nil
		}
		var balance int64
		dest, id := []any{&balance}, int64(i)
		l.until(end, pause, func() error {
			id = id%accounts + 1
			return db.Row(ctx, readAccount, dest, id)
		})
		return nil
	})
	elapsed := time.Since(began)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	f := Figures{}
	summarise(f, "write", lanes[:writers], elapsed)
	summarise(f, "read", lanes[writers:], elapsed)
	sum, err := e.Count(sumAccounts)
	if err != nil {
		return nil, err
	}
	for _, l := range lanes[:writers] {
		f[Lost] += float64(len(l.took))
	}
	f[Lost] -= float64(sum)
	return f, nil
}

// queue measures only waits: each goroutine holds a connection without using it.
func queue(ctx context.Context, e *Env) (Figures, error) {
	db, err := e.OpenAll(ctx)
	if err != nil {
		return nil, err
	}
	lanes := make([]lane, 64)
	began := time.Now()
	end := began.Add(e.Window)
	err = together(len(lanes), func(i int) error {
		l := &lanes[i]
		for time.Now().Before(end) {
			asked := time.Now()
			c, err := db.Acquire(ctx)
			if err != nil {
				return err
			}
			l.took = append(l.took, float64(time.Since(asked).Nanoseconds()))
			time.Sleep(time.Millisecond)
			if err := c.Release(); err != nil {
				return err
			}
		}
		return nil
	})
	elapsed := time.Since(began)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	f := Figures{}
	summarise(f, "wait", lanes, elapsed)
	f["wait p99/p50"] = f["wait p99"] / f["wait p50"]
	return f, nil
}

func burst(ctx context.Context, e *Env) (Figures, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	read := func(id int64) error {
		var balance int64
		return db.Row(ctx, readAccount, []any{&balance}, id)
	}
	if err := read(1); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	lanes := make([]lane, 64)
	began := time.Now()
	err = together(len(lanes), func(i int) error {
		if err := read(int64(i + 1)); err != nil {
			return err
		}
		lanes[i].took = append(lanes[i].took, float64(time.Since(began).Nanoseconds()))
		return nil
	})
	elapsed := time.Since(began)
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	f := Figures{Time: float64(elapsed.Nanoseconds())}
	summarise(f, "call", lanes, elapsed)
	return f, nil
}
