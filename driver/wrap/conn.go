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

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Conn is a connection as database/sql sees it. It keeps the account of the
// connection's life. It passes every call to sqlmw, sqlmw to the interceptors, and
// they to the parent. There is one short cut; see direct.go.
//
// Like every driver's, a Conn is used by one goroutine at a time;
// database/sql sees to that.
type Conn struct {
	opener  *Opener
	id      ConnID
	adapter *adapter
	chain   chain // sqlmw around adapter
	direct  bool  // Exec and Query do not go through chain; see direct.go
	spans   *tracing.Conn

	opened time.Time
	state  state
	since  time.Time     // when state began
	trace  trace.TraceID // of the call that acquired it last
	uses   uint64
	inCall bool   // a call is under way
	inTx   bool   // a transaction of BeginTx is
	unfit  Reason // why the connection is to be closed at its release
	asked  bool   // database/sql has asked whether it is valid since it was last acquired

	broken bool  // a panic has passed
	ended  bool  // and the engine's connection is closed for it
	endErr error // of closing it

	left [shapes]*rows // that are closed, of each shape, for the next query

	// Of a connection that a pool lends.
	open       atomic.Int32 // rows
	lane       Lane
	background bool // what becomes of it is on a goroutine of the pool's own
	gate       Gate // nil for none
	copies     bool // as it says
	spared     bool // see Spared
}

// chain is what sqlmw makes of a connection.
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

// A state is where a connection is in its life.
//
//	opening → inUse ⇄ idle → closed
//	       ↘ pending ↗
type state uint8

const (
	opening state = iota
	inUse
	pending // opened in the background, and not used yet
	idle
	closed
)

// measured is what the connection counts as in the metrics, in each state.
var measured = [...]tracing.ConnState{
	opening: tracing.ConnNone,
	inUse:   tracing.ConnUsed,
	pending: tracing.ConnIdle,
	idle:    tracing.ConnIdle,
	closed:  tracing.ConnNone,
}

// move is the only place where a connection's state changes. It measures the change
// and records e, the event of the change. A nil e is for when there is no Recorder,
// so that no clock is read, and for a close, whose event comes when it is over.
func (c *Conn) move(to state, e *Event) {
	c.state, c.since = to, time.Time{}
	c.spans.Moved(measured[to])
	if e != nil {
		c.since = e.Time
		c.opener.record(e)
	}
}

func newConn(o *Opener, id ConnID, parent driver.Conn, spans *tracing.Conn, now time.Time) *Conn {
	c := &Conn{
		opener: o,
		id:     id,
		spans:  spans,
		opened: now,
	}
	c.adapter = newAdapter(c, parent)
	spans.Engine = parent
	c.chain = intercept(c.adapter, spans)
	for _, i := range slices.Backward(o.around) {
		c.chain = intercept(c.chain, i)
	}
	c.direct = len(o.around) == 0
	return c
}

// intercept puts an interceptor around a connection: by an sqlmw driver whose
// Open hands over a connection that is already open, so that each connection
// can have interceptors of its own.
func intercept(conn driver.Conn, i sqlmw.Interceptor) chain {
	c, _ := sqlmw.Driver(handoff{conn}, i).Open("") // handoff never fails
	return c.(chain)
}

type handoff struct{ conn driver.Conn }

func (h handoff) Open(string) (driver.Conn, error) { return h.conn, nil }

// ID returns the connection's name.
func (c *Conn) ID() ConnID { return c.id }

// Parent returns the connection that is wrapped.
func (c *Conn) Parent() driver.Conn { return c.adapter.parent }

// enter begins a call. A connection that nobody was seen to acquire is
// acquired by its first call.
func (c *Conn) enter(ctx context.Context) error {
	if c.state != inUse && !c.broken {
		c.handedOut(ctx, time.Time{}, true)
	}
	return c.startCall()
}

// startCall and endCall stand around every call of the engine. Between them there
// is a defer of passed, or of one of its kind. A call on a broken connection goes
// as far as the adapter, so that it has its span.
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
	c.inCall = false
	if c.broken {
		return err
	}
	if c.gate != nil {
		c.gate.Leave()
	}
	if err != nil {
		err = c.failed(err)
	}
	return err
}

