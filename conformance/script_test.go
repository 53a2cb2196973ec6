package conformance_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// Without a wrapper of any driver, no case on a scripted one is played; without
// an engine, only those are. Each case has a name of its own, and a rule.
func TestCasesWithoutEngine(t *testing.T) {
	if results := conformance.Check(t, conformance.Target{Name: "nothing"}); len(results) != 0 {
		t.Errorf("%d cases were played on nothing", len(results))
	}
	seen := make(map[string]bool)
	for _, c := range conformance.Cases(nil) {
		if seen[c.ID()] {
			t.Errorf("two cases are called %q", c.ID())
		}
		seen[c.ID()] = true
		if c.Rule == "" || !strings.HasSuffix(c.Rule, ".") {
			t.Errorf("the rule of %q is no sentence: %q", c.ID(), c.Rule)
		}
	}
}
