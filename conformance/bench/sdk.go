package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// State is how a contender that traces is observed.
type State int

// The states.
const (
	Untraced     State = iota // it cannot trace
	NoSDK                     // it could, but no SDK is installed
	NeverSampled              // an SDK samples nothing
	Sampled                   // an SDK samples everything
)

func (s State) String() string {
	switch s {
	case NoSDK:
		return "no SDK"
	case NeverSampled:
		return "never sampled"
	case Sampled:
		return "always sampled"
	default:
		return "untraced"
	}
}

func (s State) suffix() string {
	if s == Sampled {
		return "sampled"
	}
	return "never"
}

// An sdk is a contender's own OpenTelemetry SDK. The nil sdk is none. It is
// never installed as the global provider: those without an SDK are measured in
// the same process.
type sdk struct {
	state    State
	provider *sdktrace.TracerProvider
	spans    atomic.Int64 // exported, but for the roots
}

// rootName tells the harness's own spans from the contender's.
const rootName = "batch"

func newSDK(state State) *sdk {
	if state != NeverSampled && state != Sampled {
		return nil
	}
	s := &sdk{state: state}
	sampler := sdktrace.NeverSample()
	if state == Sampled {
		sampler = sdktrace.AlwaysSample()
	}
	s.provider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(s))
	return s
}

// ExportSpans counts spans and drops them: what a backend costs is not a
// driver's doing.
func (s *sdk) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, span := range spans {
		if span.Name() != rootName {
			s.spans.Add(1)
		}
	}
	return nil
}

// Shutdown has nothing to do.
func (s *sdk) Shutdown(context.Context) error { return nil }

// root begins the root span of a batch.
func (s *sdk) root(ctx context.Context) (context.Context, func()) {
	if s == nil {
		return ctx, func() {}
	}
	ctx, span := s.provider.Tracer("bench").Start(ctx, rootName, trace.WithNewRoot())
	return ctx, func() { span.End() }
}

// flush exports what is queued, so that the next contender's turn does not
// share the processor with it.
func (s *sdk) flush(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if err := s.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("flush spans: %w", err)
	}
	return nil
}

// count is how many spans have arrived.
func (s *sdk) count() int64 {
	if s == nil {
		return 0
	}
	return s.spans.Load()
}

// verify reports whether the spans that arrived since there were so many fit
// the state.
func (s *sdk) verify(since int64) error {
	if s == nil {
		return nil
	}
	n := s.count() - since
	switch {
	case s.state == Sampled && n == 0:
		return errors.New("verify spans: everything was sampled, and no span arrived")
	case s.state == NeverSampled && n != 0:
		return fmt.Errorf("verify spans: nothing was sampled, and %d spans arrived", n)
	}
	return nil
}

// sdks owns the SDKs of all contenders.
type sdks struct{ all []*sdk }

func newSDKs() *sdks { return &sdks{} }

// of makes the SDK of a contender in a state: nil without one.
func (s *sdks) of(state State) *sdk {
	one := newSDK(state)
	if one != nil {
		s.all = append(s.all, one)
	}
	return one
}

// Close ends the SDKs' goroutines.
func (s *sdks) Close(ctx context.Context) error {
	var err error
	for _, one := range s.all {
		err = errors.Join(err, one.provider.Shutdown(ctx))
	}
	return err
}
