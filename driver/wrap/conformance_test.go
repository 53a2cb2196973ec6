package wrap_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ngrok/sqlmw"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/conformance/sqlitemw"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// TestConformance compares the wrapped driver with the bare one, on drivers of all kinds:
// without spans, with spans, and with interceptors that do nothing. In each case, the events
// of connections and the spans must be consistent.
func TestConformance(t *testing.T) {
	allowed := sqlitemw.Allowed
	scans := func(k fake.RowsKind) bool { return strings.Contains(k.Name, "Scanner") }
	hidden := conformance.Allowance{
		Reason:  "sqlmw's rows do not scan columns themselves",
		Where:   func(s conformance.Setup) bool { return scans(s.Rows) },
		Visible: true,
	}

	t.Run("without spans", func(t *testing.T) {
		conformance.Run(t, target(allowed, func(*account) wrap.Config { return wrap.Config{} }))
	})
	t.Run("with spans", func(t *testing.T) {
		conformance.Run(t, target(allowed, func(a *account) wrap.Config {
			a.spans.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(&a.recorded))
			tracer, err := tracing.New(tracing.Config{TracerProvider: &a.spans})
			if err != nil {
				panic(err)
			}
			return wrap.Config{Tracing: tracer}
		}))
	})
	t.Run("with interceptors", func(t *testing.T) {
		for _, k := range fake.RowsKinds {
			if scans(k) { // only since Go 1.27 are there such rows
				allowed = slices.Concat([]conformance.Allowance{hidden}, allowed)
				break
			}
		}
		conformance.Run(t, target(allowed, func(*account) wrap.Config {
			return wrap.Config{Interceptors: []sqlmw.Interceptor{sqlmw.NullInterceptor{}, sqlmw.NullInterceptor{}}}
		}))
	})
}

// target returns a target for the wrapper with this Config. It checks that the events and
// spans are consistent.
func target(allowed []conformance.Allowance, config func(*account) wrap.Config) conformance.Target {
	return conformance.Target{
		Name:    "wrap",
		Allowed: allowed,
		Wrap: func(parent driver.Connector) driver.Connector {
			a := &account{}
			cfg := config(a)
			cfg.Recorder = &a.events
			a.Connector = wrap.NewConnector(parent, cfg)
			return a
		},
		Done: func(c conformance.Case, wrapped driver.Connector) error {
			a := wrapped.(*account)
			// After a panic, database/sql itself may lose a connection.
			if err := a.events.check(strings.Contains(c.Name, "panic")); err != nil {
				return fmt.Errorf("%w\n%v", err, &a.events)
			}
			return errors.Join(a.spans.check(), checkSpans(&a.recorded))
		},
	}
}

// An account is a connector with its recorded events and spans.
type account struct {
	driver.Connector
	events   recorder
	spans    strictProvider
	recorded tracetest.SpanRecorder
}

// Close closes the connector as database/sql would.
func (a *account) Close() error { return a.Connector.(io.Closer).Close() }
