package main

import (
	"context"
	"fmt"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Contender is one way for a Go program to use SQLite.
type Contender struct {
	Name    string // in flags, budgets and tables
	What    string // a one-line description
	State   State
	Missing string // why it cannot run; empty if it can
	Variant bool   // differs from another contender only in options; runs only where it is named

	MaxConns int // it opens at most so many connections; 0 means as many as the workload says

	open func(ctx context.Context, file string, o Options) (Database, error)
	sdk  *sdk
}

// options returns the options of a workload as they are for c.
func (c *Contender) options(o Options) Options {
	if c.MaxConns > 0 {
		o.Conns = min(o.Conns, c.MaxConns)
	}
	return o
}

// Open opens file.
func (c *Contender) Open(ctx context.Context, file string, o Options) (Database, error) {
	if c.Missing != "" {
		return nil, fmt.Errorf("open %s as %s: %s", file, c.Name, c.Missing)
	}
	db, err := c.open(ctx, file, o)
	if err != nil {
		return nil, fmt.Errorf("open %s as %s: %w", file, c.Name, err)
	}
	return db, nil
}

// A Queryer executes queries. The elements of dest are *int64, *float64, *string or *[]byte,
// one for each column.
type Queryer interface {
	Exec(ctx context.Context, query string, args ...any) error
	// Row reads the only row.
	Row(ctx context.Context, query string, dest []any, args ...any) error
	// Rows reads each row into dest and then calls each.
	Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error
	Prepare(ctx context.Context, query string) (Statement, error)
}

// A Statement is a prepared statement. It must not be used concurrently.
type Statement interface {
	Exec(ctx context.Context, args ...any) error
	Row(ctx context.Context, dest []any, args ...any) error
	Close() error
}

// A Conn is a connection that was acquired from its pool.
type Conn interface {
	Queryer
	Release() error
}

// A Database is what workloads use of a contender. It has only what database/sql and packages
// without it have in common, so that no contender pays for another's interface.
type Database interface {
	Queryer
	Acquire(ctx context.Context) (Conn, error)
	// Transact calls f in a transaction. It commits if f succeeds, and rolls back if f
	// fails.
	Transact(ctx context.Context, f func(Queryer) error) error
	Close() error
}

// Baseline is the contender that ratios refer to: the driver that "sqlitemw" wraps.
const Baseline = "ncruces"

// contenders returns all contenders, including the missing ones, and a function that closes
// them.
func contenders() ([]*Contender, func(context.Context) error) {
	sdks := newSDKs()
	list := []*Contender{
		{Name: Baseline, What: "github.com/ncruces/go-sqlite3/driver, bare", open: openNcruces},
		{Name: "ncruces-raw", What: "github.com/ncruces/go-sqlite3 without database/sql: the limit", open: openRaw},
		{Name: "sqlmw", What: "ncruces under github.com/ngrok/sqlmw, with an interceptor that does nothing", open: openSqlmw},
	}
	list = append(list, inThreeStates(sdks, "sqlitemw", "this module's driver", openSqlitemw(tracing.AcquireAll))...)
	list = append(list,
		acquireWaits(sdks),
		spanned(sdks),
		&Contender{Name: "sqlitemw-pool", State: NoSDK, What: "this module's own pool: one connection writes, and the others read", open: openPool},
	)
	list = append(list, inThreeStates(sdks, "xsam", "ncruces under github.com/XSAM/otelsql", openXSAM)...)
	list = append(list, inThreeStates(sdks, "nhat", "ncruces under go.nhat.io/otelsql", openNhat)...)
	list = append(list, inThreeStates(sdks, "uptrace", "ncruces under github.com/uptrace/opentelemetry-go-extra/otelsql", openUptrace)...)
	list = append(list,
		mattn(),
		&Contender{Name: "modernc", What: "modernc.org/sqlite", open: openModernc},
		&Contender{Name: "zombiezen", What: "zombiezen.com/go/sqlite's sqlitex.Pool, without database/sql", open: openZombiezen},
	)
	list = append(list, variants()...)
	return list, sdks.Close
}

// inThreeStates returns one contender for each state of an SDK.
func inThreeStates(s *sdks, name, what string, open func(*sdk) opener) []*Contender {
	var list []*Contender
	for _, state := range []State{NoSDK, NeverSampled, Sampled} {
		c := &Contender{Name: name, What: what + ", " + state.String(), State: state, sdk: s.of(state)}
		if state != NoSDK {
			c.Name += "-" + state.suffix()
		}
		c.open = open(c.sdk)
		list = append(list, c)
	}
	return list
}

// acquireWaits is "sqlitemw" with the one option that saves most compared with the default.
func acquireWaits(s *sdks) *Contender {
	one := s.of(Sampled)
	return &Contender{
		Name: "sqlitemw-sampled-waits", State: Sampled, sdk: one, open: openSqlitemw(tracing.AcquireWaited)(one),
		What: "this module's driver, always sampled, with acquire spans only for acquires that waited",
	}
}

type opener = func(ctx context.Context, file string, o Options) (Database, error)

// byName returns the contender with the name, or nil.
func byName(list []*Contender, name string) *Contender {
	for _, c := range list {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// present returns the contenders that can run.
func present(list []*Contender) []*Contender {
	var here []*Contender
	for _, c := range list {
		if c.Missing == "" {
			here = append(here, c)
		}
	}
	return here
}
