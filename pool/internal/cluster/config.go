package cluster

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Config configures a [Pool]. The package of an engine makes it from its own Config, whose fields
// of the same names mean the same. Zero means the default, a negative duration means never, and a
// negative count is refused.
type Config struct {
	Engine
	Servers []Server

	Name           string
	MaxConns       int // of the writer lane
	MinConns       int // of the writer lane; a connection is opened for each in Open
	MaxReaders     int // of the reader lane
	MaxWaiters     int
	AcquireTimeout time.Duration
	IdleTimeout    time.Duration
	MaxLifetime    time.Duration
	ValidateAfter  time.Duration
	LeakAfter      time.Duration
	TrackStacks    bool
	Events         int

	CheckInterval   time.Duration // between two questions for a server's role
	CheckTimeout    time.Duration // for an answer, and for opening a connection to a standby
	FailoverTimeout time.Duration // for a primary to be found
	ReplayTimeout   time.Duration // for a standby to catch up; see Engine.Position

	Tracing      *tracing.Tracer
	Interceptors []sqlmw.Interceptor
	Recorder     wrap.Recorder
	Logger       *slog.Logger
}

// An Engine is what a [Pool] must know of the database. Its functions must be safe for concurrent
// use.
type Engine struct {
	Kind      string // the default name of a pool
	System    string // db.system.name
	Namespace string // db.namespace

	// Classify classifies errors for spans, metrics and events. It may be nil.
	Classify func(error) tracing.ErrorClass

	// Role asks a server for its role.
	Role func(context.Context, driver.Conn) (Role, error)

	// Damage tells what an error of a call says about its connection. Errors of the network, of
	// contexts and driver.ErrBadConn are known without it. It may be nil.
	Damage func(error) Damage

	// Summarize returns what errors and the page show of a query, which must have no values. Nil
	// shows nothing.
	Summarize func(query string) string

	// Once and Broken are those of [wrap.Config].
	Once   bool
	Broken func(driver.Conn) bool

	// Readers says where the reader lane connects to.
	Readers Readers

	// OnlyReads reports whether a query of [Pool.DB] may run on a reader. Nil means that only
	// read-only transactions may.
	OnlyReads func(query string) bool

	// Position makes readers wait until their standby has replayed what the pool has written. Nil
	// means that they do not wait.
	Position *Position
}

// A Server is a server of a cluster.
type Server struct {
	Name      string // for people; its address, such as "db1:5432", if it has one
	Connector driver.Connector
}

// address returns the server's address for spans, if its name is one.
func (s Server) address() (address wrap.Server) {
	host, port, err := net.SplitHostPort(s.Name)
	if err != nil {
		return wrap.Server{}
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return wrap.Server{}
	}
	return wrap.Server{Address: host, Port: n}
}

// A Role is what a server is at the moment.
type Role struct {
	Primary  bool   // it accepts writes
	System   string // identifies the cluster; empty if that is unknown
	Timeline uint64 // grows with each promotion; 0 if that is unknown
}

// Damage is what an error of a call says about its connection.
type Damage int

const (
	NoDamage Damage = iota
	Broken          // the connection must not be used again
	Demoted         // the server refuses to write, unless the transaction was read-only
)

// Readers says where the reader lane connects to.
type Readers int

const (
	NoReaders Readers = iota
	OnStandbys
	OnPrimary
)

// A Position is how far a server's log is. It grows with every commit.
type Position struct {
	Written  func(context.Context, driver.Conn) (uint64, error) // on the primary
	Replayed func(context.Context, driver.Conn) (uint64, error) // on a standby
}

// Defaults.
const (
	DefaultMaxConns        = 10
	DefaultMinConns        = 1
	DefaultAcquireTimeout  = 30 * time.Second
	DefaultIdleTimeout     = 10 * time.Minute
	DefaultMaxLifetime     = 30 * time.Minute
	DefaultValidateAfter   = 5 * time.Second
	DefaultCheckInterval   = time.Second
	DefaultCheckTimeout    = 2 * time.Second
	DefaultFailoverTimeout = 10 * time.Second
	DefaultReplayTimeout   = 100 * time.Millisecond

	lifetimeJitter = 0.1 // connections that were opened together do not end together
)

// resolve checks c and sets its defaults. Its errors wrap [core.ErrInvalidConfig].
func (c *Config) resolve() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{core.ErrInvalidConfig}, args...)...)
	}
	if len(c.Servers) == 0 {
		return invalid("there is no server: set its connector")
	}
	names := map[string]bool{}
	for i, s := range c.Servers {
		switch {
		case s.Connector == nil:
			return invalid("server %d has no connector", i)
		case s.Name == "":
			return invalid("server %d has no name: set one, such as db1:5432", i)
		case names[s.Name]:
			return invalid("two servers are called %q: give each its own name", s.Name)
		}
		names[s.Name] = true
	}
	for _, n := range []struct {
		name string
		n    *int
		or   int
	}{
		{"MaxConns", &c.MaxConns, DefaultMaxConns},
		{"MinConns", &c.MinConns, DefaultMinConns},
		{"MaxReaders", &c.MaxReaders, cmp.Or(c.MaxConns, DefaultMaxConns)},
		{"MaxWaiters", &c.MaxWaiters, 0},
		{"Events", &c.Events, core.DefaultEvents},
	} {
		if *n.n < 0 {
			return invalid("Config.%s is %d: use 0 for the default, or a positive number", n.name, *n.n)
		}
		*n.n = cmp.Or(*n.n, n.or)
	}
	if c.MinConns > c.MaxConns {
		return invalid("Config.MinConns is %d, but MaxConns is %d: lower the first or raise the second", c.MinConns, c.MaxConns)
	}
	for _, d := range []struct {
		name  string
		d     *time.Duration
		or    time.Duration
		never bool // it may be never
	}{
		{"AcquireTimeout", &c.AcquireTimeout, DefaultAcquireTimeout, true},
		{"IdleTimeout", &c.IdleTimeout, DefaultIdleTimeout, true},
		{"MaxLifetime", &c.MaxLifetime, DefaultMaxLifetime, true},
		{"ValidateAfter", &c.ValidateAfter, DefaultValidateAfter, true},
		{"LeakAfter", &c.LeakAfter, -1, true},
		{"CheckInterval", &c.CheckInterval, DefaultCheckInterval, false},
		{"CheckTimeout", &c.CheckTimeout, DefaultCheckTimeout, false},
		{"FailoverTimeout", &c.FailoverTimeout, DefaultFailoverTimeout, false},
		{"ReplayTimeout", &c.ReplayTimeout, DefaultReplayTimeout, false},
	} {
		if *d.d < 0 && !d.never {
			return invalid("Config.%s is %v: use 0 for the default of %v, or a positive duration", d.name, *d.d, d.or)
		}
		*d.d = cmp.Or(*d.d, d.or)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.TrackStacks = c.TrackStacks || c.LeakAfter > 0
	return nil
}
