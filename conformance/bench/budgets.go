package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

// A Budget is a limit on a figure of "sqlitemw".
type Budget struct {
	Name      string `json:"name"`
	Workload  string `json:"workload"`
	Figure    string `json:"figure"`
	Contender string `json:"contender"`

	// Against is the contender whose median divides the contender's median. If it is empty,
	// the limit applies to the median itself.
	Against string `json:"against"`

	// Exactly one of these is set.
	AtMost  *float64 `json:"at_most"`
	AtLeast *float64 `json:"at_least"`

	// Status is "on" if a broken budget fails the check, or "due" if the budget is only
	// reported.
	Status string `json:"status"`
	// DueWith names the work after which the budget will be on.
	DueWith string `json:"due_with"`
}

const (
	statusOn  = "on"
	statusDue = "due"
)

//go:embed budgets.json
var budgetsFile []byte

func loadBudgets() ([]*Budget, error) {
	var list []*Budget
	d := json.NewDecoder(bytes.NewReader(budgetsFile))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("read budgets.json: %w", err)
	}
	for _, b := range list {
		if err := b.validate(); err != nil {
			return nil, fmt.Errorf("read budgets.json: budget %q: %w", b.Name, err)
		}
	}
	return list, nil
}

func (b *Budget) validate() error {
	switch {
	case b.Name == "" || b.Workload == "" || b.Figure == "" || b.Contender == "":
		return fmt.Errorf("it needs a name, a workload, a figure and a contender")
	case (b.AtMost == nil) == (b.AtLeast == nil):
		return fmt.Errorf("it needs one of at_most and at_least")
	case b.Status != statusOn && b.Status != statusDue:
		return fmt.Errorf("its status is %q, want %q or %q", b.Status, statusOn, statusDue)
	case (b.Status == statusDue) != (b.DueWith != ""):
		return fmt.Errorf("a budget has due_with if, and only if, it is due")
	}
	return nil
}

// limit returns the limit as text.
func (b *Budget) limit() string {
	sign, limit := "≤", b.AtMost
	if b.AtLeast != nil {
		sign, limit = "≥", b.AtLeast
	}
	if b.Against == "" {
		return fmt.Sprintf("%s %g", sign, *limit)
	}
	return fmt.Sprintf("%s %.2f× %s", sign, *limit, b.Against)
}

func (b *Budget) status() string {
	if b.Status == statusDue {
		return "due with " + b.DueWith
	}
	return b.Status
}

// A Verdict is the result of checking a budget.
type Verdict int

// The verdicts.
const (
	Inconclusive Verdict = iota
	Met
	Broken
	Absent  // a contender could not take part
	Skipped // the disk is unfit for the workload
)

func (v Verdict) String() string {
	return [...]string{"inconclusive", "met", "broken", "not there", "skipped"}[v]
}

// A Finding is a verdict with its reason.
type Finding struct {
	Budget   *Budget
	Workload *Workload
	Verdict  Verdict
	Ratio    Ratio // or the median, if Against is empty
	Rounds   int
	Err      error  // of a contender
	Reason   string // why it was skipped
}

// judgeOn judges b, which is a budget of w. It skips a budget at synchronous=full if disk is
// unfit.
func (b *Budget) judgeOn(disk *Disk, w *Workload, results []*Result) Finding {
	if w.full() {
		if reason := disk.unfit(); reason != "" {
			return Finding{Budget: b, Workload: w, Verdict: Skipped, Reason: reason}
		}
	}
	f := b.judge(results)
	f.Workload = w
	return f
}

// judge checks b against what was measured so far.
func (b *Budget) judge(results []*Result) Finding {
	f := Finding{Budget: b, Verdict: Absent}
	r := resultOf(results, b.Workload, b.Contender)
	if r == nil {
		return f
	}
	own := r.Rounds[b.Figure]
	f.Err = r.Err
	f.Rounds = len(own)
	if b.Against == "" {
		ones := make([]float64, len(own))
		for i := range ones {
			ones[i] = 1
		}
		f.Ratio = ratio(own, ones)
	} else {
		against := resultOf(results, b.Workload, b.Against)
		if against == nil {
			return f
		}
		if f.Err == nil {
			f.Err = against.Err
		}
		f.Ratio = ratio(own, against.Rounds[b.Figure])
	}
	switch {
	case f.Err != nil:
		f.Verdict = Broken
	case b.AtMost != nil:
		f.Verdict = side(f.Ratio.High <= *b.AtMost, f.Ratio.Low > *b.AtMost)
	default:
		f.Verdict = side(f.Ratio.Low >= *b.AtLeast, f.Ratio.High < *b.AtLeast)
	}
	return f
}

// side returns a verdict once the whole interval is on one side of the limit.
func side(met, broken bool) Verdict {
	switch {
	case met:
		return Met
	case broken:
		return Broken
	default:
		return Inconclusive
	}
}

func resultOf(results []*Result, workload, contender string) *Result {
	for _, r := range results {
		if r.Workload.Name == workload && r.Contender.Name == contender {
			return r
		}
	}
	return nil
}
