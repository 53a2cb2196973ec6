package prometheus

import (
	"database/sql"
	"fmt"
	"maps"
	"math"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

const (
	durationName   = "db_client_operation_duration_seconds"
	rowsName       = "db_client_response_returned_rows"
	countName      = "db_client_connection_count"
	createTimeName = "db_client_connection_create_time_seconds"
	useTimeName    = "db_client_connection_use_time_seconds"
)

// serve returns a meter provider and the address of its metrics.
func serve(t *testing.T) (*sdkmetric.MeterProvider, string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { provider.Shutdown(t.Context()) })
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	t.Cleanup(server.Close)
	return provider, server.URL
}

// Prometheus must scrape what the program did, call by call and connection by connection.
func TestScrape(t *testing.T) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.Error(err) }))
	meters, url := serve(t)
	otel.SetMeterProvider(meters)
	recorder := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sdktrace.AlwaysSample())))

	file := filepath.ToSlash(filepath.Join(t.TempDir(), "app.db"))
	p := newProgram(t, file)
	held := p.run()
	text := scrape(t, url, textFormat)
	scraped := parse(t, text)
	exemplary := scrape(t, url, openMetrics)

	spans := clientSpans(recorder)
	scope := labels{
		"otel_scope_name":       "github.com/sqlitemw/sqlitemw/tracing",
		"otel_scope_version":    recorder.Ended()[0].InstrumentationScope().Version,
		"otel_scope_schema_url": semconv.SchemaURL,
	}
	database := labels{"db_system_name": "sqlite", "db_namespace": file}
	maps.Copy(database, scope)
	pool := maps.Clone(database)
	pool["db_client_connection_pool_name"] = file

	t.Run("operations", func(t *testing.T) {
		series := scraped.series(t, durationName, dto.MetricType_HISTOGRAM, database)
		sameKeys(t, series, p.calls)
		seconds := make(map[string][]float64)
		for _, s := range spans {
			l := spanLabels(s)
			seconds[l] = append(seconds[l], duration(s))
		}
		for l, m := range series {
			checkHistogram(t, l, m.GetHistogram(), []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}, seconds[l], p.calls[l])
		}
	})
	t.Run("rows", func(t *testing.T) {
		series := scraped.series(t, rowsName, dto.MetricType_HISTOGRAM, database)
		sameKeys(t, series, p.rows)
		for l, m := range series {
			var values []float64
			for _, n := range p.rows[l] {
				values = append(values, float64(n))
			}
			checkHistogram(t, l, m.GetHistogram(), []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}, values, len(values))
		}
	})
	t.Run("connections", func(t *testing.T) {
		checkConnections(t, scraped, pool, map[string]float64{"idle": 2, "used": 1})
		checkTimes(t, scraped, pool, createTimeName, p.opened)
		checkTimes(t, scraped, pool, useTimeName, p.released)
	})
	t.Run("secrets", func(t *testing.T) {
		for _, body := range []string{text, exemplary} {
			for _, private := range []string{secret, "2042424242", "VALUES", "WHERE", "SELECT *", "memdb", "give_up", "9223372036854775808"} {
				if strings.Contains(body, private) {
					t.Errorf("%q is exported:\n%s", private, body)
				}
			}
		}
	})
	t.Run("exemplars", func(t *testing.T) {
		checkExemplars(t, exemplars(t, exemplary, durationName), spans, p.calls, database, duration)
		checkExemplars(t, exemplars(t, exemplary, rowsName), spans, p.rows, database, nil)
	})

	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	p.released++
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("closed", func(t *testing.T) {
		scraped := parse(t, scrape(t, url, textFormat))
		checkConnections(t, scraped, pool, map[string]float64{"idle": 0, "used": 0})
		checkTimes(t, scraped, pool, createTimeName, p.opened)
		checkTimes(t, scraped, pool, useTimeName, p.released)
		sameKeys(t, scraped.series(t, durationName, dto.MetricType_HISTOGRAM, database), p.calls)
	})
}

// clientSpans returns the spans of the program's calls.
func clientSpans(r *tracetest.SpanRecorder) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range r.Ended() {
		if s.SpanKind().String() == "client" {
			spans = append(spans, s)
		}
	}
	return spans
}

// spanLabels returns the labels that a call must have according to its span.
func spanLabels(s sdktrace.ReadOnlySpan) string {
	l := make(labels)
	for _, kv := range s.Attributes() {
		switch name := strings.ReplaceAll(string(kv.Key), ".", "_"); name {
		case "db_operation_name", "db_query_summary", "error_type", "db_response_status_code":
			l[name] = kv.Value.AsString()
		}
	}
	return l.String()
}

func duration(s sdktrace.ReadOnlySpan) float64 { return s.EndTime().Sub(s.StartTime()).Seconds() }

// sameKeys checks that there are series for everything that was done, and for nothing else.
func sameKeys[G, W any](t *testing.T, got map[string]G, want map[string]W) {
	t.Helper()
	g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))
	if !slices.Equal(g, w) {
		t.Errorf("got the series\n  %s\nwant\n  %s", strings.Join(g, "\n  "), strings.Join(w, "\n  "))
	}
}

