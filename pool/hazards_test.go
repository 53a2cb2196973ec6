package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A door is a way to open a pool: the DB of pool.Open, or sql.Open.
type door struct {
	db   *sql.DB
	pool *pool.Pool
	path string
}

// eachDoor runs a test through both doors, each with a new file, and checks that no file is
// open afterwards.
func eachDoor(t *testing.T, cfg pool.Config, f func(t *testing.T, d door)) {
	t.Helper()
	t.Run("pool.Open", func(t *testing.T) { f(t, openDoor(t, cfg, newFile(t))) })
	t.Run("sql.Open", func(t *testing.T) { f(t, sqlDoor(t, cfg, newFile(t))) })
}

// newFile returns the path of a file that does not exist yet. It must not be open when the test
// is over.
func newFile(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		if left := openFiles(t, dir); len(left) > 0 {
			t.Errorf("still open: %v", left)
		}
	})
	return filepath.Join(dir, "test.db")
}

func openDoor(t testing.TB, cfg pool.Config, path string) door {
	t.Helper()
	cfg.Path = filepath.ToSlash(path)
	p, _ := pooled(t, cfg)
	return door{p.DB(), p, path}
}

func sqlDoor(t testing.TB, cfg pool.Config, path string) door {
	t.Helper()
	var l ledger
	cfg.Recorder = driver.Tee(cfg.Recorder, &l)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := (&pool.Driver{Config: cfg}).OpenConnector("file:" + filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	p := pool.Of(db)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		l.settled(t, p)
		if n := l.open(); n != 0 {
			t.Errorf("%d connections were never closed", n)
		}
	})
	return door{db, p, path}
}

// openFiles returns the files below dir that this process has open.
func openFiles(t testing.TB, dir string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, dir) {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

type queryer interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func mustExec(t testing.TB, db execer, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if _, err := db.ExecContext(context.Background(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

func mustScan[T any](t testing.TB, db queryer, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// columnsOf returns the names of a query's columns, as they are before the first row.
func columnsOf(t testing.TB, query func() (*sql.Rows, error)) string {
	t.Helper()
	rows, err := query()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// TestE1MigrationWithoutForeignKeysLosesNoChild checks that a session pragma set in one
// checkout applies to the next ones. GORM turns foreign keys off that way, rebuilds the table,
// and turns them on again. If they were on during the rebuild, its DROP TABLE would delete the
// children. https://sqlite.org/lang_altertable.html#otheralter
func TestE1MigrationWithoutForeignKeysLosesNoChild(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"as it is":                      {},
		"connections that live shortly": {MaxLifetime: time.Nanosecond},
		"one connection":                {MaxConns: 1},
	} {
		t.Run(name, func(t *testing.T) {
			eachDoor(t, cfg, func(t *testing.T, d door) {
				mustExec(t, d.db,
					"CREATE TABLE `parents` (`id` integer PRIMARY KEY AUTOINCREMENT, `name` text)",
					"CREATE TABLE `children` (`id` integer PRIMARY KEY AUTOINCREMENT, `parent_id` integer, CONSTRAINT `fk` FOREIGN KEY (`parent_id`) REFERENCES `parents`(`id`) ON DELETE CASCADE)",
					"INSERT INTO `parents` (`name`) VALUES ('a'), ('b')",
					"INSERT INTO `children` (`parent_id`) VALUES (1), (1), (2)")

				if on := mustScan[int](t, d.db, "PRAGMA foreign_keys"); on != 1 {
					t.Fatalf("foreign_keys is %d", on)
				}
				mustExec(t, d.db, "PRAGMA foreign_keys = OFF")
				tx, err := d.db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				mustExec(t, tx,
					"CREATE TABLE `parents__temp` (`id` integer PRIMARY KEY AUTOINCREMENT, `name` varchar(10))",
					"INSERT INTO `parents__temp` (`id`,`name`) SELECT `id`,`name` FROM `parents`",
					"DROP TABLE `parents`",
					"ALTER TABLE `parents__temp` RENAME TO `parents`")
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				mustExec(t, d.db, "PRAGMA foreign_keys = ON")

				if n := mustScan[int](t, d.db, "SELECT count(*) FROM children"); n != 3 {
					t.Errorf("%d of 3 children are left", n)
				}
				if _, err := d.db.Exec("INSERT INTO children (parent_id) VALUES (99)"); err == nil {
					t.Error("foreign keys are not enforced afterwards")
				}
				mustExec(t, d.db, "DELETE FROM parents WHERE id = 1")
				if n := mustScan[int](t, d.db, "SELECT count(*) FROM children"); n != 1 {
					t.Errorf("%d children after a cascade, want 1", n)
				}
			})
		})
	}
}

// TestE1SessionPragmaIsRecordedAndResetUndoesIt checks that an event reports a session pragma,
// and that Reset undoes it.
func TestE1SessionPragmaIsRecordedAndResetUndoesIt(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "PRAGMA recursive_triggers = 1")
		if on := mustScan[int](t, d.db, "PRAGMA recursive_triggers"); on != 1 {
			t.Errorf("recursive_triggers is %d in the next checkout", on)
		}
		if n := d.pool.Stats().SessionChanges; n != 1 {
			t.Errorf("%d session changes are counted", n)
		}
		d.pool.Reset()
		if on := mustScan[int](t, d.db, "PRAGMA recursive_triggers"); on != 0 {
			t.Errorf("recursive_triggers is %d after a reset", on)
		}
	})
}

// TestE3LastInsertRowIDAndChanges checks that queries that only the connection of the last
// write can answer go to it.
func TestE3LastInsertRowIDAndChanges(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (41, 1), (42, 2)")
		for query, want := range map[string]int{
			"SELECT last_insert_rowid()":                                    42,
			"SELECT changes()":                                              2,
			"SELECT total_changes()":                                        2,
			"select /*x*/ Last_Insert_RowId ( )":                            42,
			`SELECT "last_insert_rowid"()`:                                  42,
			"SELECT [changes]()":                                            2,
			"SELECT a FROM t WHERE id = last_insert_rowid()":                2,
			"WITH x AS (SELECT last_insert_rowid() AS id) SELECT id FROM x": 42,
			"VALUES (last_insert_rowid())":                                  42,
		} {
			if got := mustScan[int](t, d.db, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
			stmt, err := d.db.Prepare(query)
			if err != nil {
				t.Fatal(err)
			}
			var got int
			if err := stmt.QueryRow().Scan(&got); err != nil || got != want {
				t.Errorf("prepared %s: %d, %v, want %d", query, got, err, want)
			}
			stmt.Close()
		}
	})
}

// TestE5ReadersSeeSchemaChangesAtCommit checks that readers see the names and number of columns
// that a transaction changes after its commit, and not before (E5). They do so also with cached
// statements, and before the first row is read (E6).
func TestE5ReadersSeeSchemaChangesAtCommit(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2)")
		stmt, err := d.db.Prepare("SELECT * FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		both := func(want string) {
			t.Helper()
			for range 2 { // the second time from the statement cache
				if got := columnsOf(t, func() (*sql.Rows, error) { return d.db.Query("SELECT * FROM t") }); got != want {
					t.Errorf("columns %q, want %q", got, want)
				}
				if got := columnsOf(t, func() (*sql.Rows, error) { return stmt.Query() }); got != want {
					t.Errorf("prepared: columns %q, want %q", got, want)
				}
			}
		}
		both("a b")
		for _, step := range []struct{ change, before, after string }{
			{"ALTER TABLE t RENAME COLUMN a TO c", "a b", "c b"},
			{"ALTER TABLE t ADD COLUMN d", "c b", "c b d"},
			{"ALTER TABLE t DROP COLUMN b", "c b d", "c d"},
		} {
			tx, err := d.db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, tx, step.change)
			both(step.before)
			if got := columnsOf(t, func() (*sql.Rows, error) { return tx.Query("SELECT * FROM t") }); got != step.after {
				t.Errorf("within: columns %q, want %q", got, step.after)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			both(step.after)
		}
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, "ALTER TABLE t RENAME COLUMN c TO gone")
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		both("c d")
	})
}

