package conformance_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
)

// The suite must find no fault in a wrapper that has none.
func TestHonestWrapper(t *testing.T) {
	conformance.Run(t, conformance.Target{
		Name: "honest", Engine: ncruces.Engine(), Open: new(sin).open, Deviations: anyWrapper,
	})
}

// anyWrapper are deviations that no wrapper can avoid.
var anyWrapper = map[string]string{
	"savepoints/driver.Savepoint's name": "the driver makes the name up from its caller's",
}

// A liar is a wrapper with one sin. Every sin is one that an existing wrapper commits, or is
// likely to commit.
type liar struct {
	name string
	sin  sin

	caught []string // cases that must fail
	within []string // the only chapters in which cases may fail; "" stands for all
}

// Each liar must be caught by the cases that name its sin, and by no case of other chapters.
func TestLiars(t *testing.T) {
	if testing.Short() {
		t.Skip("thirty times the whole suite")
	}
	for _, l := range liars() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			anywhere := slices.Contains(l.within, "")
			check := func(timeout time.Duration, cases func(conformance.Case) bool) []conformance.Result {
				return conformance.Check(t, conformance.Target{
					Name: "liar", Engine: ncruces.Engine(), Open: l.sin.open, Timeout: timeout, Cases: cases,
				})
			}
			// A short timeout, because some liars hang. Of liars that fail
			// everywhere, only the named cases are played: the whole suite takes
			// too long.
			results := check(5*time.Second, func(c conformance.Case) bool { return !anywhere || slices.Contains(l.caught, c.ID()) })
			var failed, innocent []string
			for _, r := range results {
				if r.Difference == "" || anyWrapper[r.Case.ID()] != "" {
					continue
				}
				failed = append(failed, r.Case.ID())
				if !anywhere && !slices.Contains(l.within, r.Case.Chapter) {
					innocent = append(innocent, r.Case.ID())
				}
			}
			if len(innocent) > 0 { // or it exceeded the five seconds
				for _, r := range check(patient, func(c conformance.Case) bool { return slices.Contains(innocent, c.ID()) }) {
					if r.Difference != "" {
						t.Errorf("%s fails, but is not about this sin: %s\n%s", r.Case.ID(), r.Case.Rule, r.Difference)
					}
				}
			}
			for _, id := range l.caught {
				if !slices.Contains(failed, id) {
					t.Errorf("%s does not fail", id)
				}
			}
			if len(l.caught) == 0 {
				t.Errorf("the liar names no case that must fail; these fail: %q", failed)
			}
		})
	}
}

