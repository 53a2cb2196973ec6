package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A tracker is a Recorder that records which lanes were acquired.
type tracker struct {
	mu    sync.Mutex
	lanes []string
}

func (l *tracker) Record(e driver.Event) {
	if e.Kind == driver.KindAcquire {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lanes = append(l.lanes, string(e.Lane))
	}
}

// during returns the lanes that f acquires, in order.
func (l *tracker) during(f func()) string {
	l.mu.Lock()
	l.lanes = nil
	l.mu.Unlock()
	f()
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lanes, " ")
}

// drain reads all rows.
func drain(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// ways are the ways for a program to execute a query, in the order in which the test tries
// them.
var ways = []struct {
	name string
	do   func(ctx context.Context, db *sql.DB, query string) error
}{
	{"Query", func(ctx context.Context, db *sql.DB, query string) error { return drain(db.QueryContext(ctx, query)) }},
	{"Query again", func(ctx context.Context, db *sql.DB, query string) error { return drain(db.QueryContext(ctx, query)) }},
	{"Exec", func(ctx context.Context, db *sql.DB, query string) error {
		_, err := db.ExecContext(ctx, query)
		return err
	}},
	{"Prepare, Query", func(ctx context.Context, db *sql.DB, query string) error {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		return drain(stmt.QueryContext(ctx))
	}},
	{"Prepare, Exec", func(ctx context.Context, db *sql.DB, query string) error {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		_, err = stmt.ExecContext(ctx)
		return err
	}},
	{"Tx", func(ctx context.Context, db *sql.DB, query string) error { return inTx(ctx, db, nil, query) }},
	{"Tx ReadOnly", func(ctx context.Context, db *sql.DB, query string) error {
		return inTx(ctx, db, &sql.TxOptions{ReadOnly: true}, query)
	}},
	{"Conn", func(ctx context.Context, db *sql.DB, query string) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		return drain(conn.QueryContext(ctx, query))
	}},
}

func inTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, query string) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return drain(tx.QueryContext(ctx, query))
}

// The lanes that each way acquires for a class of queries, in the order of ways.
var (
	forReads = []string{"reader", "reader", "writer", "reader reader", "reader writer", "writer", "reader", "reader"}
	// If only SQLite can classify the query, a reader is asked once.
	forWithWrite = []string{"reader writer", "writer", "writer", "reader writer", "reader writer", "writer", "reader", "writer"}
	forWrites    = []string{"writer", "writer", "writer", "reader writer", "reader writer", "writer", "reader", "writer"}
	forAlone     = []string{"writer", "writer", "writer", "writer writer", "writer writer", "writer", "reader", "writer"}
	// Several statements cannot be prepared as one.
	forSeveral = []string{"writer", "writer", "writer", "writer", "writer", "writer", "reader", "writer"}
)

