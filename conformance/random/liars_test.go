package random

import (
	"context"
	"database/sql/driver"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"pgregory.net/rapid"
)

// A lie is a fault in a driver around the plain one.
type lie int

const (
	staleColumns   lie = iota // caches statements and their columns, whatever happens
	stolenRows                // passes a cached statement to a second call while the first reads its rows
	keptArguments             // keeps a statement's arguments for its next use
	writableTx                // begins every transaction as a writable one
	plainIsolation            // begins every transaction at the default level
	otherErrors               // wraps errors
	ownContext                // passes on another context
	noChanges                 // loses the row count
)

func (l lie) String() string {
	return [...]string{"stale columns", "stolen rows", "kept arguments", "writable transactions", "default isolation", "other errors", "own context", "no changes"}[l]
}

func (l lie) target() target {
	return target{l.String(), (&through{func(dsn string) (driver.Connector, error) {
		c, err := plainConnector(dsn)
		return &liarConnector{c, l}, err
	}}).open}
}

type liarConnector struct {
	driver.Connector
	lie lie
}

func (c *liarConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &liarConn{Conn: conn.(sqlite3driver.Conn), lie: c.lie, kept: map[string][]*liarStmt{}}, nil
}

type liarConn struct {
	sqlite3driver.Conn
	lie  lie
	kept map[string][]*liarStmt
}

func (c *liarConn) Raw() *sqlite3.Conn {
	c.beforeChange()
	return c.Conn.Raw()
}

func (c *liarConn) Exec(sql string) error { return c.Raw().Exec(sql) }

// beforeChange drops cached statements, unless the lie is to keep them.
func (c *liarConn) beforeChange() {
	if c.lie != staleColumns {
		c.forget()
	}
}

func (c *liarConn) forget() {
	for _, stmts := range c.kept {
		for _, s := range stmts {
			s.liarBase.Close()
		}
	}
	clear(c.kept)
}

func (c *liarConn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c *liarConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

func (c *liarConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	switch c.lie {
	case writableTx:
		opts.ReadOnly = false
	case plainIsolation:
		opts.Isolation = 0
	}
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return liarTx{tx, c}, nil
}

type liarTx struct {
	driver.Tx
	conn *liarConn
}

func (tx liarTx) Commit() error   { tx.conn.beforeChange(); return tx.Tx.Commit() }
func (tx liarTx) Rollback() error { tx.conn.beforeChange(); return tx.Tx.Rollback() }

func (c *liarConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.lie == ownContext {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
	}
	c.beforeChange()
	res, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	switch {
	case err != nil && err != driver.ErrSkip && c.lie == otherErrors:
		err = fmt.Errorf("liar: %w", err)
	case err == nil && c.lie == noChanges:
		res = driver.RowsAffected(0)
	}
	return res, err
}

// keeps reports whether statements are cached.
func (c *liarConn) keeps() bool {
	return c.lie == staleColumns || c.lie == stolenRows || c.lie == keptArguments
}

func (c *liarConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if !keepable(query) {
		c.beforeChange()
	} else if kept := c.kept[query]; len(kept) > 0 && ctx.Err() == nil {
		s := kept[len(kept)-1]
		if c.lie != stolenRows {
			c.kept[query] = kept[:len(kept)-1]
		}
		return s, nil
	}
	base, err := c.Conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &liarStmt{liarBase: base.(liarBase), conn: c, query: query}
	if c.lie == stolenRows && keepable(query) {
		c.kept[query] = append(c.kept[query], s)
	}
	return s, nil
}

// keepable reports whether a liar caches a query's statement.
func keepable(query string) bool { return text{sql: query}.onlyReads() }

type liarBase interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
}

type liarStmt struct {
	liarBase
	conn  *liarConn
	query string
	named map[string]driver.NamedValue // arguments of earlier uses
}

func (s *liarStmt) Close() error {
	if !s.conn.keeps() || !keepable(s.query) {
		return s.liarBase.Close()
	}
	if s.conn.lie != stolenRows {
		s.conn.kept[s.query] = append(s.conn.kept[s.query], s)
	}
	return nil
}

// with adds the arguments of earlier uses if that is the lie.
func (s *liarStmt) with(args []driver.NamedValue) []driver.NamedValue {
	if s.conn.lie != keptArguments {
		return args
	}
	all := maps.Clone(s.named)
	if all == nil {
		all = map[string]driver.NamedValue{}
	}
	for _, a := range args {
		if a.Name == "" {
			return args
		}
		all[a.Name] = a
	}
	s.named = all
	return slices.Collect(maps.Values(all))
}

func (s *liarStmt) before() {
	if !keepable(s.query) {
		s.conn.beforeChange()
	}
}

func (s *liarStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.before()
	return s.liarBase.ExecContext(ctx, s.with(args))
}

func (s *liarStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.before()
	return s.liarBase.QueryContext(ctx, s.with(args))
}

// The everyday sessions must find each fault.
func TestLiars(t *testing.T) {
	t.Parallel()
	sessions := programs(1)
	for l := staleColumns; l <= noChanges; l++ {
		t.Run(l.String(), func(t *testing.T) {
			a := &arena{dir: t.TempDir(), model: true}
			for seed := range 1000 {
				diff, err := a.difference(sessions.Example(seed), []target{l.target()})
				if err != nil {
					t.Fatal(err)
				}
				if diff != "" {
					t.Logf("in session %d:\n%s", seed+1, diff)
					return
				}
			}
			t.Error("no session finds the fault")
		})
	}
}

// Rapid must shrink the session to a program that shows little else.
func TestShrinks(t *testing.T) {
	// Beginning the transaction and writing in it are two steps. The beginning and the end
	// of a program are at least four.
	const few = 10

	// Far more than it takes anywhere. Shrinking ends with the last smaller program that
	// was tried, and none is played once there are few steps.
	shrinktime := flag.Lookup("rapid.shrinktime").Value.String()
	flag.Set("rapid.shrinktime", "10m")
	defer flag.Set("rapid.shrinktime", shrinktime)

	a := &arena{dir: t.TempDir(), model: true}
	r := &recordingTB{name: t.Name()}
	var last program
	done := make(chan struct{})
	go func() { // FailNow ends this goroutine
		defer close(done)
		rapid.Check(r, func(t *rapid.T) {
			p := programs(1).Draw(t, "program")
			if last.steps != nil && len(last.steps) <= few && !reflect.DeepEqual(p, last) {
				return
			}
			diff, err := a.difference(p, []target{writableTx.target()})
			if err != nil {
				t.Fatal(err)
			}
			if diff != "" {
				last = p
				t.Fatal(diff)
			}
		})
	}()
	<-done
	if !r.failed {
		t.Fatal("no session finds the fault")
	}
	if n := len(last.steps); n > few {
		t.Errorf("a program of a few steps shows the fault, but it was shrunk to %d", n)
	}
	if log := r.log.String(); !strings.Contains(log, "BeginTx(ctx, &sql.TxOptions{") || !strings.Contains(log, "-rapid.seed=") {
		t.Errorf("the report has neither the program nor how to play it again:\n%s", log)
	}
}
