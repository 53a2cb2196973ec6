package pool_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// E13: a WAL that was large once is cut to the limit, and one that is written to
// all the time does not grow beyond what a checkpoint is for.
func TestE13WALStaysBounded(t *testing.T) {
	const limit = 64 << 10
	eachDoor(t, pool.Config{JournalSizeLimit: limit}, func(t *testing.T, d door) {
		for name, db := range map[string]queryer{"writer": d.pool.Writer(), "reader": d.pool.Reader()} {
			if n := mustScan[int64](t, db, "PRAGMA journal_size_limit"); n != limit {
				t.Errorf("journal_size_limit is %d on the %s", n, name)
			}
		}
		mustExec(t, d.db, "CREATE TABLE t (a)")
		if _, err := d.db.Exec("INSERT INTO t VALUES (randomblob(?))", 8<<20); err != nil {
			t.Fatal(err)
		}
		s := d.pool.Stats().Pages
		if s.Bytes < 8<<20 || s.Frames < 2000 || s.Frames*4096 > s.Bytes {
			t.Errorf("after 8 MiB: %+v", s)
		}
		mustExec(t, d.db, "INSERT INTO t VALUES (1)") // begins the WAL anew
		if s := d.pool.Stats().Pages; s.Bytes > limit {
			t.Errorf("after a checkpoint: %+v, limit %d", s, limit)
		}
		most := int64(0)
		for range 200 {
			if _, err := d.db.Exec("INSERT INTO t VALUES (randomblob(?))", 100<<10); err != nil {
				t.Fatal(err)
			}
			mustScan[int](t, d.db, "SELECT count(*) FROM t")
			most = max(most, d.pool.Stats().Pages.Bytes)
		}
		if most > 5<<20 {
			t.Errorf("while 20 MiB were written, the WAL had up to %d bytes", most)
		}
	})
}

// E13: without a limit of the program's there is one, too.
func TestE13WALHasALimitByDefault(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		if n := mustScan[int64](t, d.db, "PRAGMA journal_size_limit"); n != 64<<20 {
			t.Errorf("journal_size_limit is %d", n)
		}
	})
}

// setJournal are the ways in which a program sets the journal mode.
var setJournal = map[string]func(t *testing.T, d door, mode string) error{
	"Exec": func(t *testing.T, d door, mode string) error {
		_, err := d.db.Exec("PRAGMA journal_mode = " + mode)
		return err
	},
	"QueryRow": func(t *testing.T, d door, mode string) error {
		var got string
		if err := d.db.QueryRow("PRAGMA journal_mode = " + mode).Scan(&got); err != nil {
			return err
		}
		if got != mode {
			t.Errorf("SQLite says %q", got)
		}
		return nil
	},
	"Prepare": func(t *testing.T, d door, mode string) error {
		stmt, err := d.db.Prepare("PRAGMA main.journal_mode(" + mode + ")")
		if err != nil {
			return err
		}
		defer stmt.Close()
		var got string
		return stmt.QueryRow().Scan(&got)
	},
	"Writer": func(t *testing.T, d door, mode string) error {
		var got string
		return d.pool.Writer().QueryRow("PRAGMA journal_mode=" + mode).Scan(&got)
	},
	"behind another statement": func(t *testing.T, d door, mode string) error {
		_, err := d.db.Exec("PRAGMA cache_size; PRAGMA journal_mode = " + mode)
		return err
	},
}

// E13: a journal mode that is set by SQL is seen, and the lanes are those that it
// allows: one without a WAL, in which readers would keep the writer waiting, and
// readers beside the writer once there is one again.
func TestE13JournalModeDecidesTheLanes(t *testing.T) {
	for name, set := range setJournal {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, pool.Config{BusyTimeout: 10 * time.Millisecond, AcquireTimeout: 20 * time.Second}, func(t *testing.T, d door) {
				mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
				readBesideWriter(t, d, true)
				for range 2 {
					if err := set(t, d, "delete"); err != nil {
						t.Fatal(err)
					}
					if s := d.pool.Stats(); s.Max != 1 || s.Readers != 0 {
						t.Errorf("without a WAL: at most %d connections, %d readers", s.Max, s.Readers)
					}
					mustExec(t, d.db, "INSERT INTO t VALUES (2)")
					mustScan[int](t, d.db, "SELECT count(*) FROM t")
					readBesideWriter(t, d, false)
					if err := set(t, d, "wal"); err != nil {
						t.Fatal(err)
					}
					if s := d.pool.Stats(); s.Max != 10 {
						t.Errorf("with a WAL: at most %d connections", s.Max)
					}
					readBesideWriter(t, d, true)
				}
			})
		})
	}
}

// E13: so is one that is set on SQLite's own connection.
func TestE13JournalModeSetThroughRaw(t *testing.T) {
	set := func(c *sqlite3.Conn) error { return c.Exec("PRAGMA journal_mode = delete") }
	// Readers, which would keep SQLite in WAL mode, there are none yet.
	t.Run("Pool.Raw", func(t *testing.T) {
		d := openDoor(t, pool.Config{}, newFile(t))
		if err := d.pool.Raw(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		readBesideWriter(t, d, false)
	})
	t.Run("Conn.Raw", func(t *testing.T) {
		d := openDoor(t, pool.Config{}, newFile(t))
		conn, err := d.pool.Writer().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rawOf(t, conn, set)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		readBesideWriter(t, d, false)
	})
}

// readBesideWriter sees whether a query has a reader while a transaction has the
// writer.
func readBesideWriter(t *testing.T, d door, can bool) {
	t.Helper()
	tx, err := d.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if !can {
		if s := d.pool.Stats(); s.Max != 1 {
			t.Errorf("at most %d connections, want 1", s.Max)
		}
		if _, ok, err := d.pool.TryAcquire(t.Context()); ok || err != nil {
			t.Errorf("a second connection: %t, %v", ok, err)
		}
		return
	}
	mustScan[int](t, d.db, "SELECT count(*) FROM t")
}

// E13: while a reader is in use, SQLite does not leave WAL mode, says so, and the
// lanes are as they were.
func TestE13JournalModeWithAReaderInUse(t *testing.T) {
	eachDoor(t, pool.Config{BusyTimeout: 10 * time.Millisecond}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
		rows, err := d.db.Query("SELECT a FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		rows.Next()
		if err := setJournal["QueryRow"](t, d, "delete"); !errors.Is(err, sqlite3.BUSY) {
			t.Errorf("with rows open: %v", err)
		}
		readBesideWriter(t, d, true)
		if !rows.Next() {
			t.Errorf("the rows that were open: %v", rows.Err())
		}
		rows.Close()
		if err := setJournal["QueryRow"](t, d, "delete"); err != nil {
			t.Errorf("once they are closed: %v", err)
		}
		if s := d.pool.Stats(); s.Max != 1 {
			t.Errorf("at most %d connections", s.Max)
		}
	})
}
