package wrap_test

import (
	"context"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Benchmark measures what a wrapper adds to a call of a parent that costs nothing.
func Benchmark(b *testing.B) {
	always := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, bm := range []struct {
		name string
		cfg  tracing.Config
	}{
		{"no SDK", tracing.Config{}},
		{"measured", tracing.Config{MeterProvider: meters}},
		{"measured and sampled", tracing.Config{MeterProvider: meters, TracerProvider: always}},
	} {
		tracer, err := tracing.New(bm.cfg)
		if err != nil {
			b.Fatal(err)
		}
		c, err := wrap.NewConnector(freeConnector{}, wrap.Config{Tracing: tracer}).Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		conn, ctx := c.(*wrap.Conn), context.Background()
		b.Run("exec/"+bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (?)", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("query/"+bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, err := conn.QueryContext(ctx, "SELECT a FROM t", nil)
				if err != nil {
					b.Fatal(err)
				}
				_ = rows.Next(nil)
				_ = rows.Close()
			}
		})
		b.Run("reuse/"+bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !conn.IsValid() || conn.ResetSession(ctx) != nil {
					b.Fatal("the connection cannot be used again")
				}
			}
		})
	}
}
