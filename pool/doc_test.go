package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestDocLanes checks the manual's table of lanes.
func TestDocLanes(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	query := func(text string) func(*sql.Conn) error {
		return func(c *sql.Conn) error {
			rows, err := c.QueryContext(t.Context(), text)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		}
	}
	exec := func(text string) func(*sql.Conn) error {
		return func(c *sql.Conn) error {
			_, err := c.ExecContext(t.Context(), text)
			return err
		}
	}
	prepare := func(text string) func(*sql.Conn) error {
		return func(c *sql.Conn) error {
			s, err := c.PrepareContext(t.Context(), text)
			if err != nil {
				return err
			}
			return s.Close()
		}
	}
	begin := func(opts *sql.TxOptions) func(*sql.Conn) error {
		return func(c *sql.Conn) error {
			tx, err := c.BeginTx(t.Context(), opts)
			if err != nil {
				return err
			}
			return tx.Commit()
		}
	}
	const reader, writer = "reader", "writer"
	for what, tc := range map[string]struct {
		lane string
		do   func(*sql.Conn) error
	}{
		"select":             {reader, query("SELECT * FROM t")},
		"values":             {reader, query("VALUES (1)")},
		"with, reads":        {reader, query("WITH n AS (SELECT 1) SELECT * FROM n")},
		"with, writes":       {writer, query("WITH n AS (SELECT 1) INSERT INTO t SELECT * FROM n RETURNING a")},
		"last_insert_rowid":  {writer, query("SELECT last_insert_rowid()")},
		"changes":            {writer, query("SELECT changes(), total_changes()")},
		"sqlite_temp_schema": {writer, query("SELECT * FROM sqlite_temp_schema")},
		"pragma_ function":   {writer, query("SELECT * FROM pragma_table_info('t')")},
		"several": {writer, func(c *sql.Conn) error {
			if query("SELECT 1; SELECT 2")(c) == nil { // as on package driver's connections
				return errors.New("the second statement is left out")
			}
			return nil
		}},
		"insert returning":     {writer, query("INSERT INTO t VALUES (2) RETURNING a")},
		"pragma":               {writer, query("PRAGMA user_version")},
		"exec of a select":     {writer, exec("SELECT 1")},
		"exec of DDL":          {writer, exec("CREATE TABLE IF NOT EXISTS u(a)")},
		"explain select":       {reader, query("EXPLAIN QUERY PLAN SELECT * FROM t")},
		"explain insert":       {writer, query("EXPLAIN INSERT INTO t VALUES (1)")},
		"prepare select":       {reader, prepare("SELECT 1")},
		"prepare insert":       {reader, prepare("INSERT INTO t VALUES (1)")},
		"prepare pragma":       {writer, prepare("PRAGMA user_version")},
		"begin, reads":         {reader, begin(&sql.TxOptions{ReadOnly: true})},
		"begin":                {writer, begin(nil)},
		"begin, reads, serial": {writer, begin(&sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable})},
		"ping":                 {reader, func(c *sql.Conn) error { return c.PingContext(t.Context()) }},
		"raw, not called":      {"", func(c *sql.Conn) error { return c.Raw(func(any) error { return nil }) }},
		"raw": {writer, func(c *sql.Conn) error {
			return c.Raw(func(dc any) error {
				dc.(driver.Conn).Raw()
				return nil
			})
		}},
	} {
		p.Reset() // after Raw, queries go to the writer
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.do(c); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		lane := ""
		for _, h := range p.Holders() {
			lane += string(h.Lane)
		}
		if lane != tc.lane {
			t.Errorf("%s: the lane is %q, the manual says %q", what, lane, tc.lane)
		}
		c.Close()
	}
}

// TestDocDifferences checks the manual's claims about a single lane, functions and acquire
// errors.
func TestDocDifferences(t *testing.T) {
	type key struct{}
	var found context.Context
	cfg := pool.InMemory()
	cfg.AcquireTimeout = time.Second
	cfg.Init = func(c *sqlite3.Conn) error {
		return c.CreateFunction("look", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			found = ctx.Conn().GetInterrupt()
			ctx.ResultInt(1)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := openOwn(t, cfg)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		defer cancel()
		rows, err := p.DB().QueryContext(ctx, "SELECT look() UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		rows.Next()
		if found == nil || found == ctx || found.Value(key{}) != "value" || found.Done() != ctx.Done() {
			t.Errorf("a function finds %v", found)
		}
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatalf("db.Conn: %v", err)
		}
		defer c.Close()
		began := time.Now()
		_, err = c.ExecContext(t.Context(), "SELECT 1")
		if took := time.Since(began); !errors.Is(err, pool.ErrAcquireTimeout) || !errors.Is(err, sqlite3.BUSY) || took != time.Second {
			t.Errorf("a call while rows are open: %v after %v", err, took)
		}
	})
}
