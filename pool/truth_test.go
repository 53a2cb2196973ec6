package pool_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// These tests check that telemetry is correct in three cases: hooks of the program panic, calls
// are cut short, and the telemetry provider is installed late.

func attributeOf(span sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range span.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}

// TestPanicEndsAcquireOnce checks that an acquire that a panic ends is ended once, with the
// panic as its result.
func TestPanicEndsAcquireOnce(t *testing.T) {
	panics := false
	rec := driver.RecorderFunc(func(e driver.Event) {
		if panics && e.Kind == driver.KindAcquire {
			panic("recorder")
		}
	})
	hook := false
	p, spans, tracer, collect := openRecording(t, pool.Config{Recorder: rec, MaxConns: 3, Hooks: pool.Hooks{BeforeConnect: func(context.Context) error {
		if hook {
			panic("hook")
		}
		return nil
	}}})
	ctx, program := tracer.Start(t.Context(), "program")
	acquire := func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic does not reach the caller")
			}
		}()
		c, err := p.AcquireRead(ctx) // must open a connection
		if err == nil {
			c.Close()
		}
	}
	panics = true
	acquire()
	panics, hook = false, true
	acquire()
	hook = false
	program.End()
	if n := sumOf(t, collect()["db.client.connection.pending_requests"]); n != 0 {
		t.Errorf("%d acquires are pending", n)
	}
	if h := collect()["db.client.connection.wait_time"].(metricdata.Histogram[float64]); h.DataPoints[0].Count != 2 {
		t.Errorf("%d waits are measured", h.DataPoints[0].Count)
	}
	var types []string
	for _, span := range spans.Ended() {
		if span.Name() == "acquire" {
			types = append(types, attributeOf(span, "error.type"))
		}
	}
	if len(types) != 2 || types[0] != "" || types[1] != "panic" {
		t.Errorf("the acquires ended with %q", types)
	}
}

// TestCallCutShortIsNotCancelled checks that a call that the pool cuts short, because it is
// being closed, does not count as cancelled by its caller.
func TestCallCutShortIsNotCancelled(t *testing.T) {
	cfg, let := stuck(pool.Config{})
	spans, _, tracer := newRecordingTracer(t, nil)
	cfg.Tracing = tracer
	cfg.Path = filepath.Join(t.TempDir(), "a.db")
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := p.DB().ExecContext(t.Context(), "CREATE TABLE t AS SELECT stuck() UNION ALL SELECT * FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)")
		done <- err
	}()
	for len(p.Holders()) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error)
	go func() { ended <- p.Shutdown(ctx) }()
	for !p.Closed() {
		time.Sleep(time.Millisecond)
	}
	close(let)
	if err := <-done; !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("the call ends with %v", err)
	}
	<-ended
	for _, span := range spans.Ended() {
		if typ := attributeOf(span, "error.type"); span.Name() != "acquire" && typ != "9" && typ != "" {
			t.Errorf("the error.type of %s is %q", span.Name(), typ)
		}
	}
}

// TestCancelledLockWaitIsNotBusy checks that a cancelled call that waits for a lock does not
// fail with "database is locked".
func TestCancelledLockWaitIsNotBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	p, l := pooled(t, pool.Config{Path: path})
	must(t, p.DB(), "CREATE TABLE t(a)")
	other, err := driver.NewConnector("file:"+path, driver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := other.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := c.(driver.Conn).Raw()
	if err := raw.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (1)"); err == nil {
		t.Error("the call does not wait")
	}
	if n := l.count(driver.KindBusy); n != 0 {
		t.Errorf("%d calls failed as busy", n)
	}
}

// TestLimitsOfLateProvider checks that a meter provider that is installed after Open measures
// the limits.
func TestLimitsOfLateProvider(t *testing.T) {
	tracer, err := tracing.New(tracing.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pooled(t, pool.Config{MaxConns: 7, Tracing: tracer})
	before := otel.GetMeterProvider()
	defer otel.SetMeterProvider(before)
	for range 2 { // the second provider replaces the first
		reader := sdkmetric.NewManualReader()
		otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
		must(t, p.DB(), "SELECT 1")
		var rm metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &rm); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, s := range rm.ScopeMetrics {
			for _, m := range s.Metrics {
				if m.Name == "db.client.connection.max" {
					found = true
					if n := sumOf(t, m.Data); n != 7 {
						t.Errorf("the limit is %d", n)
					}
				}
			}
		}
		if !found {
			t.Error("the limits are not measured")
		}
	}
}
