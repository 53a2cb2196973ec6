package dqlite_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/dqlite"
)

// A cluster is a scripted dqlite cluster with one database, a list of values. Every call takes its
// latency. While a connection has written and not committed, another one that writes finds the
// database locked.
type cluster struct {
	latency time.Duration

	mu     sync.Mutex // guards everything below
	leader int        // changes with each election; 0 if there is none
	values []string
	locked *conn // that has the write lock
	open   int   // connections
	calls  map[string]int

	lost []error // errors of the next inserts, after they have been executed
}

func newCluster() *cluster {
	return &cluster{latency: time.Millisecond, leader: 1, calls: map[string]int{}}
}

func (c *cluster) config() dqlite.Config { return dqlite.Config{Connector: connector{c}} }

func (c *cluster) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// elect makes another node the leader, or none if n is 0. What the old one has not committed is lost.
func (c *cluster) elect(n int) { c.set(func() { c.leader, c.locked = n, nil }) }

func (c *cluster) all() (list []string) {
	c.set(func() { list = slices.Clone(c.values) })
	return list
}

// An Error is like that of go-dqlite.
type Error struct {
	Code    int
	Message string
}

func (e Error) Error() string { return e.Message }

var errLocked = Error{5, "database is locked"}

type connector struct{ *cluster }

func (c connector) Driver() driver.Driver { return nil }

// Connect looks for the leader until ctx ends, as go-dqlite does.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	for {
		leader := 0
		c.set(func() {
			if leader = c.leader; leader > 0 {
				c.open++
			}
		})
		if leader > 0 {
			return &conn{cluster: c.cluster, leader: leader}, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("no available leader: %w", ctx.Err())
		}
	}
}

type conn struct {
	*cluster
	leader int // to which it leads
	inTx   bool
	tx     []string
}

var (
	_ driver.ExecerContext  = &conn{}
	_ driver.QueryerContext = &conn{}
	_ driver.ConnBeginTx    = &conn{}
)

// enter waits for the latency. The error of a node that does not lead is ErrBadConn, as in go-dqlite.
func (c *conn) enter(ctx context.Context, what string) error {
	timer := time.NewTimer(c.latency)
	defer timer.Stop()
	c.set(func() { c.calls[what]++ })
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	leads := false
	c.set(func() { leads = c.leader == c.cluster.leader })
	if !leads {
		return driver.ErrBadConn
	}
	return nil
}

func (c *conn) Close() error {
	c.set(func() {
		c.open--
		if c.locked == c {
			c.locked = nil
		}
	})
	return nil
}

func (c *conn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not used") }
func (c *conn) Begin() (driver.Tx, error)           { return nil, errors.New("not used") }

func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if err := c.enter(ctx, "begin"); err != nil {
		return nil, err
	}
	c.inTx, c.tx = true, nil
	return c, nil
}

func (c *conn) Commit() error {
	c.inTx = false
	if err := c.enter(context.Background(), "commit"); err != nil {
		return err
	}
	return c.commit()
}

func (c *conn) commit() (err error) {
	c.set(func() {
		c.values = append(c.values, c.tx...)
		c.tx = nil
		if c.locked == c {
			c.locked = nil
		}
		if len(c.lost) > 0 {
			err, c.lost = c.lost[0], c.lost[1:]
		}
	})
	return err
}

func (c *conn) Rollback() error {
	c.inTx, c.tx = false, nil
	c.set(func() {
		if c.locked == c {
			c.locked = nil
		}
	})
	return c.enter(context.Background(), "rollback")
}

// ExecContext knows INSERT INTO t, with one argument.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	var err error
	c.set(func() {
		if c.locked != nil && c.locked != c {
			err = errLocked
		} else if c.leader == c.cluster.leader {
			c.locked = c
		}
	})
	if err != nil {
		return nil, err
	}
	err = c.enter(ctx, "exec")
	if err == nil {
		c.tx = append(c.tx, fmt.Sprint(args[0].Value))
		if !c.inTx {
			err = c.commit()
		}
	} else {
		c.set(func() {
			if c.locked == c {
				c.locked = nil
			}
		})
	}
	return driver.RowsAffected(1), err
}

// QueryContext returns what was inserted, or what the pool asks.
func (c *conn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if err := c.enter(ctx, query); err != nil {
		return nil, err
	}
	r := &rows{values: []driver.Value{"leader"}}
	if !strings.Contains(query, "'leader'") {
		c.set(func() { r.values[0] = strings.Join(c.values, ",") })
	}
	return r, nil
}

type rows struct{ values []driver.Value }

func (r *rows) Columns() []string { return []string{"v"} }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(dest []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	dest[0], r.values = r.values[0], r.values[1:]
	return nil
}