// TestE6ReadersSeeRecreatedTable checks that a query of a table that was recreated with other
// columns returns the rows of the new table.
func TestE6ReadersSeeRecreatedTable(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		for i := range 4 {
			var names []string
			for j := range i + 1 {
				names = append(names, fmt.Sprintf("c%d_%d", i, j))
			}
			columns := strings.Join(names, ", ")
			mustExec(t, d.db, "DROP TABLE IF EXISTS t", "CREATE TABLE t ("+columns+")",
				"INSERT INTO t VALUES ("+strings.Repeat("7, ", i)+"7)")
			rows, err := d.db.Query("SELECT * FROM t")
			if err != nil {
				t.Fatal(err)
			}
			got, err := rows.Columns()
			if err != nil || !slices.Equal(got, names) {
				t.Errorf("columns %v, %v; want %v", got, err, names)
			}
			values := make([]any, len(got))
			for j := range values {
				values[j] = new(int)
			}
			if !rows.Next() {
				t.Fatalf("no row: %v", rows.Err())
			}
			if err := rows.Scan(values...); err != nil {
				t.Error(err)
			}
			rows.Close()
		}
	})
}

// TestE7StatementInUseDuringChangeIsNotCached checks that a statement that was in use when its
// connection changed is not cached.
func TestE7StatementInUseDuringChangeIsNotCached(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
		conn, err := d.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mustExec(t, conn, "INSERT INTO t VALUES (3)") // on the writer from now on
		rows, err := conn.QueryContext(t.Context(), "SELECT * FROM t")
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		mustExec(t, conn, "ALTER TABLE t ADD COLUMN b DEFAULT 5")
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if got := columnsOf(t, func() (*sql.Rows, error) { return conn.QueryContext(t.Context(), "SELECT * FROM t") }); got != "a b" {
			t.Errorf("the connection that changed the columns returns %q", got)
		}
	})
}
