package main

import (
	"encoding/json"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/trace"
)

// A summary is the input of a check of the exported traces.
type summary struct {
	Service string `json:"service"`

	OrderTrace     string `json:"order_trace"`
	ViolationTrace string `json:"violation_trace"`
	CancelledTrace string `json:"cancelled_trace"`
	MigrateTrace   string `json:"migrate_trace"`
	ReportTrace    string `json:"report_trace"`
	OnlineTrace    string `json:"online_trace"` // the order that waited for the pool

	// SampledOrderSpanID is the root span of OrderTrace.
	SampledOrderSpanID string `json:"sampled_order_span_id"`
	OrderItemsInTrace  int    `json:"order_items_in_trace"`

	Orders    int64 `json:"orders"`
	Customers int64 `json:"customers"`

	// Expected has, for each trace, the spans that it must have, in the order of their
	// start. It lacks the trace of the migrations, because goose decides about its calls. A
	// trace may also have "connect" spans, below an acquire that had to open a connection.
	Expected map[string][]expectedSpan `json:"expected"`
}

type expectedSpan struct {
	call
	Parent string `json:"parent"` // a span's name; empty for the root
}

// summarise reads the journal. It fails if an action is missing.
func summarise(service string, j *journal, orders, customers int64) (*summary, error) {
	s := &summary{Service: service, Orders: orders, Customers: customers, Expected: make(map[string][]expectedSpan)}
	for name, id := range map[string]*string{
		actMigrate: &s.MigrateTrace,
		actOrder:   &s.OrderTrace,
		actRefused: &s.ViolationTrace,
		actGivenUp: &s.CancelledTrace,
		actReport:  &s.ReportTrace,
		actOnline:  &s.OnlineTrace,
	} {
		act, ok := j.firstOf(name)
		if !ok {
			return nil, fmt.Errorf("the action %q never happened", name)
		}
		*id = act.trace().String()
		if name != actMigrate {
			s.Expected[*id] = act.expected()
		}
	}
	act, _ := j.firstOf(actOrder)
	s.SampledOrderSpanID = act.span.SpanContext().SpanID().String()
	for _, c := range act.calls {
		if c.Name == "INSERT order_items" {
			s.OrderItemsInTrace++
		}
	}
	return s, nil
}

// expected returns the spans of the action's trace.
func (a *action) expected() []expectedSpan {
	spans := []expectedSpan{{call: call{Name: a.name, Kind: trace.SpanKindInternal.String()}}}
	for _, c := range a.calls {
		spans = append(spans, expectedSpan{c, a.name})
	}
	return spans
}

// write writes the summary to a file.
func (s *summary) write(file string) error {
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
