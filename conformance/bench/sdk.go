package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// State is a way of observing a contender that traces.
type State int

// The states.
const (
	Untraced     State = iota // it cannot trace
	NoSDK                     // it can, but no SDK is installed
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

// An sdk is a contender's own OpenTelemetry SDK. A nil sdk means none. It is never installed as
// the global provider, because contenders without an SDK run in the same process.
type sdk struct {
	state    State
	provider *sdktrace.TracerProvider
	spans    atomic.Int64 // exported spans, without roots
}

// rootName distinguishes the harness's spans from the contender's.
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

// ExportSpans counts spans and drops them, because a driver is not responsible for the cost of
// a backend.
func (s *sdk) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, span := range spans {
		if span.Name() != rootName {
			s.spans.Add(1)
		}
	}
	return nil
}

// Shutdown does nothing.
func (s *sdk) Shutdown(context.Context) error { return nil }

// root starts the root span of a batch.
func (s *sdk) root(ctx context.Context) (context.Context, func()) {
	if s == nil {
		return ctx, func() {}
	}
	ctx, span := s.provider.Tracer("bench").Start(ctx, rootName, trace.WithNewRoot())
	return ctx, func() { span.End() }
}

// flush exports queued spans, so that the export does not run during the next contender's
// batch.
func (s *sdk) flush(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if err := s.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("flush spans: %w", err)
	}
	return nil
}

// flushed exports queued spans, and returns the number of spans that have arrived.
func (s *sdk) flushed(ctx context.Context) (int64, error) {
	err := s.flush(ctx)
	return s.count(), err
}

// count returns the number of spans that have arrived.
func (s *sdk) count() int64 {
	if s == nil {
		return 0
	}
	return s.spans.Load()
}

// verify checks that the number of spans since the count since fits the state.
func (s *sdk) verify(since int64) error {
	if s == nil {
		return nil
	}
	n := s.count() - since
	switch {
	case s.state == Sampled && n == 0:
		return errors.New("verify spans: everything was sampled, but no span arrived")
	case s.state == NeverSampled && n != 0:
		return fmt.Errorf("verify spans: nothing was sampled, but %d spans arrived", n)
	}
	return nil
}

// sdks owns the SDKs of all contenders.
type sdks struct{ all []*sdk }

func newSDKs() *sdks { return &sdks{} }

// of makes the SDK of a contender in a state. It returns nil for states without an SDK.
func (s *sdks) of(state State) *sdk {
	one := newSDK(state)
	if one != nil {
		s.all = append(s.all, one)
	}
	return one
}

// Close stops the SDKs' goroutines.
func (s *sdks) Close(ctx context.Context) error {
	var err error
	for _, one := range s.all {
		err = errors.Join(err, one.provider.Shutdown(ctx))
	}
	return err
}
