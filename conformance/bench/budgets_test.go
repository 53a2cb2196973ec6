package main

import (
	"math"
	"slices"
	"testing"
)

func TestBudgetsNameWhatThereIs(t *testing.T) {
	budgets, err := loadBudgets()
	if err != nil {
		t.Fatal(err)
	}
	all, ws := newContenders(t), workloads()
	names := map[string]bool{}
	for _, b := range budgets {
		if names[b.Name] {
			t.Errorf("two budgets are named %q", b.Name)
		}
		names[b.Name] = true
		w := workloadByName(ws, b.Workload)
		if w == nil {
			t.Errorf("%s: there is no workload %q", b.Name, b.Workload)
			continue
		}
		for _, name := range []string{b.Contender, b.Against} {
			c := byName(all, name)
			switch {
			case name == "":
			case c == nil:
				t.Errorf("%s: there is no contender %q", b.Name, name)
			case len(w.among([]*Contender{c})) == 0:
				t.Errorf("%s: %s does not run on %s", b.Name, b.Workload, name)
			}
		}
		if w.Trial == nil != slices.Contains([]string{Time, Allocs, Bytes}, b.Figure) {
			t.Errorf("%s: %s has no figure %q", b.Name, b.Workload, b.Figure)
		}
		if b.Status == statusOn && b.Against != "mattn" && !b.possible(all) {
			t.Errorf("%s is on, but a contender that it names is missing", b.Name)
		}
		if b.Status == statusDue && !slices.Contains([]string{"driver", "tracing", "pool"}, b.DueWith) {
			t.Errorf("%s: due_with is %q", b.Name, b.DueWith)
		}
	}
}

func TestJudge(t *testing.T) {
	limit := 1.1
	w, a, b := &Workload{Name: "w"}, &Contender{Name: "a"}, &Contender{Name: "b"}
	rounds := func(c *Contender, xs ...float64) *Result {
		return &Result{Workload: w, Contender: c, Rounds: map[string][]float64{Time: xs}}
	}
	for _, c := range []struct {
		name    string
		results []*Result
		atMost  Verdict
		atLeast Verdict
	}{
		{"below", []*Result{rounds(a, 1, 1, 1), rounds(b, 1, 1, 1)}, Met, Broken},
		{"above", []*Result{rounds(a, 2, 2, 2), rounds(b, 1, 1, 1)}, Broken, Met},
		{"astride", []*Result{rounds(a, 1, 1.1, 1.2, 1.3, 1), rounds(b, 1, 1, 1, 1, 1)}, Inconclusive, Inconclusive},
		{"alone", []*Result{rounds(a, 1)}, Absent, Absent},
		{"nobody", nil, Absent, Absent},
		{"failed", []*Result{{Workload: w, Contender: a, Err: errTest}, rounds(b, 1)}, Broken, Broken},
	} {
		most := &Budget{Workload: "w", Figure: Time, Contender: "a", Against: "b", AtMost: &limit}
		if v := most.judge(c.results).Verdict; v != c.atMost {
			t.Errorf("%s: at most: %v, want %v", c.name, v, c.atMost)
		}
		least := &Budget{Workload: "w", Figure: Time, Contender: "a", Against: "b", AtLeast: &limit}
		if v := least.judge(c.results).Verdict; v != c.atLeast {
			t.Errorf("%s: at least: %v, want %v", c.name, v, c.atLeast)
		}
	}
	alone := &Budget{Workload: "w", Figure: Time, Contender: "a", AtMost: &limit}
	if v := alone.judge([]*Result{rounds(a, 1, 1, 1)}).Verdict; v != Met {
		t.Errorf("a median of 1 against nothing: %v, want met", v)
	}
}

// Allocation budgets need no clock, so this test checks them, too.
func TestAllocationBudgets(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector, sync.Pool drops items at random")
	}
	budgets, err := loadBudgets()
	if err != nil {
		t.Fatal(err)
	}
	all := newContenders(t)
	allocs := func(b *Budget, name string) float64 {
		w := workloadByName(workloads(), b.Workload)
		p := tinyPlan(t)
		x := &cell{Result: &Result{Workload: w, Contender: byName(all, name)}}
		x.env = &Env{Contender: x.Contender, Options: w.Options, Size: p.Size, dir: p.Dir, seed: p.Dir + "/seed.db"}
		if err := makeSeed(x.env.seed, w.Seed(p.Size)); err != nil {
			t.Fatal(err)
		}
		if err := x.start(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		ctx, end := x.Contender.sdk.root(t.Context())
		defer end()
		n := testing.AllocsPerRun(100, func() {
			x.ops++
			if err := x.run.Op(ctx); err != nil {
				t.Error(err)
			}
		})
		if err := x.finish(); err != nil {
			t.Error(err)
		}
		return n
	}
	for _, b := range budgets {
		if b.Figure == Allocs && b.Status == statusOn {
			t.Run(b.Name, func(t *testing.T) {
				// Other allocations of the process, mainly after a garbage
				// collection, can only increase a count. So the smallest of
				// several counts is right.
				own, against := math.Inf(1), math.Inf(1)
				for range 5 {
					own, against = min(own, allocs(b, b.Contender)), min(against, allocs(b, b.Against))
					if own <= *b.AtMost*against {
						return
					}
				}
				t.Errorf("%.0f allocations, %s has %.0f", own, b.Against, against)
			})
		}
	}
}
