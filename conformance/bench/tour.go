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

// tour measures, and writes the tables and charts. If a contender failed, it fails after it has
// written the results of the others.
func tour(ctx context.Context, f *flags, all []*Contender, budgets []*Budget, out io.Writer) error {
	ws, cs := f.selected(all)
	disk, err := f.useDisk(ws, out)
	if err != nil {
		return err
	}
	report := &Report{Command: f.command, Contenders: cs, Disk: disk}
	began := time.Now()
	var failures []error
	for _, w := range ws {
		list := w.among(present(cs))
		if len(list) == 0 {
			continue
		}
		if w.full() && disk.Memory != "" {
			fmt.Fprintf(out, "%s is skipped: %s\n", w.Name, disk.unfit())
			continue
		}
		start := time.Now()
		results, err := measure(ctx, w, list, f.plan(), nil)
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
		if w := workloadByName(ws, b.Workload); w != nil {
			report.Findings = append(report.Findings, b.judgeOn(disk, w, report.Results))
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
	for _, page := range report.pages() {
		if filepath.Ext(page.file) == ".md" {
			failures = append(failures, page.write(out))
		}
	}
	return errors.Join(failures...)
}

// write writes the files.
func (r *Report) write(dir string) error {
	var failures []error
	for _, page := range r.pages() {
		failures = append(failures, writeFile(filepath.Join(dir, page.file), page.write))
	}
	return errors.Join(failures...)
}

// A page is a file that a report is written to.
type page struct {
	file  string
	write func(io.Writer) error
}

// pages returns the pages that have contents. A run of only curves does not change the results.
func (r *Report) pages() (all []page) {
	if len(r.Results) > 0 {
		all = append(all, page{"RESULTS.md", r.results}, page{"results.svg", r.chart})
	}
	if len(r.Points) > 0 {
		all = append(all, page{"GROWTH.md", r.growth}, page{"growth.svg", r.growthChart})
	}
	return all
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
