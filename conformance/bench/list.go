package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printList prints all contenders, workloads and budgets.
func printList(out io.Writer, all []*Contender, ws []*Workload, budgets []*Budget) error {
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "CONTENDER\tWHAT\tHERE")
	for _, c := range all {
		here := "yes"
		if c.Missing != "" {
			here = c.Missing
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", c.Name, c.What, here)
	}
	fmt.Fprintln(tw, "\nWORKLOAD\tWHAT\tDURABILITY\tTOUR")
	for _, w := range ws {
		tour := ""
		if w.Tour {
			tour = "yes"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", w.Name, w.What, w.durability(), tour)
	}
	fmt.Fprintln(tw, "\nGROWTH\tWHAT\tTOUR")
	for _, c := range curves() {
		fmt.Fprintf(tw, "%s\t%s\t\n", c.Name, c.What)
	}
	fmt.Fprintln(tw, "\nBUDGET\tLIMIT\tSTATUS")
	for _, b := range budgets {
		fmt.Fprintf(tw, "%s: %s's %s, %s\t%s\t%s\n", b.Workload, b.Contender, b.Figure, b.Name, b.limit(), b.status())
	}
	return tw.Flush()
}