func liars() []liar {
	return []liar{
		{
			name: "drops the isolation level",
			sin: sin{begin: func(c honestConn, ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
				opts.Isolation = 0
				return c.base.BeginTx(ctx, opts)
			}},
			caught: []string{"transactions/level Read Uncommitted", "transactions/level Serializable", "transactions/level Snapshot, read-only"},
			within: []string{"transactions", "cancellation", "errors", "raw", "pragmas"},
		},
		{
			name: "drops read-only",
			sin: sin{begin: func(c honestConn, ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
				opts.ReadOnly = false
				return c.base.BeginTx(ctx, opts)
			}},
			caught: []string{"transactions/read-only refuses", "transactions/begin immediate, read-only", "transactions/begin by default, read-only"},
			within: []string{"transactions", "savepoints"},
		},
		{
			name: "begins with another context",
			sin: sin{begin: func(c honestConn, ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
				return c.base.BeginTx(context.WithoutCancel(ctx), opts)
			}},
			caught: []string{"cancellation/before begin"},
			within: []string{"cancellation"},
		},
		{
			name: "commits what is rolled back",
			sin: sin{begin: func(c honestConn, ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
				tx, err := c.base.BeginTx(ctx, opts)
				return committer{tx}, err
			}},
			caught: []string{"transactions/rollback", "query/a change rolled back", "savepoints/and rollback"},
			within: []string{""},
		},
		{
			name: "executes with another context",
			sin: sin{exec: func(c honestConn, ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
				return c.base.ExecContext(derived(ctx), query, args)
			}},
			caught: []string{"lifecycle/a function's context", "cancellation/context of exec", "savepoints/driver.Savepoint rolled back"},
			within: []string{"lifecycle", "cancellation", "raw", "savepoints"},
		},
		{
			name: "queries with another context",
			sin: sin{query: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
				return s.wrap(s.baseStmt.QueryContext(derived(ctx), args))
			}},
			caught: []string{"cancellation/context of query", "cancellation/context of rows"},
			within: []string{"lifecycle", "cancellation", "raw"},
		},
		{
			name: "returns ErrBadConn if the database is busy",
			sin: sin{
				exec: func(c honestConn, ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
					res, err := c.base.ExecContext(ctx, query, args)
					return res, badIfBusy(err)
				},
				begin: func(c honestConn, ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
					tx, err := c.base.BeginTx(ctx, opts)
					return tx, badIfBusy(err)
				},
			},
			caught: []string{"errors/busy", "transactions/begin immediate"},
			within: []string{"transactions", "cancellation", "errors", "pragmas", "concurrency"},
		},
		{
			name: "adds text to errors",
			sin: sin{
				exec: func(c honestConn, ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
					res, err := c.base.ExecContext(ctx, query, args)
					if err != nil && err != driver.ErrSkip {
						err = fmt.Errorf("exec: %w", err)
					}
					return res, err
				},
			},
			caught: []string{"errors/syntax", "errors/of several statements"},
			within: []string{"exec", "query", "transactions", "savepoints", "cancellation", "errors", "raw", "pragmas"},
		},
		{
			name: "returns the context's error instead of SQLite's",
			sin: sin{
				exec: func(c honestConn, ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
					res, err := c.base.ExecContext(ctx, query, args)
					if err != nil && err != driver.ErrSkip && ctx.Err() != nil {
						err = ctx.Err()
					}
					return res, err
				},
				run: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
					res, err := s.baseStmt.ExecContext(ctx, args)
					if err != nil && ctx.Err() != nil {
						err = ctx.Err()
					}
					return res, err
				},
			},
			caught: []string{"cancellation/before exec", "cancellation/during prepared exec", "cancellation/deadline during exec"},
			within: []string{"cancellation", "raw"},
		},
		{
			name: "converts a panic to an error",
			sin: sin{
				exec: func(c honestConn, ctx context.Context, query string, args []driver.NamedValue) (_ driver.Result, err error) {
					defer recovered(&err)
					return c.base.ExecContext(ctx, query, args)
				},
				run: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
					defer recovered(&err)
					return s.baseStmt.ExecContext(ctx, args)
				},
				next: func(r honestRows, dest []driver.Value) (err error) {
					defer recovered(&err)
					return r.step(dest)
				},
			},
			caught: []string{"errors/panic in exec", "errors/panic in query", "errors/panic in a later row"},
			within: []string{"errors", "lifecycle"},
		},
		{
			name: "executes twice",
			sin: sin{run: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
				if res, err := s.baseStmt.ExecContext(ctx, args); err != nil {
					return res, err
				}
				return s.baseStmt.ExecContext(ctx, args)
			}},
			caught: []string{"exec/insert", "exec/one text many times"},
			within: []string{""},
		},
		{
			name: "asks for the row ID too late",
			sin: sin{run: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
				res, err := s.baseStmt.ExecContext(ctx, args)
				return lateResult{res, s.conn.Raw()}, err
			}},
			caught: []string{"exec/result kept"},
			within: []string{"exec"},
		},
		{
			name:   "leaks statements",
			sin:    sin{stmt: func(s honestStmt) driver.Stmt { return unclosedStmt{s} }},
			caught: []string{"lifecycle/statement closed", "lifecycle/open and close"},
			within: []string{""},
		},
		{
			name:   "leaks connections",
			sin:    sin{close: func(c honestConn) error { return nil }},
			caught: []string{"lifecycle/open and close", "lifecycle/none idle"},
			within: []string{""},
		},
		{
			name:   "has a naive cache of statements",
			sin:    naiveCache(true),
			caught: []string{"query/a column renamed", "query/a change rolled back", "query/a view redefined", "savepoints/new column undone", "exec/schema"},
			within: []string{"lifecycle", "exec", "query", "savepoints", "cancellation", "errors", "raw"},
		},
		{
			name:   "has a cache that keeps bindings",
			sin:    naiveCache(false),
			caught: []string{"exec/parameters numbered", "types/binding that fails"},
			within: []string{"lifecycle", "exec", "query", "savepoints", "cancellation", "errors", "raw", "types"},
		},
		{
			name: "converts arguments itself",
			sin: sin{check: func(s honestStmt, arg *driver.NamedValue) (err error) {
				arg.Value, err = driver.DefaultParameterConverter.ConvertValue(arg.Value)
				return err
			}},
			caught: []string{"types/argument JSON", "types/argument ZeroBlob", "types/argument Pointer"},
			within: []string{"types", "raw"},
		},
		{
			name:   "accepts any argument",
			sin:    sin{check: func(honestStmt, *driver.NamedValue) error { return nil }},
			caught: []string{"exec/argument Valuer", "exec/argument of no kind", "exec/argument uint with the high bit"},
			within: []string{"exec", "types", "errors"},
		},
		{
			name: "leaves out the names of arguments",
			sin: sin{
				run: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
					return s.baseStmt.ExecContext(ctx, nameless(args))
				},
				query: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
					return s.wrap(s.baseStmt.QueryContext(ctx, nameless(args)))
				},
			},
			caught: []string{"exec/parameters named", "exec/parameters mixed"},
			within: []string{"lifecycle", "exec", "types"},
		},
		{
			name:   "does not count arguments",
			sin:    sin{stmt: func(s honestStmt) driver.Stmt { return uncountedStmt{s} }},
			caught: []string{"exec/parameters counted", "errors/too few arguments"},
			within: []string{"lifecycle", "exec", "query", "errors", "raw"},
		},
		{
			name:   "claims to be a Queryer, and returns ErrSkip",
			sin:    sin{connect: func(c honestConn) driver.Conn { return skippingConn{c} }},
			caught: []string{"exec/Valuer, once"},
			within: []string{"exec", "raw"},
		},
		{
			name:   "hides Raw",
			sin:    sin{connect: func(c honestConn) driver.Conn { return rawlessConn{c, c, c, c, c} }},
			caught: []string{"raw/methods"},
			within: []string{"raw", "savepoints", "types"},
		},
		{
			name:   "hides the methods of the connection",
			sin:    sin{connect: func(c honestConn) driver.Conn { return methodlessConn{c, c, c} }},
			caught: []string{"raw/methods"},
			within: []string{"raw"},
		},
		{
			name:   "claims to be a Pinger, and returns ErrSkip",
			sin:    sin{connect: func(c honestConn) driver.Conn { return pingSkipper{c} }},
			caught: []string{"lifecycle/ping", "cancellation/before ping"},
			within: []string{"lifecycle", "cancellation"},
		},
		{
			name:   "hides scan types",
			sin:    sin{rows: func(r honestRows) driver.Rows { return scanlessRows{r, r, r, r} }},
			caught: []string{"types/integers", "types/types of expressions"},
			within: []string{"lifecycle", "exec", "query", "rows", "types", "raw"},
		},
		{
			name:   "knows only declared types",
			sin:    sin{rows: func(r honestRows) driver.Rows { return &declaredRows{honestRows: r} }},
			caught: []string{"types/types from row to row", "types/types of expressions"},
			within: []string{"lifecycle", "rows", "types"},
		},
		{
			name:   "hides names of types",
			sin:    sin{rows: func(r honestRows) driver.Rows { return namelessRows{r, r, r, r} }},
			caught: []string{"types/dates", "types/types of a view"},
			within: []string{"exec", "query", "types", "raw"},
		},
		{
			name:   "writes names of columns in lower case",
			sin:    sin{rows: func(r honestRows) driver.Rows { return lowerRows{r} }},
			caught: []string{"query/names of columns"},
			within: []string{"query", "types", "errors"},
		},
		{
			name: "treats an error as the end of rows",
			sin: sin{next: func(r honestRows, dest []driver.Value) error {
				if err := r.step(dest); err != nil {
					return io.EOF
				}
				return nil
			}},
			caught: []string{"rows/an error between", "errors/in iteration", "query/one row that fails"},
			within: []string{"lifecycle", "exec", "query", "rows", "transactions", "savepoints", "cancellation", "errors"},
		},
		{
			name:   "does not close rows",
			sin:    sin{rows: func(r honestRows) driver.Rows { return unclosedRows{r} }},
			caught: []string{"lifecycle/two rows of one statement", "errors/in iteration, prepared"},
			within: []string{"lifecycle", "query", "types", "cancellation", "errors", "concurrency"},
		},
		{
			name:   "reads the first row in Query",
			sin:    sin{rows: func(r honestRows) driver.Rows { return &eagerRows{honestRows: r, first: r.NextRow()} }},
			caught: []string{"query/returning, not read", "rows/an error at first, left behind"},
			within: []string{""},
		},
		{
			name: "loses the settings",
			sin: sin{dsn: func(dsn string) string {
				name, _, _ := strings.Cut(dsn, "?")
				return name
			}},
			caught: []string{"pragmas/foreign_keys=off", "pragmas/every connection", "DSN/mode=ro, missing"},
			within: []string{""},
		},
		{
			name: "queries the database before every query",
			sin: sin{prepare: func(c honestConn, ctx context.Context, query string) (driver.Stmt, error) {
				stmt, _, err := c.Raw().Prepare("SELECT 1")
				if err == nil {
					stmt.Step()
					stmt.Close()
				}
				return c.prepare(ctx, query)
			}},
			caught: []string{"exec/insert", "query/returning, read"},
			within: []string{""},
		},
		{
			name:   "holds a lock while rows are open",
			sin:    lockedRows(),
			caught: []string{"query/one text inside itself"},
			within: []string{""},
		},
	}
}

