package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// defaultService is service.name where OTEL_SERVICE_NAME does not say another.
const defaultService = "sqlitemw-demo"

// spanQueue is more than one run makes. A batch processor whose queue is full
// drops spans without a word, and a trace in Jaeger would have holes.
const spanQueue = 1 << 14

// flushTimeout bounds the shutdown, for a collector that does not answer.
const flushTimeout = 30 * time.Second

// A telemetry is the program's OpenTelemetry SDK, installed globally, as a
// program would that had never heard of this library: the driver finds it.
type telemetry struct {
	provider *sdktrace.TracerProvider
	service  string
	endpoint string // where spans are exported to; empty for nowhere

	recorded *tracetest.SpanRecorder // every span, for the trees that are printed

	mu   sync.Mutex
	errs []error // of the export, which the SDK tells its error handler only; each once
}

// startTelemetry installs an SDK that records every span, and exports it as
// well if the environment names an OTLP endpoint.
func startTelemetry(ctx context.Context) (*telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(defaultService)),
		resource.WithFromEnv(), // last, and so first: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
	)
	if err != nil {
		return nil, fmt.Errorf("describe this service: %w", err)
	}
	t := &telemetry{
		endpoint: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"),
		recorded: tracetest.NewSpanRecorder(),
	}
	if name, ok := res.Set().Value(semconv.ServiceNameKey); ok {
		t.service = name.AsString()
	}

	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // whatever OTEL_TRACES_SAMPLER says: the output shows spans
		sdktrace.WithSpanProcessor(t.recorded),
	}
	if t.endpoint != "" {
		exporter, err := otlptracehttp.New(ctx) // reads the endpoint itself
		if err != nil {
			return nil, fmt.Errorf("export to %s: %w", t.endpoint, err)
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(spanQueue)))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	otel.SetTracerProvider(t.provider)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.failed))
	return t, nil
}

func (t *telemetry) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A collector that is away fails every batch alike.
	if !slices.ContainsFunc(t.errs, func(e error) bool { return e.Error() == err.Error() }) {
		t.errs = append(t.errs, err)
	}
}

// shutdown exports what is left, and reports every error of the export, now
// or before. The recorded spans stay. A second call does nothing.
func (t *telemetry) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)

	t.mu.Lock()
	defer t.mu.Unlock()
	if err = errors.Join(append(t.errs, err)...); err != nil && t.endpoint != "" {
		err = fmt.Errorf("export spans to %s: %w", t.endpoint, err)
	}
	t.errs = nil
	return err
}

// spansOf returns the ended spans of a trace.
func (t *telemetry) spansOf(id trace.TraceID) []sdktrace.ReadOnlySpan {
	var spans []sdktrace.ReadOnlySpan
	for _, span := range t.recorded.Ended() {
		if span.SpanContext().TraceID() == id {
			spans = append(spans, span)
		}
	}
	return spans
}
