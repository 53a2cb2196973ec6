package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Curve describes how the cost of one unit grows with a parameter.
type Curve struct {
	Name   string
	What   string // one unit
	Param  string // the parameter
	Values []int
	Tiny   []int // values for tests
	Units  func(n int) int
	Run    func(n int) *Workload
	Shape  string // the expected shape, and why
}

// durability returns that of the curve's workloads, which is the same for all values.
func (c *Curve) durability() string { return c.Run(c.Tiny[0]).durability() }

// A Point is a contender's cost of one unit at a value of the parameter.
type Point struct {
	Curve     *Curve
	Contender string
	N         int
	Time      float64 // nanoseconds per unit
	Ratio     float64 // to the baseline at the same value; 0 if the baseline failed
}

// growing are the contenders whose curves are drawn.
var growing = []string{Baseline, "sqlitemw", "sqlitemw-sampled", "mattn", "modernc"}

func decades(from, to int) []int {
	var list []int
	for n := from; n <= to; n *= 10 {
		list = append(list, n)
	}
	return list
}

func doublings(to, step int) []int {
	var list []int
	for n := 1; n <= to; n *= step {
		list = append(list, n)
	}
	return list
}

func one(int) int    { return 1 }
func same(n int) int { return n }

func curves() []*Curve {
	return []*Curve{
		{
			Name: "rows", What: "one row of a scan", Param: "rows of the result",
			Values: decades(1, 1_000_000), Tiny: []int{1, 10}, Units: same, Run: growRows,
			Shape: "falls while more rows share the cost of the call, then flat: rows are streamed, and none is kept",
		},
		{
			Name: "goroutines", What: "one point query", Param: "goroutines on 8 connections",
			Values: doublings(256, 4), Tiny: []int{1, 4}, Units: func(n int) int { return n * perGoroutine }, Run: growGoroutines,
			Shape: "falls until each core has a goroutine, then flat: with more goroutines than connections they wait their turn, and a unit costs no more",
		},
		{
			Name: "connections", What: "a connection acquired, used for a point query and released", Param: "connections held at once",
			Values: doublings(64, 4), Tiny: []int{1, 4}, Units: same, Run: growConnections,
			Shape: "rises, because every connection has its own memory and fewer of them fit the processor's caches; the more memory a connection takes, the steeper",
		},
		{
			Name: "statements", What: "one point query without Prepare", Param: "distinct queries in turn",
			Values: decades(1, 10_000), Tiny: []int{1, 10}, Units: one, Run: growStatements,
			Shape: "flat if nothing is cached for a query; if statements or descriptions of queries are cached, a step up where they no longer fit",
		},
		{
			Name: "size", What: "one point query without Prepare, at a random key", Param: "rows of the table",
			Values: decades(100, 1_000_000), Tiny: []int{100}, Units: one, Run: growSize,
			Shape: "a step for each level of the tree, and a rise where the table no longer fits SQLite's page cache of 2 MB, at some 100,000 rows",
		},
	}
}

// perGoroutine is how many queries a goroutine makes before it ends. With 20, its start is a
// small part of what is measured.
const perGoroutine = 20

func growRows(n int) *Workload {
	return &Workload{
		Name: fmt.Sprintf("rows-%d", n), Options: Options{Synchronous: "normal", Conns: 1},
		Seed: func(Size) []string { return users(int64(n)).seed() },
		Start: func(ctx context.Context, e *Env) (*Run, error) {
			return startReadUsers(ctx, e, int64(n), 1)
		},
	}
}

func growGoroutines(n int) *Workload {
	return &Workload{
		Name: fmt.Sprintf("goroutines-%d", n), Options: Options{Synchronous: "normal", Conns: 8}, Seed: seedItems,
		Start: func(ctx context.Context, e *Env) (*Run, error) {
			db, err := e.Open(ctx)
			if err != nil {
				return nil, err
			}
			readers := make([]*itemReader, n)
			for i := range readers {
				readers[i] = newItemReader()
			}
			return &Run{
				Op: func(ctx context.Context) error {
					return together(n, func(i int) error {
						r := readers[i]
						for range perGoroutine {
							if err := db.Row(ctx, itemQuery, r.dest, r.next()); err != nil {
								return err
							}
							if err := r.check(); err != nil {
								return err
							}
						}
						return nil
					})
				},
				Close: db.Close,
			}, nil
		},
	}
}

