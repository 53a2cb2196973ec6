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
	BeforeClose(ctx context.Context, lane wrap.Lane)

	// Closed is called when all connections have been closed.
	Closed(ctx context.Context) error
}
