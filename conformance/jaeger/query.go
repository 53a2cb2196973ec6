package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// queryTimeout limits one request to the query API. Jaeger answers from its memory on this
// machine, so a longer wait means that it hangs.
const queryTimeout = time.Minute

// Client reads traces from the HTTP query API of one Jaeger, which its UI also uses. It is safe
// for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the query API at base, such as "http://127.0.0.1:16686",
// without a path. It does not open a connection.
func NewClient(base string) *Client {
	return &Client{
		base: strings.TrimRight(base, "/"),
		http: &http.Client{
			Timeout: queryTimeout,
			// One connection per request. An idle connection would keep two
			// goroutines for each client that is not closed.
			Transport: &http.Transport{DisableKeepAlives: true},
		},
	}
}

// Trace is a trace as Jaeger has stored it.
type Trace struct {
	// ID is the trace's ID in lower-case hex: 32 digits, or 16 when the
	// upper half is zero.
	ID string
	// Spans are ordered by Start. Spans that start in the same microsecond
	// keep the order in which Jaeger sent them, which has no meaning.
	Spans []Span
}

// Span is one span of a trace, as the query API shows it.
type Span struct {
	// TraceID and ID are in lower-case hex.
	TraceID, ID string
	// ParentID is the ID of the parent span, empty for a root. The parent
	// itself may be absent from the trace.
	ParentID string
	// Operation is the span's name.
	Operation string
	// Service is the resource attribute service.name.
	Service string
	// Kind is "internal", "server", "client", "producer" or "consumer";
	// empty when the sender left it unspecified.
	Kind string
	// StatusError says that the span's status is Error. Its description
	// is the tag "otel.status_description".
	StatusError bool
	// Start is in UTC, cut to microseconds by Jaeger.
	Start time.Time
	// Duration is cut to microseconds by Jaeger, so it may be zero.
	Duration time.Duration
	// Tags are the span's attributes, and the tags that Jaeger makes of the span's other
	// fields ("span.kind", "error", "otel.scope.name", ...). The values are string, bool,
	// int64, float64 or []byte. A list attribute is a string of JSON. Of several tags with
	// the same key, the last one is kept.
	Tags map[string]any
	// Resource holds the attributes of the resource except service.name, with values as in
	// Tags.
	Resource map[string]any
	// Links are the references to spans other than the parent.
	Links []Link
	// Events are in the order of their time.
	Events []Event
}

// Link is a reference from a span to one that is not its parent.
type Link struct {
	// TraceID and SpanID are in lower-case hex.
	TraceID, SpanID string
	// Type is Jaeger's: "FOLLOWS_FROM", which an OpenTelemetry link
	// becomes, or "CHILD_OF".
	Type string
}

// Event is something that happened at one moment in a span.
type Event struct {
	// Name is the name of the event, empty if it has none.
	Name string
	// Time is in UTC, cut to microseconds by Jaeger.
	Time time.Time
	// Attributes are the event's own, with values as in Span.Tags.
	Attributes map[string]any
}

// ResponseError is a response of the query API other than 200 OK.
type ResponseError struct {
	// URL is the requested address.
	URL string
	// Code is the HTTP status. It is 404 for a trace that Jaeger does not have (yet:
	// storing a trace takes a moment).
	Code int
	// Message is Jaeger's error message, or the start of the body.
	Message string
}

// Error returns the address, the status and the message.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("jaeger query %s: status %d %s: %s", e.URL, e.Code, http.StatusText(e.Code), e.Message)
}

