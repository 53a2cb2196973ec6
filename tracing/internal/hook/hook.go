// Package hook lets package instrument keep its state in a tracing.Tracer, without showing
// that to users of package tracing.
package hook

import "sync"

// A Slot holds what package instrument keeps for a Tracer, once it has been made.
type Slot struct {
	Once  sync.Once
	Value any
}

// Statements returns the []tracing.Statement of a *tracing.Tracer. Package instrument sets it.
var Statements func(tracer any) any

// Of returns the *tracing.Config and the slot of a *tracing.Tracer. Package tracing sets it.
var Of func(tracer any) (config any, slot *Slot)