// checkHistogram checks that a histogram has n values, which are values.
func checkHistogram(t *testing.T, of string, h *dto.Histogram, bounds, values []float64, n int) {
	t.Helper()
	if len(values) != n || h.GetSampleCount() != uint64(n) {
		t.Errorf("%s: the program did it %d times, but there are %d spans and %d samples", of, n, len(values), h.GetSampleCount())
		return
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	if math.Abs(h.GetSampleSum()-sum) > 1e-9 {
		t.Errorf("%s: the sum is %v, want %v", of, h.GetSampleSum(), sum)
	}
	bounds = append(bounds[:len(bounds):len(bounds)], math.Inf(1))
	var got []float64
	for _, b := range h.Bucket {
		got = append(got, b.GetUpperBound())
		within := 0
		for _, v := range values {
			if v <= b.GetUpperBound() {
				within++
			}
		}
		if b.GetCumulativeCount() != uint64(within) {
			t.Errorf("%s: %d are up to %v, want %d", of, b.GetCumulativeCount(), b.GetUpperBound(), within)
		}
	}
	if !slices.Equal(got, bounds) {
		t.Errorf("%s: the buckets are %v, want %v", of, got, bounds)
	}
}

// checkConnections checks the number of connections in each state.
func checkConnections(t *testing.T, f families, pool labels, want map[string]float64) {
	t.Helper()
	got := make(map[string]float64)
	for l, m := range f.series(t, countName, dto.MetricType_GAUGE, pool) {
		got[l] = m.GetGauge().GetValue()
	}
	full := make(map[string]float64)
	for state, n := range want {
		full[labels{"db_client_connection_state": state}.String()] = n
	}
	if !maps.Equal(got, full) {
		t.Errorf("got the connections %v, want %v", got, full)
	}
}

// checkTimes checks that a time was measured n times. Its values cannot be checked, because
// they are measured nowhere else.
func checkTimes(t *testing.T, f families, pool labels, name string, n int) {
	t.Helper()
	series := f.series(t, name, dto.MetricType_HISTOGRAM, pool)
	h := series[""].GetHistogram()
	if len(series) != 1 || h.GetSampleCount() != uint64(n) || h.GetSampleSum() <= 0 {
		t.Errorf("%s has %d series, %d samples, sum %v; want one, %d, more than 0", name, len(series), h.GetSampleCount(), h.GetSampleSum(), n)
	}
}

// checkExemplars checks that each series has at least one exemplar, and that each exemplar
// belongs to the span of a call that the series counts. value, if it is not nil, returns the
// expected value of an exemplar.
func checkExemplars[W any](t *testing.T, found []exemplar, spans []sdktrace.ReadOnlySpan, want map[string]W, common labels, value func(sdktrace.ReadOnlySpan) float64) {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range found {
		l, err := e.labels.without(common)
		if err != nil {
			t.Fatal(err)
		}
		le, err := strconv.ParseFloat(l["le"], 64)
		if err != nil || e.value > le {
			t.Errorf("the exemplar %v is in the bucket %q", e.value, l["le"])
		}
		delete(l, "le")
		seen[l.String()] = true
		i := slices.IndexFunc(spans, func(s sdktrace.ReadOnlySpan) bool {
			return s.SpanContext().TraceID().String() == e.trace && s.SpanContext().SpanID().String() == e.span
		})
		switch {
		case i < 0:
			t.Errorf("the exemplar of {%s} is of span %s in trace %s, which is not the span of a call", l, e.span, e.trace)
		case spanLabels(spans[i]) != l.String():
			t.Errorf("the exemplar of {%s} is a span with {%s}", l, spanLabels(spans[i]))
		case value != nil && e.value != value(spans[i]):
			t.Errorf("the exemplar of {%s} is %v, but its span is %v", l, e.value, value(spans[i]))
		}
	}
	sameKeys(t, seen, want)
}

// A program that invents table names must not create as many series, and each of its calls must
// be counted.
func TestCardinality(t *testing.T) {
	meters, url := serve(t)
	tracer, err := tracing.New(tracing.Config{MeterProvider: meters})
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&driver.Driver{Config: driver.Config{Tracing: tracer}}).OpenConnector(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()

	const calls = 1500
	for i := range calls {
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf("DELETE FROM made_up_%d", i)); err == nil {
			t.Fatal("the missing table exists")
		}
	}
	counted, unnamed := uint64(0), uint64(0)
	family := parse(t, scrape(t, url, textFormat))[durationName]
	for _, m := range family.GetMetric() {
		counted += m.GetHistogram().GetSampleCount()
		if _, ok := labelsOf(m)["db_query_summary"]; !ok {
			unnamed += m.GetHistogram().GetSampleCount()
		}
	}
	if n := len(family.GetMetric()); n > 1001 || counted != calls || unnamed != calls-1000 {
		t.Errorf("%d calls are %d in %d series, %d of them unnamed", calls, counted, n, unnamed)
	}
}
