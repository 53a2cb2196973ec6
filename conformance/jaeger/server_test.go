package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain runs the tests, or a fake Jaeger if the binary was started under the name of one.
func TestMain(m *testing.M) {
	if fake, ok := fakes[filepath.Base(os.Args[0])]; ok {
		fake()
		return
	}
	os.Exit(m.Run())
}

// fakes are programs that Start accepts as a Jaeger. All except the first have one fault. They
// are names of this test binary (see fake), because Start gives a Jaeger neither arguments nor
// an environment that the caller could choose.
var fakes = map[string]func(){
	// good is ready immediately.
	"good": func() { term := awaitTerm(); serveFake(); <-term },
	// broken ends before it is ready.
	"broken": func() {
		fmt.Println("line on stdout")
		fmt.Fprintln(os.Stderr, "no storage")
		os.Exit(3)
	},
	// unlucky finds a port taken the first time.
	"unlucky": func() {
		if err := os.Mkdir(os.Args[0]+".tried", 0o755); err == nil {
			fmt.Println("listen tcp 127.0.0.1:1: bind: address already in use")
			os.Exit(1)
		}
		term := awaitTerm()
		serveFake()
		<-term
	},
	// hapless finds a port taken every time.
	"hapless": func() {
		os.MkdirTemp(filepath.Dir(os.Args[0]), "hapless-tried-")
		fmt.Println("listen tcp 127.0.0.1:1: bind: address already in use")
		os.Exit(1)
	},
	// slow never becomes ready.
	"slow": func() { fmt.Println("starting"); <-awaitTerm() },
	// short becomes ready, and ends soon after the first request of each kind.
	"short": func() {
		asked := serveFake()
		for range cap(asked) {
			<-asked
		}
		time.Sleep(300 * time.Millisecond)
		fmt.Println("out of memory")
		os.Exit(2)
	},
	// deaf becomes ready, and ignores SIGTERM.
	"deaf": func() { signal.Ignore(syscall.SIGTERM); serveFake(); select {} },
	// parent starts a good one, prints its query address and waits.
	"parent": func() {
		server, err := Start(context.Background(), filepath.Join(filepath.Dir(os.Args[0]), "good"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(server.Query())
		select {}
	},
}

// serveFake serves the addresses for health and queries in the arguments. It sends a token to
// the channel at the first request of each of the two.
func serveFake() (asked chan struct{}) {
	asked = make(chan struct{}, 2)
	for _, argument := range os.Args[1:] {
		flag, address, _ := strings.Cut(argument, "=")
		if flag != "--admin.http.host-port" && flag != "--query.http-server.host-port" {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		once := sync.OnceFunc(func() { asked <- struct{}{} })
		go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"data":[]}`)
			once()
		}))
	}
	return asked
}

// awaitTerm returns a channel that receives SIGTERM. Call it before serveFake, because a ready
// Jaeger may be stopped immediately.
func awaitTerm() <-chan os.Signal {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	return term
}

// fake returns the path of the fake Jaeger with the name. Its directory also has those with the
// other names.
func fake(t *testing.T, name string, others ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	for _, link := range append(others, name) {
		if err := os.Symlink(self, filepath.Join(directory, link)); err != nil {
			t.Skipf("the fake Jaegers are symbolic links: %v", err)
		}
	}
	return filepath.Join(directory, name)
}

// checkGoroutines fails the test if at its end there are more goroutines than now. It gives
// goroutines that are ending a moment.
func checkGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<16)
				t.Errorf("%d goroutines, %d before the test:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// checkGone fails the test if something listens at the address, which is an http:// URL. It
// gives processes that are ending a moment.
func checkGone(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		connection, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			return
		}
		connection.Close()
		if time.Now().After(deadline) {
			t.Errorf("something still listens at %s", address)
			return
		}
	}
}

// checkError fails the test unless the error contains all parts.
func checkError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v, want %q in it", err, part)
		}
	}
}

func TestStartStop(t *testing.T) {
	checkGoroutines(t)
	server, err := Start(t.Context(), fake(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	if server.OTLP() == server.Query() {
		t.Errorf("one address, %s, for OTLP and queries", server.OTLP())
	}
	for i := range 2 {
		if err := server.Stop(); err != nil {
			t.Errorf("Stop %d: %v", i+1, err)
		}
	}
	<-server.Done()
	checkGone(t, server.Query())
}

func TestStartMissing(t *testing.T) {
	checkGoroutines(t)
	_, err := Start(t.Context(), filepath.Join(t.TempDir(), "absent"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want one that is os.ErrNotExist", err)
	}
	checkError(t, err, "absent")
}

func TestStartBroken(t *testing.T) {
	checkGoroutines(t)
	_, err := Start(t.Context(), fake(t, "broken"))
	checkError(t, err, "start jaeger: ended by itself: exit status 3", "line on stdout\n", "no storage")
}

func TestStartPortTaken(t *testing.T) {
	checkGoroutines(t)
	server, err := Start(t.Context(), fake(t, "unlucky"))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStartPortsTaken(t *testing.T) {
	checkGoroutines(t)
	binary := fake(t, "hapless")
	_, err := Start(t.Context(), binary)
	checkError(t, err, "a port was taken", "127.0.0.1:1: bind: address already in use")
	tries, err := filepath.Glob(filepath.Join(filepath.Dir(binary), "hapless-tried-*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(tries) != startAttempts {
		t.Errorf("%d attempts, want %d", len(tries), startAttempts)
	}
}

func TestStartTooSlow(t *testing.T) {
	checkGoroutines(t)
	var err error
	// On a slow machine, it takes longer until it prints that it starts.
	for patience := 500 * time.Millisecond; patience < time.Minute; patience *= 5 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = Start(ctx, fake(t, "slow"))
		cancel()
		if err == nil || strings.Contains(err.Error(), "starting") {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want one that is context.DeadlineExceeded", err)
	}
	checkError(t, err, "jaeger health", "starting")
}

func TestStopAfterEnd(t *testing.T) {
	checkGoroutines(t)
	server, err := Start(t.Context(), fake(t, "short"))
	if err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	checkError(t, server.Stop(), "stop jaeger at http://127.0.0.1:", "ended by itself: exit status 2", "out of memory")
}

func TestStopDeaf(t *testing.T) {
	checkGoroutines(t)
	server, err := Start(t.Context(), fake(t, "deaf"))
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, server.process.stop(100*time.Millisecond), "killed: still running 100ms after SIGTERM")
	checkGone(t, server.Query())
}

// TestServer sends one span to a real Jaeger and reads it back.
func TestServer(t *testing.T) {
	server := realJaeger(t)

	start := time.Now().UTC().Truncate(time.Microsecond)
	want := Span{
		TraceID:     "0af7651916cd43dd8448eb211c80319c",
		ID:          "b7ad6b7169203331",
		ParentID:    "00f067aa0ba902b7",
		Operation:   "SELECT orders",
		Service:     "hand-made",
		Kind:        "client",
		StatusError: true,
		Start:       start,
		Duration:    1500 * time.Microsecond,
		Tags: map[string]any{
			"db.system.name":          "sqlite",
			"rows":                    int64(3),
			"span.kind":               "client",
			"error":                   true,
			"otel.status_code":        "ERROR",
			"otel.status_description": "no such table: orders",
			"otel.scope.name":         "by hand",
		},
		Resource: map[string]any{"service.version": "1.2.3"},
		Links:    []Link{{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "53995c3f42cd8ad8", Type: "FOLLOWS_FROM"}},
		Events:   []Event{{Name: "retry", Time: start.Add(time.Millisecond), Attributes: map[string]any{"attempt": int64(2)}}},
	}
	postSpan(t, server.OTLP(), fmt.Sprintf(`{
		"traceId": %q, "spanId": %q, "parentSpanId": %q, "name": %q, "kind": 3,
		"startTimeUnixNano": "%d", "endTimeUnixNano": "%d",
		"attributes": [
			{"key": "db.system.name", "value": {"stringValue": "sqlite"}},
			{"key": "rows", "value": {"intValue": "3"}}
		],
		"events": [{"name": "retry", "timeUnixNano": "%d", "attributes": [{"key": "attempt", "value": {"intValue": "2"}}]}],
		"links": [{"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "53995c3f42cd8ad8"}],
		"status": {"code": 2, "message": "no such table: orders"}
	}`, want.TraceID, want.ID, want.ParentID, want.Operation,
		start.UnixNano(), start.Add(want.Duration).UnixNano(), start.Add(time.Millisecond).UnixNano()))

	client := NewClient(server.Query())
	trace := awaitTrace(t, client, want.TraceID)
	if wantTrace := (Trace{ID: want.TraceID, Spans: []Span{want}}); !reflect.DeepEqual(trace, wantTrace) {
		t.Errorf("Trace:\n got %+v\nwant %+v", trace, wantTrace)
	}
	traces, err := client.Traces(t.Context(), want.Service, 10)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(traces, []Trace{trace}) {
		t.Errorf("Traces:\n got %+v\nwant only %+v", traces, trace)
	}
	services, err := client.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Any other service would be Jaeger itself, which must not trace itself.
	if !reflect.DeepEqual(services, []string{want.Service}) {
		t.Errorf("Services: got %q, want only %q", services, want.Service)
	}
	if none, err := client.Traces(t.Context(), "unknown", 10); err != nil || len(none) != 0 {
		t.Errorf("Traces of an unknown service: got %+v and error %v, want none", none, err)
	}
}

// realJaeger builds and starts a Jaeger for the test, or skips the test. After the test,
// nothing of it may be left.
func realJaeger(t *testing.T) *Server {
	t.Helper()
	if os.Getenv("SQLITEMW_E2E") != "1" {
		t.Skip(`"make e2e" runs this test, with SQLITEMW_E2E=1: it needs a real Jaeger, whose first build takes minutes`)
	}
	checkGoroutines(t)
	binary, err := Build(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	server, err := Start(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		checkGone(t, server.Query())
		checkGone(t, server.OTLP())
	})
	return server
}

// postSpan sends the span, as OTLP JSON, to the OTLP/HTTP receiver at base.
func postSpan(t *testing.T, base, span string) {
	t.Helper()
	body := `{"resourceSpans": [{
		"resource": {"attributes": [
			{"key": "service.name", "value": {"stringValue": "hand-made"}},
			{"key": "service.version", "value": {"stringValue": "1.2.3"}}
		]},
		"scopeSpans": [{"scope": {"name": "by hand"}, "spans": [` + span + `]}]
	}]}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/traces", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true // an idle connection would keep goroutines
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: status %s, body %q, error %v", request.URL, response.Status, answer, err)
	}
}

// awaitTrace returns the trace as soon as Jaeger has stored it, which takes a moment.
func awaitTrace(t *testing.T, client *Client, id string) Trace {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		trace, err := client.Trace(t.Context(), id)
		var refused *ResponseError
		if errors.As(err, &refused) && refused.Code == http.StatusNotFound && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return trace
	}
}
