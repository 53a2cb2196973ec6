package conformance

import "testing"

// An Allowance is an intended difference of a wrapper on some scripted drivers in some cases.
// On all others the wrapper must behave like the bare driver.
type Allowance struct {
	Reason string
	Where  func(Setup) bool

	// Visible says that the program may see the difference. Otherwise only the driver's
	// calls and the state of the pool may differ.
	Visible bool
}

// stale returns the allowances that no case needs any more, as deviations without a difference.
func (cmp *comparison) stale() []Result {
	if cmp.target.Wrap == nil || testing.Short() {
		return nil
	}
	var results []Result
	for i, a := range cmp.target.Allowed {
		// Nothing is known of an allowance whose cases were left out.
		if !cmp.shown[i].Load() && (cmp.applied[i].Load() || cmp.target.Cases == nil) {
			results = append(results, Result{Case: Case{Chapter: "allowed", Name: a.Reason}, Deviation: a.Reason})
		}
	}
	return results
}
