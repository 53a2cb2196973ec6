package dqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
)

// A Pool is a pool of connections to the leader of a dqlite cluster. All methods are safe for
// concurrent use.
type Pool struct{ of *cluster.Pool }

// Open opens a pool, with a connection to the leader. ctx limits only Open.
//
// Open fails with core.ErrInvalidConfig. It fails with [ErrNoLeader] if it finds no leader within
// Config.FailoverTimeout, or with the driver's error if no connection can be opened. After an error,
// nothing is left open.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	p, err := cluster.Open(ctx, cfg.cluster())
	if err != nil {
		return nil, err
	}
	return &Pool{p}, nil
}

// DB returns the *sql.DB for all uses: reads that the pool recognizes are on a reader, and all else is
// on the writer. It is the same value every time, until the program closes it. Closing it does not
// close the pool; the next call of DB then returns a new one.
func (p *Pool) DB() *sql.DB { return p.of.DB() }

// Reader returns the *sql.DB that uses readers for everything. dqlite does not keep a reader from
// writing: such a write may find the database locked. Closing it has the effects that [Pool.DB]
// describes.
func (p *Pool) Reader() *sql.DB { return p.of.Reader() }

// Writer returns the *sql.DB that uses the writer for everything. Closing it has the effects that
// [Pool.DB] describes.
func (p *Pool) Writer() *sql.DB { return p.of.Writer() }

// Raw waits for the writer as a write does, and calls f with the driver's own connection. It returns
// f's error. f must not keep the connection. The pool does not see f's calls, so that they have no
// spans.
func (p *Pool) Raw(ctx context.Context, f func(driver.Conn) error) error { return p.of.Raw(ctx, f) }

// Name returns Config.Name, or its default.
func (p *Pool) Name() string { return p.of.Name() }

// Stats returns the pool's counters. It takes no connection. Those that only a file has are zero.
func (p *Pool) Stats() core.Stats { return p.of.Stats() }

// Holders returns the current holders of connections, the longest first.
func (p *Pool) Holders() []core.Holder { return p.of.Holders() }

// Waiters returns the calls that wait for a connection, those that are served first first.
func (p *Pool) Waiters() []core.Waiter { return p.of.Waiters() }

// Events returns the latest events, the oldest first.
func (p *Pool) Events() []wrap.Event { return p.of.Events() }

// Subscribe returns a subscription to every event from now on; see [core.EventLog.Subscribe].
// Shutdown closes it.
func (p *Pool) Subscribe(buffer int) *core.Subscription { return p.of.Subscribe(buffer) }

// LogEvents writes every event from now on to logger, on a separate goroutine, until stop is called
// or the pool is shut down. If there are kinds, it writes only events of these. A nil logger means
// Config.Logger. See [core.Pool.LogEvents].
func (p *Pool) LogEvents(logger *slog.Logger, kinds ...wrap.Kind) (stop func()) {
	return p.of.LogEvents(logger, kinds...)
}

// Settings returns whether there is a leader, and the settings that differ from their defaults. It
// takes no connection.
func (p *Pool) Settings() []core.Setting { return p.of.Settings() }

// Health returns the current health: down without a leader. It asks no node.
func (p *Pool) Health() core.HealthReport { return p.of.Health() }

// HealthCheck asks the leader whether it still leads, for at most five seconds or as long as ctx
// allows. It returns nil if there is a leader. Otherwise the error is core.ErrHealthCheck or
// core.ErrClosed.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.of.HealthCheck(ctx) }

// Reset replaces all connections of the pool by new ones. Idle connections are closed now, those in
// use when they are given back.
func (p *Pool) Reset() { p.of.Reset() }

// Closed reports whether Shutdown or Close has been called.
func (p *Pool) Closed() bool { return p.of.Closed() }

// Shutdown closes the pool. New and waiting acquires fail with core.ErrClosed. Connections in use may
// be used until ctx ends. Then Shutdown takes them away: their running calls end as if they were
// canceled, and later calls fail with core.ErrClosed. Shutdown returns at most half a second after
// ctx has ended. The error is a [*core.ShutdownError] if Shutdown had to take something away, or if
// something has not ended. If the pool is closed already, Shutdown waits for the first Shutdown and
// returns its result.
func (p *Pool) Shutdown(ctx context.Context) error { return p.of.Shutdown(ctx) }

// Close calls [Pool.Shutdown] with a timeout of ten seconds.
func (p *Pool) Close() error { return p.of.Close() }

var (
	_ core.View         = &Pool{}
	_ core.HoldersView  = &Pool{}
	_ core.WaitersView  = &Pool{}
	_ core.SettingsView = &Pool{}
)
