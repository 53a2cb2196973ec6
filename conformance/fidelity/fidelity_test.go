package fidelity

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
)

var table = flag.Bool("table", false, "write FIDELITY.md")

const file = "FIDELITY.md"

// TestFidelity plays all cases over all wrappers with -table. Otherwise it plays only this
// driver, which may differ only where it documents a deviation.
func TestFidelity(t *testing.T) {
	var scores []score
	for i, w := range wrappers {
		if i > 0 && !*table {
			break
		}
		if w.module != "" {
			v := version(t, w.module)
			w.name += " " + v[strings.LastIndexByte(v, '-')+1:] // the commit of a pseudo-version
		}
		t.Run(w.name, func(t *testing.T) { scores = append(scores, play(t, w)) })
	}
	for _, id := range scores[0].broken {
		t.Errorf("sqlitemw breaks %s", id)
	}
	if !*table {
		said, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprintf("| **all** | **%d of %d** |", scores[0].passed, scores[0].of); !strings.Contains(string(said), all) {
			t.Errorf("%s does not contain %q: write it again with -table", file, all)
		}
		return
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Fidelity\n\nMeasured on %s with %s, by `make fidelity`.\n\n", time.Now().Format(time.DateOnly), runtime.Version())
	write(&text, scores)
	if err := os.WriteFile(file, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// A score is the result of a wrapper.
type score struct {
	wrapper wrapper
	cases   map[string][2]int // by chapter: passed, total
	passed  int
	of      int
	named   int      // differences that the wrapper documents
	broken  []string // cases, in the suite's order
}

func play(t *testing.T, w wrapper) score {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	defer provider.Shutdown(t.Context())
	target := w.target(t, provider)
	target.Name, target.Engine = w.name, ncruces.Engine()
	target.Timeout = 10 * time.Second // some of the others hang
	if w.module == "" {
		target.Timeout = 5 * time.Minute // ours does not hang, but the machine may be slow
	}
	s := score{wrapper: w, cases: make(map[string][2]int)}
	for _, r := range conformance.Check(t, target) {
		n := s.cases[r.Case.Chapter]
		n[1]++
		s.of++
		switch {
		case r.Difference == "":
			n[0]++
			s.passed++
		case r.Deviation != "":
			s.named++
		default:
			s.broken = append(s.broken, r.Case.ID())
			if testing.Verbose() {
				t.Logf("%s: %s\n%s", r.Case.ID(), r.Case.Rule, r.Difference)
			}
		}
		s.cases[r.Case.Chapter] = n
	}
	return s
}

// write writes the table of scores and the lists of broken cases.
func write(b *strings.Builder, scores []score) {
	var chapters []string
	for _, c := range conformance.Cases(ncruces.Engine()) {
		if !slices.Contains(chapters, c.Chapter) {
			chapters = append(chapters, c.Chapter)
		}
	}
	b.WriteString("A case is a short program. It passes if the program sees the same as on the bare driver, and the bare driver gets\n" +
		"the same calls. The cases of the last three chapters are played on up to a few hundred kinds of scripted drivers each,\n" +
		"which differ in their optional interfaces, and pass if they pass on all.\n\n")
	b.WriteString("| cases passed |")
	for _, s := range scores {
		b.WriteString(" " + s.wrapper.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(scores)) + "\n")
	row := func(name string, cell func(score) string) {
		fmt.Fprintf(b, "| %s |", name)
		for _, s := range scores {
			b.WriteString(" " + cell(s) + " |")
		}
		b.WriteString("\n")
	}
	for _, chapter := range chapters {
		row(chapter, func(s score) string { return fmt.Sprintf("%d of %d", s.cases[chapter][0], s.cases[chapter][1]) })
	}
	row("**all**", func(s score) string { return fmt.Sprintf("**%d of %d**", s.passed, s.of) })
	row("different on purpose, and documented", func(s score) string { return fmt.Sprint(s.named) })
	row("**broken**", func(s score) string { return fmt.Sprintf("**%d**", len(s.broken)) })
	for _, s := range scores {
		if len(s.broken) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n## What %s breaks\n\n", s.wrapper.name)
		for _, chapter := range chapters {
			var names []string
			for _, id := range s.broken {
				if name, ok := strings.CutPrefix(id, chapter+"/"); ok {
					names = append(names, name)
				}
			}
			switch {
			case len(names) == s.cases[chapter][1]:
				fmt.Fprintf(b, "- %s: all\n", chapter)
			case len(names) > 0:
				fmt.Fprintf(b, "- %s: %s\n", chapter, strings.Join(names, "; "))
			}
		}
	}
}
