package tracing_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Tracer has its own provider of spans and its own settings. Without a provider, spans go
// to OpenTelemetry's global provider.
func ExampleNew() {
	exporter := tracetest.NewInMemoryExporter()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)),
		Acquire:        tracing.AcquireWaited, // only if a connection had to be opened
	})
	if err != nil {
		log.Fatal(err)
	}
	connector, err := driver.NewConnector(":memory:", driver.Config{Tracing: tracer})
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'secret'").Scan(&n); err != nil {
		log.Fatal(err)
	}
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.Name)
		for _, kv := range span.Attributes {
			if kv.Key == "db.query.text" {
				fmt.Println(kv.Value.AsString())
			}
		}
	}
	// Output:
	// SELECT sqlite_schema
	// SELECT count(*) FROM sqlite_schema WHERE name = ?
}

// A summary groups queries that differ only in their values.
func ExampleSummary() {
	fmt.Println(tracing.Summary("SELECT u.name FROM users u JOIN orders o ON o.user = u.id WHERE u.id = 7"))
	fmt.Println(tracing.Summary("INSERT INTO users(name) VALUES ('ada')"))
	// Output:
	// SELECT users orders
	// INSERT users
}

// A slow call is logged. LogArgument decides which arguments the log may show.
func ExampleConfig_logArgument() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "duration", "sqlitemw.connection.id":
				return slog.Attr{}
			}
			return a
		},
	}))
	tracer, err := tracing.New(tracing.Config{
		Logger:   logger,
		SlowCall: time.Nanosecond,
		LogArgument: func(value any) (string, bool) {
			n, ok := value.(int)
			return fmt.Sprint(n), ok // here, numbers are not secret, but anything else may be
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	connector, err := driver.NewConnector(":memory:", driver.Config{Tracing: tracer})
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), "SELECT ?, ?", 7, "s3cr3t"); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=WARN msg="slow database call" db.query.summary=SELECT db.namespace=:memory: arguments.1=7 arguments.2=?
}
