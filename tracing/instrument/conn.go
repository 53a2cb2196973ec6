package instrument

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
)

// A Conn makes the spans of one connection's calls, and measures and logs them. It is an
// interceptor for sqlmw. Each connection has its own, because sqlmw does not say which
// connection a call is for.
//
// Like its connection, it is not safe for concurrent use.
//
// It always passes on the context that it is given. A driver may recognize a context by its
// type or identity (ncruces' savepoints do), so drivers below do not see the spans that it
// starts.
type Conn struct {
	sqlmw.NullInterceptor

	db      *Database
	id      attribute.KeyValue
	server  *server           // nil if it is not known
	connect trace.SpanContext // of the connect span, for the close span's link

	// Unasked marks the current prepare as internal, not the program's. It has no span.
	Unasked bool

	// Attempt is the number of the current call among the attempts that database/sql makes for
	// one call of the program. Only a second or later attempt is recorded. Zero means the first.
	Attempt int

	engine any          // the engine's connection, which may be a Teller
	quoter DoubleQuoter // engine, if it is one; else nil

	tx        int64             // the current transaction, or 0
	beginSpan trace.SpanContext // of the transaction's BEGIN, if that has a recording span
	txCtx     context.Context   // the context that the transaction began with
	free      []*Call           // calls that have ended, for reuse
	keeps     bool              // see KeepCalls
	kept      *Call             // see TakeKept
	waited    time.Duration     // for a turn, for the next call; see Waited
	usage     usage

	// Span options, built once because every call starts a span.
	acquire       []trace.SpanStartOption
	acquireInLane []trace.SpanStartOption // like acquire, in a pool with lanes
	operations    map[*operation][]trace.SpanStartOption
	share         *budget.Share // of operationBudget, for operations

	// The previous call's, because programs often repeat a call.
	last struct {
		key     statementKey
		text    *statement
		op      *operation
		options []trace.SpanStartOption
	}
}

// maxOperations bounds the number of operations that a connection keeps. operationBudget
// bounds their bytes, for each connection and for the process: a connection may keep a query
// that nothing else keeps any more. Operations beyond these limits are built again for each
// call.
const maxOperations = 256

var operationBudget = budget.New(256<<10, 32<<20)

// transactions counts the transactions that began in this process.
var transactions atomic.Int64

// A CallHolder is implemented by rows that end the call they belong to: when they are
// exhausted, closed or failed. A call whose rows do not implement it ends when the call
// returns.
type CallHolder interface{ HoldCall(*Call) }

// A DoubleQuoter is implemented by a connection of SQLite. It reports whether SQLite takes a
// name in double quotes as a string if there is no such column:
// https://sqlite.org/quirks.html#dblquote. It is called before each call that has a query.
type DoubleQuoter interface{ DoubleQuotedStrings() bool }

var _ sqlmw.Interceptor = &Conn{}

// SetEngine sets the engine's connection, which may be a [Teller] or a [DoubleQuoter]. It must
// be called before the first call.
func (c *Conn) SetEngine(engine any) {
	c.engine = engine
	c.quoter, _ = engine.(DoubleQuoter)
}

// Enabled reports whether anything receives spans, metrics or logs. If not, the interceptor
// has nothing to do.
func (c *Conn) Enabled() bool { return c.sinks().any() }

// sinks are the receivers of a call's span, metrics and logs. They are read when the call
// begins, because global providers may change.
type sinks struct {
	spans      trace.TracerProvider // nil if there is none
	timed      bool                 // the logger or the metrics need the call's duration
	exceptions bool
}

func (s sinks) any() bool { return s.spans != nil || s.timed || s.exceptions }

func (c *Conn) sinks() sinks {
	t := c.db.tracer
	return sinks{
		spans:      t.spans(),
		timed:      t.cfg.Logger != nil || t.cfg.Statements > 0 || t.measures(),
		exceptions: t.cfg.Exceptions,
	}
}

