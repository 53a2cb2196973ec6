package dqlite

import (
	"context"
	"database/sql/driver"
	"log/slog"
	"time"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Config configures [Open]. Only Connector is required. For durations, zero means the default and a
// negative value means never, where that is possible. For counts, zero means the default and a
// negative value is refused.
type Config struct {
	// Connector opens connections to the leader, as that of go-dqlite's driver does. The program keeps
	// it: the pool does not close it.
	Connector driver.Connector

	// Name is the name of the pool in errors, metrics and on the page. Empty means Database, or
	// "dqlite", with a suffix if another pool of the process has that name.
	Name string

	// Database is db.namespace in spans and metrics. If it is empty, there is no such attribute.
	Database string

	// MaxReaders is how many connections for reads may be open, beside the one for writes. The default
	// is 4. The pool opens one more, to learn of another leader.
	MaxReaders int

	// MaxWaiters is how many callers may wait for a connection of one lane. Zero means any number.
	MaxWaiters int

	// AcquireTimeout is how long a call waits for a connection. The default is 30 s.
	AcquireTimeout time.Duration

	// IdleTimeout is how long an unused connection stays open. The default is 10 min.
	IdleTimeout time.Duration

	// MaxLifetime is how long a connection is used. The default is 30 min.
	MaxLifetime time.Duration

	// ValidateAfter is how long a connection may be idle before the pool asks the leader on it before
	// it lends the connection. The default is 5 s.
	ValidateAfter time.Duration

	// LeakAfter is how long a connection may be in use before an event and a log line report that. By
	// default, that is never reported. With LeakAfter, TrackStacks is on.
	LeakAfter time.Duration

	// TrackStacks makes the pool record where each holder has acquired its connection.
	TrackStacks bool

	// CheckInterval is the time between two questions whether the leader still leads. The default is
	// 1 s. While there is no leader, the pool asks twenty times a second. It cannot be never.
	CheckInterval time.Duration

	// CheckTimeout is how long the pool waits for such an answer. The default is 2 s. It cannot be
	// never.
	CheckTimeout time.Duration

	// FailoverTimeout is how long an acquire waits for a leader, if there is none. The default is
	// 10 s. It cannot be never.
	FailoverTimeout time.Duration

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

// defaultMaxReaders is Config.MaxReaders. dqlite executes the statements of a database on one thread,
// so more connections only hide the time on the network.
const defaultMaxReaders = 4

// cluster returns the configuration of package cluster, in which the leader is the only server.
func (c *Config) cluster() cluster.Config {
	queries := &route.Cache{}
	of := cluster.Config{
		Engine: cluster.Engine{
			Kind:      "dqlite",
			System:    "sqlite",
			Namespace: c.Database,
			Classify:  c.Classify,
			Role:      askLeader,
			Summarize: tracing.Summary,
			Once:      true,
			Readers:   cluster.OnPrimary,
			OnlyReads: func(query string) bool { return queries.Of(query).Route == route.ToReader },
		},
		Name:            c.Name,
		MaxConns:        1,
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
		Tracing:         c.Tracing,
		Interceptors:    c.Interceptors,
		Recorder:        c.Recorder,
		Logger:          c.Logger,
	}
	if c.Connector != nil {
		of.Servers = []cluster.Server{{Name: "leader", Connector: c.Connector}}
	}
	if c.Classify == nil {
		of.Classify = Classify
	}
	if c.MaxReaders == 0 {
		of.MaxReaders = defaultMaxReaders
	}
	return of
}

// askLeader asks whether the leader to which c leads still leads. A node that does not lead refuses
// every query.
func askLeader(ctx context.Context, c driver.Conn) (cluster.Role, error) {
	_, err := cluster.QueryTexts(ctx, c, "SELECT 'leader'", 1)
	return cluster.Role{Primary: err == nil}, err
}
