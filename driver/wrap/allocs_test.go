package wrap_test

import (
	"context"
	"database/sql/driver"
	"io"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// The parent allocates nothing, and a call allocates only what the SDK does for a recorded
// span: its options, the span, its attributes and its context. A query allocates its
// attributes again, because more are added at its end. The settings for engines that fail over
// cost a call nothing.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	always := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, tc := range []struct {
		name        string
		cfg         *tracing.Config
		exec, query float64
		server      string
	}{
		{"no SDK", nil, 0, 0, ""},
		{"not sampled", &tracing.Config{TracerProvider: never}, 3, 3, ""},
		{"sampled", &tracing.Config{TracerProvider: always}, 4, 5, ""},
		{"measured, not traced", &tracing.Config{MeterProvider: meters}, 0, 0, ""},
		{"measured and sampled", &tracing.Config{MeterProvider: meters, TracerProvider: always}, 4, 5, ""},
		{"measured, at a server", &tracing.Config{MeterProvider: meters}, 0, 0, "db1"},
		{"measured and sampled, at a server", &tracing.Config{MeterProvider: meters, TracerProvider: always}, 4, 5, "db1"},
	} {
		cfg := wrap.Config{Once: true, Broken: func(driver.Conn) bool { return false }}
		if tc.server != "" {
			cfg.Describe = func(driver.Conn) wrap.Server { return wrap.Server{Address: tc.server} }
		}
		if tc.cfg != nil {
			var err error
			if cfg.Tracing, err = tracing.New(*tc.cfg); err != nil {
				t.Fatal(err)
			}
		}
		c, err := wrap.NewConnector(freeConnector{}, cfg).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn := c.(*wrap.Conn)
		ctx := context.Background()
		exec := testing.AllocsPerRun(100, func() {
			if _, err := conn.ExecContext(ctx, "INSERT INTO t VALUES (?)", nil); err != nil {
				t.Fatal(err)
			}
		})
		query := testing.AllocsPerRun(100, func() {
			rows, err := conn.QueryContext(ctx, "SELECT a FROM t", nil)
			if err != nil {
				t.Fatal(err)
			}
			if rows.Next(nil) != io.EOF || rows.Close() != nil {
				t.Fatal("the rows are not exhausted")
			}
		})
		t.Logf("%s: %v for an exec, %v for a query", tc.name, exec, query)
		if exec > tc.exec || query > tc.query {
			t.Errorf("%s: %v allocations for an exec and %v for a query, want at most %v and %v", tc.name, exec, query, tc.exec, tc.query)
		}
	}
}

// A freeConnector's connections allocate nothing.
type freeConnector struct{}

func (freeConnector) Connect(context.Context) (driver.Conn, error) { return freeConn{}, nil }
func (freeConnector) Driver() driver.Driver                        { return nil }

type freeConn struct{ driver.Conn }

func (freeConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.ResultNoRows, nil
}

func (freeConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return freeRows{}, nil
}

type freeRows struct{}

func (freeRows) Columns() []string         { return nil }
func (freeRows) Next([]driver.Value) error { return io.EOF }
func (freeRows) Close() error              { return nil }
