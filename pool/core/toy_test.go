package core_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A toy is an engine without a database: its connections do nothing. It keeps a list of them,
// and a test can make it fail or block. It uses only what every engine can use, so it shows that
// a pool needs no SQLite.
type toy struct {
	pool   *core.Pool
	opener *wrap.Opener

	// Set before the pool is used. A nil function does nothing.
	opening   func(context.Context) error                   // before a connection is open
	opened    func(context.Context) error                   // after it is open
	examine   func(context.Context, bool) core.HealthReport // nil means ok
	maintain  func(context.Context, time.Time)
	checking  func()                     // called by Lost
	stop      func(context.Context) bool // nil means true
	closed    func(context.Context) error
	closing   func(ctx context.Context, background bool)
	cleanUp   func() wrap.Reason
	check     func(*toyConn) wrap.Reason
	interrupt func(*toyConn)

	mu    sync.Mutex // guards state
	state toyState
}

// A toyState is the part of a toy that changes while its pool is in use.
type toyState struct {
	lost, pingErr error
	reasons       []string
	pings         int
	conns         []*toyConn // all that have been opened
	noticed       []error
	calls         []string // of BeforeClose, Stop and Closed
}

var (
	_ core.Engine  = &toy{}
	_ core.Source  = &toy{}
	_ core.Session = &toyConn{}

	_ core.Checker     = &toyConn{}
	_ core.Interrupter = &toyConn{}

	_ wrap.Gate = &toyConn{}
)

// newToy returns a toy with a pool that has not been started. A lane without Keep keeps no
// connection open.
func newToy(cfg core.Config, lanes ...core.LaneConfig) *toy {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &toy{}
	e.pool = core.New(e, cfg)
	e.opener = wrap.NewOpener(wrap.Config{Source: tracing.Source{System: "toy"}, Recorder: e.pool.Recorder()})
	for _, l := range lanes {
		l.Source = e
		if l.Keep == nil {
			l.Keep = func() int { return 0 }
		}
		e.pool.AddLane(l)
	}
	return e
}

// set changes the state.
func (e *toy) set(f func(*toyState)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.state)
}

// get returns a copy of the state.
func (e *toy) get() (s toyState) {
	e.set(func(now *toyState) {
		s = *now
		s.conns, s.noticed, s.calls = slices.Clone(s.conns), slices.Clone(s.noticed), slices.Clone(s.calls)
	})
	return s
}

func (e *toy) call(name string) { e.set(func(s *toyState) { s.calls = append(s.calls, name) }) }

func (e *toy) Lost() error {
	if e.checking != nil {
		e.checking()
	}
	return e.get().lost
}

func (e *toy) Noticed(err error)         { e.set(func(s *toyState) { s.noticed = append(s.noticed, err) }) }
func (e *toy) Describe(err error) string { return "described: " + err.Error() }
func (e *toy) Reasons() []string         { return e.get().reasons }

func (e *toy) Examine(ctx context.Context, probe bool) core.HealthReport {
	if e.examine == nil {
		return core.HealthReport{Health: core.HealthOK}
	}
	return e.examine(ctx, probe)
}

func (e *toy) Maintain(ctx context.Context, now time.Time) {
	if e.maintain != nil {
		e.maintain(ctx, now)
	}
}

func (e *toy) Stop(ctx context.Context) bool {
	e.call("Stop")
	return e.stop == nil || e.stop(ctx)
}

func (e *toy) BeforeClose(_ context.Context, lane wrap.Lane) { e.call("BeforeClose " + string(lane)) }

func (e *toy) Closed(ctx context.Context) error {
	e.call("Closed")
	if e.closed == nil {
		return nil
	}
	return e.closed(ctx)
}

// Acquisition implements [core.Source].
func (e *toy) Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition {
	return e.opener.Acquisition(ctx, lane)
}

