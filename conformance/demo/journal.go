package main

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A journal keeps, of each kind of action, the first one that ended: which
// trace it is, and which calls the program made in it. The calls are noted by
// the program next to where it makes them, and never taken from spans, so that
// the spans can be checked against them.
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

// firstOf returns the first action of that name that ended.
func (j *journal) firstOf(name string) (*action, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, ok := j.first[name]
	return a, ok
}

// begin starts an action of the shop's, which is a trace of its own: the calls
// it makes with the context returned are its children.
func (j *journal) begin(ctx context.Context, name string) (context.Context, *action) {
	ctx, span := j.tracer.Start(ctx, name)
	return ctx, &action{journal: j, span: span, name: name}
}

// beginAlone is begin where ctx is another action's.
func (j *journal) beginAlone(ctx context.Context, name string) (context.Context, *action) {
	ctx, span := j.tracer.Start(ctx, name, trace.WithNewRoot())
	return ctx, &action{journal: j, span: span, name: name}
}

// An action is one thing that the shop does. One goroutine does it.
type action struct {
	journal *journal
	span    trace.Span
	name    string
	calls   []call
}

// A call is a span that the driver has to make.
type call struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`            // as in spans: client or internal
	Error string `json:"error,omitempty"` // error.type
}

// acquired notes that database/sql took a connection from its pool: once for a
// transaction, and once for each call outside of one.
func (a *action) acquired() { a.calls = append(a.calls, call{Name: "acquire", Kind: "internal"}) }

// called notes a call that went well. Its span's name is the operation and the
// tables that the text names, in the text's order.
func (a *action) called(name string) { a.calls = append(a.calls, call{Name: name, Kind: "client"}) }

// failed notes a call that did not.
func (a *action) failed(name, errorType string) {
	a.calls = append(a.calls, call{Name: name, Kind: "client", Error: errorType})
}

// about describes the action.
func (a *action) about(attrs ...attribute.KeyValue) { a.span.SetAttributes(attrs...) }

// outcome adds to the action's name how it ended, if that is worth a name.
func (a *action) outcome(how string) {
	a.name += " (" + how + ")"
	a.span.SetName(a.name)
}

// end ends the action. An error is one that the shop could not handle.
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
