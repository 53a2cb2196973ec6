package conformance_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// Without Wrap, no case on a scripted driver is played. Without an engine, only those are. Each
// case has a unique name and a rule.
func TestCasesWithoutEngine(t *testing.T) {
	if results := conformance.Check(t, conformance.Target{Name: "nothing"}); len(results) != 0 {
		t.Errorf("%d cases were played without an engine and without Wrap", len(results))
	}
	seen := make(map[string]bool)
	for _, c := range conformance.Cases(nil) {
		if seen[c.ID()] {
			t.Errorf("two cases are called %q", c.ID())
		}
		seen[c.ID()] = true
		if c.Rule == "" || !strings.HasSuffix(c.Rule, ".") {
			t.Errorf("the rule of %q is not a sentence: %q", c.ID(), c.Rule)
		}
	}
}
