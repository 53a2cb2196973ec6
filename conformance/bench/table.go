package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// A Report is the result of a tour.
type Report struct {
	Command    []string
	Took       time.Duration
	Disk       *Disk // nil if no workload ran at synchronous=full
	Contenders []*Contender
	Results    []*Result
	Findings   []Finding
	Points     []Point
}

// results writes RESULTS.md.
func (r *Report) results(w io.Writer) error {
	var b strings.Builder
	r.head(&b, "Results", "Medians, as multiples of the bare driver's", "results.svg")
	r.summary(&b)
	r.budgets(&b)
	for i := 0; i < len(r.Results); {
		n := i
		for n < len(r.Results) && r.Results[n].Workload == r.Results[i].Workload {
			n++
		}
		section(&b, r.Results[i:n])
		i = n
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// growth writes GROWTH.md.
func (r *Report) growth(w io.Writer) error {
	var b strings.Builder
	r.head(&b, "How cost grows", "The cost of a unit as its number grows", "growth.svg")
	growthTable(&b, r.Points)
	_, err := io.WriteString(w, b.String())
	return err
}

// head writes what a page is about, and how it was measured.
func (r *Report) head(b *strings.Builder, title, chart, file string) {
	fmt.Fprintf(b, "# %s\n\nOn %s; it took %s.\n\n![%s](%s)\n\n", title, machine(r.Command), r.Took.Round(time.Second), chart, file)
	b.WriteString("Machines differ: compare numbers within a table, not with another table. " +
		"Each number is the median over rounds in which all contenders ran; ± is half the distance between the quartiles; " +
		"the ratio is the ratio of medians to bare `" + Baseline + "`, with its 95% interval. Allocations are the whole process's, per operation. " +
		"`-never` and `-sampled` are with an SDK that samples nothing or everything; the calls of a batch have one root span; " +
		"a batching exporter drops what it gets. Contenders without either have no SDK.\n\n")
	b.WriteString("Every database: `journal_mode=wal`, `foreign_keys=on`, `busy_timeout=" + fmt.Sprint(busyTimeout) + "`, " +
		"`synchronous` as each table says; set in each driver's own way and read back. Workloads whose names end with `" + fullSuffix + "` run at " +
		"`synchronous=" + SyncFull + "`: a commit that returned survives a power failure. At `synchronous=" + SyncNormal + "` it may be lost.\n\n")
	if r.Disk != nil {
		fmt.Fprintf(b, "The disk: %s.\n\n", r.Disk.speed())
	}
	b.WriteString("Modules: " + strings.Join(versions(), ", ") + ".\n\n")
	for _, c := range r.Contenders {
		if c.Missing != "" {
			fmt.Fprintf(b, "- `%s` did not take part: %s.\n", c.Name, c.Missing)
		}
	}
}

// summaryWorkloads are the columns of the first table.
var summaryWorkloads = []string{"point", "point-prepared", "point-tx", "insert", "tx10", "insert-full", "tx10-full", "scan", "wide", "join", "open"}

// summary writes the table that fits a page, with ratios only.
func (r *Report) summary(b *strings.Builder) {
	var columns []string
	for _, name := range summaryWorkloads {
		if resultOf(r.Results, name, Baseline) != nil {
			columns = append(columns, name)
		}
	}
	if len(columns) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Time, as a multiple of bare `%s`\n\n| |", Baseline)
	for _, name := range columns {
		fmt.Fprintf(b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(columns)) + "\n| synchronous |")
	for _, name := range columns {
		fmt.Fprintf(b, " %s |", resultOf(r.Results, name, Baseline).Workload.Options.Synchronous)
	}
	b.WriteString("\n")
	for _, c := range r.Contenders {
		if c.Missing != "" || c.Variant {
			continue
		}
		fmt.Fprintf(b, "| `%s` |", c.Name)
		for _, name := range columns {
			cell := "failed"
			if x, base := resultOf(r.Results, name, c.Name), resultOf(r.Results, name, Baseline); x != nil && x.Err == nil {
				cell = fmt.Sprintf("%.2f", divide(median(x.Rounds[Time]), median(base.Rounds[Time])))
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteString("\n")
	}
}

func (r *Report) budgets(b *strings.Builder) {
	if len(r.Findings) == 0 {
		return
	}
	b.WriteString("\n## Budgets\n\nAs measured in this run; `-check` measures longer, and decides.\n\n" +
		"| budget | contender | synchronous | limit | found | 95% interval | | status |\n|---|---|---|---|--:|---|---|---|\n")
	for _, f := range r.Findings {
		found, interval := f.Reason, ""
		if f.Rounds > 0 {
			found, interval = fmt.Sprintf("%.2f", f.Ratio.Value), fmt.Sprintf("%.2f to %.2f", f.Ratio.Low, f.Ratio.High)
		}
		fmt.Fprintf(b, "| %s | `%s` | %s | %s | %s | %s | %s | %s |\n",
			f.Budget.Name, f.Budget.Contender, f.Workload.Options.Synchronous, f.Budget.limit(), found, interval, f.Verdict, f.Budget.status())
	}
}

// section writes the table of a workload.
func section(b *strings.Builder, results []*Result) {
	w := results[0].Workload
	fmt.Fprintf(b, "\n## %s\n\n%s. Durability: `%s`.\n\n", w.Name, strings.ToUpper(w.What[:1])+w.What[1:], w.durability())
	if w.Trial != nil {
		trialSection(b, results)
		return
	}
	base := resultOf(results, w.Name, Baseline)
	b.WriteString("| | time | ± | ratio | 95% interval | allocs | bytes |\n|---|--:|--:|--:|---|--:|--:|\n")
	for _, r := range results {
		if r.Err != nil {
			fmt.Fprintf(b, "| `%s` | failed: %s | | | | | |\n", r.Contender.Name, oneLine(r.Err))
			continue
		}
		t := r.Rounds[Time]
		x := ratio(t, base.Rounds[Time])
		fmt.Fprintf(b, "| `%s` | %s | %.0f%% | %.2f | %.2f to %.2f | %.0f | %.0f |\n", r.Contender.Name, duration(median(t)),
			100*spread(t)/median(t), x.Value, x.Low, x.High, median(r.Rounds[Allocs]), median(r.Rounds[Bytes]))
	}
}

// trialSection writes a table with a column for each figure.
func trialSection(b *strings.Builder, results []*Result) {
	var columns []string
	for _, name := range figureOrder {
		for _, r := range results {
			if len(r.Rounds[name]) > 0 {
				columns = append(columns, name)
				break
			}
		}
	}
	b.WriteString("| |")
	for _, name := range columns {
		fmt.Fprintf(b, " %s |", name)
	}
	b.WriteString(" rounds |\n|---|" + strings.Repeat("--:|", len(columns)+1) + "\n")
	for _, r := range results {
		if r.Err != nil {
			fmt.Fprintf(b, "| `%s` | failed: %s |%s\n", r.Contender.Name, oneLine(r.Err), strings.Repeat(" |", len(columns)))
			continue
		}
		fmt.Fprintf(b, "| `%s` |", r.Contender.Name)
		rounds := 0
		for _, name := range columns {
			xs := r.Rounds[name]
			rounds = len(xs)
			fmt.Fprintf(b, " %s |", figure(name, median(xs)))
		}
		fmt.Fprintf(b, " %d |\n", rounds)
	}
}

// figureOrder is the order of columns.
var figureOrder = []string{
	Time, "calls/s", "call p50", "call p99", "call max",
	"writes/s", "write p50", "write p99", "write max", "write errors",
	"reads/s", "read p50", "read p99", "read max", "read errors", Lost,
	"waits/s", "wait p50", "wait p99", "wait max", "wait p99/p50",
	PerConn, PerStatement,
}

// figure formats a figure in its unit.
func figure(name string, v float64) string {
	switch {
	case name == Time, strings.HasSuffix(name, " p50"), strings.HasSuffix(name, " p99"), strings.HasSuffix(name, " max"):
		return duration(v)
	case strings.HasSuffix(name, "p99/p50"):
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// duration formats nanoseconds with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}} {
		if ns >= unit.size {
			v := ns / unit.size
			return fmt.Sprintf("%.*f %s", max(0, 2-int(math.Log10(v))), v, unit.name)
		}
	}
	return fmt.Sprintf("%.2f ns", ns)
}

func growthTable(b *strings.Builder, points []Point) {
	for i := 0; i < len(points); {
		c := points[i].Curve
		fmt.Fprintf(b, "\n## %s\n\nThe cost of %s, by %s. Durability: `%s`. Expected: %s.\n\n| | |\n|---|---|\n", c.Name, c.What, c.Param, c.durability(), c.Shape)
		rows := map[string]string{}
		for ; i < len(points) && points[i].Curve == c; i++ {
			p := points[i]
			rows[p.Contender] += fmt.Sprintf(" %d: %s;", p.N, duration(p.Time))
		}
		for _, name := range growing {
			if rows[name] != "" {
				fmt.Fprintf(b, "| `%s` |%s |\n", name, strings.TrimSuffix(rows[name], ";"))
			}
		}
	}
	b.WriteString("\n## Bends\n\nWhere a contender's ratio to the baseline rises by half from one value to the next, " +
		"which the expected shape does not explain:\n\n")
	list := bends(points)
	if len(list) == 0 {
		b.WriteString("None.\n")
	}
	for _, x := range list {
		fmt.Fprintf(b, "- %s: `%s` rises from %.2f times the baseline at %d to %.2f times at %d: %s.\n",
			x.To.Curve.Name, x.To.Contender, x.From.Ratio, x.From.N, x.To.Ratio, x.To.N, x.reason())
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
