package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

type routeKey struct{}

// valuesOf returns the different values that a metric has of an attribute; "-" if it has none.
func valuesOf(t *testing.T, reader sdkmetric.Reader, metric string, key attribute.Key) (values []string) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	add := func(set attribute.Set) {
		value := "-"
		if v, ok := set.Value(key); ok {
			value = v.String()
		}
		values = append(values, value)
	}
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != metric {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes)
				}
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// TestMetricAttributes checks which metrics have which attributes of the context.
func TestMetricAttributes(t *testing.T) {
	for name, keys := range map[string][]attribute.Key{"none": nil, "route": {"http.route", "db.namespace", "error.type"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reader := sdkmetric.NewManualReader()
				asked := 0
				tracer, err := tracing.New(tracing.Config{
					MeterProvider:    sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
					MetricAttributes: keys,
					ContextAttributes: func(ctx context.Context) []attribute.KeyValue {
						asked++
						route, _ := ctx.Value(routeKey{}).(string)
						if route == "" {
							return nil
						}
						return []attribute.KeyValue{attribute.String("http.route", route), attribute.String("user.id", "u-4711"),
							attribute.String("db.namespace", "its own"), attribute.String("error.type", "its own"), {}}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				p, err := pool.Open(t.Context(), pool.Config{Path: fileConfig(t).Path, Tracing: tracer, AcquireTimeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				orders := context.WithValue(t.Context(), routeKey{}, "/orders")
				must(t, p.DB(), "CREATE TABLE t(a)")
				if _, err := p.DB().ExecContext(orders, "INSERT INTO t VALUES (1)"); err != nil {
					t.Fatal(err)
				}
				if _, err := p.DB().ExecContext(orders, "INSERT INTO nope VALUES (1)"); err == nil {
					t.Fatal("there is a table nope")
				}
				var n int
				if err := p.DB().QueryRowContext(orders, "SELECT a FROM t").Scan(&n); err != nil {
					t.Fatal(err)
				}
				tx, err := p.DB().BeginTx(orders, nil)
				if err != nil {
					t.Fatal(err)
				}
				jobs := context.WithValue(t.Context(), routeKey{}, "/jobs")
				if _, err := p.DB().ExecContext(jobs, "DELETE FROM t"); !errors.Is(err, pool.ErrAcquireTimeout) {
					t.Fatal(err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				want := map[string][]string{
					"db.client.operation.duration":          {"-", "/jobs", "/orders"}, // of /jobs, the call that got no connection
					"db.client.response.returned_rows":      {"/orders"},
					"db.client.connection.wait_time":        {"-", "/jobs", "/orders"},
					"db.client.connection.timeouts":         {"/jobs"},
					"db.client.connection.count":            {"-"},
					"db.client.connection.use_time":         {"-"},
					"db.client.connection.create_time":      {"-"},
					"db.client.connection.pending_requests": {"-"},
				}
				for metric, values := range want {
					if keys == nil {
						values = []string{"-"}
					}
					if got := valuesOf(t, reader, metric, "http.route"); !slices.Equal(got, values) {
						t.Errorf("%s has the routes %q, want %q", metric, got, values)
					}
					if got := valuesOf(t, reader, metric, "user.id"); !slices.Equal(got, []string{"-"}) {
						t.Errorf("%s has the users %q", metric, got)
					}
					if got := valuesOf(t, reader, metric, "db.namespace"); len(got) != 1 || got[0] == "its own" {
						t.Errorf("%s has the namespaces %q", metric, got)
					}
				}
				if keys == nil && asked > 0 {
					t.Errorf("without spans, ContextAttributes was called %d times", asked)
				}
				if got := valuesOf(t, reader, "db.client.operation.duration", "error.type"); keys != nil && !slices.Equal(got, []string{"-", "1", "5", "its own"}) {
					t.Errorf("the errors are %q", got)
				}
			})
		})
	}
}