// failed looks at an error of the engine, of a call or of its rows, and returns what
// the program is told.
func (c *Conn) failed(err error) error {
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
	defer c.passed()
	// A statement of the program's is prepared again by database/sql on each
	// connection that it is used on.
	c.spans.Unasked = c.spans.Enabled() && caller("(*Stmt).connStmt", "(*Tx).StmtContext") != ""
	outer, err := c.chain.PrepareContext(ctx, query)
	err = c.endCall(err)
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
	defer c.passed()
	res, err := c.execute(ctx, query, args)
	return res, c.endCall(err)
}

// QueryContext implements [driver.QueryerContext].
//
// A panic comes from its rows; see [PanickedRows].
func (c *Conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (answer driver.Rows, _ error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.passedQuery(&answer)
	rows, err := c.query(ctx, query, args)
	return rows, c.endCall(err)
}

// BeginTx implements [driver.ConnBeginTx].
func (c *Conn) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.passedOrLost(&err)
	tx, err := c.chain.BeginTx(ctx, opts)
	err = c.endCall(err)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return connTx{tx, c}, nil
}

// A connTx is a transaction, whose end is a call of its connection's, too.
type connTx struct {
	driver.Tx
	conn *Conn
}

func (tx connTx) Commit() error { return tx.end(driver.Tx.Commit) }

func (tx connTx) Rollback() error { return tx.end(driver.Tx.Rollback) }

func (tx connTx) end(how func(driver.Tx) error) (err error) {
	tx.conn.inTx = false
	if err := tx.conn.startCall(); err != nil {
		return err
	}
	defer tx.conn.passedOrLost(&err)
	err = how(tx.Tx)
	return tx.conn.endCall(err)
}

// Ping implements [driver.Pinger]. Where the parent cannot, it does nothing.
func (c *Conn) Ping(ctx context.Context) (err error) {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.passedOrLost(&err)
	if c.adapter.pinger != nil {
		err = c.chain.Ping(ctx)
	}
	return c.endCall(err)
}

// CheckNamedValue implements [driver.NamedValueChecker]. It accepts everything:
// the adapter checks arguments, once it knows what they are for.
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

// ResetSession implements [driver.SessionResetter]: database/sql calls it when
// it hands out a connection that has been released before.
func (c *Conn) ResetSession(ctx context.Context) error {
	if c.broken {
		return driver.ErrBadConn
	}
	var err error
	var start time.Time
	if c.adapter.resetter != nil {
		start = time.Now()
		err = c.adapter.resetter.ResetSession(ctx)
	}
	if err != nil && errors.Is(err, driver.ErrBadConn) {
		c.unfit = ReasonBad // database/sql closes it; any other error it ignores
		return err
	}
	c.handedOut(ctx, start, false)
	return err
}

// handedOut moves an open connection into use for the call that ctx is of. That
// began at start, if it took time.
func (c *Conn) handedOut(ctx context.Context, start time.Time, derived bool) {
	if c.opener.hasRecorders() {
		e := Event{Time: time.Now(), Trace: traceOf(ctx), Derived: derived}
		if !start.IsZero() {
			e.Duration = e.Time.Sub(start)
		}
		c.acquired(&e)
	} else {
		c.acquired(nil)
	}
	c.spans.Acquired(ctx)
}

// acquired moves the connection into use. It records e, if there is one, and fills
// in what the connection knows.
func (c *Conn) acquired(e *Event) {
	c.uses++
	c.trace, c.asked = trace.TraceID{}, false
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

// IsValid implements [driver.Validator]: database/sql calls it when a
// connection is given back, unless the call it was for said ErrBadConn.
//
// It is also called, with nothing to release, when a connection handed to a
// waiter bounces because the waiter has gone.
func (c *Conn) IsValid() bool {
	if c.state == closed {
		return false
	}
	var now time.Time
	if c.adapter.sick != nil || c.opener.hasRecorders() {
		now = time.Now()
	}
	return c.givenBack(now)
}

func (c *Conn) givenBack(now time.Time) bool {
	c.asked = true
	if c.unfit == "" && c.adapter.validator != nil && !c.adapter.validator.IsValid() {
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

// sinceState returns how long the connection has been in its state, or 0 if there was
// no Recorder when that began.
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
