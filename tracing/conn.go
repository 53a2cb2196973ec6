package tracing

import (
	"bytes"
	"context"
	"database/sql/driver"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
)

// A Conn makes the spans of one connection's calls, and has them measured and
// logged. It is an interceptor for sqlmw, which does not say which connection a
// call is for: hence one for each.
//
// Like the connection it belongs to, it is not safe for concurrent use.
//
// It always passes on the context it was given. The spans it starts are seen
// by nobody below, because a driver may know a context by its type or identity
// (ncruces' savepoints do).
type Conn struct {
	sqlmw.NullInterceptor

	db      *Database
	id      attribute.KeyValue
	connect trace.SpanContext // of the connect span, for the close span's link

	// Unasked says that a prepare under way is none of the program's: there is
	// no span of it.
	Unasked bool

	// Engine is the engine's connection, which may be a [Teller] or a [DoubleQuoter].
	Engine any

	tx    int64             // the transaction at hand, or 0
	begun trace.SpanContext // of its BEGIN, if that has a span that is kept
	txCtx context.Context   // that it was begun with
	free  []*Call           // ended, to be used again
	usage usage

	// What spans start with, built once: a span is started for every call.
	acquire    []trace.SpanStartOption
	laned      []trace.SpanStartOption // as acquire, in a pool that has lanes
	operations map[*operation][]trace.SpanStartOption
	share      *budget.Share // of what operations keep

	// Of the call before: a program has many of one kind in a row.
	last struct {
		key     statementKey
		text    *statement
		op      *operation
		options []trace.SpanStartOption
	}
}

// maxOperations bounds what a connection keeps, as operationBudget bounds its bytes and those of
// all connections: the texts may be kept by no other any more. What is beyond is built again.
const maxOperations = 256

var operationBudget = budget.New(256<<10, 32<<20)

// transactions counts those that were begun in this process.
var transactions atomic.Int64

// A CallHolder is rows that end the call they answer: when they are exhausted,
// closed or failed. A call whose rows are none ends when it is answered.
type CallHolder interface{ HoldCall(*Call) }

// A DoubleQuoter is SQLite's connection that says whether it takes a name in double quotes
// for a string where there is no such column: https://sqlite.org/quirks.html#dblquote.
// It is asked before each call whose query is shown.
type DoubleQuoter interface{ DoubleQuotedStrings() bool }

var _ sqlmw.Interceptor = &Conn{}

// Enabled reports whether anything could go anywhere: whether there is anything
// for the interceptor to do.
func (c *Conn) Enabled() bool { return c.outlets().any() }

// outlets are where what is known of a call may go, as it stands when the call
// begins: global providers come and go.
type outlets struct {
	spans trace.TracerProvider // nil for none
	timed bool                 // to what is told how long it took
	other bool
}

func (o outlets) any() bool { return o.spans != nil || o.timed || o.other }

func (c *Conn) outlets() outlets {
	t := c.db.tracer
	return outlets{
		spans: t.spans(),
		timed: t.cfg.Logger != nil || t.measures(),
		other: t.cfg.Exceptions,
	}
}

// begin begins a call, or returns nil if nothing is to be said of it. more says
// that its end is known to have something for the span, as that of a query does.
func (c *Conn) begin(ctx context.Context, out outlets, op *operation, query string, args []driver.NamedValue, more bool) *Call {
	t := c.db.tracer
	if t.cfg.Filter != nil && !t.cfg.Filter(ctx, op.name, query) {
		return nil
	}
	call := c.take()
	call.db, call.conn, call.op, call.ctx, call.within = c.db, c, op, ctx, ctx
	call.open, call.tx, call.txCtx = true, c.tx, c.txCtx
	call.more = more || c.tx != 0 || t.cfg.Details
	if out.spans != nil && (!t.cfg.OnlyWithParent || trace.SpanContextFromContext(ctx).IsValid()) {
		opts := op.options
		if !call.more {
			opts = c.options(op)
		}
		if t.cfg.ContextAttributes != nil {
			if attrs := t.cfg.ContextAttributes(ctx); len(attrs) > 0 {
				opts = append(opts[:len(opts):len(opts)], trace.WithAttributes(attrs...))
			}
		}
		if c.begun.IsValid() && c.begun.TraceID() != trace.SpanContextFromContext(ctx).TraceID() {
			opts = append(opts[:len(opts):len(opts)], trace.WithLinks(trace.Link{SpanContext: c.begun}))
		}
		call.within, call.span = t.start(ctx, out.spans, op.name, opts...)
		call.recording = call.span.IsRecording()
	}
	if out.timed {
		call.timed, call.start = true, clock()
	}
	if t.cfg.LogArgument != nil {
		call.args = slices.Clone(args) // they are converted in place
		for i, arg := range call.args {
			if b, ok := arg.Value.([]byte); ok { // whose owner may use it again before the call ends
				call.args[i].Value = bytes.Clone(b)
			}
		}
	}
	return call
}

