package wrap

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A Conn is the connection that database/sql uses. It records the events of its life. It
// passes every call to sqlmw, which passes it through the interceptors to the parent. There
// is one shortcut; see direct.go.
//
// Like every driver's connection, a Conn must not be used by several goroutines at a time.
// database/sql ensures that.
type Conn struct {
	opener  *Opener
	id      ConnID
	adapter *adapter
	chain   chain // sqlmw around adapter
	direct  bool  // Exec and Query bypass chain; see direct.go
	spans   *instrument.Conn

	opened    time.Time
	state     state
	since     time.Time     // start of state; zero if there was no Recorder
	trace     trace.TraceID // of the last call that acquired it
	uses      uint64
	inCall    bool   // a call of the engine is running
	inTx      bool   // a transaction of BeginTx is open
	unfit     Reason // why the connection is closed at its release; empty if it is not
	validated bool   // database/sql has called IsValid since the last acquire

	lost         bool  // a call's outcome is unknown; see Config.Once
	broken       bool  // a panic has passed through the connection
	engineClosed bool  // closeEngine has closed the engine's connection
	engineErr    error // error of closeEngine

	freeRows [shapes]*rows // closed rows of each shape, for the next query

	// For connections of a pool.
	open       atomic.Int32 // number of open rows
	lane       Lane
	background bool            // events are on one of the pool's own goroutines
	gate       Gate            // nil if there is none
	settler    Settler         // nil if there is none
	callCtx    context.Context // of the last call, for settler
	txCtx      context.Context // of the transaction, for settler
	copies     bool            // gate.Copies()
	spared     bool            // see Lease.Spared
}

// chain is a connection that sqlmw has wrapped.
type chain interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

var (
	_ chain                    = &Conn{}
	_ driver.SessionResetter   = &Conn{}
	_ driver.Validator         = &Conn{}
	_ driver.NamedValueChecker = &Conn{}
)

// A state is a state in a connection's life.
//
//	opening → inUse ⇄ idle → closed
//	       ↘ pending ↗
type state uint8

const (
	opening state = iota
	inUse
	pending // opened in the background and not used yet
	idle
	closed
)

// metricStates maps each state to the state in the metrics.
var metricStates = [...]instrument.ConnState{
	opening: instrument.ConnNone,
	inUse:   instrument.ConnUsed,
	pending: instrument.ConnIdle,
	idle:    instrument.ConnIdle,
	closed:  instrument.ConnNone,
}

// move changes the connection's state; nothing else does. It measures the change and records
// the event e. A nil e means that there is no event: there is no Recorder, so no clock is
// read, or the connection is being closed, so its event follows later.
func (c *Conn) move(to state, e *Event) {
	c.state, c.since = to, time.Time{}
	c.spans.Moved(metricStates[to])
	if e != nil {
		c.since = e.Time
		c.opener.record(e)
	}
}

func newConn(o *Opener, id ConnID, parent driver.Conn, spans *instrument.Conn, now time.Time) *Conn {
	c := &Conn{
		opener: o,
		id:     id,
		spans:  spans,
		opened: now,
	}
	c.adapter = newAdapter(c, parent)
	spans.SetEngine(parent)
	c.chain = intercept(c.adapter, spans)
	for _, i := range slices.Backward(o.interceptors) {
		c.chain = intercept(c.chain, i)
	}
	c.direct = len(o.interceptors) == 0
	return c
}

// intercept puts an interceptor around a connection. Each connection has its own
// interceptors, so intercept makes an sqlmw driver for it. Open of that driver returns the
// connection, which is already open.
func intercept(conn driver.Conn, i sqlmw.Interceptor) chain {
	c, _ := sqlmw.Driver(handoff{conn}, i).Open("") // handoff never fails
	return c.(chain)
}

type handoff struct{ conn driver.Conn }

func (h handoff) Open(string) (driver.Conn, error) { return h.conn, nil }

// ID returns the connection's ID.
func (c *Conn) ID() ConnID { return c.id }

// Parent returns the wrapped connection.
func (c *Conn) Parent() driver.Conn { return c.adapter.parent }

// enter starts a call. If database/sql acquired the connection without a call of the driver,
// the first call records the acquire.
func (c *Conn) enter(ctx context.Context) error {
	if c.state != inUse && !c.broken {
		c.acquireFor(ctx, time.Time{}, true)
	}
	if c.settler != nil {
		c.callCtx = ctx
	}
	return c.startCall()
}

