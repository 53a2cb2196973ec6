package main

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain runs the program itself if a memory trial started this process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-memory" {
		main()
		return
	}
	os.Exit(m.Run())
}

func tinyPlan(t *testing.T) Plan {
	return Plan{
		Size: Tiny, Window: 10 * time.Millisecond, Rounds: 2, MinRounds: 2, Cap: time.Minute,
		Dir: t.TempDir(), Shuffle: rand.New(rand.NewPCG(1, 1)),
	}
}

func newContenders(t *testing.T) []*Contender {
	all, closeSDKs := contenders()
	t.Cleanup(func() {
		if err := closeSDKs(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return all
}

func TestEveryWorkloadOnEveryContender(t *testing.T) {
	all := present(newContenders(t))
	for _, w := range workloads() {
		t.Run(w.Name, func(t *testing.T) {
			list := w.among(all)
			results, err := measure(t.Context(), w, list, tinyPlan(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) < 2 || len(results) != len(list) {
				t.Errorf("%d results of %d contenders, want at least two", len(results), len(list))
			}
			for _, r := range results {
				if r.Err != nil {
					t.Errorf("%s: %v", r.Contender.Name, r.Err)
				}
				for name, rounds := range r.Rounds {
					if len(rounds) != 2 {
						t.Errorf("%s has %d rounds of %s, want 2", r.Contender.Name, len(rounds), name)
					}
				}
			}
		})
	}
}

func TestReport(t *testing.T) {
	all := newContenders(t)
	few := []*Contender{byName(all, Baseline), byName(all, "sqlitemw")}
	budgets, err := loadBudgets()
	if err != nil {
		t.Fatal(err)
	}
	report := &Report{Command: []string{"-tour"}, Contenders: all}
	for _, name := range []string{"point", "insert", "insert-full"} {
		w := workloadByName(workloads(), name)
		results, err := measure(t.Context(), w, few, tinyPlan(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		report.Results = append(report.Results, results...)
	}
	disk := &Disk{Sync: time.Millisecond}
	report.Disk = disk
	for _, b := range budgets {
		report.Findings = append(report.Findings, b.judgeOn(disk, workloadByName(workloads(), b.Workload), report.Results))
	}
	if report.Points, err = grow(t.Context(), tinyPlan(t), curves(), all, io.Discard); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := report.write(dir); err != nil {
		t.Fatal(err)
	}
	growth := &Report{Points: report.Points}
	if pages := growth.pages(); len(pages) != 2 || pages[0].file != "GROWTH.md" {
		t.Errorf("a run of only curves writes %d files", len(pages))
	}
	for file, wants := range map[string][]string{
		"RESULTS.md": {
			"## point", "| `sqlitemw` |", "Durability: `synchronous=normal`.", "Durability: `synchronous=full`.",
			"| | point | insert | insert-full |\n|---|--:|--:|--:|\n| synchronous | normal | normal | full |",
			"The disk: writing 4 KB and fdatasync take 1.00 ms (median).",
			"| `sqlitemw` | normal | ≤ 0.85× ncruces |", "| `sqlitemw-pool-shared` | full | ≥ 6.00× ncruces-immediate |",
		},
		"GROWTH.md":   {"## statements", "| `sqlitemw` |", "## Bends", "Durability: `synchronous=normal`."},
		"results.svg": {"<svg", "sqlitemw", "</svg>", "s, synchronous=normal</text>", "s, synchronous=full</text>"},
		"growth.svg":  {"<svg", "sqlitemw", "</svg>", ", synchronous=normal</text>"},
	} {
		text, err := os.ReadFile(dir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range append(wants, Baseline) {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not contain %q", file, want)
			}
		}
		if strings.Contains(string(text), "NaN") {
			t.Errorf("%s contains NaN", file)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{}, {"-tour", "-check"}, {"-tour", "more"}, {"-tour", "-workloads", "("}, {"-tour", "-contenders", "("}} {
		if _, err := parseFlags(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	f, err := parseFlags([]string{"-tour", "-workloads", "^point$", "-contenders", "^sqlitemw$"})
	if err != nil {
		t.Fatal(err)
	}
	ws, cs := f.selected(newContenders(t))
	if len(ws) != 1 || ws[0].Name != "point" || len(cs) != 3 || cs[0].Name != Baseline || cs[2].Name != Immediate {
		t.Errorf("selected %d workloads and %d contenders", len(ws), len(cs))
	}
}

func TestList(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-list"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sqlitemw-pool", "concurrent-8", "a sampled insert", "sqlitemw-pool-solo", "synchronous=full"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list does not say %q", want)
		}
	}
}
