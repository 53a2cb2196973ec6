package main

import (
	"context"
	"fmt"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Contender is one way for a Go program to use SQLite.
type Contender struct {
	Name    string // as flags, budgets and tables have it
	What    string // one line for people
	State   State
	Missing string // why it cannot take part, if it cannot

	open func(ctx context.Context, file string, o Options) (Database, error)
	sdk  *sdk
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

// A Queryer runs statements. The elements of dest are *int64, *float64,
// *string or *[]byte, one for each column.
type Queryer interface {
	Exec(ctx context.Context, query string, args ...any) error
	// Row reads the only row.
	Row(ctx context.Context, query string, dest []any, args ...any) error
	// Rows calls each after it has read a row to dest.
	Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error
	Prepare(ctx context.Context, query string) (Statement, error)
}

// A Statement has been prepared. It is for one goroutine.
type Statement interface {
	Exec(ctx context.Context, args ...any) error
	Row(ctx context.Context, dest []any, args ...any) error
	Close() error
}

// A Conn is a connection that was taken out of its pool.
type Conn interface {
	Queryer
	Release() error
}

// A Database is what workloads use of a contender: as little as database/sql
// and packages without it have in common, so that none pays for another.
type Database interface {
	Queryer
	Acquire(ctx context.Context) (Conn, error)
	// Transact commits what f did, or rolls it back if f fails.
	Transact(ctx context.Context, f func(Queryer) error) error
	Close() error
}

// Baseline is the contender that ratios are taken to: the driver that
// "sqlitemw" wraps.
const Baseline = "ncruces"

// contenders returns all, those that are missing too, and what closes them.
func contenders() ([]*Contender, func(context.Context) error) {
	sdks := newSDKs()
	list := []*Contender{
		{Name: Baseline, What: "github.com/ncruces/go-sqlite3/driver, bare", open: openNcruces},
		{Name: "ncruces-raw", What: "github.com/ncruces/go-sqlite3 without database/sql: the limit", open: openRaw},
		{Name: "sqlmw", What: "ncruces under github.com/ngrok/sqlmw and no interceptor's work", open: openSqlmw},
	}
	list = append(list, inThreeStates(sdks, "sqlitemw", "this module's driver", openSqlitemw(tracing.AcquireAll))...)
	list = append(list,
		acquireWaits(sdks),
		spanned(sdks),
		&Contender{Name: "sqlitemw-pool", State: NoSDK, What: "this module's own pool, of which one connection writes and the others read", open: openPool},
	)
	list = append(list, inThreeStates(sdks, "xsam", "ncruces under github.com/XSAM/otelsql", openXSAM)...)
	list = append(list, inThreeStates(sdks, "nhat", "ncruces under go.nhat.io/otelsql", openNhat)...)
	list = append(list, inThreeStates(sdks, "uptrace", "ncruces under github.com/uptrace/opentelemetry-go-extra/otelsql", openUptrace)...)
	list = append(list,
		mattn(),
		&Contender{Name: "modernc", What: "modernc.org/sqlite", open: openModernc},
		&Contender{Name: "zombiezen", What: "zombiezen.com/go/sqlite's sqlitex.Pool, without database/sql", open: openZombiezen},
	)
	return list, sdks.Close
}

// inThreeStates returns a contender for each state of an SDK.
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

// acquireWaits is "sqlitemw" with the one option that the default pays most for.
func acquireWaits(s *sdks) *Contender {
	one := s.of(Sampled)
	return &Contender{
		Name: "sqlitemw-sampled-waits", State: Sampled, sdk: one, open: openSqlitemw(tracing.AcquireWaited)(one),
		What: "this module's driver, always sampled, acquire spans only where there was a wait",
	}
}

type opener = func(ctx context.Context, file string, o Options) (Database, error)

// byName finds a contender, or is nil.
func byName(list []*Contender, name string) *Contender {
	for _, c := range list {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// present returns those that can take part.
func present(list []*Contender) []*Contender {
	var here []*Contender
	for _, c := range list {
		if c.Missing == "" {
			here = append(here, c)
		}
	}
	return here
}