func (c *Conn) take() *Call {
	n := len(c.free)
	if n == 0 {
		return new(Call)
	}
	call := c.free[n-1]
	c.free = c.free[:n-1]
	return call
}

// give takes back a call that has ended.
func (c *Conn) give(call *Call) {
	clear(call.attrs)
	*call = Call{attrs: call.attrs[:0]}
	c.free = append(c.free, call)
}

// execution is what a text is as a call that executes it.
func (c *Conn) execution(query string, args []driver.NamedValue) *operation {
	return c.statement(query, c.db.binds(args)).execute
}

// binds reports whether values are bound by arguments. Some of another system's driver are none:
// pgx takes options among them.
func (d *Database) binds(args []driver.NamedValue) bool {
	if d.sqlite {
		return len(args) > 0
	}
	return slices.ContainsFunc(args, func(arg driver.NamedValue) bool {
		t := reflect.TypeOf(arg.Value)
		if t == nil {
			return true
		}
		rest, ok := strings.CutPrefix(t.PkgPath(), "github.com/jackc/pgx")
		return !ok || strings.Count(rest, "/") > 1 // a type of a value is in a package below
	})
}

func (c *Conn) statement(query string, bound bool) *statement {
	key := statementKey{query: query, bound: bound}
	if e, ok := c.Engine.(DoubleQuoter); ok {
		key.doubleQuoted = e.DoubleQuotedStrings()
	}
	if c.last.text != nil && c.last.key == key {
		return c.last.text
	}
	st := c.db.texts.of(c.db, key)
	if len(query) <= maxStatementText {
		c.last.key, c.last.text = key, st
	}
	return st
}

// options returns what the span of an operation starts with that says at once
// which connection it is on. That costs a span less than to say it at the end, but
// for one whose end has more to say: the SDK makes room at the start for what it is
// given there, and once again, for twice as much, when there is any more.
func (c *Conn) options(op *operation) []trace.SpanStartOption {
	if op.once {
		return c.newOptions(op)
	}
	if op != c.last.op {
		c.last.op, c.last.options = op, c.optionsOf(op)
	}
	return c.last.options
}

func (c *Conn) newOptions(op *operation) []trace.SpanStartOption {
	return []trace.SpanStartOption{kindClient, c.attributes(op.attrs...)}
}

func (c *Conn) optionsOf(op *operation) []trace.SpanStartOption {
	if opts, ok := c.operations[op]; ok {
		return opts
	}
	opts := c.newOptions(op)
	if c.operations == nil {
		c.operations, c.share = make(map[*operation][]trace.SpanStartOption), operationBudget.Share()
	}
	n := op.bytes()
	if !c.share.CanTake(n) {
		return opts
	}
	if len(c.operations) >= maxOperations || !c.share.Take(n) {
		clear(c.operations)
		c.share.Give(int(c.share.Used()))
		if !c.share.Take(n) {
			return opts
		}
	}
	c.operations[op] = opts
	return opts
}

// attributes is one option for the connection's and other attributes: the SDK
// copies them once for each option.
func (c *Conn) attributes(attrs ...attribute.KeyValue) trace.SpanStartOption {
	return trace.WithAttributes(append(attrs[:len(attrs):len(attrs)], c.id)...)
}

// ConnExecContext implements [sqlmw.Interceptor].
func (c *Conn) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	// An empty text is no call: it is how ncruces' driver.Savepoint reaches
	// the connection.
	if query == "" && len(args) == 0 {
		return conn.ExecContext(ctx, query, args)
	}
	out := c.outlets()
	if !out.any() {
		return conn.ExecContext(ctx, query, args)
	}
	call := c.begin(ctx, out, c.execution(query, args), query, args, false)
	defer call.Panicked()
	res, err := conn.ExecContext(ctx, query, args)
	call.Tell(c.Engine)
	call.End(err)
	return res, err
}

// ConnQueryContext implements [sqlmw.Interceptor].
// The call it starts ends with its rows: see [CallHolder].
func (c *Conn) ConnQueryContext(ctx context.Context, conn driver.QueryerContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	out := c.outlets()
	if !out.any() {
		rows, err := conn.QueryContext(ctx, query, args)
		return ctx, rows, err
	}
	rows, err := c.query(ctx, out, query, args, func() (driver.Rows, error) { return conn.QueryContext(ctx, query, args) })
	return ctx, rows, err
}

