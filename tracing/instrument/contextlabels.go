package instrument

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labelsOf returns those of a call's context attributes that its metrics have too.
func (t *tracer) labelsOf(attrs []attribute.KeyValue) (labels []attribute.KeyValue) {
	for _, kv := range attrs {
		if kv.Valid() && slices.Contains(t.cfg.MetricAttributes, kv.Key) {
			labels = append(labels, kv)
		}
	}
	return labels
}

// contextLabels returns the labels of the call with context ctx. It is nil, and calls no function
// of the program, unless Config.MetricAttributes is set.
func (t *tracer) contextLabels(ctx context.Context) []attribute.KeyValue {
	if len(t.cfg.MetricAttributes) == 0 || t.cfg.ContextAttributes == nil {
		return nil
	}
	return t.labelsOf(t.cfg.ContextAttributes(ctx))
}

// withContext returns labels as an option for a measurement, with those of the context. Where
// both have the same key, labels takes precedence.
func withContext(context, labels []attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(slices.Concat(context, labels)...))
}
