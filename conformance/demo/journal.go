package main

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A journal keeps the first action of each kind that ended: its trace, and the calls that the
// program made in it. The program records each call where it makes it, and never takes it from
// spans, so that the spans can be checked against the calls.
//
// A journal is safe for concurrent use.
type journal struct {
	tracer trace.Tracer

	mu    sync.Mutex
	first map[string]*action
}

func newJournal(tracer trace.Tracer) *journal {
	return &journal{tracer: tracer, first: make(map[string]*action)}
}

// firstOf returns the first action with the name that ended.
func (j *journal) firstOf(name string) (*action, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, ok := j.first[name]
	return a, ok
}

// begin starts an action of the shop, with its own trace. Calls with the returned context are
// children of the action's span.
func (j *journal) begin(ctx context.Context, name string) (context.Context, *action) {
	ctx, span := j.tracer.Start(ctx, name)
	return ctx, &action{journal: j, span: span, name: name}
}

// beginAlone is begin for a ctx that belongs to another action.
func (j *journal) beginAlone(ctx context.Context, name string) (context.Context, *action) {
	ctx, span := j.tracer.Start(ctx, name, trace.WithNewRoot())
	return ctx, &action{journal: j, span: span, name: name}
}

// An action is one thing that the shop does, on one goroutine.
type action struct {
	journal *journal
	span    trace.Span
	name    string
	calls   []call
}

// A call is a span that the driver must make.
type call struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`            // as in spans: client or internal
	Error string `json:"error,omitempty"` // error.type
}

// acquired records that database/sql acquired a connection from its pool: once for a
// transaction, and once for each call outside of one.
func (a *action) acquired() { a.calls = append(a.calls, call{Name: "acquire", Kind: "internal"}) }

// called records a successful call. The name of its span is the operation and the tables of the
// query, in the query's order.
func (a *action) called(name string) { a.calls = append(a.calls, call{Name: name, Kind: "client"}) }

// failed records a failed call.
func (a *action) failed(name, errorType string) {
	a.calls = append(a.calls, call{Name: name, Kind: "client", Error: errorType})
}

// about adds attributes to the action's span.
func (a *action) about(attrs ...attribute.KeyValue) { a.span.SetAttributes(attrs...) }

// outcome appends the outcome to the action's name.
func (a *action) outcome(how string) {
	a.name += " (" + how + ")"
	a.span.SetName(a.name)
}

// end ends the action. err is an error that the shop could not handle.
func (a *action) end(err error) {
	if err != nil {
		a.span.SetStatus(codes.Error, err.Error())
	}
	a.span.End()

	a.journal.mu.Lock()
	defer a.journal.mu.Unlock()
	if _, ok := a.journal.first[a.name]; !ok {
		a.journal.first[a.name] = a
	}
}

func (a *action) trace() trace.TraceID { return a.span.SpanContext().TraceID() }
