package core

import (
	"context"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An Engine is the database behind a [Pool]. All methods must be safe for concurrent use.
type Engine interface {
	// Lost returns why the database is gone, or nil. Then no connection is opened or lent, and
	// acquires fail with this error. Lost is called for every acquire and must be quick.
	Lost() error

	// Noticed gets every error of Lost and of opening a connection.
	Noticed(err error)

	// Describe returns what a log line or a health report may show of an error. That must not
	// contain values of the program.
	Describe(err error) string

	// Examine checks the database. With probe, the caller wants to know now: the engine tries
	// again what it would otherwise not try so soon.
	Examine(ctx context.Context, probe bool) HealthReport

	// Reasons returns what is wrong at the moment, apart from the results of Examine. The pool is
	// degraded while there is anything.
	Reasons() []string

	// Maintain is called in every round of the pool's maintenance. It must not block: long work
	// belongs in a [Job].
	Maintain(ctx context.Context, now time.Time)

	// Stop ends the engine's own goroutines, after the last connection has been given back. It
	// reports whether they have ended before ctx has.
	Stop(ctx context.Context) bool

	// BeforeClose is called before the idle connections of a lane are closed for good.
	BeforeClose(ctx context.Context, l *Lane)

	// Closed is called when all connections have been closed.
	Closed(ctx context.Context) error
}

// A Session is an engine's connection, as a [Lane] lends it. Unless a method says otherwise, it
// is called only by the holder's goroutine, or while the connection is idle.
type Session interface {
	// Core returns the Conn that the session embeds.
	Core() *Conn

	// Lease returns the wrapped connection.
	Lease() wrap.Lease

	// Taking is called when a caller takes the connection, before it is lent.
	Taking(now time.Time)

	// Begun is called when a use begins, after the connection has been lent.
	Begun()

	// Returning is called when a use ends, while the connection still has its turn.
	Returning()

	// CleanUp prepares a connection that is given back for its next user. It returns why the
	// connection must be closed instead, or an empty reason.
	CleanUp() wrap.Reason

	// Ended is called when a use has ended.
	Ended()

	// Closing is called before the connection is closed. If background is set, that happens on a
	// goroutine of the pool, with context ctx.
	Closing(ctx context.Context, background bool)

	// Kept reports whether the connection has state that the program would miss. Then it is not
	// closed for its age or for being idle.
	Kept() bool

	// Activity returns what a connection in use is doing. Any goroutine may call it.
	Activity() Activity
}

// An Activity is what a connection in use is doing.
type Activity struct {
	Last string // summary of the last query; empty if there was none
	Tx   bool   // a transaction is open
}

// A Source opens the connections of a lane. It must be safe for concurrent use.
type Source interface {
	// Acquisition starts the acquire of a connection.
	Acquisition(ctx context.Context, lane wrap.Lane) *wrap.Acquisition

	// Open opens a connection: for the acquire o, or in advance if o is nil. It calls
	// opened with the engine's connection as soon as that is open. If Open then panics, the lane
	// closes it.
	Open(ctx context.Context, l *Lane, o *wrap.Opening, opened func(wrap.Lease)) (Session, error)
}

// A LaneConfig configures a [Lane].
type LaneConfig struct {
	Name   wrap.Lane
	Reads  bool   // the lane is for readers, of which several may be in use at the same time
	Source Source // opens its connections
	Queue  *Queue // lanes of several pools may share one; nil for one of its own, with Turns turns
	Turns  int

	// Keep returns how many connections must be open. Most returns how many may be open, without
	// those beyond the limit; nil for any number.
	Keep func() int
	Most func() int

	// MaxIdle is how many connections without state may be idle; 0 for any number.
	MaxIdle int

	// Stalls says what helps callers that wait while nothing moves.
	Stalls Stalls

	// Demand is called with 1 when an acquire begins, and with -1 when it has failed or its
	// connection is given back. It may be nil.
	Demand func(n int)

	// Running reports whether a connection of the lane is inside the engine, so that callers do
	// not wait for each other. It may be nil.
	Running func() bool

	// Timeout is an error that the errors of failed acquires match too, unless the pool is closed.
	// It may be nil.
	Timeout error
}

// Stalls is what a lane does when callers wait and nothing moves.
type Stalls int

const (
	// StallsWait lets them wait.
	StallsWait Stalls = iota

	// StallsExtend lets the last one in beyond the limit, because callers may wait for each other.
	StallsExtend

	// StallsTakeOffers gives them turns that holders offer; see [Conn.Offer].
	StallsTakeOffers
)
