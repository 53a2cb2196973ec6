package main

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// spanned is the minimum cost of tracing calls. It is this module's driver without an SDK, with
// a hand-written span of the SDK around each call. The span has as many attributes as one of
// this module's, with values that need no computation. The conventions require four attributes
// at the start of a span. Two are known only at its end, such as the time in the engine.
func spanned(s *sdks) *Contender {
	one := s.of(Sampled)
	return &Contender{
		Name: "otel-span", State: Sampled, sdk: one, open: openSpanned(one),
		What: "this module's driver without an SDK, with a hand-written span around each call: the minimum cost of tracing",
	}
}

func openSpanned(s *sdk) opener {
	open := openSqlitemw(tracing.AcquireAll)(nil)
	return func(ctx context.Context, file string, o Options) (Database, error) {
		db, err := open(ctx, file, o)
		if err != nil {
			return nil, err
		}
		return &spannedDatabase{spannedQueryer{db, newSpanner(s, file)}, db}, nil
	}
}

// A spanner makes identical spans.
type spanner struct {
	tracer  trace.Tracer
	options []trace.SpanStartOption
	end     []attribute.KeyValue
}

func newSpanner(s *sdk, file string) *spanner {
	return &spanner{
		tracer: s.provider.Tracer("bench"),
		options: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("db.system.name", "sqlite"),
			attribute.String("db.namespace", file),
			attribute.String("db.query.summary", "SELECT items"),
			attribute.String("db.query.text", itemQuery),
		)},
		end: []attribute.KeyValue{attribute.Int64("connection", 1), attribute.Float64("engine", 1e-6)},
	}
}

func (s *spanner) start(ctx context.Context) trace.Span {
	_, span := s.tracer.Start(ctx, "SELECT items", s.options...)
	return span
}

func (s *spanner) finish(span trace.Span) {
	span.SetAttributes(s.end...)
	span.End()
}

type spannedQueryer struct {
	q Queryer
	s *spanner
}

func (q spannedQueryer) Exec(ctx context.Context, query string, args ...any) error {
	defer q.s.finish(q.s.start(ctx))
	return q.q.Exec(ctx, query, args...)
}

func (q spannedQueryer) Row(ctx context.Context, query string, dest []any, args ...any) error {
	defer q.s.finish(q.s.start(ctx))
	return q.q.Row(ctx, query, dest, args...)
}

func (q spannedQueryer) Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error {
	defer q.s.finish(q.s.start(ctx))
	return q.q.Rows(ctx, query, dest, each, args...)
}

func (q spannedQueryer) Prepare(ctx context.Context, query string) (Statement, error) {
	defer q.s.finish(q.s.start(ctx))
	stmt, err := q.q.Prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return spannedStatement{stmt, q.s}, nil
}

type spannedStatement struct {
	Statement
	s *spanner
}

func (st spannedStatement) Exec(ctx context.Context, args ...any) error {
	defer st.s.finish(st.s.start(ctx))
	return st.Statement.Exec(ctx, args...)
}

func (st spannedStatement) Row(ctx context.Context, dest []any, args ...any) error {
	defer st.s.finish(st.s.start(ctx))
	return st.Statement.Row(ctx, dest, args...)
}

type spannedDatabase struct {
	spannedQueryer
	db Database
}

func (d *spannedDatabase) Acquire(ctx context.Context) (Conn, error) {
	c, err := d.db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &spannedConn{spannedQueryer{c, d.s}, c}, nil
}

// Transact makes a span for begin and one for commit or rollback, with nothing in them here,
// and those of its calls.
func (d *spannedDatabase) Transact(ctx context.Context, f func(Queryer) error) error {
	d.s.finish(d.s.start(ctx))
	err := d.db.Transact(ctx, func(q Queryer) error { return f(spannedQueryer{q, d.s}) })
	d.s.finish(d.s.start(ctx))
	return err
}

func (d *spannedDatabase) Close() error { return d.db.Close() }

type spannedConn struct {
	spannedQueryer
	c Conn
}

func (c *spannedConn) Release() error { return c.c.Release() }
