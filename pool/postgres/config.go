package postgres

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"time"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Config configures [Open]. Only Servers is required. For durations, zero means the default and a
// negative value means never, where that is possible. For counts, zero means the default and a
// negative value is refused.
type Config struct {
	// Servers are the servers of the cluster, in any order. Their roles are asked for, and may
	// change.
	Servers []Server

	// Name is the name of the pool in errors, metrics and on the page. Empty means Database, or
	// "postgresql", with a suffix if another pool of the process has that name.
	Name string

	// Database is db.namespace in spans and metrics. If it is empty, there is no such attribute.
	Database string

	// MaxConns is how many connections to the primary may be open. The default is 10. The pool opens
	// one more to each server, to ask for its role, and one to the primary if ReadYourWrites is set.
	MaxConns int

	// MinConns is how many connections to the primary are open at least. The default is 1.
	MinConns int

	// MaxReaders is how many connections to the standbys may be open, to all of them together. The
	// default is MaxConns.
	MaxReaders int

	// MaxWaiters is how many callers may wait for a connection of one lane. Zero means any number.
	MaxWaiters int

	// AcquireTimeout is how long a call waits for a connection. The default is 30 s.
	AcquireTimeout time.Duration

	// IdleTimeout is how long an unused connection stays open. The default is 10 min.
	IdleTimeout time.Duration

	// MaxLifetime is how long a connection is used. The default is 30 min.
	MaxLifetime time.Duration

	// ValidateAfter is how long a connection may be idle before the pool asks its server for its role
	// again before it lends the connection. The default is 5 s.
	ValidateAfter time.Duration

	// LeakAfter is how long a connection may be in use before an event and a log line report that. By
	// default, that is never reported. With LeakAfter, TrackStacks is on.
	LeakAfter time.Duration

	// TrackStacks makes the pool record where each holder has acquired its connection.
	TrackStacks bool

	// CheckInterval is the time between two questions for the role of a server. The default is 1 s.
	// While there is no primary, the pool asks twenty times a second. It cannot be never.
	CheckInterval time.Duration

	// CheckTimeout is how long the pool waits for such an answer, and for a connection to a standby.
	// The default is 2 s. It cannot be never.
	CheckTimeout time.Duration

	// FailoverTimeout is how long an acquire waits for a primary, if there is none. The default is
	// 10 s. It cannot be never.
	FailoverTimeout time.Duration

	// ReadYourWrites makes readers wait until their standby has replayed what this pool has written;
	// see the package documentation.
	ReadYourWrites bool

	// ReplayTimeout is how long such a reader waits before it uses the primary. The default is
	// 100 ms. It cannot be never.
	ReplayTimeout time.Duration

	// Once says that database/sql repeats no call that may have written, after the driver has said
	// driver.ErrBadConn; see [wrap.Config]. It is for drivers that say so of calls that the server may
	// have executed, such as lib/pq. pgx says so only of calls that it has not sent.
	Once bool

	// Broken reports whether a driver's connection is dead, as pgx's IsClosed does; see [wrap.Config].
	// It may be nil, because the pool also finds out from errors and from the driver's ResetSession.
	Broken func(driver.Conn) bool

	// Role asks a server for its role. Nil means [AskRole].
	Role func(ctx context.Context, c driver.Conn) (Role, error)

	// Classify says what spans, metrics and events show of an error. Nil means [Classify].
	Classify func(error) tracing.ErrorClass

	// Tracing makes the spans and metrics. Nil means tracing.Default.
	Tracing *tracing.Tracer

	// Interceptors are called around every call of a connection; see [wrap.Config].
	Interceptors []sqlmw.Interceptor

	// Recorder records every event. Nil means none. Events keeps the latest ones in any case.
	Recorder wrap.Recorder

	// Events is how many events [Pool.Events] keeps. The default is core.DefaultEvents.
	Events int

	// Logger gets the pool's log lines. Nil means slog.Default.
	Logger *slog.Logger
}

// A Server is a server of a cluster.
type Server struct {
	// Name names the server in errors, events and on the page. Each server has its own. If it is an
	// address and a port, such as "db1:5432", spans have these as server.address and server.port.
	Name string

	// Connector opens connections to this server, and to no other one. The program keeps it: the pool
	// does not close it.
	Connector driver.Connector
}

// A Role is what a server is at the moment.
type Role struct {
	// Primary says that the server accepts writes. Otherwise it is a standby.
	Primary bool

	// System identifies the cluster. Servers of another one are refused. Empty means that it is
	// unknown.
	System string

	// Timeline is the timeline of a primary, which grows with each promotion. Zero means that it is
	// unknown. Then of two primaries neither is used.
	Timeline uint64
}

// cluster returns the configuration of package cluster.
func (c *Config) cluster() cluster.Config {
	of := cluster.Config{
		Engine: cluster.Engine{
			Kind:      "postgresql",
			System:    "postgresql",
			Namespace: c.Database,
			Classify:  c.Classify,
			Role:      cluster.RoleFrom(AskRole),
			Damage:    damage,
			Summarize: summarize,
			Once:      c.Once,
			Broken:    c.Broken,
		},
		Name:            c.Name,
		MaxConns:        c.MaxConns,
		MinConns:        c.MinConns,
		MaxReaders:      c.MaxReaders,
		MaxWaiters:      c.MaxWaiters,
		AcquireTimeout:  c.AcquireTimeout,
		IdleTimeout:     c.IdleTimeout,
		MaxLifetime:     c.MaxLifetime,
		ValidateAfter:   c.ValidateAfter,
		LeakAfter:       c.LeakAfter,
		TrackStacks:     c.TrackStacks,
		Events:          c.Events,
		CheckInterval:   c.CheckInterval,
		CheckTimeout:    c.CheckTimeout,
		FailoverTimeout: c.FailoverTimeout,
		ReplayTimeout:   c.ReplayTimeout,
		Tracing:         c.Tracing,
		Interceptors:    c.Interceptors,
		Recorder:        c.Recorder,
		Logger:          c.Logger,
	}
	for _, s := range c.Servers {
		of.Servers = append(of.Servers, cluster.Server(s))
	}
	if c.Role != nil {
		of.Role = cluster.RoleFrom(c.Role)
	}
	if c.Classify == nil {
		of.Classify = Classify
	}
	if len(c.Servers) > 1 {
		of.Readers = cluster.OnStandbys
	}
	if c.ReadYourWrites {
		of.Position = &cluster.Position{Written: askWritten, Replayed: askReplayed}
	}
	return of
}
