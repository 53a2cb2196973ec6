package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// asDemo is an environment variable that makes the test binary run the demo. Tests thus see
// what a user sees: the environment, the output and the exit code.
const asDemo = "SQLITEMW_DEMO_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	main()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// runDemo runs the demo and returns its output.
func runDemo(t *testing.T, args []string, env ...string) (string, error) {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+t.TempDir(),
		"OTEL_EXPORTER_OTLP_ENDPOINT=", "OTEL_SERVICE_NAME=", "OTEL_RESOURCE_ATTRIBUTES=", "JAEGER_QUERY=", "DEMO_SUMMARY=")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, problems.String())
	}
	return out.String(), nil
}

// A fakeCollector is an OTLP collector that keeps what it gets.
type fakeCollector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   map[string][]*otlp.Span // by trace
	service string
}

func newCollector(t *testing.T) *fakeCollector {
	c := &fakeCollector{spans: make(map[string][]*otlp.Span)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = c.keep(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	// The exporter does not close the connection that it keeps for the next batch, so
	// goleak would report it.
	c.Config.SetKeepAlivesEnabled(false)
	return c
}

func (c *fakeCollector) keep(body []byte) error {
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, kv := range resource.Resource.Attributes {
			if kv.Key == "service.name" {
				c.service = kv.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				trace := hex.EncodeToString(span.TraceId)
				c.spans[trace] = append(c.spans[trace], span)
			}
		}
	}
	return nil
}

// trace returns a trace in the form of an expected one, without connect spans.
func (c *fakeCollector) trace(id string) []expectedSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := c.spans[id]
	slices.SortStableFunc(spans, func(a, b *otlp.Span) int {
		return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano))
	})
	names := make(map[string]string)
	for _, span := range spans {
		names[string(span.SpanId)] = span.Name
	}
	var got []expectedSpan
	for _, span := range spans {
		if span.Name == "connect" {
			continue
		}
		s := expectedSpan{
			call:   call{Name: span.Name, Kind: strings.ToLower(strings.TrimPrefix(span.Kind.String(), "SPAN_KIND_"))},
			Parent: names[string(span.ParentSpanId)],
		}
		for _, kv := range span.Attributes {
			if kv.Key == "error.type" {
				s.Error = kv.Value.GetStringValue()
			}
		}
		got = append(got, s)
	}
	return got
}

func TestDemo(t *testing.T) {
	collector := newCollector(t)
	file := filepath.Join(t.TempDir(), "summary.json")
	temp := t.TempDir()
	out, err := runDemo(t, nil,
		"OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL,
		"OTEL_SERVICE_NAME=corner-shop",
		"JAEGER_QUERY=http://jaeger.example:16686/",
		"DEMO_SUMMARY="+file,
		"TMPDIR="+temp)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sum summary
	if err := json.Unmarshal(text, &sum); err != nil {
		t.Fatal(err)
	}

	t.Run("output", func(t *testing.T) {
		for _, want := range []string{
			"A shop opens: 8 clerks share 4 connections, and every call is a span.\n",
			"ada@example.com was refused",
			"A search was given up",
			"\nplace order, trace " + sum.OrderTrace + "\n",
			"\nregister customer (refused), trace " + sum.ViolationTrace + "\n",
			"\nslow search (cancelled), trace " + sum.CancelledTrace + "\n",
			" 2067: sqlite3: constraint failed\n",
			" context.DeadlineExceeded\n",
			" events, 0 older ones dropped\n",
			" database closed\n",
			" shrunk\n",
			"\nmost connections             4           4\n",
			"\nIt waited at place 1 for its turn as the writer,",
			"\n3 acquires, 1 of which waited,",
			"\n65 orders, 65 customers, 523 pieces sold, all consistent\n",
			"\ntrace " + sum.OrderTrace + "\nhttp://jaeger.example:16686/trace/" + sum.OrderTrace + "\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the output lacks %q", want)
			}
		}
		if !strings.HasSuffix(out, "\ntrace of one order: "+sum.OrderTrace+"\n") {
			t.Error("the last line is not the trace of one order")
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(line) - 1; n > 100 {
				t.Errorf("a line has %d columns: %q", n, line)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})

	t.Run("summary", func(t *testing.T) {
		if sum.Service != "corner-shop" || collector.service != "corner-shop" {
			t.Errorf("the service is %q in the summary, %q in the spans", sum.Service, collector.service)
		}
		if sum.Orders != 65 || sum.Customers != 65 || sum.OrderItemsInTrace != 3 {
			t.Errorf("got %d orders, %d customers, %d items; want 65, 65, 3", sum.Orders, sum.Customers, sum.OrderItemsInTrace)
		}
		if len(collector.trace(sum.MigrateTrace)) < 10 {
			t.Errorf("the migrations' trace is %+v", collector.trace(sum.MigrateTrace))
		}
	})

	// There must be one span for each call that the program made, and no other. An extra
	// span would mean that the driver made several calls for one.
	for name, id := range map[string]string{
		actOrder: sum.OrderTrace, actRefused: sum.ViolationTrace, actGivenUp: sum.CancelledTrace, actReport: sum.ReportTrace,
		actOnline: sum.OnlineTrace,
	} {
		t.Run(name, func(t *testing.T) {
			got, want := collector.trace(id), sum.Expected[id]
			if len(want) < 3 || want[0].Name != name {
				t.Fatalf("the summary expects %+v", want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}

	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoKeepsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a shop, 100%?.db")
	out, err := runDemo(t, []string{"-db", file})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "\nnot exported: ") {
		t.Error("the output does not say that nothing was exported")
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("the file was not kept: %v", err)
	}
	if _, err := runDemo(t, []string{"-db", file}); err == nil {
		t.Error("an existing file was used")
	}
}

func TestDemoExportFails(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer broken.Close()
	out, err := runDemo(t, nil, "OTEL_EXPORTER_OTLP_ENDPOINT="+broken.URL)
	if err == nil || !strings.Contains(err.Error(), "export spans to "+broken.URL) {
		t.Errorf("the error is %v", err)
	}
	if strings.Contains(out, "/trace/") {
		t.Error("a link to a trace that was not exported")
	}
}

// TestPage runs the shop with its page, and reads the page's state.
func TestPage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-page", "127.0.0.1:0", "-for", "3s")
	cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+t.TempDir(), "OTEL_EXPORTER_OTLP_ENDPOINT=")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line, "http://")
	address, _, _ := strings.Cut(rest, " ")
	time.Sleep(time.Second)
	for route, want := range map[string]string{"state.txt": "shop.db", "statements.json": "INSERT INTO"} {
		res, err := http.Get("http://" + address + route)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, %v", route, text, err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, problems.String())
	}
}