// TestRouting checks that each query goes to the lane of the design's table, however it is
// executed.
func TestRouting(t *testing.T) {
	for _, tc := range []struct {
		lanes  []string
		writes bool // a read-only transaction refuses it
		texts  []string
	}{
		{forReads, false, []string{
			"SELECT a FROM t",
			"select a from t;",
			"VALUES (1)",
			"EXPLAIN SELECT a FROM t",
			"EXPLAIN QUERY PLAN SELECT a FROM t",
			"\uFEFFSELECT 1",
			";;; -- x\n /* PRAGMA */ SELECT 1 ; ;",
			`SELECT "a" FROM [t] WHERE ` + "`a`" + ` <> 'changes(); PRAGMA x'`,
			"WITH x AS (SELECT 1) SELECT * FROM x",
			"with recursive n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i<9) SELECT * FROM n",
			"SELECT count(*) FROM sqlite_schema",
		}},
		{forWithWrite, true, []string{
			"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
			"/* x */ with x AS (SELECT 1 AS i) UPDATE t SET a = 5 RETURNING a",
			"WITH x AS (SELECT 1) DELETE FROM t",
		}},
		{forWrites, false, []string{"EXPLAIN DELETE FROM t"}},
		{forWrites, true, []string{
			"INSERT INTO t VALUES (1)",
			"insert into t values (1) returning a",
			"REPLACE INTO t VALUES (1)",
			"UPDATE t SET a = 2",
			"DELETE FROM t",
			"-- x\n;DELETE FROM t",
		}},
		{forAlone, false, []string{
			"SELECT last_insert_rowid()",
			`SELECT "Changes"()`,
			"SELECT total_changes() FROM t",
			"SELECT * FROM sqlite_temp_schema",
			"SELECT * FROM pragma_table_info('t')",
			"PRAGMA user_version",
			"PRAGMA foreign_keys = OFF",
			"/* x */ ;pragma recursive_triggers = 1",
			"EXPLAIN PRAGMA user_version",
			"ANALYZE",
			"CREATE TABLE IF NOT EXISTS u (a)",
			"DROP TABLE IF EXISTS u",
			"BEGIN",
			"SAVEPOINT s",
			"PRAGMA optimize",
		}},
		{forSeveral, false, []string{
			"SELECT 1; SELECT 2",
			"SELECT 1;; PRAGMA foreign_keys = 0",
			"BEGIN; COMMIT",
			"nonsense",
			"SELECT 1; -- x\nDELETE FROM t",
		}},
	} {
		for _, query := range tc.texts {
			var lanes tracker
			p, _ := pooled(t, pool.Config{MaxConns: 2, Recorder: &lanes})
			mustExec(t, p.DB(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
			for i, way := range ways {
				var err error
				got := lanes.during(func() { err = way.do(t.Context(), p.DB(), query) })
				if got != tc.lanes[i] {
					t.Errorf("%q by %s: %q, want %q (error: %v)", query, way.name, got, tc.lanes[i], err)
				}
				refused := errors.Is(err, sqlite3.READONLY)
				if inReader := way.name == "Tx ReadOnly"; tc.writes && refused != inReader || refused && !inReader {
					t.Errorf("%q by %s: %v", query, way.name, err)
				}
			}
			p.Close()
		}
	}
}

// TestRoutingOfPinnedDatabases checks that Reader and Writer always use their own lane.
func TestRoutingOfPinnedDatabases(t *testing.T) {
	var lanes tracker
	p, _ := pooled(t, pool.Config{Recorder: &lanes})
	mustExec(t, p.DB(), "CREATE TABLE t (a)")
	for _, query := range []string{"SELECT a FROM t", "INSERT INTO t VALUES (1)", "PRAGMA user_version", "SELECT changes()"} {
		for _, way := range ways {
			for name, db := range map[string]*sql.DB{"reader": p.Reader(), "writer": p.Writer()} {
				got := lanes.during(func() { _ = way.do(t.Context(), db, query) })
				if strings.Trim(strings.ReplaceAll(got, name, ""), " ") != "" || got == "" {
					t.Errorf("%q by %s on the %s: %q", query, way.name, name, got)
				}
			}
		}
	}
	if _, err := p.Reader().Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write on a reader: %v", err)
	}
}

// TestConnThatHasWrittenStaysOnTheWriter checks that a checkout that has used the writer keeps
// it, and releases its reader.
func TestConnThatHasWrittenStaysOnTheWriter(t *testing.T) {
	var lanes tracker
	p, _ := pooled(t, pool.Config{Recorder: &lanes})
	mustExec(t, p.DB(), "CREATE TABLE t (a)")
	conn, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if id := conn.ID(); id != 0 {
		t.Errorf("before its first query, the checkout has connection %v", id)
	}
	stmt, err := conn.PrepareContext(t.Context(), "SELECT count(*) FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	reader := conn.ID()
	got := lanes.during(func() {
		mustScan[int](t, conn, "SELECT count(*) FROM t")
		mustExec(t, conn, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
		mustScan[int](t, conn, "SELECT count(*) FROM t")
	})
	if got != "writer" {
		t.Errorf("acquired %q, want the writer once", got)
	}
	if writer := conn.ID(); writer == reader || reader == 0 {
		t.Errorf("connection %v, then %v", reader, writer)
	}
	if s := p.Stats(); s.ReadersInUse != 0 || s.WritersInUse != 1 {
		t.Errorf("%d readers and %d writers are in use", s.ReadersInUse, s.WritersInUse)
	}
	// A statement prepared before sees the uncommitted changes.
	mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (3)")
	var n int
	if err := stmt.QueryRow().Scan(&n); err != nil || n != 3 {
		t.Errorf("the earlier statement sees %d rows, %v", n, err)
	}
	mustExec(t, conn, "ROLLBACK")
	if err := conn.Release(); err != nil {
		t.Fatal(err)
	}
	if got := lanes.during(func() { mustScan[int](t, p.DB(), "SELECT count(*) FROM t") }); got != "reader" {
		t.Errorf("the next checkout has the %s", got)
	}
}

// TestSavepointInTransaction checks that savepoints of ncruces' driver work in transactions of
// the pool.
func TestSavepointInTransaction(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)")
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		mustExec(t, tx, "INSERT INTO t VALUES (1)")
		err = func() (err error) {
			defer sqlite3driver.Savepoint(tx).Release(&err)
			mustExec(t, tx, "INSERT INTO t VALUES (2)")
			return errors.New("not this one")
		}()
		if err == nil {
			t.Error("no error")
		}
		func() {
			var err error
			defer sqlite3driver.Savepoint(tx).Release(&err)
			mustExec(t, tx, "INSERT INTO t VALUES (3)")
		}()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := mustScan[string](t, d.db, "SELECT group_concat(a) FROM t"); got != "1,3" {
			t.Errorf("rows %s, want 1,3", got)
		}
	})
}

