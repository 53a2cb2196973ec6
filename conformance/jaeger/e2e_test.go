package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// demoSummary is the demo's summary of the traces that it has exported.
type demoSummary struct {
	Service        string `json:"service"`
	OrderTrace     string `json:"order_trace"`
	ViolationTrace string `json:"violation_trace"`
	CancelledTrace string `json:"cancelled_trace"`
	MigrateTrace   string `json:"migrate_trace"`
	OnlineTrace    string `json:"online_trace"`
	Orders         int    `json:"orders"`

	// Expected has, for each trace, the spans that must exist according to the program's
	// own journal, in the order of their start.
	Expected map[string][]struct {
		Name, Kind, Parent, Error string
	} `json:"expected"`
}

// The demo runs with a real Jaeger. Jaeger must then have exactly what the program did.
func TestDemo(t *testing.T) {
	server := realJaeger(t)
	demo := runDemo(t, server)
	client := NewClient(server.Query())

	services, err := client.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(services, demo.Service) {
		t.Errorf("Jaeger has the services %v, want %s", services, demo.Service)
	}

	if len(demo.Expected) < 4 {
		t.Fatalf("the demo expects only %d traces", len(demo.Expected))
	}
	for id, expected := range demo.Expected {
		t.Run("trace of "+expected[0].Name, func(t *testing.T) {
			trace := awaitTrace(t, client, id)
			checkParents(t, trace)
			var want, got []string
			for _, e := range expected {
				want = append(want, strings.TrimSpace(fmt.Sprintln(e.Parent, ">", e.Name, e.Kind, e.Error)))
			}
			names := spanNames(trace)
			for _, s := range trace.Spans {
				if s.Operation == "connect" {
					continue // below an acquire that had to open a connection
				}
				got = append(got, strings.TrimSpace(fmt.Sprintln(names[s.ParentID], ">", s.Operation, s.Kind, tag(s, "error.type"))))
			}
			// Jaeger cuts times to microseconds, so the order of such short spans
			// is lost. Compare them without their order.
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("the program did\n  %s\nJaeger has\n  %s", strings.Join(want, "\n  "), strings.Join(got, "\n  "))
			}
		})
	}

	order := awaitTrace(t, client, demo.OrderTrace)
	checkOrder(t, order)
	checkOrderTransaction(t, order)
	checkFailure(t, awaitTrace(t, client, demo.ViolationTrace), "INSERT customers", "2067", "2067")
	checkFailure(t, awaitTrace(t, client, demo.CancelledTrace), "SELECT also_visited", "context.DeadlineExceeded", "9")
	checkMigration(t, awaitTrace(t, client, demo.MigrateTrace))
	checkPool(t, awaitTrace(t, client, demo.OnlineTrace))

	all := awaitAll(t, client, demo)
	checkAll(t, all, demo.Orders)
	checkSpans(t, all)
	checkConnections(t, all)
	if n := checkTransactions(t, all); n <= demo.Orders { // the migrations and the audit have transactions, too
		t.Errorf("there are %d transactions for %d orders", n, demo.Orders)
	}
}

// awaitAll returns all traces of the demo's service, after Jaeger has one for each order and
// the close of each connection. It takes a moment until the last ones are stored.
func awaitAll(t *testing.T, client *Client, demo demoSummary) []Trace {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all, err := client.Traces(t.Context(), demo.Service, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if placed(all) >= demo.Orders && count(all, "close") >= count(all, "connect") || time.Now().After(deadline) {
			return all
		}
	}
}

// count returns the number of spans with the name.
func count(all []Trace, name string) int {
	n := 0
	for _, trace := range all {
		for _, s := range trace.Spans {
			if s.Operation == name {
				n++
			}
		}
	}
	return n
}

func placed(all []Trace) int {
	n := 0
	for _, trace := range all {
		if trace.Spans[0].Operation == "place order" {
			n++
		}
	}
	return n
}

// runDemo runs the demo with an export to the server, and returns its summary.
func runDemo(t *testing.T, server *Server) demoSummary {
	t.Helper()
	summary := filepath.Join(t.TempDir(), "summary.json")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // a cold build may take a while
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", ".")
	cmd.Dir = filepath.Join("..", "demo")
	cmd.Env = append(os.Environ(),
		"OTEL_EXPORTER_OTLP_ENDPOINT="+server.OTLP(),
		"OTEL_SERVICE_NAME=sqlitemw-demo",
		"JAEGER_QUERY="+server.Query(),
		"DEMO_SUMMARY="+summary)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	var demo demoSummary
	if err := json.Unmarshal(text, &demo); err != nil {
		t.Fatal(err)
	}
	if link := server.Query() + "/trace/" + demo.OrderTrace; !strings.Contains(string(out), link) {
		t.Errorf("the demo does not print the link %s\n%s", link, out)
	}
	return demo
}

