package core

import (
	"context"
	"log/slog"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Config configures a [Pool]. The engine has checked it and resolved its defaults. A duration
// of zero or less means never.
type Config struct {
	Name       string
	MaxConns   int // connections that may be open, of all lanes
	MaxWaiters int // callers that may wait in one queue; 0 for any number

	AcquireTimeout time.Duration // an acquire fails after it
	ValidateAfter  time.Duration // a connection that has been idle for so long is pinged before it is lent
	MaxLifetime    time.Duration // a connection that is older is closed when it is not in use
	LifetimeJitter float64       // up to this fraction of MaxLifetime is subtracted, at random
	IdleTimeout    time.Duration // a connection that has been idle for so long is closed
	KeepAlive      time.Duration // an idle connection is pinged so often
	LeakAfter      time.Duration // a connection that is in use for so long is reported
	HealthInterval time.Duration // between two health checks

	// Limits are durations of the engine that [Engine.Maintain] enforces. The pool's rounds are
	// frequent enough for all of them.
	Limits []time.Duration

	// Failures are the kinds of failures that the engine reports; see [Pool.Fail].
	Failures []FailureKind

	// Remedies are settings of the engine that an [AcquireError] advises.
	Remedies Remedies

	TrackStacks bool  // holders have the stacks of their callers
	Exclusive   bool  // the first connection to the database locks out all others
	ConnMemory  int64 // address space that a connection reserves, in bytes
	Events      int   // events that are kept

	Logger         *slog.Logger
	LifecycleLevel slog.Level    // of the log line of Shutdown; zero is slog.LevelInfo
	Recorder       wrap.Recorder // the program's; nil if it has none
	Hooks          Hooks
}

// Remedies are what the program can set if callers wait for slow holders. They end sentences such as
// "shorten the statement, or ...". An empty one is left out.
type Remedies struct {
	Statement string // such as "set Config.StatementTimeout"
	Use       string // the same for transactions and for loops over rows
}

// A FailureKind is a kind of operation of the engine that may fail for some time, such as writes.
// Meanwhile [Engine.Reasons] should say so. An event and a log line report the begin and the end.
type FailureKind struct {
	Reason       wrap.Reason
	Begins, Ends string // log messages, such as "writes fail" and "writes succeed again"
	InCalls      bool   // calls of the program find out, not goroutines of the pool
}

// Hooks are functions of the program that the pool calls. Any of them may be nil.
type Hooks struct {
	// BeforeAcquire is called before a connection is lent. If it returns false, the connection is
	// closed and another is tried.
	BeforeAcquire func(context.Context, ConnInfo) bool

	// AfterRelease is called when a connection has been given back. If it returns false, the
	// connection is closed.
	AfterRelease func(ConnInfo) bool

	// BeforeClose is called before a connection is closed.
	BeforeClose func(ConnInfo)
}

// A ConnInfo describes a connection. It is a copy and does not change.
type ConnInfo struct {
	ID   wrap.ConnID
	Lane wrap.Lane     // "writer" or "reader"; "writer" if there is one lane
	Age  time.Duration // since it was opened
	Idle time.Duration // since it was given back or opened; 0 while it is in use
	Uses uint64        // how often it has been leased
}

// round returns the interval between two rounds of maintenance: an eighth of the shortest
// duration of the configuration, so that none is exceeded by more than that.
func (c *Config) round() time.Duration {
	round := 30 * time.Second
	durations := append([]time.Duration{c.IdleTimeout, c.MaxLifetime, c.KeepAlive, c.LeakAfter, c.HealthInterval}, c.Limits...)
	for _, d := range durations {
		if d > 0 {
			round = min(round, max(d/8, 10*time.Millisecond))
		}
	}
	return round
}
