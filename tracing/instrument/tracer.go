package instrument

import (
	"context"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/internal/hook"
)

// A tracer is what this package keeps for a [tracing.Tracer].
type tracer struct {
	cfg *tracing.Config

	// current is the tracer of the provider that was used last. A program may install the
	// global provider late, or replace it.
	current  atomic.Pointer[providedTracer]
	measured atomic.Pointer[instruments]
	tallies  tallies

	// watched guards all. It is locked while instruments are made, so that their callbacks
	// move to the new provider together.
	watched struct {
		sync.Mutex
		all map[watch]bool
	}
}

type providedTracer struct {
	provider trace.TracerProvider
	tracer   trace.Tracer
}

// tracerOf returns what this package keeps for t.
func tracerOf(t *tracing.Tracer) *tracer {
	cfg, slot := hook.Of(t)
	slot.Once.Do(func() {
		t := &tracer{cfg: cfg.(*tracing.Config)}
		t.tallies.most = t.cfg.Statements
		slot.Value = t
	})
	return slot.Value.(*tracer)
}

// spans returns the provider of spans, or nil if no SDK would receive a span. Every call
// checks it first, so that a program without an SDK pays for two loads and no allocation.
func (t *tracer) spans() trace.TracerProvider {
	if t.cfg.TracerProvider != nil {
		return t.cfg.TracerProvider
	}
	if p := otel.GetTracerProvider(); !isPlaceholder(p) {
		return p
	}
	return nil
}

func (t *tracer) provider() trace.TracerProvider {
	if t.cfg.TracerProvider != nil {
		return t.cfg.TracerProvider
	}
	return otel.GetTracerProvider()
}

// enabled reports whether an SDK would receive a span.
func (t *tracer) enabled() bool { return t.spans() != nil }

// start starts a span made by provider. Every span starts here.
func (t *tracer) start(ctx context.Context, provider trace.TracerProvider, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.provided(provider).Start(ctx, name, opts...)
}

func (t *tracer) provided(provider trace.TracerProvider) trace.Tracer {
	if p := t.current.Load(); p != nil && same(p.provider, provider) {
		return p.tracer
	}
	tracer := provider.Tracer(tracing.ScopeName,
		trace.WithInstrumentationVersion(version()),
		trace.WithSchemaURL(schemaURL))
	t.current.Store(&providedTracer{provider, tracer})
	return tracer
}

// same reports whether a and b are the same provider. A provider of a type that is not
// comparable is never the same as another. It makes a new tracer for each span.
func same[P any](a, b P) bool {
	typ := reflect.TypeOf(a)
	return typ == reflect.TypeOf(b) && typ.Comparable() && any(a) == any(b)
}

// isPlaceholder reports whether p is OpenTelemetry's global provider from before an SDK is
// installed. Its spans are discarded.
func isPlaceholder(p trace.TracerProvider) bool {
	return reflect.TypeOf(p) == placeholderType
}

var placeholderType = placeholderOf(reflect.TypeOf(otel.GetTracerProvider()))

// placeholderOf returns typ if it is OpenTelemetry's placeholder type. Otherwise it returns
// nil, which equals no provider's type: a real provider was installed before this package was
// initialized.
func placeholderOf(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Pointer && typ.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global" {
		return typ
	}
	return nil
}

// version returns this module's version from the program's build information.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	const module = "github.com/sqlitemw/sqlitemw"
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
})