// StmtExecContext implements [sqlmw.Interceptor].
func (c *Conn) StmtExecContext(ctx context.Context, stmt driver.StmtExecContext, query string, args []driver.NamedValue) (driver.Result, error) {
	out := c.outlets()
	if !out.any() {
		return stmt.ExecContext(ctx, args)
	}
	call := c.begin(ctx, out, c.execution(query, args), query, args, false)
	defer call.Panicked()
	res, err := stmt.ExecContext(ctx, args)
	call.Tell(c.Engine)
	call.End(err)
	return res, err
}

// StmtQueryContext implements [sqlmw.Interceptor].
// The call it starts ends with its rows: see [CallHolder].
func (c *Conn) StmtQueryContext(ctx context.Context, stmt driver.StmtQueryContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	out := c.outlets()
	if !out.any() {
		rows, err := stmt.QueryContext(ctx, args)
		return ctx, rows, err
	}
	rows, err := c.query(ctx, out, query, args, func() (driver.Rows, error) { return stmt.QueryContext(ctx, args) })
	return ctx, rows, err
}

// query begins a call that its rows end.
func (c *Conn) query(ctx context.Context, out outlets, query string, args []driver.NamedValue, do func() (driver.Rows, error)) (driver.Rows, error) {
	call := c.begin(ctx, out, c.execution(query, args), query, args, true)
	if call == nil {
		return do()
	}
	call.query = true
	held := false
	defer func() {
		if !held {
			call.Panicked()
		}
	}()
	began := call.Step()
	rows, err := do()
	call.Stepped(began, false)
	if holder, ok := rows.(CallHolder); ok && err == nil {
		held = true
		holder.HoldCall(call)
		return rows, nil
	}
	call.Tell(c.Engine)
	call.End(err)
	return rows, err
}

// ConnPrepareContext implements [sqlmw.Interceptor].
func (c *Conn) ConnPrepareContext(ctx context.Context, conn driver.ConnPrepareContext, query string) (context.Context, driver.Stmt, error) {
	out := c.outlets()
	if c.Unasked || !out.any() {
		stmt, err := conn.PrepareContext(ctx, query)
		return ctx, stmt, err
	}
	// Whether arguments are bound is known only once the text is prepared,
	// and samplers want the text before: so it is sanitised.
	call := c.begin(ctx, out, c.statement(query, false).prepare(c.db), query, nil, false)
	defer call.Panicked()
	stmt, err := conn.PrepareContext(ctx, query)
	call.Tell(c.Engine)
	call.End(err)
	return ctx, stmt, err
}

// ConnBeginTx implements [sqlmw.Interceptor].
func (c *Conn) ConnBeginTx(ctx context.Context, conn driver.ConnBeginTx, opts driver.TxOptions) (context.Context, driver.Tx, error) {
	out := c.outlets()
	if !out.any() {
		tx, err := conn.BeginTx(ctx, opts)
		return ctx, tx, err
	}
	call := c.begin(ctx, out, c.db.begin, "", nil, true)
	defer call.Panicked()
	tx, err := conn.BeginTx(ctx, opts)
	if err == nil {
		c.tx, c.txCtx = transactions.Add(1), ctx
		if call != nil {
			call.tx = c.tx
			if call.recording {
				c.begun = call.span.SpanContext()
			}
		}
	}
	call.Tell(c.Engine)
	call.End(err)
	return ctx, tx, err
}

// TxCommit implements [sqlmw.Interceptor].
func (c *Conn) TxCommit(ctx context.Context, tx driver.Tx) error {
	return c.endTx(ctx, c.db.commit, tx.Commit)
}

// TxRollback implements [sqlmw.Interceptor].
func (c *Conn) TxRollback(ctx context.Context, tx driver.Tx) error {
	return c.endTx(ctx, c.db.rollback, tx.Rollback)
}

// endTx traces the end of a transaction under the context it began with,
// since neither Commit nor Rollback has one.
func (c *Conn) endTx(ctx context.Context, op *operation, end func() error) error {
	out := c.outlets()
	if !out.any() {
		c.tx, c.txCtx, c.begun = 0, nil, trace.SpanContext{}
		return end()
	}
	call := c.begin(ctx, out, op, "", nil, false)
	c.tx, c.txCtx, c.begun = 0, nil, trace.SpanContext{}
	defer call.Panicked()
	err := end()
	call.Tell(c.Engine)
	call.End(err)
	return err
}

// ConnPing implements [sqlmw.Interceptor].
func (c *Conn) ConnPing(ctx context.Context, conn driver.Pinger) error {
	out := c.outlets()
	if !out.any() {
		return conn.Ping(ctx)
	}
	call := c.begin(ctx, out, c.db.ping, "", nil, false)
	defer call.Panicked()
	err := conn.Ping(ctx)
	call.Tell(c.Engine)
	call.End(err)
	return err
}