// Open implements [core.Source].
func (e *toy) Open(ctx context.Context, _ *core.Lane, o *wrap.Opening, opened func(wrap.Lease)) (core.Session, error) {
	c := &toyConn{toy: e}
	wrapped, err := e.opener.OpenFor(ctx, o, func(ctx context.Context) (driver.Conn, error) {
		if e.opening != nil {
			if err := e.opening(ctx); err != nil {
				return nil, err
			}
		}
		e.set(func(s *toyState) { s.conns = append(s.conns, c) })
		return &toyParent{of: c}, nil
	})
	if err != nil {
		return nil, err
	}
	c.wrapped = wrapped
	opened(wrapped.Lease())
	if e.opened != nil {
		if err := e.opened(ctx); err != nil {
			return nil, err
		}
	}
	wrapped.Lease().SetGate(c)
	return c, nil
}

// A toyConn is a connection of a toy.
type toyConn struct {
	core.Conn
	toy     *toy
	wrapped *wrap.Conn

	closes   atomic.Int32 // number of times that the engine's connection has been closed
	closeErr error        // of the engine's connection
	kept, tx atomic.Bool  // results of Kept and Activity
	steps    atomic.Uint64
	running  atomic.Bool
	mu       sync.Mutex // guards calls
	calls    []string   // of the methods of Session
}

func (c *toyConn) add(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

func (c *toyConn) Lease() wrap.Lease { return c.wrapped.Lease() }
func (c *toyConn) Taking(time.Time)  { c.add("Taking") }
func (c *toyConn) Begun()            { c.add("Begun") }
func (c *toyConn) Returning()        { c.add("Returning") }
func (c *toyConn) Ended()            { c.add("Ended") }
func (c *toyConn) Kept() bool        { return c.kept.Load() }
func (c *toyConn) Activity() core.Activity {
	return core.Activity{Last: toyQuery{}, Tx: c.tx.Load(), Steps: c.steps.Load(), Running: c.running.Load()}
}

type toyQuery struct{}

func (toyQuery) Summary() string { return "toy" }

func (c *toyConn) CleanUp() wrap.Reason {
	c.add("CleanUp")
	if c.toy.cleanUp == nil {
		return ""
	}
	return c.toy.cleanUp()
}

// Check implements [core.Checker].
func (c *toyConn) Check(context.Context, time.Time) wrap.Reason {
	if c.toy.check == nil {
		return ""
	}
	return c.toy.check(c)
}

// Interrupt implements [core.Interrupter].
func (c *toyConn) Interrupt() {
	if c.toy.interrupt != nil {
		c.toy.interrupt(c)
	}
}

func (c *toyConn) Closing(ctx context.Context, background bool) {
	c.add("Closing")
	if c.toy.closing != nil {
		c.toy.closing(ctx, background)
	}
}

// Enter implements [wrap.Gate]. It makes calls fail when the pool has taken the connection away.
func (c *toyConn) Enter() error           { return c.Stopped() }
func (c *toyConn) Leave()                 {}
func (c *toyConn) Failed(err error) error { return err }
func (c *toyConn) Hold() error            { return nil }
func (c *toyConn) Drop()                  {}
func (c *toyConn) Copies() bool           { return false }
func (c *toyConn) Panicked()              {}

// A toyParent is the connection that the toy wraps. It embeds a nil interface, because no test
// prepares statements or begins transactions.
type toyParent struct {
	driver.Conn
	of *toyConn
}

func (p *toyParent) Close() error { p.of.closes.Add(1); return p.of.closeErr }

func (p *toyParent) Ping(context.Context) (err error) {
	p.of.toy.set(func(s *toyState) { s.pings++; err = s.pingErr })
	return err
}

func (p *toyParent) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if query == "" {
		return nil, errors.New("toy: no query")
	}
	return toyRows{}, nil
}

type toyRows struct{}

func (toyRows) Columns() []string         { return []string{"a"} }
func (toyRows) Close() error              { return nil }
func (toyRows) Next([]driver.Value) error { return io.EOF }