func growConnections(n int) *Workload {
	return &Workload{
		Name: fmt.Sprintf("connections-%d", n), Options: Options{Synchronous: "normal", Conns: n}, Seed: seedItems,
		Start: func(ctx context.Context, e *Env) (*Run, error) {
			db, err := e.Open(ctx)
			if err != nil {
				return nil, err
			}
			r := newItemReader()
			conns := make([]Conn, 0, n)
			return &Run{
				Op: func(ctx context.Context) (err error) {
					conns = conns[:0]
					for range n {
						c, err := db.Acquire(ctx)
						if err != nil {
							return err
						}
						conns = append(conns, c)
						if err := errors.Join(c.Row(ctx, itemQuery, r.dest, r.next()), r.check()); err != nil {
							return err
						}
					}
					for _, c := range conns {
						err = errors.Join(err, c.Release())
					}
					return err
				},
				Close: db.Close,
			}, nil
		},
	}
}

func growStatements(n int) *Workload {
	return &Workload{
		Name: fmt.Sprintf("statements-%d", n), Options: Options{Synchronous: "normal", Conns: 1}, Seed: seedItems,
		Start: func(ctx context.Context, e *Env) (*Run, error) {
			queries := make([]string, n)
			for i := range queries {
				queries[i] = fmt.Sprintf("SELECT name AS name%d FROM items WHERE id = ?", i)
			}
			next := 0
			return startItems(ctx, e, func(ctx context.Context, db Database, r *itemReader) error {
				next = (next + 1) % n
				if err := db.Row(ctx, queries[next], r.dest, r.next()); err != nil {
					return err
				}
				return r.check()
			})
		},
	}
}

func growSize(n int) *Workload {
	return &Workload{
		Name: fmt.Sprintf("size-%d", n), Options: Options{Synchronous: "normal", Conns: 1},
		Seed: func(Size) []string { return seedItemRows(n) },
		Start: func(ctx context.Context, e *Env) (*Run, error) {
			db, err := e.Open(ctx)
			if err != nil {
				return nil, err
			}
			var got string
			dest, key := []any{&got}, uint64(1)
			return &Run{
				Op: func(ctx context.Context) error {
					key = key*6364136223846793005 + 1442695040888963407 // Knuth's generator, which is good enough here
					id := int64((key>>33)%uint64(n)) + 1
					if err := db.Row(ctx, itemQuery, dest, id); err != nil {
						return err
					}
					if want := fmt.Sprintf("item %d", id); got != want {
						return fmt.Errorf("verify: item %d is %q, want %q", id, got, want)
					}
					return nil
				},
				Close: db.Close,
			}, nil
		},
	}
}

// grow measures the curves.
func grow(ctx context.Context, p Plan, wanted []*Curve, all []*Contender, out io.Writer) ([]Point, error) {
	var list []*Contender
	for _, name := range growing {
		if c := byName(all, name); c != nil && c.Missing == "" {
			list = append(list, c)
		}
	}
	var points []Point
	var failures []error
	for _, c := range wanted {
		began := time.Now()
		values := c.Values
		if p.Size == Tiny {
			values = c.Tiny
		}
		for _, n := range values {
			results, err := measure(ctx, c.Run(n), list, p, nil)
			if err != nil {
				return nil, err
			}
			base := median(results[0].Rounds[Time])
			for _, r := range results {
				if r.Err != nil {
					failures = append(failures, r.Err)
					continue
				}
				t := median(r.Rounds[Time])
				points = append(points, Point{Curve: c, Contender: r.Contender.Name, N: n, Time: t / float64(c.Units(n)), Ratio: divide(t, base)})
			}
		}
		fmt.Fprintf(out, "growth of %s (%s)\n", c.Name, time.Since(began).Round(100*time.Millisecond))
	}
	return points, errors.Join(failures...)
}

// A Bend is a step at which a contender's cost grows but the baseline's does not. The shape of
// the curve cannot explain it.
type Bend struct {
	From, To Point
}

// bends returns the steps of more than one half in the ratio to the baseline.
func bends(points []Point) []Bend {
	var list []Bend
	last := map[string]Point{}
	for _, p := range points {
		key := p.Curve.Name + "/" + p.Contender
		if before, ok := last[key]; ok && p.Ratio > 1.5*before.Ratio {
			list = append(list, Bend{before, p})
		}
		last[key] = p
	}
	return list
}

// reason returns the known reason for a bend.
func (b Bend) reason() string {
	if family(b.To.Contender) == "own" {
		switch b.To.Curve.Name {
		case "statements":
			return "known: the cached descriptions of queries no longer fit their cache, and are made again for each call"
		case "rows":
			return "known: the saving is made once for a call, and more rows share it"
		}
	}
	return "unexplained: measure it again, and if it stays, find out why"
}
