package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// enoughWidth is the distance of an interval's ends from the value, relative to the value, below
// which more rounds gain nothing: ±2%.
const enoughWidth = 0.02

// lookEvery is the number of rounds between two looks at the intervals. Frequent looks stop
// early by luck, because the 95% of an interval hold for one look, not over many.
const lookEvery = 10

// check measures what the budgets need. It fails if a budget that is on is broken.
func check(ctx context.Context, f *flags, all []*Contender, budgets []*Budget, out io.Writer) error {
	fmt.Fprintln(out, machine(f.command))
	var ws []*Workload
	for _, w := range workloads() {
		if f.workloads.MatchString(w.Name) && slices.ContainsFunc(budgets, func(b *Budget) bool { return b.Workload == w.Name }) {
			ws = append(ws, w)
		}
	}
	disk, err := f.useDisk(ws, out)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "VERDICT\tBUDGET\tDURABILITY\tLIMIT\tFOUND\t95% INTERVAL\tROUNDS\tSTATUS")
	var broken []string
	for _, w := range ws {
		findings, err := checkWorkload(ctx, f, w, disk, all, budgets)
		if err != nil {
			return err
		}
		for _, x := range findings {
			printFinding(tw, x)
			if x.Verdict == Broken && x.Budget.Status == statusOn {
				broken = append(broken, x.Budget.Name)
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return errors.New("broken: " + strings.Join(broken, "; "))
	}
	return nil
}

// checkWorkload judges the budgets of w. It runs all contenders that they name, interleaved,
// until each budget is decided or the time is over. At synchronous=full, it measures nothing if the
// disk is unfit.
func checkWorkload(ctx context.Context, f *flags, w *Workload, disk *Disk, all []*Contender, budgets []*Budget) ([]Finding, error) {
	var mine []*Budget
	named := map[string]bool{}
	for _, b := range budgets {
		if b.Workload == w.Name {
			mine = append(mine, b)
			// If the contender cannot run, its partner need not run either.
			if b.possible(all) && (!w.full() || disk.unfit() == "") {
				named[b.Contender], named[b.Against] = true, true
			}
		}
	}
	var list []*Contender
	for _, c := range present(all) {
		if named[c.Name] {
			list = append(list, c)
		}
	}
	var results []*Result
	if len(list) > 0 {
		var err error
		results, err = measure(ctx, w, list, f.plan(), func(rounds int, results []*Result) bool {
			return rounds%lookEvery == 0 && decided(mine, results)
		})
		if err != nil {
			return nil, err
		}
	}
	var findings []Finding
	for _, b := range mine {
		findings = append(findings, b.judgeOn(disk, w, results))
	}
	return findings, nil
}

// possible reports whether all contenders that b names can run.
func (b *Budget) possible(all []*Contender) bool {
	for _, name := range []string{b.Contender, b.Against} {
		if c := byName(all, name); name != "" && (c == nil || c.Missing != "") {
			return false
		}
	}
	return true
}

func decided(budgets []*Budget, results []*Result) bool {
	for _, b := range budgets {
		if f := b.judge(results); f.Verdict == Inconclusive && !f.Ratio.narrow(enoughWidth) {
			return false
		}
	}
	return true
}

func printFinding(out io.Writer, f Finding) {
	found, interval, rounds := f.Reason, "", ""
	if f.Rounds > 0 {
		found = fmt.Sprintf("%.3f", f.Ratio.Value)
		interval = fmt.Sprintf("%.3f to %.3f", f.Ratio.Low, f.Ratio.High)
		rounds = fmt.Sprint(f.Rounds)
	}
	if f.Err != nil {
		found = strings.ReplaceAll(f.Err.Error(), "\n", "; ")
	}
	b := f.Budget
	fmt.Fprintf(out, "%s\t%s (%s)\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Verdict, b.Name, b.Contender, f.Workload.durability(), b.limit(), found, interval, rounds, b.status())
}
