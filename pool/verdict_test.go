package pool_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestViewOverWriterState checks a view over functions that only the writer knows, which
// shows only when SQLite prepares a query of it. As long as the view is like that, its queries
// go to the writer, and return the same as with one connection.
func TestViewOverWriterState(t *testing.T) {
	lane := &tracker{}
	eachDoor(t, pool.Config{Recorder: lane}, func(t *testing.T, d door) {
		db := d.db
		mustExec(t, db, "CREATE TABLE t (a)", "CREATE VIEW v AS SELECT 0 AS id, 0 AS n, 0 AS all_", "CREATE VIEW w AS SELECT * FROM (SELECT id + 0 AS id, n, all_ FROM v)")
		const query = "SELECT id || ' ' || n || ' ' || all_ FROM w"
		stmt, err := db.Prepare(query)
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		check := func(want string) {
			t.Helper()
			for range 2 {
				if got := mustScan[string](t, db, query); got != want {
					t.Errorf("Query: %s, want %s", got, want)
				}
				if got := mustScan[string](t, d.pool.Reader(), "SELECT 'x'"); got != "x" {
					t.Error(got)
				}
				var got string
				if err := stmt.QueryRow().Scan(&got); err != nil || got != want {
					t.Errorf("Stmt: %s, %v, want %s", got, err, want)
				}
			}
		}
		check("0 0 0")
		mustExec(t, db, "DROP VIEW v", `CREATE VIEW v AS SELECT Last_Insert_RowID() AS id, "changes"() AS n, total_changes() AS all_`,
			"INSERT INTO t VALUES (1), (2), (3)")
		check("3 3 3")
		mustExec(t, db, "INSERT INTO t VALUES (4)")
		check("4 1 4")
		mustExec(t, db, "DROP VIEW v", "CREATE VIEW v AS SELECT 0 AS id, 0 AS n, 0 AS all_")
		if lanes := lane.during(func() { check("0 0 0") }); strings.Contains(lanes, "writer") {
			t.Errorf("without such a view, the lanes are %s", lanes)
		}
	})
}

// onWriterOnly is a hook that defines a function on the writer's connections only.
func onWriterOnly(_ context.Context, raw *sqlite3.Conn) error {
	if valueOf(raw, "PRAGMA query_only") == "1" {
		return nil
	}
	return raw.CreateFunction("only", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(7) })
}

// TestFunctionOfTheWriter checks that a query of a function that only the writer has goes to
// the writer, however it is executed.
func TestFunctionOfTheWriter(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  pool.Config
		raw  bool
	}{
		{"AfterConnect", pool.Config{Hooks: pool.Hooks{AfterConnect: onWriterOnly}}, false},
		{"Init", pool.Config{Init: func(raw *sqlite3.Conn) error { return onWriterOnly(context.Background(), raw) }}, false},
		{"Raw", pool.Config{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := pooled(t, tc.cfg)
			db := p.DB()
			mustExec(t, db, "CREATE TABLE t (a)")
			mustScan[int](t, db, "SELECT 1") // opens a reader
			if tc.raw {
				if err := drain(db.Query("SELECT only()")); err == nil {
					t.Error("a reader has the function")
				}
				if err := p.Raw(t.Context(), func(raw *sqlite3.Conn) error { return onWriterOnly(t.Context(), raw) }); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				for _, query := range []string{"SELECT only()", "WITH x AS (SELECT only() AS a) SELECT a FROM x", "INSERT INTO t VALUES (only()) RETURNING a"} {
					if n := mustScan[int](t, db, query); n != 7 {
						t.Errorf("%s: %d, want 7", query, n)
					}
					stmt, err := db.Prepare(query)
					if err != nil {
						t.Errorf("Prepare of %s: %v", query, err)
						continue
					}
					var n int
					if err := stmt.QueryRow().Scan(&n); err != nil || n != 7 {
						t.Errorf("Stmt of %s: %d, %v, want 7", query, n, err)
					}
					stmt.Close()
				}
			}
			if n := p.Stats().ClosedFor[driver.ReasonDirty]; n != 0 {
				t.Errorf("%d readers were closed", n)
			}
		})
	}
}

// TestUnknownFunction checks that a query of a name that neither lane has fails immediately,
// also while another caller holds the writer. If the writer has something that readers do not
// have, that holds from the second time on. Otherwise it always holds.
func TestUnknownFunction(t *testing.T) {
	same := func(_ context.Context, raw *sqlite3.Conn) error {
		return raw.CreateFunction("both", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(7) })
	}
	for _, tc := range []struct {
		name  string
		hook  func(context.Context, *sqlite3.Conn) error
		first bool
	}{{"same", same, false}, {"different", onWriterOnly, true}} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := pooled(t, pool.Config{AcquireTimeout: time.Minute, Hooks: pool.Hooks{AfterConnect: tc.hook}})
			fails := func() {
				t.Helper()
				for _, query := range []string{"SELECT nobody()", "SELECT * FROM missing"} {
					if err := drain(p.DB().Query(query)); err == nil || !strings.Contains(err.Error(), "no such") {
						t.Errorf("%s: %v", query, err)
					}
				}
			}
			if tc.first {
				fails()
			}
			tx, err := p.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			fails()
		})
	}
}