// startCall and endCall enclose every call of the engine. Between them, a deferred
// breakOnPanic or one of its variants runs. A call on a broken connection still reaches the
// adapter, so that it has a span.
func (c *Conn) startCall() error {
	if c.gate != nil && !c.broken {
		if err := c.gate.Enter(); err != nil {
			return err
		}
	}
	c.inCall = true
	return nil
}

func (c *Conn) endCall(err error) error {
	err = c.leaveCall(err)
	switch {
	case c.settler == nil:
	case c.broken:
		c.spans.TakeKept().EndKept(nil)
	default:
		err = c.settler.Settle(c.callCtx, c.spans.TakeKept(), err)
	}
	return err
}

// leaveCall is endCall without the settler.
func (c *Conn) leaveCall(err error) error {
	c.inCall = false
	if c.broken {
		return err
	}
	if c.gate != nil {
		c.gate.Leave()
	}
	if err != nil {
		err = c.handleErr(err)
	}
	return err
}

// handleErr handles an error of the engine, from a call or from its rows. It returns the
// error for the program.
func (c *Conn) handleErr(err error) error {
	if c.unfit == "" && c.opener.sick(err) {
		c.unfit = ReasonSick
	}
	if c.gate != nil {
		err = c.gate.Failed(err)
	}
	return err
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *Conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.breakOnPanic()
	// database/sql prepares the program's statement again on every connection that uses it.
	c.spans.Unasked = c.spans.Enabled() && caller("(*Stmt).connStmt", "(*Tx).StmtContext") != ""
	if !c.spans.Unasked {
		c.begins(prepareCall, ctx, query)
	}
	outer, err := c.chain.PrepareContext(ctx, query)
	err = c.endCall(err)
	if !c.spans.Unasked {
		err = c.ended(prepareCall, ctx, query, err)
	} else if err != nil {
		c.opener.repeats.bad(err)
	}
	inner := c.adapter.takePrepared()
	if err != nil {
		return nil, err
	}
	return newStmt(c, outer, inner), nil
}

// ExecContext implements [driver.ExecerContext].
func (c *Conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.breakOnPanic()
	c.begins(execCall, ctx, query)
	res, err := c.execute(ctx, query, args)
	return res, c.ended(execCall, ctx, query, c.endCall(err))
}

// QueryContext implements [driver.QueryerContext].
//
// A panic of the query is raised by its rows; see [PanickedRows].
func (c *Conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (answer driver.Rows, _ error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.breakOnQueryPanic(&answer)
	c.begins(queryCall, ctx, query)
	rows, err := c.query(ctx, query, args)
	return rows, c.ended(queryCall, ctx, query, c.endCall(err))
}

// BeginTx implements [driver.ConnBeginTx].
func (c *Conn) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.breakOnPanicOrRecover(&err)
	c.begins(beginCall, ctx, "")
	tx, err := c.chain.BeginTx(ctx, opts)
	err = c.ended(beginCall, ctx, "", c.endCall(err))
	if err != nil {
		return nil, err
	}
	c.inTx, c.txCtx = true, c.callCtx
	return connTx{tx, c}, nil
}

// A connTx is a transaction. Its end is a call of its connection.
type connTx struct {
	driver.Tx
	conn *Conn
}

func (tx connTx) Commit() error { return tx.end(driver.Tx.Commit) }

func (tx connTx) Rollback() error { return tx.end(driver.Tx.Rollback) }

func (tx connTx) end(how func(driver.Tx) error) (err error) {
	tx.conn.inTx = false
	tx.conn.callCtx, tx.conn.txCtx = tx.conn.txCtx, nil
	if err := tx.conn.startCall(); err != nil {
		return err
	}
	defer tx.conn.breakOnPanicOrRecover(&err)
	err = how(tx.Tx)
	return tx.conn.endCall(err)
}

// Ping implements [driver.Pinger]. It does nothing if the parent is not a Pinger.
func (c *Conn) Ping(ctx context.Context) (err error) {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.breakOnPanicOrRecover(&err)
	if c.adapter.pinger != nil {
		err = c.chain.Ping(ctx)
	}
	return c.endCall(err)
}

