package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// tour measures, and writes the tables and charts. It fails if a contender
// failed, after it has written what the others showed.
func tour(ctx context.Context, f *flags, all []*Contender, budgets []*Budget, out io.Writer) error {
	ws, cs := f.selected(all)
	report := &Report{Command: f.command, Contenders: cs}
	began := time.Now()
	var failures []error
	for _, w := range ws {
		start := time.Now()
		results, err := measure(ctx, w, present(cs), f.plan(), nil)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				failures = append(failures, r.Err)
			}
		}
		report.Results = append(report.Results, results...)
		fmt.Fprintf(out, "%s (%s)\n", w.Name, time.Since(start).Round(100*time.Millisecond))
	}
	for _, b := range budgets {
		if workloadByName(ws, b.Workload) != nil {
			report.Findings = append(report.Findings, b.judge(report.Results))
		}
	}
	if f.long {
		p := f.plan()
		p.Rounds, p.Cap = 21, 20*time.Second
		points, err := grow(ctx, p, f.curves(), all, out)
		report.Points = points
		failures = append(failures, err)
	}
	report.Took = time.Since(began)
	failures = append(failures, report.write(f.out))
	if err := report.markdown(out); err != nil {
		return err
	}
	return errors.Join(failures...)
}

// write writes the files.
func (r *Report) write(dir string) error {
	err := errors.Join(
		writeFile(filepath.Join(dir, "RESULTS.md"), r.markdown),
		writeFile(filepath.Join(dir, "results.svg"), r.chart))
	if len(r.Points) > 0 {
		err = errors.Join(err, writeFile(filepath.Join(dir, "growth.svg"), r.growthChart))
	}
	return err
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
