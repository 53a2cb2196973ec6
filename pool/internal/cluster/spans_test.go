package cluster_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A node is a server that answers every call, or fails it with an error.
type node struct {
	mu   sync.Mutex // guards fail
	fail []error    // of the next begins; an error that is repeated ends with nil
	down error      // of everything
}

func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *node) err() (err error) {
	n.set(func() { err = n.down })
	return err
}

func (n *node) Driver() driver.Driver { return nil }

func (n *node) Connect(context.Context) (driver.Conn, error) {
	if err := n.err(); err != nil {
		return nil, err
	}
	return &nodeConn{n}, nil
}

type nodeConn struct{ *node }

func (c *nodeConn) Close() error                        { return nil }
func (c *nodeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not used") }
func (c *nodeConn) Begin() (driver.Tx, error)           { return nil, errors.New("not used") }
func (c *nodeConn) Commit() error                       { return c.err() }
func (c *nodeConn) Rollback() error                     { return c.err() }

func (c *nodeConn) BeginTx(context.Context, driver.TxOptions) (tx driver.Tx, err error) {
	c.set(func() {
		if len(c.fail) > 0 {
			err, c.fail = c.fail[0], c.fail[1:]
		}
	})
	return c, errors.Join(err, c.err())
}

func (c *nodeConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), c.err()
}

func ask(_ context.Context, c driver.Conn) (cluster.Role, error) {
	return cluster.Role{Primary: true, Timeline: 1}, c.(*nodeConn).err()
}

// TestTelemetry checks what spans and metrics tell: the server of each call, the attempts of a call
// that database/sql repeats, and an outage.
func TestTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		reader := sdkmetric.NewManualReader()
		tracer, err := tracing.New(tracing.Config{
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
			MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		})
		if err != nil {
			t.Fatal(err)
		}
		n := &node{}
		p, err := cluster.Open(t.Context(), cluster.Config{
			Engine:          cluster.Engine{Kind: "test", System: "postgresql", Role: ask},
			Servers:         []cluster.Server{{Name: "db1:6432", Connector: n}},
			Tracing:         tracer,
			FailoverTimeout: 3 * time.Second,
			Logger:          slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()

		n.set(func() { n.fail = []error{driver.ErrBadConn} })
		tx, err := p.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		begins := named(spans, "BEGIN")
		if len(begins) != 2 || attr(begins[0], "sqlitemw.call.attempt") != "" || attr(begins[1], "sqlitemw.call.attempt") != "2" {
			t.Errorf("%d spans of the begin, want the second one to be attempt 2", len(begins))
		}
		for _, s := range begins {
			if attr(s, "server.address") != "db1" || attr(s, "server.port") != "6432" {
				t.Errorf("the server of a call is %q, %q", attr(s, "server.address"), attr(s, "server.port"))
			}
		}

		n.set(func() { n.down = io.ErrUnexpectedEOF })
		failed := 0
		for range 2 { // the first one finds out, and the second one waits
			if _, err := p.DB().ExecContext(t.Context(), "UPDATE t SET a = 1"); err != nil {
				failed++
			}
		}
		time.Sleep(time.Second)
		if failed != 2 {
			t.Errorf("%d calls failed, want 2", failed)
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		if got := failures(all); got != 2 {
			t.Errorf("db.client.operation.duration has %d failures, want both calls, also the one that got no connection", got)
		}
		n.set(func() { n.down = nil })
		time.Sleep(time.Second)
		var events []string
		for _, e := range p.Events() {
			if e.Reason == cluster.ReasonPrimary {
				events = append(events, e.Kind.String())
				if e.Kind.String() == "recovered" && e.Duration < 4*time.Second {
					t.Errorf("the outage took %v in its event, want 4s", e.Duration)
				}
			}
		}
		if len(events) != 2 || events[0] != "failing" || events[1] != "recovered" {
			t.Errorf("the events of the outage are %q", events)
		}
		for _, s := range spans.Started() {
			if s.EndTime().IsZero() {
				t.Errorf("the span %q has not ended", s.Name())
			}
		}
	})
}

func named(spans *tracetest.SpanRecorder, name string) (list []sdktrace.ReadOnlySpan) {
	for _, s := range spans.Ended() {
		if s.Name() == name {
			list = append(list, s)
		}
	}
	return list
}

func attr(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// failures counts the calls with an error.type in db.client.operation.duration, except for those that
// were repeated.
func failures(all metricdata.ResourceMetrics) (n uint64) {
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "db.client.operation.duration" {
				continue
			}
			for _, p := range h.DataPoints {
				typ, failed := p.Attributes.Value("error.type")
				if failed && typ.AsString() != "driver.ErrBadConn" && typ.AsString() != "bad_conn" {
					n += p.Count
				}
			}
		}
	}
	return n
}
