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
// All leases and waits with the same name are taken to be of one caller that does one thing at
// a time. If that caller holds a connection and waits for another, then a waiter for the first
// also waits for the second. Without names, the same applies to leases and waits in the same
// trace.
func WithOwner(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, ownerKey{}, name)
}

type ownerKey struct{}

func ownerOf(ctx context.Context) string {
	name, _ := ctx.Value(ownerKey{}).(string)
	return name
}
