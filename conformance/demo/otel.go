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

// defaultService is service.name unless OTEL_SERVICE_NAME is set.
const defaultService = "sqlitemw-demo"

// spanQueue is more than the number of spans of one run. A batch processor with a full queue
// drops spans silently, and a trace in Jaeger would have gaps.
const spanQueue = 1 << 14

// flushTimeout limits the shutdown if a collector does not answer.
const flushTimeout = 30 * time.Second

// A telemetry is the program's OpenTelemetry SDK. It is installed globally, as in a program
// that does not know this library. The driver finds it.
type telemetry struct {
	provider *sdktrace.TracerProvider
	service  string
	endpoint string // where spans are exported to; empty for no export

	recorded *tracetest.SpanRecorder // every span, for the trees that are printed

	mu   sync.Mutex
	errs []error // distinct errors of the export, which the SDK reports only to its error handler
}

// startTelemetry installs an SDK that records every span. It also exports spans if the
// environment names an OTLP endpoint.
func startTelemetry(ctx context.Context) (*telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(defaultService)),
		resource.WithFromEnv(), // last, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence
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
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // ignores OTEL_TRACES_SAMPLER, because the output shows spans
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
	// Without a collector, every batch fails with the same error.
	if !slices.ContainsFunc(t.errs, func(e error) bool { return e.Error() == err.Error() }) {
		t.errs = append(t.errs, err)
	}
}

// shutdown exports the remaining spans, and returns all errors of the export so far. The
// recorded spans remain. A second call does nothing.
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
