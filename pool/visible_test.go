package pool_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// rawOf calls f with SQLite's connection, as any program can do.
func rawOf(t *testing.T, conn *sql.Conn, f func(*sqlite3.Conn) error) {
	t.Helper()
	err := conn.Raw(func(dc any) error { return f(dc.(interface{ Raw() *sqlite3.Conn }).Raw()) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestE10ObjectsOfTheWriterAreVisible checks that later queries see the objects that a program
// has created on the writer. That holds however the queries are executed, even if they were
// cached before.
func TestE10ObjectsOfTheWriterAreVisible(t *testing.T) {
	for name, tc := range map[string]struct {
		make  func(t *testing.T, d door)
		query string // returns one number
		want  int
	}{
		"a temporary table": {
			func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TEMP TABLE x (a)", "INSERT INTO x VALUES (7)")
			}, "SELECT a FROM x", 7,
		},
		"a temporary table that hides another": {
			func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE temp.t (a)", "INSERT INTO temp.t VALUES (8)")
			}, "SELECT a FROM t", 8,
		},
		"a temporary table by a quoted name": {
			func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE 'temp'.t (a)", "INSERT INTO temp.t VALUES (8)")
			}, "SELECT a FROM t", 8,
		},
		"a temporary view": {
			func(t *testing.T, d door) { mustExec(t, d.db, "create temporary view x as select 9 as a") },
			"WITH y AS (SELECT a FROM x) SELECT a FROM y", 9,
		},
		"one of a transaction": {
			func(t *testing.T, d door) {
				tx, err := d.db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				mustExec(t, tx, "CREATE TEMP TABLE x (a)", "INSERT INTO x VALUES (7)")
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}, "SELECT a FROM x", 7,
		},
		"one behind another statement": {
			func(t *testing.T, d door) {
				mustExec(t, d.db, "PRAGMA cache_size;; CREATE TEMP TABLE x (a); INSERT INTO x VALUES (7)")
			}, "SELECT a FROM x", 7,
		},
		"an attached file": {
			func(t *testing.T, d door) {
				if _, err := d.db.Exec("ATTACH ? AS other", filepath.Join(filepath.Dir(d.path), "other.db")); err != nil {
					t.Fatal(err)
				}
				mustExec(t, d.db, "CREATE TABLE other.x (a)", "INSERT INTO other.x VALUES (5)")
			}, "SELECT a FROM x", 5,
		},
		"a function": {
			func(t *testing.T, d door) {
				conn, err := d.db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				rawOf(t, conn, func(c *sqlite3.Conn) error {
					return c.CreateFunction("seven", 0, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(7) })
				})
			}, "SELECT seven()", 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
				_ = d.db.QueryRow(tc.query).Scan(new(int)) // caches the query and opens a reader
				tc.make(t, d)
				if got := mustScan[int](t, d.db, tc.query); got != tc.want {
					t.Errorf("%d, want %d", got, tc.want)
				}
				stmt, err := d.db.Prepare(tc.query)
				if err != nil {
					t.Fatal(err)
				}
				defer stmt.Close()
				var got int
				if err := stmt.QueryRow().Scan(&got); err != nil || got != tc.want {
					t.Errorf("prepared: %d, %v, want %d", got, err, tc.want)
				}
				if n := d.pool.Stats().SessionChanges; n == 0 {
					t.Error("no session change is counted")
				}
			})
		})
	}
}

// TestE10InitIsForEveryConnection checks that objects that Config.Init creates exist on every
// connection, so that queries stay on readers.
func TestE10InitIsForEveryConnection(t *testing.T) {
	cfg := pool.Config{Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("seven", 0, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(7) })
	}}
	eachDoor(t, cfg, func(t *testing.T, d door) {
		tx, err := d.db.Begin() // holds the writer
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if n := mustScan[int](t, tx, "SELECT seven()"); n != 7 {
			t.Errorf("%d on the writer", n)
		}
		if n := mustScan[int](t, d.db, "SELECT seven()"); n != 7 {
			t.Errorf("%d on a reader", n)
		}
	})
}

// TestE10ResetReturnsQueriesToReaders checks that Reset sends queries to readers again, and
// that the objects are gone.
func TestE10ResetReturnsQueriesToReaders(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", "CREATE TEMP TABLE t (a)", "INSERT INTO temp.t VALUES (2)")
		if n := mustScan[int](t, d.db, "SELECT a FROM t"); n != 2 {
			t.Errorf("%d rows of the temporary table", n)
		}
		d.pool.Reset()
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if n := mustScan[int](t, d.db, "SELECT a FROM t"); n != 1 {
			t.Errorf("%d after a reset", n)
		}
	})
}
