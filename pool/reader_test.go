package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestE4ReaderStaysReadOnly checks that a reader stays read-only after a read-only transaction.
// At its end, the plain driver turns query_only off.
func TestE4ReaderStaysReadOnly(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)")
		for range 2 {
			tx, err := d.db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
				t.Errorf("a write in a read-only transaction: %v", err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			for _, raw := range d.pool.IdleReaders() {
				if on := valueOf(raw, "PRAGMA query_only"); on != "1" {
					t.Errorf("query_only is %s on a reader", on)
				}
			}
		}
		if len(d.pool.IdleReaders()) != 1 {
			t.Error("the reader was closed")
		}
	})
}

// TestE4PragmaOnReaderIsLost checks that a pragma set in a read-only transaction is
// lost, because its connection is closed.
func TestE4PragmaOnReaderIsLost(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		mustScan[int](t, d.db, "SELECT 1")
		before := readerSessions(d.pool)
		tx, err := d.db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, "PRAGMA recursive_triggers = 1")
		if on := mustScan[int](t, tx, "PRAGMA recursive_triggers"); on != 1 {
			t.Errorf("recursive_triggers is %d in the transaction that set it", on)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		mustScan[int](t, d.db, "SELECT 1")
		if after := readerSessions(d.pool); len(after) != 1 || after[0] != before[0] {
			t.Errorf("the next reader has %v\nbefore: %v", after, before)
		}
	})
}

// TestE9SnapshotIsNotKept checks that a statement that a caller has stepped and not reset
// does not pin the snapshot of the connection's next caller.
func TestE9SnapshotIsNotKept(t *testing.T) {
	eachDoor(t, pool.Config{MaxConns: 2}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
		reader, err := d.pool.Reader().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mustScan[int](t, reader, "SELECT count(*) FROM t")
		pin(t, reader, "SELECT a FROM t")
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		mustExec(t, d.db, "INSERT INTO t VALUES (3)")
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 3 {
			t.Errorf("a reader sees %d rows of 3", n)
		}
		if d.pool.Stats().Max != 2 {
			t.Error("there is only one lane")
		}
		// A program's changes to one reader send no queries to the writer.
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if n := mustScan[int](t, d.db, "SELECT count(*) FROM t"); n != 3 {
			t.Errorf("beside a transaction, a reader sees %d rows of 3", n)
		}
	})
}

// pin steps a statement on a connection and does not reset it.
func pin(t *testing.T, conn *sql.Conn, query string) {
	t.Helper()
	err := conn.Raw(func(dc any) error {
		stmt, _, err := dc.(interface{ Raw() *sqlite3.Conn }).Raw().Prepare(query)
		if err == nil && !stmt.Step() {
			err = errors.Join(errors.New("there is no row"), stmt.Err())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestE9PinnedStatementIsReset checks a caller that got SQLite's connection without the pool's
// knowledge. At the release, the pool resets the statement that pins a snapshot, and keeps the
// connection.
func TestE9PinnedStatementIsReset(t *testing.T) {
	var raws []*sqlite3.Conn
	hooks := pool.Hooks{AfterConnect: func(_ context.Context, c *sqlite3.Conn) error {
		if valueOf(c, "PRAGMA query_only") == "1" {
			raws = append(raws, c)
		}
		return nil
	}}
	p, _ := pooled(t, pool.Config{MaxConns: 2, MinConns: 2, Hooks: hooks})
	mustExec(t, p.DB(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
	reader, err := p.AcquireRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stmt, _, err := raws[0].Prepare("SELECT a FROM t")
	if err != nil || !stmt.Step() {
		t.Fatal(err)
	}
	reader.Close()
	if s := raws[0].TxnState(""); s != sqlite3.TXN_NONE {
		t.Errorf("an idle reader's transaction state is %v", s)
	}
	mustExec(t, p.DB(), "INSERT INTO t VALUES (3)")
	if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("a reader sees %d rows of 3", n)
	}
	if len(raws) != 1 {
		t.Errorf("%d readers were opened", len(raws))
	}
}
