package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// The figures of every operation. Trials have other names.
const (
	Time   = "time"   // nanoseconds per operation
	Allocs = "allocs" // per operation, of the whole process
	Bytes  = "bytes"  // allocated per operation, of the whole process
	Lost   = "lost"   // acknowledged writes of a trial that are missing
)

// Figures are the observations of one round.
type Figures map[string]float64

// A Plan says how long to measure.
type Plan struct {
	Size      Size
	Batch     time.Duration // minimum duration of a batch
	Window    time.Duration // duration of a trial
	Rounds    int           // number of rounds
	MinRounds int           // minimum number of rounds once Cap is over
	Cap       time.Duration // for all contenders of a workload
	Dir       string        // for databases
	Shuffle   *rand.Rand    // the order of contenders within a round
}

// A Result is the result of a contender in a workload.
type Result struct {
	Workload  *Workload
	Contender *Contender
	Rounds    map[string][]float64 // by figure; the same rounds for all contenders of a workload
	Err       error                // why there are no figures
}

// A cell is a running contender.
type cell struct {
	*Result
	env   *Env
	run   *Run  // nil for a trial
	batch int   // operations in a batch
	ops   int64 // operations so far
	spans int64 // spans of its SDK before the first operation
}

// measure runs w on all contenders. After each round, it calls enough, if that is not nil, and
// stops if it returns true. A contender that fails stops, with the error in its Result. The
// returned error is one of the harness itself.
func measure(ctx context.Context, w *Workload, list []*Contender, p Plan, enough func(rounds int, results []*Result) bool) (_ []*Result, err error) {
	if err := w.validate(); err != nil {
		return nil, fmt.Errorf("measure %s: %w", w.Name, err)
	}
	dir, err := os.MkdirTemp(p.Dir, "bench-"+w.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", w.Name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	seed := filepath.Join(dir, "seed.db")
	if err := makeSeed(seed, w.Seed(p.Size)); err != nil {
		return nil, fmt.Errorf("measure %s: %w", w.Name, err)
	}

	var results []*Result
	var cells []*cell
	for _, c := range list {
		x := &cell{Result: &Result{Workload: w, Contender: c, Rounds: map[string][]float64{}}}
		x.env = &Env{Contender: c, Options: c.options(w.Options), Size: p.Size, Window: p.Window, dir: dir, seed: seed}
		results = append(results, x.Result)
		if x.Err = x.start(ctx, p); x.Err == nil {
			cells = append(cells, x)
		}
	}
	// Collect the garbage of the setup, so that no contender pays for it.
	runtime.GC()

	began := time.Now()
	for round := 1; len(cells) > 0 && (round <= p.Rounds || enough != nil); round++ {
		p.Shuffle.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		for i := 0; i < len(cells); i++ {
			x := cells[i]
			if x.Err = x.round(ctx); x.Err != nil {
				x.Err = errors.Join(x.Err, x.stop())
				cells = append(cells[:i], cells[i+1:]...)
				i--
			}
		}
		if err := ctx.Err(); err != nil {
			break
		}
		if round >= p.MinRounds && (time.Since(began) > p.Cap || enough != nil && enough(round, results)) {
			break
		}
	}
	for _, x := range cells {
		x.Err = x.finish()
	}
	return results, ctx.Err()
}

// start opens the contender, verifies its settings and determines the size of its batches,
// which also warms it up.
func (x *cell) start(ctx context.Context, p Plan) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, x.stop())
		}
	}()
	if err := x.env.Renew(); err != nil {
		return err
	}
	db, err := x.env.Open(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(verifySettings(ctx, db, x.env.Options), db.Close()); err != nil {
		return err
	}
	// Opening connections may make spans. Only the spans of the workload's calls count.
	if x.spans, err = x.Contender.sdk.flushed(ctx); err != nil {
		return err
	}
	if x.Workload.Start == nil {
		return nil
	}
	if x.run, err = x.Workload.Start(ctx, x.env); err != nil {
		return fmt.Errorf("start %s: %w", x.Workload.Name, err)
	}
	return x.calibrate(ctx, p.Batch)
}

// calibrate determines how many operations take as long as a batch must. It requires two
// batches in a row that are long enough. After a disturbed single one, batches would be so
// small that the noise of each later batch dominates.
func (x *cell) calibrate(ctx context.Context, least time.Duration) error {
	x.batch = 1
	for before := time.Duration(0); ; {
		d, err := x.repeat(ctx)
		if err != nil {
			return err
		}
		if d >= least && before >= least {
			return nil
		}
		before = d
		if d < least {
			// Aim beyond the goal, because the first batches are slow.
			per := max(1, d/time.Duration(x.batch))
			x.batch = max(x.batch+1, min(10*x.batch, int(least*5/4/per)))
			before = 0
		}
	}
}

// begin returns the context of a contender's calls. It cannot be canceled. For a cancelable
// context, database/sql starts a goroutine for every query, which hides half of what a driver
// spends on a short one. Another workload measures that.
func (x *cell) begin(ctx context.Context) (context.Context, func()) {
	return x.Contender.sdk.root(context.WithoutCancel(ctx))
}

// repeat runs a batch and returns its duration.
func (x *cell) repeat(ctx context.Context) (time.Duration, error) {
	ctx, end := x.begin(ctx)
	defer end()
	op := x.run.Op
	began := time.Now()
	for range x.batch {
		x.ops++
		if err := op(ctx); err != nil {
			return 0, fmt.Errorf("run %s on %s: %w", x.Workload.Name, x.Contender.Name, err)
		}
	}
	return time.Since(began), nil
}

// round makes one observation of each figure.
func (x *cell) round(ctx context.Context) error {
	figures, err := x.observe(ctx)
	if err != nil {
		return err
	}
	for name, v := range figures {
		x.Rounds[name] = append(x.Rounds[name], v)
	}
	return x.Contender.sdk.flush(ctx)
}

func (x *cell) observe(ctx context.Context) (Figures, error) {
	if x.run == nil {
		if err := x.env.Renew(); err != nil {
			return nil, err
		}
		ctx, end := x.begin(ctx)
		defer end()
		figures, err := x.Workload.Trial(ctx, x.env)
		if err != nil {
			return nil, fmt.Errorf("try %s on %s: %w", x.Workload.Name, x.Contender.Name, err)
		}
		if n := figures[Lost]; n != 0 {
			return nil, fmt.Errorf("verify %s on %s: %.0f writes are missing", x.Workload.Name, x.Contender.Name, n)
		}
		return figures, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := x.repeat(ctx)
	if err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	n := float64(x.batch)
	return Figures{
		Time: float64(d.Nanoseconds()) / n,
		// Rounded down, as package testing does, because other goroutines allocate a
		// little.
		Allocs: math.Floor(float64(after.Mallocs-before.Mallocs) / n),
		Bytes:  math.Floor(float64(after.TotalAlloc-before.TotalAlloc) / n),
	}, nil
}

// finish closes the contender, and then checks what it wrote. It must not check before, because
// two builds of SQLite in one process ignore each other's locks on a file.
func (x *cell) finish() error {
	if err := x.stop(); err != nil {
		return err
	}
	if x.run != nil && x.run.Check != nil {
		if err := x.run.Check(x.ops); err != nil {
			return fmt.Errorf("check %s on %s: %w", x.Workload.Name, x.Contender.Name, err)
		}
	}
	if x.Workload.Quiet {
		return nil
	}
	return x.Contender.sdk.verify(x.spans + x.env.checks)
}

func (x *cell) stop() error {
	if x.run == nil || x.run.Close == nil {
		return nil
	}
	return x.run.Close()
}