// checkParents checks that a trace is one tree: it has one root, and the parent of every other
// span is in the same trace.
func checkParents(t *testing.T, trace Trace) {
	t.Helper()
	names := spanNames(trace)
	roots := 0
	for _, s := range trace.Spans {
		switch _, ok := names[s.ParentID]; {
		case s.ParentID == "":
			roots++
		case !ok:
			t.Errorf("%s has a parent that is not in its trace", s.Operation)
		}
		if s.Operation == "connect" && names[s.ParentID] != "acquire" {
			t.Errorf("connect is below %q, not acquire", names[s.ParentID])
		}
	}
	if roots != 1 {
		t.Errorf("the trace has %d roots", roots)
	}
}

func spanNames(trace Trace) map[string]string {
	names := make(map[string]string)
	for _, s := range trace.Spans {
		names[s.ID] = s.Operation
	}
	return names
}

func tag(s Span, key string) string {
	if v, ok := s.Tags[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// checkOrder checks the contents of an order's spans.
func checkOrder(t *testing.T, trace Trace) {
	t.Helper()
	var connections []string
	queries := 0
	for _, s := range trace.Spans {
		if s.ParentID == "" {
			continue // the program's own span
		}
		if s.StatusError {
			t.Errorf("%s is an error: %v", s.Operation, s.Tags)
		}
		if tag(s, "db.system.name") != "sqlite" || !strings.HasSuffix(tag(s, "db.namespace"), "shop.db") {
			t.Errorf("%s: system %q, namespace %q", s.Operation, tag(s, "db.system.name"), tag(s, "db.namespace"))
		}
		if !slices.Contains(connections, tag(s, "sqlitemw.connection.id")) {
			connections = append(connections, tag(s, "sqlitemw.connection.id"))
		}
		if s.Kind != "client" || tag(s, "db.operation.name") != "" {
			continue
		}
		queries++
		text, summary := tag(s, "db.query.text"), tag(s, "db.query.summary")
		if summary != s.Operation {
			t.Errorf("%s: its summary is %q", s.Operation, summary)
		}
		if operation, _, _ := strings.Cut(summary, " "); !strings.Contains(text, operation) || !strings.Contains(text, "?") {
			t.Errorf("%s: its text is %q", s.Operation, text)
		}
	}
	if queries < 4 {
		t.Errorf("an order has only %d queries", queries)
	}
	if len(connections) != 1 || connections[0] == "" {
		t.Errorf("a transaction ran on the connections %q", connections)
	}
}

// checkFailure checks that exactly the expected query of a trace failed.
func checkFailure(t *testing.T, trace Trace, name, errorType, code string) {
	t.Helper()
	failed := 0
	for _, s := range trace.Spans {
		if s.Kind != "client" || !s.StatusError {
			continue
		}
		failed++
		if s.Operation != name || tag(s, "error.type") != errorType || tag(s, "db.response.status_code") != code {
			t.Errorf("%s failed with error.type %q, code %q; want %s, %q, %q", s.Operation,
				tag(s, "error.type"), tag(s, "db.response.status_code"), name, errorType, code)
		}
	}
	if failed != 1 {
		t.Errorf("%d queries failed, want one: %s", failed, name)
	}
}

// checkMigration checks that goose's calls, which this program does not control, are one tree
// of client calls.
func checkMigration(t *testing.T, trace Trace) {
	t.Helper()
	checkParents(t, trace)
	tables := 0
	for _, s := range trace.Spans {
		if strings.HasPrefix(s.Operation, "CREATE TABLE ") {
			tables++
		}
	}
	if tables < 4 {
		t.Errorf("the migrations made %d tables", tables)
	}
}

// checkAll checks all traces of the service: one for each order, and a separate trace for each
// close of a connection. No span may show what only drivers see.
func checkAll(t *testing.T, all []Trace, orders int) {
	t.Helper()
	connects := make(map[string]bool)
	closes := 0
	for _, trace := range all {
		for _, s := range trace.Spans {
			if s.Operation == "connect" {
				connects[s.ID] = true
			}
		}
	}
	for _, trace := range all {
		for _, s := range trace.Spans {
			if strings.Contains(fmt.Sprint(s.Tags), "ErrSkip") || strings.Contains(fmt.Sprint(s.Tags), "skip fast-path") {
				t.Errorf("%s shows ErrSkip: %v", s.Operation, s.Tags)
			}
			if s.Operation != "close" {
				continue
			}
			closes++
			if s.ParentID != "" || len(trace.Spans) != 1 || len(s.Links) != 1 || !connects[s.Links[0].SpanID] || s.Kind != "internal" {
				t.Errorf("close is not a separate trace with a link to its connect: %+v", s)
			}
			if tag(s, "sqlitemw.connection.close_reason") == "" {
				t.Error("close gives no reason")
			}
		}
	}
	if n := placed(all); n != orders {
		t.Errorf("%d orders were placed, and %d are traced", orders, n)
	}
	if len(connects) == 0 || closes != len(connects) {
		t.Errorf("%d connections were opened, %d closed", len(connects), closes)
	}
}