// CheckNamedValue implements [driver.NamedValueChecker]. It accepts everything, because the
// adapter checks the arguments later, with their statement if there is one.
func (c *Conn) CheckNamedValue(*driver.NamedValue) error { return nil }

// Prepare implements [driver.Conn].
func (c *Conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// Begin implements [driver.Conn].
//
// Deprecated: use BeginTx.
func (c *Conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// ResetSession implements [driver.SessionResetter]. database/sql calls it when it acquires a
// connection that has been used before.
func (c *Conn) ResetSession(ctx context.Context) error {
	if c.broken || c.lost {
		return driver.ErrBadConn
	}
	var err error
	var start time.Time
	switch {
	case c.opener.isBroken(c.adapter.parent):
		err = driver.ErrBadConn
	case c.adapter.resetter != nil:
		start = time.Now()
		err = c.adapter.resetter.ResetSession(ctx)
	}
	if err != nil && errors.Is(err, driver.ErrBadConn) {
		c.unfit = ReasonBad // database/sql closes it; it ignores any other error
		if c.spans.Enabled() && !c.opener.repeats.bad(err) {
			c.opener.db.AcquireFailed(ctx, err)
		}
		return err
	}
	c.acquireFor(ctx, start, false)
	return err
}

// acquireFor records an acquire by the call with context ctx. start is when the acquire
// began, or zero if it took no time. derived is [Event].Derived.
func (c *Conn) acquireFor(ctx context.Context, start time.Time, derived bool) {
	if c.opener.hasRecorders() {
		e := Event{Time: time.Now(), Trace: traceOf(ctx), Derived: derived}
		if !start.IsZero() {
			e.Duration = e.Time.Sub(start)
		}
		c.enterUse(&e)
	} else {
		c.enterUse(nil)
	}
	c.spans.Acquired(ctx)
}

// enterUse moves the connection into use. It completes and records e, if e is not nil.
func (c *Conn) enterUse(e *Event) {
	c.uses++
	c.trace, c.validated = trace.TraceID{}, false
	if e != nil {
		e.Kind, e.Conn, e.Uses = KindAcquire, c.id, c.uses
		e.Age = e.Time.Sub(c.opened)
		if c.state != opening {
			e.Idle = c.sinceState(e.Time.Add(-e.Duration))
		}
		c.trace = e.Trace
	}
	c.move(inUse, e)
}

// IsValid implements [driver.Validator]. database/sql calls it when it releases a connection,
// unless the call returned ErrBadConn.
//
// database/sql also calls it without a release: when it hands a connection to a waiter that
// has already gone.
func (c *Conn) IsValid() bool {
	if c.state == closed {
		return false
	}
	var now time.Time
	if c.adapter.sick != nil || c.opener.hasRecorders() {
		now = time.Now()
	}
	return c.release(now)
}

func (c *Conn) release(now time.Time) bool {
	c.validated, c.callCtx, c.txCtx = true, nil, nil
	if c.unfit == "" && (c.adapter.validator != nil && !c.adapter.validator.IsValid() || c.opener.isBroken(c.adapter.parent)) {
		c.unfit = ReasonBad
	} else if c.unfit == "" && c.adapter.sick != nil && c.adapter.sick.Sick(now) {
		c.unfit = ReasonSick
	}
	if c.state == inUse {
		kind := KindRelease
		if c.unfit != "" {
			kind = KindDiscard
		}
		if c.opener.hasRecorders() {
			c.leaveUse(kind, now)
		} else {
			c.move(idle, nil)
		}
	}
	return c.unfit == ""
}

// sinceState returns how long the connection has been in its state. It returns 0 if there was
// no Recorder when the state began.
func (c *Conn) sinceState(now time.Time) time.Duration {
	if c.since.IsZero() {
		return 0
	}
	return now.Sub(c.since)
}

func (c *Conn) leaveUse(kind Kind, now time.Time) {
	c.move(idle, &Event{
		Time:       now,
		Kind:       kind,
		Conn:       c.id,
		Lane:       c.lane,
		Duration:   c.sinceState(now),
		Age:        now.Sub(c.opened),
		Uses:       c.uses,
		Reason:     c.unfit,
		Trace:      c.trace,
		Background: c.background,
	})
}
