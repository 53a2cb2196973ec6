package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are the command's flags.
type flags struct {
	tour, long, check, list bool

	out        string
	dir        string
	workloads  *regexp.Regexp
	contenders *regexp.Regexp
	cap        time.Duration
	seed       uint64
	command    []string // the command line, for the table

	probe func(dir string) (*Disk, error) // measureDisk, but in tests

	memory, memoryOf string // for the process that a trial starts
}

func parseFlags(args []string) (*flags, error) {
	f := &flags{probe: measureDisk}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.BoolVar(&f.tour, "tour", false, "run the short tour")
	fs.BoolVar(&f.long, "long", false, "run all workloads at full size, and how cost grows")
	fs.BoolVar(&f.check, "check", false, "run what budgets need until each is decided; fail if a budget that is on is broken")
	fs.BoolVar(&f.list, "list", false, "list contenders, workloads and budgets")
	fs.StringVar(&f.out, "out", ".", "the `directory` for tables and charts")
	fs.StringVar(&f.dir, "dir", "", "the `directory` for databases, which must be on a disk (default: sqlitemw-bench in the user's cache directory)")
	only := fs.String("workloads", "", "only workloads whose names match this `regexp`, and only curves whose growth/NAME does")
	who := fs.String("contenders", "", "only contenders whose names match this `regexp`, and those that others are compared with")
	fs.DurationVar(&f.cap, "cap", time.Minute, "how long -check measures a workload before it reports inconclusive")
	fs.Uint64Var(&f.seed, "seed", 1, "the `number` that seeds the order of contenders")
	fs.StringVar(&f.memory, "memory", "", "only print how much memory this `contender` uses; see the workload memory")
	fs.StringVar(&f.memoryOf, "memory-of", "", "the `file` that -memory opens")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	f.command = args
	modes := 0
	for _, on := range []bool{f.tour, f.long, f.check, f.list, f.memory != ""} {
		if on {
			modes++
		}
	}
	if modes != 1 || fs.NArg() != 0 {
		return nil, errors.New("need exactly one of -tour, -long, -check and -list, and no arguments")
	}
	var err error
	if f.workloads, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("read -workloads: %w", err)
	}
	if f.contenders, err = regexp.Compile(*who); err != nil {
		return nil, fmt.Errorf("read -contenders: %w", err)
	}
	return f, nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	f, err := parseFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	all, closeSDKs := contenders()
	defer func() { err = errors.Join(err, closeSDKs(context.WithoutCancel(ctx))) }()
	if f.memory != "" {
		c := byName(all, f.memory)
		if c == nil {
			return fmt.Errorf("there is no contender %q", f.memory)
		}
		return printMemory(ctx, c, f.memoryOf, out)
	}
	budgets, err := loadBudgets()
	if err != nil {
		return err
	}
	switch {
	case f.list:
		return printList(out, all, workloads(), budgets)
	case f.check:
		return check(ctx, f, all, budgets, out)
	default:
		return tour(ctx, f, all, budgets, out)
	}
}

// plan returns how long each kind of run measures.
func (f *flags) plan() Plan {
	p := Plan{Dir: f.dir, Shuffle: rand.New(rand.NewPCG(f.seed, 0))}
	switch {
	case f.long:
		p.Size, p.Batch, p.Window = Full, 10*time.Millisecond, 2*time.Second
		p.Rounds, p.MinRounds, p.Cap = 51, 3, time.Minute
	case f.check:
		p.Size, p.Batch, p.Window = Short, 5*time.Millisecond, time.Second
		p.MinRounds, p.Cap = 30, f.cap
	default:
		p.Size, p.Batch, p.Window = Short, 5*time.Millisecond, 500*time.Millisecond
		p.Rounds, p.MinRounds, p.Cap = 41, 3, 15*time.Second
	}
	return p
}

// selected returns the selected workloads and contenders of a tour.
func (f *flags) selected(all []*Contender) ([]*Workload, []*Contender) {
	var ws []*Workload
	for _, w := range workloads() {
		if (f.long || w.Tour) && f.workloads.MatchString(w.Name) {
			ws = append(ws, w)
		}
	}
	var cs []*Contender
	for _, c := range all {
		if c.Name == Baseline || c.Name == Immediate || f.contenders.MatchString(c.Name) {
			cs = append(cs, c)
		}
	}
	return ws, cs
}

// curves returns the selected curves of a long run.
func (f *flags) curves() []*Curve {
	var list []*Curve
	for _, c := range curves() {
		if f.workloads.MatchString("growth/" + c.Name) {
			list = append(list, c)
		}
	}
	return list
}