func derived(ctx context.Context) context.Context {
	return context.WithValue(ctx, spanKey{}, "a span")
}

type spanKey struct{}

func badIfBusy(err error) error {
	if errors.Is(err, sqlite3.BUSY) {
		return driver.ErrBadConn
	}
	return err
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

func nameless(args []driver.NamedValue) []driver.NamedValue {
	for i := range args {
		args[i].Name = ""
	}
	return args
}

type committer struct{ driver.Tx }

func (t committer) Rollback() error { return t.Commit() }

type lateResult struct {
	driver.Result
	raw *sqlite3.Conn
}

func (r lateResult) LastInsertId() (int64, error) { return r.raw.LastInsertRowID(), nil }

type unclosedStmt struct{ honestStmt }

func (s unclosedStmt) Close() error { return nil }

type uncountedStmt struct{ honestStmt }

func (s uncountedStmt) NumInput() int { return -1 }

// naiveCache caches statements, and ignores schema changes. With clear, it clears bindings.
func naiveCache(clear bool) sin {
	return sin{
		connect: func(c honestConn) driver.Conn {
			return &cachingConn{honestConn: c, clear: clear, stmts: make(map[string]*keptStmt)}
		},
	}
}

type cachingConn struct {
	honestConn
	clear bool
	stmts map[string]*keptStmt
}

func (c *cachingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if s := c.stmts[query]; s != nil && !s.inUse {
		s.inUse = true
		return s, nil
	}
	stmt, err := c.honestConn.prepare(ctx, query)
	if err != nil || c.stmts[query] != nil {
		return stmt, err
	}
	s := &keptStmt{honestStmt: stmt.(honestStmt), conn: c, inUse: true}
	if query != "" {
		c.stmts[query] = s
	}
	return s, nil
}

func (c *cachingConn) Close() error {
	for _, s := range c.stmts {
		s.honestStmt.Close()
	}
	return c.honestConn.Close()
}

type keptStmt struct {
	honestStmt
	conn  *cachingConn
	inUse bool
}

func (s *keptStmt) Close() error {
	s.inUse = false
	if s.conn.clear {
		if raw, ok := s.baseStmt.(interface{ ClearBindings() error }); ok {
			return raw.ClearBindings()
		}
	}
	return nil
}

type skippingConn struct{ honestConn }

func (c skippingConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return nil, driver.ErrSkip
}

// CheckNamedValue accepts every argument, and does not convert it.
func (c skippingConn) CheckNamedValue(arg *driver.NamedValue) (err error) {
	v, err := driver.DefaultParameterConverter.ConvertValue(arg.Value)
	if err == nil {
		_ = v // for the span
	}
	return nil
}

type rawlessConn struct {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
}

type methodlessConn struct {
	conn
	driver.ExecerContext
	driver.NamedValueChecker
}

// conn is ncruces' Conn under another name.
type conn interface {
	Raw() *sqlite3.Conn
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
}

type pingSkipper struct{ honestConn }

func (c pingSkipper) Ping(context.Context) error { return driver.ErrSkip }

type scanlessRows struct {
	driver.Rows
	typeName
	nullable
	scanner
}

type namelessRows struct {
	driver.Rows
	scanType
	nullable
	scanner
}

// The optional interfaces of rows, each separately.
type (
	typeName interface{ ColumnTypeDatabaseTypeName(int) string }
	scanType interface{ ColumnTypeScanType(int) reflect.Type }
	nullable interface{ ColumnTypeNullable(int) (bool, bool) }
)

// declaredRows remember the types that columns had before the first row.
type declaredRows struct {
	honestRows
	types []reflect.Type
}

func (r *declaredRows) Columns() []string {
	names := r.honestRows.Columns()
	if r.types == nil {
		for i := range names {
			r.types = append(r.types, r.honestRows.ColumnTypeScanType(i))
		}
	}
	return names
}

func (r *declaredRows) ColumnTypeScanType(i int) reflect.Type { return r.types[i] }

type lowerRows struct{ honestRows }

func (r lowerRows) Columns() []string {
	var names []string
	for _, name := range r.honestRows.Columns() {
		names = append(names, strings.ToLower(name))
	}
	return names
}

type unclosedRows struct{ honestRows }

func (r unclosedRows) Close() error { return nil }

// eagerRows take their first step when they are made.
type eagerRows struct {
	honestRows
	first error
	begun bool
}

func (r *eagerRows) NextRow() error {
	if !r.begun {
		r.begun = true
		return r.first
	}
	return r.honestRows.NextRow()
}

func (r *eagerRows) Next(dest []driver.Value) error {
	if !r.begun {
		r.begun = true
		if r.first != nil {
			return r.first
		}
		if raw, ok := r.baseRows.(interface{ ColumnsRaw(...any) error }); ok {
			values := make([]any, len(dest))
			err := raw.ColumnsRaw(values...)
			for i := range dest {
				dest[i] = values[i]
			}
			return err
		}
	}
	return r.honestRows.Next(dest)
}

// lockedRows share one lock for all connections, held while rows are open.
func lockedRows() sin {
	var mu sync.Mutex
	return sin{
		query: func(s honestStmt, ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
			mu.Lock()
			rows, err := s.wrap(s.baseStmt.QueryContext(ctx, args))
			if err != nil {
				mu.Unlock()
			}
			return rows, err
		},
		rows: func(r honestRows) driver.Rows { return &lockingRows{honestRows: r, mu: &mu} },
	}
}

type lockingRows struct {
	honestRows
	mu     *sync.Mutex
	closed bool
}

func (r *lockingRows) Close() error {
	if !r.closed {
		r.closed = true
		r.mu.Unlock()
	}
	return r.honestRows.Close()
}
