package instrument

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	otellog "go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// log logs a failed or slow call to Config.Logger, and emits a failed call to OpenTelemetry.
func (c *Call) log(took time.Duration, typ string, class tracing.ErrorClass, err error) {
	cfg := c.db.tracer.cfg
	if typ != "" && cfg.Exceptions {
		c.exception(typ, class, err)
	}
	slow := cfg.SlowCall > 0 && took >= cfg.SlowCall
	if cfg.Logger == nil || typ == "" && !slow {
		return
	}
	level, message := slog.LevelWarn, "slow database call"
	if typ != "" {
		message = "database call failed"
		if typ == "context.Canceled" {
			level = slog.LevelInfo // the caller canceled it
		}
	}
	if !cfg.Logger.Enabled(c.within, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("db.query.summary", c.op.name),
		slog.String("db.namespace", c.db.namespace),
		slog.Duration("duration", took),
		slog.Int64(string(connectionID), c.conn.id.Value.AsInt64()),
	)
	if c.query {
		attrs = append(attrs, slog.Int64("db.response.returned_rows", c.rows))
	}
	if c.tx != 0 {
		attrs = append(attrs, slog.Int64(string(transactionID), c.tx))
	}
	if typ != "" {
		attrs = append(attrs, slog.String("error.type", typ), slog.String("error", class.Description))
	}
	if sc := trace.SpanContextFromContext(c.within); sc.IsValid() {
		attrs = append(attrs, slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	if cfg.LogArgument != nil {
		attrs = append(attrs, c.shownArguments(cfg.LogArgument))
	}
	if slow && c.tally != nil {
		if p := c.tally.plan.Load(); p != nil {
			attrs = p.appendTo(attrs)
		}
	}
	cfg.Logger.LogAttrs(c.within, level, message, attrs...)
}

// shownArguments returns the call's arguments by name or number. It shows those that the
// program allows, and "?" for the others.
func (c *Call) shownArguments(show func(any) (string, bool)) slog.Attr {
	var shown []any
	for _, arg := range c.args {
		text, ok := show(arg.Value)
		if !ok {
			text = "?"
		}
		shown = append(shown, slog.String(argumentName(arg.Name, arg.Ordinal), text))
	}
	return slog.Group("arguments", shown...)
}

// exception emits the conventions' log record for a failed call. The record does not contain
// the error's own message, because that may quote data.
// https://opentelemetry.io/docs/specs/semconv/db/database-exceptions/
func (c *Call) exception(typ string, class tracing.ErrorClass, err error) {
	provider := c.db.tracer.cfg.LoggerProvider
	if provider == nil {
		provider = otel.GetLoggerProvider()
	}
	logger := provider.Logger(tracing.ScopeName, otellog.WithInstrumentationVersion(version()), otellog.WithSchemaURL(schemaURL))
	const event = "db.client.operation.exception"
	if !logger.Enabled(c.within, otellog.EnabledParameters{Severity: otellog.SeverityWarn, EventName: event}) {
		return
	}
	var r otellog.Record
	r.SetEventName(event)
	r.SetTimestamp(time.Now())
	r.SetSeverity(otellog.SeverityWarn)
	if err != nil { // nil after a panic, and for rows that were never closed
		typ = typeOf(err)
	}
	r.AddAttributes(exceptionTypeAttribute(typ))
	if class.Description != "" {
		r.AddAttributes(exceptionMessageAttribute(class.Description))
	}
	r.AddAttributes(c.op.attrs...)
	r.AddAttributes(c.conn.server.attributes()...)
	logger.Emit(context.WithoutCancel(c.within), r)
}
