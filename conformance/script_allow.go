package conformance

import "testing"

// An Allowance is a difference that a wrapper has on purpose on some scripted
// drivers in some cases, where it holds to the bare driver in all others.
type Allowance struct {
	Reason string
	Where  func(Setup) bool

	// Visible says that the program may see the difference. Else it must see
	// the same, and only what the driver is asked, and how the pool stands,
	// may differ.
	Visible bool
}

// stale returns allowances that nothing shows any more, as deviations without a
// difference.
func (cmp *comparison) stale() []Result {
	if cmp.target.Wrap == nil || testing.Short() {
		return nil
	}
	var results []Result
	for i, a := range cmp.target.Allowed {
		// Of one whose cases are left out, nothing can be said.
		if !cmp.shown[i].Load() && (cmp.applied[i].Load() || cmp.target.Cases == nil) {
			results = append(results, Result{Case: Case{Chapter: "allowed", Name: a.Reason}, Deviation: a.Reason})
		}
	}
	return results
}
