package random

import (
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestMain makes rapid play the same sessions every time, and many of them, unless a flag says
// otherwise; see rapid's flags. A failure is reported with its seed, and leaves no file.
func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{
		"rapid.checks":     checks,
		"rapid.seed":       "1",
		"rapid.nofailfile": "true",
	} {
		if !given[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

// Programs on one connection, which a model follows.
func TestOneConnection(t *testing.T) { compare(t, 1) }

// Programs on several connections to one file. They do not wait for locks, because nothing else
// could release them.
func TestSeveralConnections(t *testing.T) { compare(t, 4) }

func compare(t *testing.T, connections int) {
	t.Parallel()
	a := &arena{dir: t.TempDir(), model: connections == 1}
	targets := ours(t)
	rapid.Check(t, func(t *rapid.T) {
		a.txlock = rapid.SampledFrom([]string{"", "deferred"}).Draw(t, "_txlock")
		diff, err := a.difference(programs(connections).Draw(t, "program"), targets)
		if err != nil {
			t.Fatal(err)
		}
		if diff != "" {
			t.Fatal(diff)
		}
	})
	n := &a.tally
	t.Logf("%+v", *n)

	// A result without differences means little if little happens.
	hits := n.cache["sqlitemw"].Hits
	if n.steps < 20*n.programs || n.failed > n.steps/2 || hits < uint64(2*n.programs) || a.model && n.wholes < 5*n.programs {
		t.Error("the programs are too short, fail too often, rarely use a cached statement, or show the model too few tables")
	}
	for name, kept := range map[string]bool{"sqlitemw traced": true, "sqlitemw that keeps two statements": true, "sqlitemw that keeps none": false} {
		if got := n.cache[name].Hits > 0; got != kept {
			t.Errorf("%s: statements were cached: %t", name, got)
		}
	}
}
