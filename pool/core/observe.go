package core

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// ObserveConfig configures [Observe]. The zero value is a good default.
type ObserveConfig struct {
	// Name is the name of the database for a status page. Empty means the type of its driver.
	Name string

	// Events is how many events are kept. Zero means [DefaultEvents]; a negative number is
	// refused.
	Events int
}

// An Observer records the events of the connections of one *sql.DB. All methods are safe for
// concurrent use.
type Observer struct {
	name   string
	db     *sql.DB
	log    *EventLog
	sums   counters
	detach func()
}

// Observe records the events of db's connections until the Observer is closed. db must have
// been opened with sql.Open("sqlitemw", ...), with a driver.Connector, or through package wrap.
// Observe uses none of db's connections. For a connection that is already open, it records only further events.
//
// Observe fails with [ErrNotObservable] if db is of another driver, and with [ErrInvalidConfig]
// if cfg is refused. If ctx has ended, it fails with ctx's error. It has no other use for ctx.
func Observe(ctx context.Context, db *sql.DB, cfg ObserveConfig) (*Observer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pool: observe: %w", err)
	}
	if cfg.Events < 0 {
		return nil, fmt.Errorf("%w: ObserveConfig.Events is %d: use 0 for the default, or the number of events to keep", ErrInvalidConfig, cfg.Events)
	}
	if db == nil {
		return nil, fmt.Errorf("%w: db is nil", ErrNotObservable)
	}
	o := &Observer{db: db, name: cmp.Or(cfg.Name, fmt.Sprintf("%T", db.Driver())), log: NewEventLog(cfg.Events)}
	if a, ok := db.Driver().(wrap.Attacher); ok {
		o.detach = a.Attach(&ledger{sums: &o.sums, log: o.log})
	}
	if o.detach == nil {
		return nil, fmt.Errorf("%w: its driver is %T: open it with sql.Open(\"sqlitemw\", ...), or wrap its driver with package wrap", ErrNotObservable, db.Driver())
	}
	return o, nil
}

// Name returns the name of the database.
func (o *Observer) Name() string { return o.name }

// Health returns [HealthUnknown], because an Observer does not check the database.
func (o *Observer) Health() HealthReport { return HealthReport{} }

// Events returns the latest events, the oldest first.
func (o *Observer) Events() []wrap.Event { return o.log.Events() }

// Subscribe returns a subscription to every event from now on; see [EventLog.Subscribe].
func (o *Observer) Subscribe(buffer int) *Subscription { return o.log.Subscribe(buffer) }

// Stats returns the counters of the pool.
func (o *Observer) Stats() Stats {
	s := o.sums.with(o.db.Stats())
	s.Events, s.EventsDropped = o.log.counts()
	return s
}

// Close ends the observation and closes its subscriptions. Events and Stats still return what
// was recorded before. Close may be called more than once. It never fails.
func (o *Observer) Close() error {
	o.detach()
	o.log.closeSubscriptions(context.Background())
	return nil
}
