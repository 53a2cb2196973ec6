package core

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// A callerID identifies a holder or waiter, as far as that is known.
type callerID struct {
	trace trace.TraceID
	owner string
}

func callerOf(ctx context.Context) callerID {
	return callerID{trace.SpanContextFromContext(ctx).TraceID(), ownerOf(ctx)}
}

// isKnown reports whether anything identifies the caller.
func (a callerID) isKnown() bool { return a.owner != "" || a.trace.IsValid() }

// is reports whether a and b are the same caller. Owner names take precedence over traces,
// because several callers may work in one trace.
func (a callerID) is(b callerID) bool {
	if a.owner != "" && b.owner != "" {
		return a.owner == b.owner
	}
	return a.trace.IsValid() && a.trace == b.trace
}

// WithOwner names the caller that acquires connections with the context, such as a request, a
// job or a worker. The name appears in errors and in the holders of a pool.
//
// A name is of the process: all leases and waits with it, of all pools, are taken to be of one
// caller that does one thing at a time. Each goroutine needs a name of its own. If that caller
// holds a connection and waits for another, then a waiter for the first also waits for the second.
//
// If callers with names wait for each other, or one for itself, one of the waits fails after a
// tenth of a second, with an [AcquireError] that wraps [ErrDeadlock]. Others that only wait behind
// them do not fail. No wait fails so if a holder has called the engine meanwhile, or if its
// connection may be taken from it: by a limit of the pool, or by database/sql when the context of
// the holder's rows or transaction ends, if that may be before the wait ends.
//
// Without names, leases and waits in the same trace are taken to be of one caller. That decides
// only the [Cause] of a wait that has timed out.
func WithOwner(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, ownerKey{}, &owner{name, ctx})
}

// An owner is the value of [WithOwner] in a context.
type owner struct {
	name   string
	parent context.Context // of the context with the name
}

type ownerKey struct{}

func ownerOf(ctx context.Context) string {
	if o, ok := ctx.Value(ownerKey{}).(*owner); ok {
		return o.name
	}
	return ""
}

// endsWith reports whether ctx cannot end before a wait with the context wait ends too. It may
// report false although that is so.
func endsWith(ctx, wait context.Context) bool {
	done := ctx.Done()
	if done == nil || done == wait.Done() {
		return true
	}
	a, _ := ctx.Value(ownerKey{}).(*owner)
	b, _ := wait.Value(ownerKey{}).(*owner)
	return a != nil && b != nil && done == a.parent.Done() && done == b.parent.Done()
}
