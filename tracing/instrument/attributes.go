package instrument

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

const schemaURL = semconv.SchemaURL

// These attributes have no name in the conventions. They are named after this library, not
// after SQLite, because they apply to a connection of any engine.
const (
	connectionID     = attribute.Key("sqlitemw.connection.id")
	connectionNew    = attribute.Key("sqlitemw.connection.new")
	connectionLane   = attribute.Key("sqlitemw.connection.lane")
	connectionClosed = attribute.Key("sqlitemw.connection.close_reason")
	connectPragmas   = attribute.Key("sqlitemw.connect.pragmas")
	callAttempt      = attribute.Key("sqlitemw.call.attempt")
	transactionID    = attribute.Key("sqlitemw.transaction.id")
	engineDuration   = attribute.Key("sqlitemw.engine.duration")
	syncDuration     = attribute.Key("sqlitemw.sync.duration")

	acquireQueue = attribute.Key("sqlitemw.acquire.queue_position")
	acquireWait  = attribute.Key("sqlitemw.acquire.wait")

	connectPragmasDuration = attribute.Key("sqlitemw.connect.pragmas.duration")
)

var (
	kindClient   = trace.WithSpanKind(trace.SpanKindClient)
	kindInternal = trace.WithSpanKind(trace.SpanKindInternal)
)

// sourceAttributes returns the attributes of every span of one database.
func sourceAttributes(src tracing.Source, more []attribute.KeyValue) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 2+len(more))
	attrs = append(attrs, semconv.DBSystemNameKey.String(src.System))
	if src.Namespace != "" {
		attrs = append(attrs, semconv.DBNamespace(src.Namespace))
	}
	return append(attrs, more...)
}

func operationAttribute(name string) attribute.KeyValue { return semconv.DBOperationName(name) }

func summaryAttribute(summary string) attribute.KeyValue { return semconv.DBQuerySummary(summary) }

func textAttribute(text string) attribute.KeyValue { return semconv.DBQueryText(text) }

func statusAttribute(code string) attribute.KeyValue { return semconv.DBResponseStatusCode(code) }

func errorTypeAttribute(typ string) attribute.KeyValue { return semconv.ErrorTypeKey.String(typ) }

func returnedRowsAttribute(n int64) attribute.KeyValue {
	return semconv.DBResponseReturnedRows(int(n))
}

func poolNameAttribute(name string) attribute.KeyValue {
	return semconv.DBClientConnectionPoolName(name)
}

func connectionStateAttribute(state string) attribute.KeyValue {
	return semconv.DBClientConnectionStateKey.String(state)
}

func exceptionTypeAttribute(typ string) attribute.KeyValue { return semconv.ExceptionType(typ) }

func exceptionMessageAttribute(message string) attribute.KeyValue {
	return semconv.ExceptionMessage(message)
}

// argumentName returns the name of an argument in a log line: its own name, or its number.
func argumentName(name string, ordinal int) string {
	if name != "" {
		return name
	}
	return strconv.Itoa(ordinal)
}

func (a Acquired) attributes() []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 3)
	if a.Lane != "" {
		attrs = append(attrs, connectionLane.String(a.Lane))
	}
	if a.Queue > 0 {
		attrs = append(attrs, acquireQueue.Int(a.Queue), acquireWait.Float64(a.Wait.Seconds()))
	}
	return attrs
}