// TestTransactionLanes checks that a transaction's options decide its lane, and whether it has
// the write lock from the beginning.
func TestTransactionLanes(t *testing.T) {
	var lanes tracker
	p, _ := pooled(t, pool.Config{Path: filepath.ToSlash(newFile(t)), Recorder: &lanes})
	mustExec(t, p.DB(), "CREATE TABLE t (a)")
	other, err := sqlite3.Open(p.Config().Path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, tc := range map[string]struct {
		opts   *sql.TxOptions
		lane   string
		writes bool
		locks  bool
		fails  bool
	}{
		"none":                       {nil, "writer", true, true, false},
		"ReadOnly":                   {&sql.TxOptions{ReadOnly: true}, "reader", false, false, false},
		"Serializable":               {&sql.TxOptions{Isolation: sql.LevelSerializable}, "writer", true, true, false},
		"Serializable and ReadOnly":  {&sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true}, "writer", false, true, false},
		"Linearizable":               {&sql.TxOptions{Isolation: sql.LevelLinearizable}, "writer", true, true, false},
		"ReadCommitted":              {&sql.TxOptions{Isolation: sql.LevelReadCommitted}, "writer", false, false, true},
		"ReadCommitted and ReadOnly": {&sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: true}, "writer", false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			var tx *sql.Tx
			var err error
			if got := lanes.during(func() { tx, err = p.DB().BeginTx(t.Context(), tc.opts) }); got != tc.lane {
				t.Errorf("the transaction has the %s, want the %s", got, tc.lane)
			}
			if (err != nil) != tc.fails {
				t.Fatal(err)
			}
			if tc.fails {
				return
			}
			defer tx.Rollback()
			err = other.Exec("BEGIN IMMEDIATE; ROLLBACK")
			if errors.Is(err, sqlite3.BUSY) != tc.locks || err != nil && !tc.locks {
				t.Errorf("a transaction of another handle at the same time: %v", err)
			}
			mustScan[int](t, tx, "SELECT count(*) FROM t")
			if _, err := tx.Exec("INSERT INTO t VALUES (1)"); (err == nil) != tc.writes || err != nil && !errors.Is(err, sqlite3.READONLY) {
				t.Errorf("a write: %v", err)
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			mustExec(t, p.DB(), "INSERT INTO t VALUES (1)") // the writer is writable again
		})
	}
}
