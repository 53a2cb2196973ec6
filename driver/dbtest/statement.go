package dbtest

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/internal/queryplan"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A statement is what a check knows about the calls of one statement.
type statement struct {
	text    string // of the first call
	trace   trace.TraceID
	calls   int
	steps   int // of full scans
	indexed int // rows put into automatic indexes

	places  []string // in the order of the first call from each
	from    map[string]int
	plan    []string
	planErr error
	planned bool
}

func newStatement(c driver.Call) *statement {
	return &statement{text: c.Text, from: make(map[string]int)}
}

// add adds a call.
func (s *statement) add(c driver.Call) {
	s.calls++
	s.steps += c.FullScanSteps
	s.indexed += c.AutoIndexRows
	place := placeOf(c)
	if s.from[place] == 0 {
		s.places = append(s.places, place)
	}
	s.from[place]++
}

// setPlan sets the plan of the statement, which is taken once.
func (s *statement) setPlan(plan []string, err error) {
	if !s.planned {
		s.planned, s.plan, s.planErr = true, plan, err
	}
}

// maxPlaces is how many lines of a program a failure names for a statement.
const maxPlaces = 5

// describe appends the description of the statement to a failure.
func (s *statement) describe(b *strings.Builder) {
	fmt.Fprintf(b, "\n\t%s", strings.ReplaceAll(strings.TrimSpace(s.text), "\n", "\n\t"))
	for _, f := range queryplan.Findings(s.text, s.plan, nil) {
		fmt.Fprintf(b, "\n\t%s", f.Text)
	}
	switch {
	case s.planErr != nil:
		fmt.Fprintf(b, "\n\tno plan: %v", s.planErr)
	case len(s.plan) > 0:
		b.WriteString("\n\tplan:")
		for _, line := range s.plan {
			fmt.Fprintf(b, "\n\t\t%s", line)
		}
	}
	for i, place := range s.places {
		if i == maxPlaces {
			fmt.Fprintf(b, "\n\tcalled at %d more lines", len(s.places)-i)
			break
		}
		fmt.Fprintf(b, "\n\tcalled at %s", place)
		if len(s.places) > 1 {
			fmt.Fprintf(b, " (%s)", times(s.from[place], "call"))
		}
	}
}

// times returns a number with its noun.
func times(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// writes reports whether a text has a statement other than a SELECT. The plan of one that writes
// is taken only if the test fails, because it shows; see [driver.Call.Plan].
func writes(text string) bool {
	statements := sqltext.SQLite.Statements(text)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		if st.Verb != sqltext.Select {
			return true
		}
	}
	return false
}
