package pool

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// What programs meet of package core has a name here too.

type (
	// A Holder is a lease of a connection and its caller.
	Holder = core.Holder

	// A Waiter is a call that waits for a connection.
	Waiter = core.Waiter

	// An AcquireError says why a call got no connection, and who held the connections. For the
	// writer, unless the pool is closed, it also matches sqlite3.BUSY.
	AcquireError = core.AcquireError

	// A Cause is the reason why an acquire failed, from what happened during the wait.
	Cause = core.Cause

	// A ShutdownError lists what was still in use when Shutdown could not wait any longer, and was
	// taken away. It also lists what has not returned.
	ShutdownError = core.ShutdownError

	// A BlockedError says that a function of the program has not returned on a goroutine of the
	// pool. Until it does, the pool does not call it on another goroutine of its own.
	BlockedError = core.BlockedError

	// Stats are the counters of a pool or an [Observer].
	Stats = core.Stats

	// A Setting is a setting of a pool that differs from the default.
	Setting = core.Setting

	// WALStats is the size of a write-ahead log.
	WALStats = core.WALStats

	// CacheStats count the uses of the statement caches.
	CacheStats = core.CacheStats

	// A Histogram counts durations.
	Histogram = core.Histogram

	// A Bucket is a part of a [Histogram].
	Bucket = core.Bucket

	// Health is the state of a pool.
	Health = core.Health

	// A HealthReport is the result of a health check.
	HealthReport = core.HealthReport

	// A ConnInfo describes a connection. It is a copy and does not change.
	ConnInfo = core.ConnInfo

	// An EventLog keeps the latest events of connections and passes them to subscribers.
	EventLog = core.EventLog

	// A Subscription receives the events of an [EventLog].
	Subscription = core.Subscription

	// An Observer records the events of the connections of one *sql.DB.
	Observer = core.Observer

	// ObserveConfig configures [Observe]. The zero value is a good default.
	ObserveConfig = core.ObserveConfig
)

// The causes of an [AcquireError].
const (
	CauseClosed    = core.CauseClosed
	CauseQueueFull = core.CauseQueueFull
	CauseCancelled = core.CauseCancelled
	CauseConnect   = core.CauseConnect
	CauseHook      = core.CauseHook
	CauseCycle     = core.CauseCycle
	CauseIdle      = core.CauseIdle
	CauseLeak      = core.CauseLeak
	CauseSlow      = core.CauseSlow
	CauseOverload  = core.CauseOverload
	CauseUpkeep    = core.CauseUpkeep
	CauseOther     = core.CauseOther
)

// The states of a pool.
const (
	HealthUnknown  = core.HealthUnknown
	HealthOK       = core.HealthOK
	HealthDegraded = core.HealthDegraded
	HealthDown     = core.HealthDown
)

// DefaultEvents is the default number of events that an [EventLog] keeps.
const DefaultEvents = core.DefaultEvents

// NewEventLog returns an EventLog that keeps the latest size events; see [core.NewEventLog].
func NewEventLog(size int) *EventLog { return core.NewEventLog(size) }

// WithOwner names the caller that acquires connections with the context, such as a request, a
// job or a worker. The name appears in errors and in [Pool.Holders].
//
// A name is of the process, over all pools: everything with the same name is taken to be one caller
// that does one thing at a time. Give each goroutine a name of its own. If such callers wait for
// each other, or one for itself, a wait fails early with [ErrDeadlock]. It does not if a limit
// (Config.TxTimeout, Config.MaxReadAge) or the end of the holder's own context may end the wait;
// see [core.WithOwner].
func WithOwner(ctx context.Context, name string) context.Context { return core.WithOwner(ctx, name) }

// Observe records the events of db's connections until the Observer is closed; see
// [core.Observe].
func Observe(ctx context.Context, db *sql.DB, cfg ObserveConfig) (*Observer, error) {
	if db != nil {
		if _, ok := db.Driver().(*Driver); ok {
			return nil, fmt.Errorf("%w: it has a pool, which records its events: use pool.Of(db) after its first call", ErrNotObservable)
		}
	}
	return core.Observe(ctx, db, cfg)
}
