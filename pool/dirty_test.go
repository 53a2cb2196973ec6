package pool_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestE11DirtyRepair checks that a transaction begun by an SQL BEGIN ends with its checkout,
// and that an event reports it. Later calls are not part of it and do not wait for it.
func TestE11DirtyRepair(t *testing.T) {
	var log logged
	eachDoor(t, pool.Config{Logger: slog.New(&log)}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "BEGIN")
		if n := d.pool.Stats().Dirty; n != 1 {
			t.Errorf("%d dirty releases are counted", n)
		}
		mustExec(t, d.db, "INSERT INTO t VALUES (1)") // commits by itself
		if _, err := d.db.Exec("COMMIT"); err == nil {
			t.Error("COMMIT finds a transaction")
		}
		mustExec(t, d.db, "BEGIN; INSERT INTO t VALUES (2)")
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 1 {
			t.Errorf("%d rows, want only the committed one", n)
		}
		mustExec(t, d.db, "SAVEPOINT s")
		if n := d.pool.Stats().Dirty; n != 3 {
			t.Errorf("%d dirty releases are counted, want 3", n)
		}
		if s := d.pool.Stats(); s.Discards != 0 {
			t.Errorf("%d connections were discarded", s.Discards)
		}
		if !log.has("transaction", "BEGIN") {
			t.Errorf("no line is logged: %v", log.lines)
		}
	})
}

// TestE11DirtyDiscard checks that DirtyDiscard also closes the connection.
func TestE11DirtyDiscard(t *testing.T) {
	eachDoor(t, pool.Config{Dirty: pool.DirtyDiscard}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "BEGIN; INSERT INTO t VALUES (1)")
		if s := d.pool.Stats(); s.Dirty != 1 || s.ClosedFor[driver.ReasonDirty] != 1 {
			t.Errorf("%d dirty releases are counted, closed for %v", s.Dirty, s.ClosedFor)
		}
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 0 {
			t.Errorf("%d rows of an uncommitted transaction", n)
		}
		mustExec(t, d.db, "INSERT INTO t VALUES (2)")
	})
}

// TestE11DirtyFail checks that with DirtyFail the next statement returns the error, once.
func TestE11DirtyFail(t *testing.T) {
	eachDoor(t, pool.Config{Dirty: pool.DirtyFail}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)")
		for name, next := range map[string]func() error{
			"Exec":    func() error { _, err := d.db.Exec("INSERT INTO t VALUES (1)"); return err },
			"Query":   func() error { return d.db.QueryRow("SELECT 1").Scan(new(int)) },
			"Prepare": func() error { _, err := d.db.Prepare("SELECT 1"); return err },
			"Begin":   func() error { _, err := d.db.Begin(); return err },
			"of a Conn": func() error {
				conn, err := d.db.Conn(t.Context())
				if err != nil {
					return err
				}
				defer conn.Close()
				_, err = conn.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
				return err
			},
		} {
			mustExec(t, d.db, "BEGIN")
			var dirty *pool.DirtyError
			if err := next(); !errors.As(err, &dirty) || dirty.Last != "BEGIN" {
				t.Errorf("%s: %v", name, err)
			}
			mustExec(t, d.db, "DELETE FROM t")
		}
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 0 {
			t.Errorf("%d rows: a failed statement has been executed", n)
		}
	})
}

// TestE11TransactionByQueriesOnAConn checks that, within a checkout of the program, one query
// may begin a transaction and another may end it, under every policy.
func TestE11TransactionByQueriesOnAConn(t *testing.T) {
	for _, dirty := range []pool.DirtyPolicy{pool.DirtyRepair, pool.DirtyDiscard, pool.DirtyFail} {
		t.Run(dirty.String(), func(t *testing.T) {
			eachDoor(t, pool.Config{Dirty: dirty}, func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE t (a)")
				conn, err := d.db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (1)")
				if n := mustScan[int](t, conn, "SELECT count(*) FROM t"); n != 1 {
					t.Errorf("within, %d rows", n)
				}
				if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 0 {
					t.Errorf("on another connection, %d rows", n)
				}
				mustExec(t, conn, "COMMIT")
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 1 {
					t.Errorf("afterwards, %d rows", n)
				}
				if n := d.pool.Stats().Dirty; n != 0 {
					t.Errorf("%d dirty releases are counted", n)
				}
			})
		})
	}
}