// begin begins a call. It returns nil if the Filter excludes the call. attrsAtEnd says that
// the span gets other attributes at its end, as a query's span does. If the server is known,
// samplers are to see it, so the span has the connection's attributes from its start.
func (c *Conn) begin(ctx context.Context, out sinks, op *operation, query string, args []driver.NamedValue, attrsAtEnd bool) *Call {
	t := c.db.tracer
	if t.cfg.Filter != nil && !t.cfg.Filter(ctx, op.name, query) {
		return nil
	}
	call := c.getCall()
	call.db, call.conn, call.op, call.ctx, call.within = c.db, c, op, ctx, ctx
	call.open, call.tx, call.txCtx = true, c.tx, c.txCtx
	call.attrsAtEnd = (attrsAtEnd || c.tx != 0 || t.cfg.Details) && c.server == nil
	traced := out.spans != nil && (!t.cfg.OnlyWithParent || trace.SpanContextFromContext(ctx).IsValid())
	var attrs []attribute.KeyValue
	if t.cfg.ContextAttributes != nil && (traced || len(t.cfg.MetricAttributes) > 0 && t.measures()) {
		attrs = t.cfg.ContextAttributes(ctx)
		call.labels = t.labelsOf(attrs)
	}
	if traced {
		opts := op.options
		if !call.attrsAtEnd {
			opts = c.options(op)
		}
		if c.Attempt > 1 {
			opts = append(opts[:len(opts):len(opts)], trace.WithAttributes(callAttempt.Int(c.Attempt)))
		}
		if len(attrs) > 0 {
			opts = append(opts[:len(opts):len(opts)], trace.WithAttributes(attrs...))
		}
		if c.beginSpan.IsValid() && c.beginSpan.TraceID() != trace.SpanContextFromContext(ctx).TraceID() {
			opts = append(opts[:len(opts):len(opts)], trace.WithLinks(trace.Link{SpanContext: c.beginSpan}))
		}
		call.within, call.span = t.start(ctx, out.spans, op.name, opts...)
		call.recording = call.span.IsRecording()
	}
	if out.timed {
		call.timed, call.start = true, clock()
	}
	if t.cfg.LogArgument != nil {
		call.args = slices.Clone(args) // because the driver converts args in place
		for i, arg := range call.args {
			if b, ok := arg.Value.([]byte); ok { // its owner may reuse it before the call ends
				call.args[i].Value = bytes.Clone(b)
			}
		}
	}
	// Last, because functions of the program that are called above may panic.
	if call.tally = t.tallies.begin(c.db, op); call.tally != nil {
		call.waited, c.waited = c.waited, 0
		if t.cfg.SlowCall > 0 {
			call.text = query
		}
	}
	return call
}

func (c *Conn) getCall() *Call {
	n := len(c.free)
	if n == 0 {
		return new(Call)
	}
	call := c.free[n-1]
	c.free = c.free[:n-1]
	return call
}

// KeepCalls makes the connection keep each call that executes a statement or ends a transaction
// when the engine has finished it, instead of ending it. The caller ends it: see TakeKept.
func (c *Conn) KeepCalls() { c.keeps = true }

// unexpected returns err as the error of a call other than a step of rows. io.EOF ends rows, but
// from any other call it means that the connection was lost.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// finish ends a call, or keeps it. err is the engine's error.
func (c *Conn) finish(call *Call, err error) {
	err = unexpected(err)
	if !c.keeps || call == nil {
		call.End(err)
		return
	}
	if call.tally != nil {
		call.engine = clock() - call.start
	}
	call.open, call.err = false, err
	c.kept = call
}

// Waited records how long the pool's caller has waited for the turn in which it makes the next call.
// again says that it already had a turn before.
func (c *Conn) Waited(d time.Duration, again bool) {
	if !again {
		c.waited = 0 // of another caller
	}
	c.waited += d
}

// TakeKept returns the call that the engine has finished last, or nil. The caller must end it with
// [Call.EndKept].
func (c *Conn) TakeKept() *Call {
	call := c.kept
	c.kept = nil
	return call
}

// putCall takes back a call that has ended, for reuse.
func (c *Conn) putCall(call *Call) {
	clear(call.attrs)
	*call = Call{attrs: call.attrs[:0]}
	c.free = append(c.free, call)
}

// executeOperation returns the operation that executes query.
func (c *Conn) executeOperation(query string, args []driver.NamedValue) *operation {
	return c.statement(query, c.db.binds(args)).execute
}

// binds reports whether args may bind values to a query that is then shown as written. Only those
// of SQLite do: other drivers accept options as arguments.
func (d *Database) binds(args []driver.NamedValue) bool { return d.sqlite && len(args) > 0 }

func (c *Conn) statement(query string, bound bool) *statement {
	key := statementKey{query: query, bound: bound}
	if c.quoter != nil {
		key.doubleQuoted = c.quoter.DoubleQuotedStrings()
	}
	if c.last.text != nil && c.last.key == key {
		return c.last.text
	}
	st := c.db.texts.get(c.db, key)
	if len(query) <= maxStatementText {
		c.last.key, c.last.text = key, st
	}
	return st
}

// options returns the start options of op's span, including the connection's ID. Setting the
// ID at the start costs less, but only if nothing else is set at the end. The SDK allocates
// room for the attributes at the start. As soon as one is added later, it allocates again,
// for twice as many.
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

// attributes returns one option with attrs, the server and the connection's ID. One option costs
// less than two, because the SDK copies the attributes for each option.
func (c *Conn) attributes(attrs ...attribute.KeyValue) trace.SpanStartOption {
	return trace.WithAttributes(append(slices.Concat(attrs, c.server.attributes()), c.id)...)
}

// ConnExecContext implements [sqlmw.Interceptor].
func (c *Conn) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	// An empty query without arguments is not a call: ncruces' driver.Savepoint uses it to
	// reach the connection.
	if query == "" && len(args) == 0 {
		return conn.ExecContext(ctx, query, args)
	}
	out := c.sinks()
	if !out.any() {
		return conn.ExecContext(ctx, query, args)
	}
	call := c.begin(ctx, out, c.executeOperation(query, args), query, args, false)
	defer call.Panicked()
	res, err := conn.ExecContext(ctx, query, args)
	call.Tell(c.engine)
	c.finish(call, err)
	return res, err
}