// Services returns the sorted names of the services of which Jaeger has spans.
func (c *Client) Services(ctx context.Context) ([]string, error) {
	var names []string
	if err := c.get(ctx, c.base+"/api/services", &names); err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// Traces returns up to limit traces that have a span of the service and began in the last two
// days, which is Jaeger's default window. The order is Jaeger's. If limit is 0 or less,
// Jaeger's default of 100 applies. A service that Jaeger does not know has no traces, which is
// not an error.
func (c *Client) Traces(ctx context.Context, service string, limit int) ([]Trace, error) {
	query := url.Values{"service": {service}}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return c.traces(ctx, c.base+"/api/traces?"+query.Encode())
}

// Trace returns the trace with the ID in hex. If Jaeger does not have it, the error is a
// *ResponseError with Code 404.
func (c *Client) Trace(ctx context.Context, id string) (Trace, error) {
	address := c.base + "/api/traces/" + url.PathEscape(id)
	traces, err := c.traces(ctx, address)
	if err != nil {
		return Trace{}, err
	}
	if len(traces) != 1 {
		return Trace{}, fmt.Errorf("jaeger query %s: status 200 OK with %d traces, want 1", address, len(traces))
	}
	return traces[0], nil
}

// traces requests the list of traces at the address.
func (c *Client) traces(ctx context.Context, address string) ([]Trace, error) {
	var documents []traceDocument
	if err := c.get(ctx, address, &documents); err != nil {
		return nil, err
	}
	traces := make([]Trace, 0, len(documents))
	for _, document := range documents {
		trace, err := document.trace()
		if err != nil {
			return nil, fmt.Errorf("jaeger query %s: trace %s: %w", address, document.TraceID, err)
		}
		traces = append(traces, trace)
	}
	return traces, nil
}

// get requests the address and decodes the "data" of the response into data. Its errors contain
// the address and, after a response, the status.
func (c *Client) get(ctx context.Context, address string, data any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("jaeger query %s: %w", address, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // otherwise the error would contain the address twice
		}
		return fmt.Errorf("jaeger query %s: %w", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("jaeger query %s: status %s: read the answer: %w", address, response.Status, err)
	}
	answer := struct {
		Data   any `json:"data"`
		Errors []struct {
			Message string `json:"msg"`
		} `json:"errors"`
	}{Data: data}
	err = json.Unmarshal(body, &answer)
	if response.StatusCode != http.StatusOK || (err == nil && len(answer.Errors) > 0) {
		message := strings.TrimSpace(string(body[:min(len(body), 512)]))
		if err == nil && len(answer.Errors) > 0 {
			message = answer.Errors[0].Message
		}
		return &ResponseError{URL: address, Code: response.StatusCode, Message: message}
	}
	if err != nil {
		return fmt.Errorf("jaeger query %s: status %s: decode the answer: %w", address, response.Status, err)
	}
	return nil
}

// traceDocument is a trace in the JSON of the query API.
type traceDocument struct {
	TraceID   string         `json:"traceID"`
	Spans     []spanDocument `json:"spans"`
	Processes map[string]struct {
		ServiceName string        `json:"serviceName"`
		Tags        []tagDocument `json:"tags"`
	} `json:"processes"`
}

// spanDocument is a span in the JSON of the query API. Times are microseconds,
// startTime and timestamp since the Unix epoch.
type spanDocument struct {
	TraceID       string `json:"traceID"`
	SpanID        string `json:"spanID"`
	OperationName string `json:"operationName"`
	References    []struct {
		RefType string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
	StartTime int64         `json:"startTime"`
	Duration  int64         `json:"duration"`
	Tags      []tagDocument `json:"tags"`
	Logs      []struct {
		Timestamp int64         `json:"timestamp"`
		Fields    []tagDocument `json:"fields"`
	} `json:"logs"`
	ProcessID string `json:"processID"`
}

// tagDocument is a typed key and value in the JSON of the query API.
type tagDocument struct {
	Key   string          `json:"key"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// trace converts the document.
func (d traceDocument) trace() (Trace, error) {
	trace := Trace{ID: d.TraceID, Spans: make([]Span, 0, len(d.Spans))}
	for _, document := range d.Spans {
		span, err := document.span()
		if err != nil {
			return Trace{}, fmt.Errorf("span %s: %w", document.SpanID, err)
		}
		process, ok := d.Processes[document.ProcessID]
		if !ok {
			return Trace{}, fmt.Errorf("span %s: its process %q is not in the trace", document.SpanID, document.ProcessID)
		}
		span.Service = process.ServiceName
		if span.Resource, err = tagValues(process.Tags); err != nil {
			return Trace{}, fmt.Errorf("process %s: %w", document.ProcessID, err)
		}
		trace.Spans = append(trace.Spans, span)
	}
	slices.SortStableFunc(trace.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return trace, nil
}

// span converts the document, except what its process reports.
func (d spanDocument) span() (Span, error) {
	span := Span{
		TraceID:   d.TraceID,
		ID:        d.SpanID,
		Operation: d.OperationName,
		Start:     time.UnixMicro(d.StartTime).UTC(),
		Duration:  time.Duration(d.Duration) * time.Microsecond,
	}
	var err error
	if span.Tags, err = tagValues(d.Tags); err != nil {
		return Span{}, err
	}
	span.Kind, _ = span.Tags["span.kind"].(string)
	span.StatusError, _ = span.Tags["error"].(bool)
	for _, reference := range d.References {
		// Jaeger has no field for the parent. It is the first reference of this type
		// inside the trace.
		if span.ParentID == "" && reference.RefType == "CHILD_OF" && reference.TraceID == d.TraceID {
			span.ParentID = reference.SpanID
			continue
		}
		span.Links = append(span.Links, Link{TraceID: reference.TraceID, SpanID: reference.SpanID, Type: reference.RefType})
	}
	for _, log := range d.Logs {
		attributes, err := tagValues(log.Fields)
		if err != nil {
			return Span{}, fmt.Errorf("event at %d µs: %w", log.Timestamp, err)
		}
		name, _ := attributes["event"].(string) // where Jaeger keeps the name
		delete(attributes, "event")
		span.Events = append(span.Events, Event{Name: name, Time: time.UnixMicro(log.Timestamp).UTC(), Attributes: attributes})
	}
	slices.SortStableFunc(span.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return span, nil
}

// tagValues converts the tags to a map of their values.
func tagValues(tags []tagDocument) (map[string]any, error) {
	values := make(map[string]any, len(tags))
	for _, tag := range tags {
		value, err := tag.value()
		if err != nil {
			return nil, fmt.Errorf("tag %q of type %q with value %s: %w", tag.Key, tag.Type, tag.Value, err)
		}
		values[tag.Key] = value
	}
	return values, nil
}

// value converts the value to the Go type that its type names.
func (d tagDocument) value() (any, error) {
	switch d.Type {
	case "string":
		return decoded[string](d.Value)
	case "bool":
		return decoded[bool](d.Value)
	case "int64":
		// Integers that JavaScript cannot represent (2^53 and more) are quoted.
		return strconv.ParseInt(strings.Trim(string(d.Value), `"`), 10, 64)
	case "float64":
		return decoded[float64](d.Value)
	case "binary":
		return decoded[[]byte](d.Value) // base64
	}
	return nil, errors.New("no such type in the query API of Jaeger 1.76")
}

// decoded returns the JSON value as a T.
func decoded[T any](value json.RawMessage) (any, error) {
	var v T
	err := json.Unmarshal(value, &v)
	return v, err
}
