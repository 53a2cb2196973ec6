package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// commitContenders are the contenders whose commits are compared.
var commitContenders = []string{Immediate, "ncruces-immediate-10", "sqlitemw-pool", "sqlitemw-pool-shared", "sqlitemw-pool-shared-early", "sqlitemw-pool-solo"}

// A crew is the goroutines of a trial: writers that commit without pauses, and readers beside
// them.
type crew struct {
	writers, readers int
	rows             int64 // inserted by each commit
}

// writersWorkloads compare how long a commit takes, alone and beside others.
func writersWorkloads() []*Workload {
	var list []*Workload
	for _, n := range []int{1, 8, 32, 128} {
		list = append(list, crew{writers: n, rows: 1}.workload(fmt.Sprintf("writers-%d", n),
			fmt.Sprintf("%s, each of which inserts a row and commits, without pauses", plural(n, "writer"))))
	}
	for _, n := range []int{1, 8, 32} {
		list = append(list, crew{writers: n, rows: 3}.workload(fmt.Sprintf("writers-tx3-%d", n),
			fmt.Sprintf("%s, each of which begins a transaction, inserts three rows and commits, without pauses", plural(n, "writer"))))
	}
	list = append(list, crew{writers: 32, readers: 4, rows: 1}.workload("writers-32-readers-4",
		"32 writers, each of which inserts a row and commits, and 4 readers of one row by its key, without pauses"))
	return atBothSyncs(list)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// workload returns a workload with a connection for each goroutine, all of them open
// beforehand. So database/sql never closes one and opens another, and its readers never wait
// for a writer's connection. It is not the fastest way to write with the bare driver: with 10
// connections, fewer writers compete for the lock of the file. Hence ncruces-immediate-10.
func (c crew) workload(name, what string) *Workload {
	return &Workload{
		Name: name, What: what, TourFull: true, Only: commitContenders,
		Options: Options{Synchronous: SyncNormal, Conns: c.writers + c.readers},
		Seed:    func(s Size) []string { return append(seedLog(s), seedItems(s)...) },
		Trial:   c.run,
	}
}

// run runs the writers and readers for the window, and then counts the rows.
func (c crew) run(ctx context.Context, e *Env) (Figures, error) {
	db, err := e.OpenAll(ctx)
	if err != nil {
		return nil, err
	}
	lanes := make([]lane, c.writers+c.readers)
	end := time.Now().Add(e.Window)
	err = together(len(lanes), func(i int) error {
		if i < c.writers {
			lanes[i].until(end, 0, func() error { return c.commit(ctx, db) })
			return nil
		}
		var wrong error
		r := newItemReader()
		lanes[i].until(end, 0, func() error {
			if err := db.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
				return err
			}
			if wrong == nil {
				wrong = r.check()
			}
			return nil
		})
		return wrong
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	f := Figures{}
	summariseWindow(f, "write", lanes[:c.writers], e.Window)
	if c.readers > 0 {
		summariseWindow(f, "read", lanes[c.writers:], e.Window)
	}
	rows, err := e.Count("SELECT count(*) FROM log")
	if err != nil {
		return nil, err
	}
	for _, l := range lanes[:c.writers] {
		f[Lost] += float64(len(l.took)) * float64(c.rows)
	}
	f[Lost] -= float64(rows)
	return f, nil
}

// summariseWindow is summarise, but its throughput is that of the window. After a window of 500
// ms, the trial waits for the bare driver's last of 128 writers, which sleep until their next
// try: for 150 to 470 ms, measured on two cores. That time says nothing about throughput.
func summariseWindow(f Figures, what string, lanes []lane, window time.Duration) {
	summarise(f, what, lanes, window)
	within := 0
	for _, l := range lanes {
		within += len(l.took) - l.late
	}
	f[what+"s/s"] = float64(within) / window.Seconds()
}

// commit inserts c.rows rows and commits them. A single row needs no transaction.
func (c crew) commit(ctx context.Context, db Database) error {
	const at, text = int64(1), "something happened"
	if c.rows == 1 {
		return db.Exec(ctx, insertLog, at, text)
	}
	return db.Transact(ctx, func(q Queryer) error {
		for range c.rows {
			if err := q.Exec(ctx, insertLog, at, text); err != nil {
				return err
			}
		}
		return nil
	})
}