// ConnQueryContext implements [sqlmw.Interceptor]. The call ends with its rows: see
// [CallHolder].
func (c *Conn) ConnQueryContext(ctx context.Context, conn driver.QueryerContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	out := c.sinks()
	if !out.any() {
		rows, err := conn.QueryContext(ctx, query, args)
		return ctx, rows, err
	}
	rows, err := c.query(ctx, out, query, args, func() (driver.Rows, error) { return conn.QueryContext(ctx, query, args) })
	return ctx, rows, err
}

// StmtExecContext implements [sqlmw.Interceptor].
func (c *Conn) StmtExecContext(ctx context.Context, stmt driver.StmtExecContext, query string, args []driver.NamedValue) (driver.Result, error) {
	out := c.sinks()
	if !out.any() {
		return stmt.ExecContext(ctx, args)
	}
	call := c.begin(ctx, out, c.executeOperation(query, args), query, args, false)
	defer call.Panicked()
	res, err := stmt.ExecContext(ctx, args)
	call.Tell(c.engine)
	c.finish(call, err)
	return res, err
}

// StmtQueryContext implements [sqlmw.Interceptor]. The call ends with its rows: see
// [CallHolder].
func (c *Conn) StmtQueryContext(ctx context.Context, stmt driver.StmtQueryContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	out := c.sinks()
	if !out.any() {
		rows, err := stmt.QueryContext(ctx, args)
		return ctx, rows, err
	}
	rows, err := c.query(ctx, out, query, args, func() (driver.Rows, error) { return stmt.QueryContext(ctx, args) })
	return ctx, rows, err
}

// query begins a call and leaves its end to its rows.
func (c *Conn) query(ctx context.Context, out sinks, query string, args []driver.NamedValue, do func() (driver.Rows, error)) (driver.Rows, error) {
	call := c.begin(ctx, out, c.executeOperation(query, args), query, args, true)
	if call == nil {
		return do()
	}
	call.query = true
	call.clocked = call.recording || call.tally.measures()
	held := false
	defer func() {
		if !held {
			call.Panicked()
		}
	}()
	began := call.start // if it is known, to save a reading of the clock
	if began == 0 {
		began = call.Step()
	}
	rows, err := do()
	call.Stepped(began, false)
	if holder, ok := rows.(CallHolder); ok && err == nil {
		held = true
		holder.HoldCall(call)
		return rows, nil
	}
	call.Tell(c.engine)
	call.End(unexpected(err))
	return rows, err
}

// ConnPrepareContext implements [sqlmw.Interceptor].
func (c *Conn) ConnPrepareContext(ctx context.Context, conn driver.ConnPrepareContext, query string) (context.Context, driver.Stmt, error) {
	out := c.sinks()
	if c.Unasked || !out.any() {
		stmt, err := conn.PrepareContext(ctx, query)
		return ctx, stmt, err
	}
	// Only the prepared statement shows whether the query binds arguments. Samplers need the
	// query before that, so it is sanitized.
	call := c.begin(ctx, out, c.statement(query, false).prepare(c.db), query, nil, false)
	defer call.Panicked()
	stmt, err := conn.PrepareContext(ctx, query)
	call.Tell(c.engine)
	call.End(unexpected(err))
	return ctx, stmt, err
}

// ConnBeginTx implements [sqlmw.Interceptor].
func (c *Conn) ConnBeginTx(ctx context.Context, conn driver.ConnBeginTx, opts driver.TxOptions) (context.Context, driver.Tx, error) {
	out := c.sinks()
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
				c.beginSpan = call.span.SpanContext()
			}
		}
	}
	call.Tell(c.engine)
	call.End(unexpected(err))
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

// endTx traces the end of a transaction. It uses the context that the transaction began with,
// because Commit and Rollback have none.
func (c *Conn) endTx(ctx context.Context, op *operation, end func() error) error {
	out := c.sinks()
	if !out.any() {
		c.tx, c.txCtx, c.beginSpan = 0, nil, trace.SpanContext{}
		return end()
	}
	call := c.begin(ctx, out, op, "", nil, false)
	c.tx, c.txCtx, c.beginSpan = 0, nil, trace.SpanContext{}
	defer call.Panicked()
	err := end()
	call.Tell(c.engine)
	c.finish(call, err)
	return err
}

// ConnPing implements [sqlmw.Interceptor].
func (c *Conn) ConnPing(ctx context.Context, conn driver.Pinger) error {
	out := c.sinks()
	if !out.any() {
		return conn.Ping(ctx)
	}
	call := c.begin(ctx, out, c.db.ping, "", nil, false)
	defer call.Panicked()
	err := conn.Ping(ctx)
	call.Tell(c.engine)
	call.End(unexpected(err))
	return err
}
