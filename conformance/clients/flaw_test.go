package clients

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"testing"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
)

// A flaw is one fault that wrappers of drivers may have. Its functions, if they are not nil,
// are called between database/sql and the plain driver.
type flaw struct {
	name   string
	begin  func(sqldriver.TxOptions) sqldriver.TxOptions
	tx     func(sqldriver.Tx) sqldriver.Tx
	err    func(error) error
	result func(sqldriver.Result) sqldriver.Result
	value  func(sqldriver.Value) sqldriver.Value
	noType bool // rows do not report the Go types of their columns

	noticed []string // the programs that must notice it
}

var everyone = slices.Sorted(maps.Keys(programs))

var flaws = []flaw{
	{name: "none"},
	{name: "hides scan types", noType: true, noticed: []string{"bun", "ent", "gorm", "sqlx"}},
	{name: "drops isolation levels", noticed: []string{"bun", "ent", "gorm", "sqlx", "xorm"},
		begin: func(o sqldriver.TxOptions) sqldriver.TxOptions {
			return sqldriver.TxOptions{ReadOnly: o.ReadOnly}
		}},
	{name: "drops read-only", noticed: []string{"bun", "ent", "gorm", "sqlx", "xorm"},
		begin: func(o sqldriver.TxOptions) sqldriver.TxOptions {
			return sqldriver.TxOptions{Isolation: o.Isolation}
		}},
	{name: "commits a rollback", noticed: []string{"bun", "ent", "goose", "gorm", "migrate", "sqlc", "sqlx", "xorm"},
		tx: func(tx sqldriver.Tx) sqldriver.Tx { return committer{tx} }},
	{name: "wraps errors", noticed: everyone,
		err: func(err error) error { return fmt.Errorf("%w", err) }},
	{name: "loses the codes of errors", noticed: everyone,
		err: func(err error) error { return errors.New(err.Error()) }},
	{name: "loses ids", noticed: []string{"bun", "ent", "sqlc", "sqlx", "xorm"},
		result: func(r sqldriver.Result) sqldriver.Result {
			n, _ := r.RowsAffected()
			return counts{0, n}
		}},
	{name: "loses counts", noticed: []string{"bun", "ent", "gorm", "sqlc", "sqlx", "xorm"},
		result: func(r sqldriver.Result) sqldriver.Result {
			id, _ := r.LastInsertId()
			return counts{id, 0}
		}},
	{name: "rounds numbers", noticed: []string{"bun", "ent", "gorm", "migrate", "sqlc", "sqlx", "xorm"},
		value: func(v sqldriver.Value) sqldriver.Value {
			if f, ok := v.(float64); ok {
				return math.Round(f)
			}
			return v
		}},
	{name: "alters blobs", noticed: []string{"bun", "ent", "gorm", "scs", "sqlc", "sqlx", "xorm"},
		value: func(v sqldriver.Value) sqldriver.Value {
			if b, ok := v.([]byte); ok && len(b) > 0 {
				b = slices.Clone(b)
				b[len(b)-1] ^= 1
				return b
			}
			return v
		}},
	{name: "reads texts as blobs", noticed: []string{"bun", "ent", "goose", "migrate", "sqlx"},
		value: func(v sqldriver.Value) sqldriver.Value {
			if s, ok := v.(string); ok {
				return []byte(s)
			}
			return v
		}},
}

// The programs that use what is broken must notice a flaw. No program may notice a wrapper
// without a flaw; so it is the flaw that they notice.
func TestFlawsAreNoticed(t *testing.T) {
	transcripts := make(map[string]string)
	for name, p := range programs {
		transcripts[name] = plain.transcript(t, p)
	}
	for _, f := range flaws {
		t.Run(f.name, func(t *testing.T) {
			s := setup{name: f.name, driver: "sqlite3", open: func(dsn string) (*sql.DB, error) {
				c, err := (&sqlite3driver.SQLite{}).OpenConnector(dsn)
				return sql.OpenDB(&flawedConnector{c, &f}), err
			}}
			for _, name := range everyone {
				must := slices.Contains(f.noticed, name)
				if !must && f.name != "none" {
					continue
				}
				got, _ := s.run(t, programs[name])
				if (got != transcripts[name]) != must {
					t.Errorf("%s: noticed %t\n%s", name, !must, firstDifference(transcripts[name], got))
				}
			}
		})
	}
}

