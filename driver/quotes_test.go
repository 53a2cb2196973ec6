package driver_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// If a connection reads double quotes as string quotes, no span shows their content. That
// holds from the moment when Config.Init or the program enables it.
func TestDoubleQuotedStringsAreHidden(t *testing.T) {
	const query = `SELECT "hunter2", count(*) FROM "sqlite_schema" WHERE name <> "hunter2"`
	const plain, hidden = `SELECT "hunter2", count(*) FROM "sqlite_schema" WHERE name <> ?`, `SELECT ?, count(*) FROM "sqlite_schema" WHERE name <> ?`
	ctx := context.Background()
	set := func(on bool) func(*sqlite3.Conn) error {
		return func(c *sqlite3.Conn) error {
			_, err := c.Config(sqlite3.DBCONFIG_DQS_DML, on)
			return err
		}
	}
	for _, init := range []bool{false, true} {
		tracer, _, rec := recordSpans(t)
		db := open(t, ":memory:", driver.Config{Tracing: tracer, Init: set(init)})
		db.SetMaxOpenConns(1)
		shown := func(conn *sql.Conn) string {
			t.Helper()
			rows, err := conn.QueryContext(ctx, query)
			if err == nil {
				rows.Next()
				rows.Close()
			}
			ended := rec.Ended()
			for _, kv := range ended[len(ended)-1].Attributes() {
				if kv.Key == "db.query.text" {
					return kv.Value.AsString()
				}
			}
			return ""
		}
		check := func(conn *sql.Conn, on bool) {
			t.Helper()
			want := plain
			if on {
				want = hidden
			}
			if got := shown(conn); got != want {
				t.Errorf("on by Init: %t, on now: %t: %s is shown", init, on, got)
			}
		}
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		check(conn, init)
		var kept interface {
			Config(sqlite3.DBConfig, ...bool) (bool, error)
		}
		if err := conn.Raw(func(c any) error {
			kept = c.(interface {
				Config(sqlite3.DBConfig, ...bool) (bool, error)
			})
			_, err := kept.Config(sqlite3.DBCONFIG_DQS_DDL, true)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		check(conn, true)
		if _, err := kept.Config(sqlite3.DBCONFIG_DQS_DDL, false); err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Config(sqlite3.DBCONFIG_DQS_DML, !init); err != nil {
			t.Fatal(err)
		}
		check(conn, !init)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if conn, err = db.Conn(ctx); err != nil {
			t.Fatal(err)
		}
		check(conn, !init) // the same connection
		conn.Close()
	}
}
