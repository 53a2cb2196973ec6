package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// canned starts a query API that answers every request with the status and body. It returns a
// client of it, and where the address of the last request is stored.
func canned(t *testing.T, status int, body string) (client *Client, asked *string) {
	t.Helper()
	asked = new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.Method + " " + r.RequestURI
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return NewClient(server.URL + "/"), asked
}

// wantTraces is testdata/traces.json, the response of Jaeger 1.76 after these spans had been
// sent with OTLP.
var wantTraces = []Trace{{
	ID: "0af7651916cd43dd8448eb211c80319c",
	Spans: []Span{{
		TraceID:   "0af7651916cd43dd8448eb211c80319c",
		ID:        "b7ad6b7169203331",
		Operation: "GET /orders",
		Service:   "shop",
		Kind:      "server",
		Start:     time.Date(2026, 11, 23, 9, 15, 41, 1_000, time.UTC),
		Duration:  4998 * time.Microsecond,
		Tags:      map[string]any{"span.kind": "server"},
		Resource:  map[string]any{"service.version": "1.2.3"},
	}, {
		TraceID:     "0af7651916cd43dd8448eb211c80319c",
		ID:          "00f067aa0ba902b7",
		ParentID:    "b7ad6b7169203331",
		Operation:   "INSERT orders",
		Service:     "shop",
		Kind:        "client",
		StatusError: true,
		Start:       time.Date(2026, 11, 23, 9, 15, 41, 1_000_000, time.UTC),
		Duration:    2500 * time.Microsecond,
		Tags: map[string]any{
			"big":                     int64(9223372036854775807),
			"blob":                    []byte{1, 2},
			"cached":                  true,
			"db.system.name":          "sqlite",
			"error":                   true,
			"list":                    `["a",1]`,
			"otel.scope.name":         "github.com/sqlitemw/sqlitemw",
			"otel.status_code":        "ERROR",
			"otel.status_description": "UNIQUE constraint failed",
			"ratio":                   0.5,
			"rows":                    int64(3),
			"span.kind":               "client",
		},
		Resource: map[string]any{"service.version": "1.2.3"},
		Links:    []Link{{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "53995c3f42cd8ad8", Type: "FOLLOWS_FROM"}},
		Events: []Event{{
			Name:       "exception",
			Time:       time.Date(2026, 11, 23, 9, 15, 41, 2_000_000, time.UTC),
			Attributes: map[string]any{"exception.type": "*sqlite.Error"},
		}},
	}},
}}

func TestClientTraces(t *testing.T) {
	body, err := os.ReadFile("testdata/traces.json")
	if err != nil {
		t.Fatal(err)
	}
	client, asked := canned(t, http.StatusOK, string(body))

	got, err := client.Traces(t.Context(), "my shop", 7)
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /api/traces?limit=7&service=my+shop"; *asked != want {
		t.Errorf("Traces asked %q, want %q", *asked, want)
	}
	if !reflect.DeepEqual(got, wantTraces) {
		t.Errorf("Traces:\n got %+v\nwant %+v", got, wantTraces)
	}

	if _, err := client.Traces(t.Context(), "shop", 0); err != nil {
		t.Fatal(err)
	}
	if want := "GET /api/traces?service=shop"; *asked != want {
		t.Errorf("Traces without a limit asked %q, want %q", *asked, want)
	}

	trace, err := client.Trace(t.Context(), "0af7651916cd43dd8448eb211c80319c")
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /api/traces/0af7651916cd43dd8448eb211c80319c"; *asked != want {
		t.Errorf("Trace asked %q, want %q", *asked, want)
	}
	if !reflect.DeepEqual(trace, wantTraces[0]) {
		t.Errorf("Trace:\n got %+v\nwant %+v", trace, wantTraces[0])
	}
}

func TestClientServices(t *testing.T) {
	client, asked := canned(t, http.StatusOK, `{"data":["shop","api"],"total":2,"limit":0,"offset":0,"errors":null}`)
	got, err := client.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"api", "shop"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Services: got %q, want %q", got, want)
	}
	if want := "GET /api/services"; *asked != want {
		t.Errorf("Services asked %q, want %q", *asked, want)
	}
}

func TestClientUnknownTrace(t *testing.T) {
	client, _ := canned(t, http.StatusNotFound, `{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}`)
	_, err := client.Trace(t.Context(), "0123456789abcdef")
	var refused *ResponseError
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want a *ResponseError", err)
	}
	want := ResponseError{URL: client.base + "/api/traces/0123456789abcdef", Code: 404, Message: "trace not found"}
	if *refused != want {
		t.Errorf("got %+v, want %+v", *refused, want)
	}
	if want := "/api/traces/0123456789abcdef: status 404 Not Found: trace not found"; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got error %q, want it to end in %q", err, want)
	}
}

func TestClientErrors(t *testing.T) {
	trace := func(tag, processes string) string {
		return `{"data":[{"traceID":"a1","spans":[{"traceID":"a1","spanID":"b2","tags":[` + tag + `],"processID":"p1"}],"processes":` + processes + `}]}`
	}
	for name, test := range map[string]struct {
		status int
		body   string
		want   string // in the error, besides the address
	}{
		"not JSON":        {500, "out of order\n", "status 500 Internal Server Error: out of order"},
		"200 not JSON":    {200, "<html>", "status 200 OK: decode the answer: invalid character"},
		"200 with errors": {200, `{"data":[],"errors":[{"msg":"half of it"}]}`, "status 200 OK: half of it"},
		"no trace":        {200, `{"data":[]}`, "status 200 OK with 0 traces, want 1"},
		"odd tag type":    {200, trace(`{"key":"k","type":"int128","value":1}`, `{"p1":{}}`), `trace a1: span b2: tag "k" of type "int128" with value 1: no such type`},
		"odd tag value":   {200, trace(`{"key":"k","type":"int64","value":"x"}`, `{"p1":{}}`), `trace a1: span b2: tag "k" of type "int64" with value "x": strconv.ParseInt`},
		"no process":      {200, trace(``, `{}`), `trace a1: span b2: its process "p1" is not in the trace`},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := canned(t, test.status, test.body)
			got, err := client.Trace(t.Context(), "a1")
			if err == nil {
				t.Fatalf("got %+v, want an error with %q", got, test.want)
			}
			if prefix := "jaeger query " + client.base + "/api/traces/a1: "; !strings.HasPrefix(err.Error(), prefix) {
				t.Errorf("got error %q, want it to begin with %q", err, prefix)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %q, want %q in it", err, test.want)
			}
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	addresses, err := freeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewClient("http://" + addresses[0]).Services(t.Context())
	if err == nil {
		t.Fatal("got no error from an address where nothing listens")
	}
	if got := strings.Count(err.Error(), addresses[0]+"/api/services"); got != 1 {
		t.Errorf("got error %q, which names the address %d times, want once", err, got)
	}
}
