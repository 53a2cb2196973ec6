package cluster

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// A Pool is a pool of connections to the servers of a cluster. All methods are safe for concurrent
// use.
type Pool struct {
	core    *core.Pool
	cfg     Config
	guard   *core.Guard
	name    *instrument.PoolName
	opener  *wrap.Opener
	dialing dialing
	roster  *roster
	replay  *replay
	replace *core.Job // closes connections that must be replaced
	begin   *query    // what a transaction waits for

	writers *core.Lane
	readers *core.Lane // nil if there is one lane
	facades facades

	stopMetrics []func()
}

// DB returns the *sql.DB for all uses.
func (p *Pool) DB() *sql.DB { return p.facade(wrap.LaneNone) }

// Reader returns the *sql.DB that uses readers.
func (p *Pool) Reader() *sql.DB { return p.facade(wrap.LaneReader) }

// Writer returns the *sql.DB that sends every call to the primary.
func (p *Pool) Writer() *sql.DB { return p.facade(wrap.LaneWriter) }

// Name returns Config.Name, or its default.
func (p *Pool) Name() string { return p.core.Name() }

// Stats returns the pool's counters.
func (p *Pool) Stats() core.Stats {
	s := p.core.Stats()
	s.Max = p.core.MaxConns()
	return s
}

// Holders returns the current holders of connections, the longest first.
func (p *Pool) Holders() []core.Holder { return p.core.Holders() }

// Waiters returns the calls that wait for a connection, those that are served first first.
func (p *Pool) Waiters() []core.Waiter { return p.core.Waiters() }

// Events returns the latest events, the oldest first.
func (p *Pool) Events() []wrap.Event { return p.core.Events() }

// Subscribe returns a subscription to every event from now on.
func (p *Pool) Subscribe(buffer int) *core.Subscription { return p.core.Subscribe(buffer) }

// LogEvents writes every event from now on to logger; see [core.Pool.LogEvents].
func (p *Pool) LogEvents(logger *slog.Logger, kinds ...wrap.Kind) (stop func()) {
	return p.core.LogEvents(logger, kinds...)
}

// Health returns the current health.
func (p *Pool) Health() core.HealthReport { return p.core.Health() }

// HealthCheck asks every server for its role.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.core.HealthCheck(ctx) }

// Reset replaces all connections of the pool by new ones.
func (p *Pool) Reset() { p.core.Reset() }

// Closed reports whether Shutdown or Close has been called.
func (p *Pool) Closed() bool { return p.core.Closed() }

// Shutdown closes the pool; see [core.Pool.Shutdown]. Callers that wait for a primary fail as well.
func (p *Pool) Shutdown(ctx context.Context) error {
	p.roster.refuse()
	return p.core.Shutdown(ctx)
}

// closeWithin is how long Close waits for connections in use.
const closeWithin = 10 * time.Second

// Close calls Shutdown with a timeout of ten seconds.
func (p *Pool) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return p.Shutdown(ctx)
}

// Raw calls f with the driver's connection of a writer.
func (p *Pool) Raw(ctx context.Context, f func(driver.Conn) error) (err error) {
	c, err := leased(p.writers.Acquire(ctx, nil))
	if err != nil {
		return err
	}
	c.doing.raw.Store(true)
	finished := false
	defer func() {
		if !finished {
			c.Lease().Break()
		}
		c.release()
	}()
	err = c.Lease().Do(func() error { return f(c.wrapped.Parent()) })
	finished = true
	return err
}

var (
	_ core.View         = &Pool{}
	_ core.HoldersView  = &Pool{}
	_ core.WaitersView  = &Pool{}
	_ core.SettingsView = &Pool{}
)

// servesStandbys reports whether the lane connects to standbys.
func (p *Pool) servesStandbys(l *core.Lane) bool {
	return l == p.readers && p.cfg.Readers == OnStandbys
}

// hasReaders reports whether a reader can be leased.
func (p *Pool) hasReaders() bool {
	return p.readers != nil && (p.cfg.Readers != OnStandbys || p.roster.hasStandby())
}

// onlyReads reports whether a query of DB may run on a reader.
func (p *Pool) onlyReads(text string) bool { return p.cfg.OnlyReads != nil && p.cfg.OnlyReads(text) }

func (p *Pool) query(text string) *query { return &query{text, p} }

// summary returns what errors and the page show of a query.
func (p *Pool) summary(text string) string {
	if p.cfg.Summarize == nil {
		return ""
	}
	return p.cfg.Summarize(text)
}

// recordDirty reports a connection that was given back with an open transaction.
func (p *Pool) recordDirty(c *conn) {
	last := ""
	if q := c.doing.last.Load(); q != nil {
		last = q.Summary()
	}
	p.core.Recorder().Record(wrap.Event{Time: time.Now(), Kind: wrap.KindDirty, Conn: c.wrapped.ID(), Lane: c.lane.Name(), Reason: wrap.ReasonDirty, Trace: c.Trace()})
	p.core.Logger().Error("pool: a transaction that a query began outside BeginTx was left open; it is rolled back",
		"conn", c.wrapped.ID(), "lane", c.lane.Name(), "last", last, "trace", c.Trace())
}