// A committer commits even on Rollback.
type committer struct{ sqldriver.Tx }

func (c committer) Rollback() error { return c.Commit() }

type counts struct{ id, rows int64 }

func (c counts) LastInsertId() (int64, error) { return c.id, nil }
func (c counts) RowsAffected() (int64, error) { return c.rows, nil }

type flawedConnector struct {
	sqldriver.Connector
	flaw *flaw
}

func (c *flawedConnector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &flawedConn{conn.(sqlite3driver.Conn), c.flaw}, nil
}

type flawedConn struct {
	sqlite3driver.Conn
	flaw *flaw
}

func (c *flawedConn) CheckNamedValue(v *sqldriver.NamedValue) error {
	return c.Conn.(sqldriver.NamedValueChecker).CheckNamedValue(v)
}

func (c *flawedConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if c.flaw.begin != nil {
		opts = c.flaw.begin(opts)
	}
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err == nil && c.flaw.tx != nil {
		tx = c.flaw.tx(tx)
	}
	return tx, c.flaw.fail(err)
}

func (c *flawedConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, query, args)
	return c.flaw.done(res, err)
}

func (c *flawedConn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	stmt, err := c.Conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.flaw.fail(err)
	}
	return &flawedStmt{stmt, c.flaw}, nil
}

type flawedStmt struct {
	sqldriver.Stmt
	flaw *flaw
}

func (s *flawedStmt) CheckNamedValue(v *sqldriver.NamedValue) error {
	return s.Stmt.(sqldriver.NamedValueChecker).CheckNamedValue(v)
}

func (s *flawedStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := s.Stmt.(sqldriver.StmtExecContext).ExecContext(ctx, args)
	return s.flaw.done(res, err)
}

func (s *flawedStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	rows, err := s.Stmt.(sqldriver.StmtQueryContext).QueryContext(ctx, args)
	switch f := s.flaw; {
	case err != nil:
		return nil, f.fail(err)
	case f.noType:
		return typeless{rows, rows.(plainRows)}, nil
	case f.value != nil || f.err != nil:
		return &flawedRows{rows.(plainRows), f}, nil
	}
	return rows, nil
}

// plainRows has the methods of the plain driver's rows.
type plainRows interface {
	sqldriver.RowsColumnTypeScanType
	ColumnTypeDatabaseTypeName(int) string
	ColumnTypeNullable(int) (nullable, ok bool)
}

// typeless hides one method of the plain driver's rows.
type typeless struct {
	sqldriver.Rows
	rows plainRows
}

func (r typeless) ColumnTypeDatabaseTypeName(i int) string {
	return r.rows.ColumnTypeDatabaseTypeName(i)
}

func (r typeless) ColumnTypeNullable(i int) (nullable, ok bool) {
	return r.rows.ColumnTypeNullable(i)
}

type flawedRows struct {
	plainRows
	flaw *flaw
}

func (r *flawedRows) Next(dest []sqldriver.Value) error {
	err := r.plainRows.Next(dest)
	if err != nil {
		return r.flaw.fail(err)
	}
	if r.flaw.value != nil {
		for i, v := range dest {
			dest[i] = r.flaw.value(v)
		}
	}
	return nil
}

func (f *flaw) fail(err error) error {
	// These two errors are signals between database/sql and its drivers.
	if err == nil || f.err == nil || err == io.EOF || err == sqldriver.ErrSkip {
		return err
	}
	return f.err(err)
}

func (f *flaw) done(res sqldriver.Result, err error) (sqldriver.Result, error) {
	if err == nil && f.result != nil {
		res = f.result(res)
	}
	return res, f.fail(err)
}
