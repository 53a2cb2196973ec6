package random

import (
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{
		"rapid.checks":     "1000",
		"rapid.seed":       "1",
		"rapid.nofailfile": "true",
		"rapid.shrinktime": "20s",
	} {
		if !given[name] {
			flag.Set(name, value)
		}
	}
	os.Exit(m.Run())
}

func TestOneConnection(t *testing.T) { compare(t, 1) }

func TestSeveralConnections(t *testing.T) { compare(t, 4) }

func compare(t *testing.T, connections int) {
	t.Parallel()
	a := &arena{dir: t.TempDir(), model: connections == 1}
	all := ours(t)
	rapid.Check(t, func(t *rapid.T) {
		p := programs(connections).Draw(t, "program")
		diff, err := a.difference(p, all)
		if err != nil {
			t.Fatal(err)
		}
		if diff != "" {
			t.Fatal(diff)
		}
	})
	t.Logf("%+v", a.tally)
}
