package faults

import (
	"fmt"
	"os"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// TestMain runs a child's role if the process is a child. Otherwise it runs the campaigns, and
// prints the figures of all of them once more.
func TestMain(m *testing.M) {
	if name := os.Getenv(roleVar); name != "" {
		role := roles[name]
		if role == nil {
			fmt.Fprintf(os.Stderr, "there is no role %q\n", name)
			os.Exit(2)
		}
		role()
		os.Exit(0)
	}
	for _, dir := range fusefs.DetachDead() {
		fmt.Fprintf(os.Stderr, "unmounted %s, left by a test that was killed\n", dir)
	}
	code := m.Run()
	printSummary(os.Stdout)
	os.Exit(code)
}
