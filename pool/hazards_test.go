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

// A door is a way into a pool: pool.Open's DB, or sql.Open.
type door struct {
	db   *sql.DB
	pool *pool.Pool
	path string
}

// eachDoor runs a test through both doors, on a new file each, and sees to it
// that nothing of the file is open afterwards.
func eachDoor(t *testing.T, cfg pool.Config, f func(t *testing.T, d door)) {
	t.Helper()
	t.Run("pool.Open", func(t *testing.T) { f(t, openDoor(t, cfg, newFile(t))) })
	t.Run("sql.Open", func(t *testing.T) { f(t, sqlDoor(t, cfg, newFile(t))) })
}

// newFile is the path of a file that is not there yet, and of which nothing may
// be open when the test is over.
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

// openFiles lists what this process has open below dir.
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

// columnsOf returns the names of a query's columns, as they are told of before
// its first row.
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

// E1: a session pragma set in a checkout of its own holds for the next ones. GORM
// turns foreign keys off that way, rebuilds the table, and turns them on again:
// were they on meanwhile, the rebuild's DROP TABLE would delete the children.
// https://sqlite.org/lang_altertable.html#otheralter
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
					t.Error("foreign keys are not enforced again")
				}
				mustExec(t, d.db, "DELETE FROM parents WHERE id = 1")
				if n := mustScan[int](t, d.db, "SELECT count(*) FROM children"); n != 1 {
					t.Errorf("%d children after a cascade, want 1", n)
				}
			})
		})
	}
}

// E1: what a text sets is told of by an event, and a Reset is what undoes it.
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

// E3: what only the connection that wrote knows is asked there.
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

// E5: names and numbers of columns that a transaction changes are seen by readers
// once it commits, not before, however warm their statements are; E6: and that
// before the first row is asked for.
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
			for range 2 { // the second time from what was kept
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

// E6: a table that is made anew with other columns gives the rows of the new one.
func TestE6ReadersSeeATableMadeAnew(t *testing.T) {
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

// E7: a statement that was in use when its connection changed is not used again.
func TestE7StatementInUseDuringAChangeIsNotKept(t *testing.T) {
	eachDoor(t, pool.Config{}, func(t *testing.T, d door) {
		mustExec(t, d.db, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
		conn, err := d.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mustExec(t, conn, "INSERT INTO t VALUES (3)") // on the writer, from here on
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
			t.Errorf("columns %q on the connection that changed them", got)
		}
	})
}
