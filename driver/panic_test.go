package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// bombs are callbacks of a connection that panic while they are armed.
type bombs struct{ armed map[string]bool }

func (b *bombs) arm(names ...string) {
	b.armed = make(map[string]bool)
	for _, name := range names {
		b.armed[name] = true
	}
}

func (b *bombs) blow(name string) {
	if b.armed[name] {
		panic("boom")
	}
}

func (b *bombs) init(c *sqlite3.Conn) error {
	c.CommitHook(func() bool { b.blow("commit"); return true })
	c.RollbackHook(func() { b.blow("rollback") })
	c.UpdateHook(func(sqlite3.AuthorizerActionCode, string, string, int64) { b.blow("update") })
	c.SetAuthorizer(func(sqlite3.AuthorizerActionCode, string, string, string, string) sqlite3.AuthorizerReturnCode {
		b.blow("authorizer")
		return sqlite3.AUTH_OK
	})
	c.Trace(sqlite3.TRACE_PROFILE|sqlite3.TRACE_CLOSE, func(e sqlite3.TraceEvent, _, _ any) error {
		if e == sqlite3.TRACE_PROFILE {
			b.blow("profile")
		} else {
			b.blow("close")
		}
		return nil
	})
	return c.CreateFunction("boom", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
		if arg[0].Int() == 3 {
			b.blow("function")
		}
		ctx.ResultValue(arg[0])
	})
}

// openBombed is like open, but connections may return an error on close.
func openBombed(t *testing.T, dsn string, cfg driver.Config) *sql.DB {
	t.Helper()
	c, err := driver.NewConnector(dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	return db
}

// recovered calls f in a new goroutine and returns its panic value. f must not hang.
func recovered(t *testing.T, f func()) (v any) {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	select {
	case v = <-done:
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
	return v
}

// A callback panics in SQLite, and panics again while the connection is closed. Still,
// nothing uncommitted is committed, the locks are released immediately, and everything that
// the program holds can be closed.
func TestPanicsTwice(t *testing.T) {
	ctx := context.Background()
	const three = "INSERT INTO t SELECT boom(value) FROM json_each('[1, 2, 3, 4]')"
	begin := func(t *testing.T, db *sql.DB) *sql.Tx {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		exec(t, tx, "INSERT INTO t VALUES (1)")
		return tx
	}
	conn := func(t *testing.T, db *sql.DB) *sql.Conn {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tc := range []struct {
		name  string
		bombs string
		run   func(t *testing.T, db *sql.DB, b *bombs) error
		lost  bool // database/sql keeps counting the connection, as with the plain driver
		is    error
	}{
		{name: "Exec", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec(three)
			return err
		}},
		{name: "Exec with arguments", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec("INSERT INTO t SELECT boom(value) FROM json_each(?)", "[1, 2, 3, 4]")
			return err
		}},
		{name: "Exec of several", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec("BEGIN; INSERT INTO t VALUES (1); " + three)
			return err
		}},
		{name: "Exec, in the commit hook", bombs: "commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec("INSERT INTO t VALUES (1)")
			return err
		}},
		{name: "Exec, in the update hook", bombs: "update commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec("INSERT INTO t VALUES (1), (2)")
			return err
		}},
		{name: "Exec, when it is prepared", bombs: "authorizer rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Exec("INSERT INTO t VALUES (1), (2), (3)")
			return err
		}},
		{name: "QueryRow that writes", bombs: "function commit rollback profile", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			return db.QueryRow(three + " RETURNING a").Scan(new(int))
		}},
		{name: "a row", bombs: "function rollback profile close", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			rows, err := db.Query("SELECT boom(value) FROM json_each('[1, 2, 3]')")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		}},
		{name: "a row that nothing closes", bombs: "function rollback", lost: true, run: func(t *testing.T, db *sql.DB, b *bombs) error {
			b.arm()
			rows, err := db.Query("SELECT boom(value) FROM json_each('[1, 2, 3]')")
			if err != nil {
				return err
			}
			b.arm("function", "rollback")
			for rows.Next() {
			}
			return rows.Err()
		}},
		{name: "Query, when it is prepared", bombs: "authorizer close", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			rows, err := db.Query("SELECT a, a FROM t")
			if err != nil {
				return err
			}
			defer rows.Close()
			rows.Next()
			return rows.Err()
		}},
		{name: "Query whose rows are not asked for", bombs: "authorizer", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			rows, err := db.Query("SELECT a, a FROM t")
			if err != nil {
				return err
			}
			return rows.Close()
		}},
		{name: "Begin", bombs: "authorizer rollback", lost: true, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			_, err := db.Begin()
			return err
		}},
		{name: "Commit", bombs: "commit rollback", lost: true, run: func(t *testing.T, db *sql.DB, b *bombs) error {
			b.arm()
			tx := begin(t, db)
			defer tx.Rollback()
			b.arm("commit", "rollback", "close")
			return tx.Commit()
		}},
		{name: "Rollback", bombs: "rollback", lost: true, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			return begin(t, db).Rollback()
		}},
		{name: "a transaction", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			tx := begin(t, db)
			defer func() {
				if err := tx.Rollback(); !errors.Is(err, driver.ErrPanicked) {
					t.Errorf("Rollback says %v", err)
				}
			}()
			_, err := tx.Exec(three)
			return err
		}},
		{name: "rows in a transaction", bombs: "function rollback profile", run: func(t *testing.T, db *sql.DB, b *bombs) error {
			b.arm()
			tx := begin(t, db)
			b.arm("function", "rollback", "profile")
			defer tx.Rollback()
			return tx.QueryRow("SELECT boom(value) FROM json_each('[3]')").Scan(new(int))
		}},
		{name: "rows in a transaction, when it is prepared", bombs: "authorizer rollback", run: func(t *testing.T, db *sql.DB, b *bombs) error {
			b.arm()
			tx := begin(t, db)
			b.arm("authorizer", "rollback")
			defer tx.Rollback()
			return tx.QueryRow("SELECT a, a, a FROM t").Scan(new(int))
		}},
		{name: "closing rows in a transaction", bombs: "profile rollback", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, b *bombs) error {
			b.arm()
			tx := begin(t, db)
			defer tx.Rollback()
			rows, err := tx.Query("SELECT value FROM json_each('[3, 4]')")
			if err != nil || !rows.Next() {
				return err
			}
			b.arm("profile", "rollback")
			return rows.Close()
		}},
		{name: "a prepared statement of a transaction", bombs: "function rollback", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			tx := begin(t, db)
			defer tx.Rollback()
			stmt, err := tx.Prepare(three)
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.Exec()
			return err
		}},
		{name: "a prepared statement of a connection", bombs: "function rollback", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			stmt, err := c.PrepareContext(ctx, three)
			if err != nil {
				return err
			}
			_, err = stmt.Exec()
			return err
		}},
		{name: "a prepared statement", bombs: "function rollback", lost: true, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			stmt, err := db.Prepare(three)
			if err != nil {
				return err
			}
			_, err = stmt.Exec()
			return err
		}},
		{name: "Begin of a connection", bombs: "authorizer", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, b *bombs) error {
			c := conn(t, db)
			defer c.Close()
			_, err := c.BeginTx(ctx, nil)
			return err
		}},
		{name: "Ping of a connection", bombs: "authorizer", is: driver.ErrPanicked, run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			return c.PingContext(ctx)
		}},
		{name: "Raw", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			return c.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec(three) })
		}},
		{name: "a statement of Raw", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			return c.Raw(func(dc any) error {
				stmt, _, err := dc.(driver.Conn).Raw().Prepare(three)
				if err != nil {
					return err
				}
				return stmt.Exec()
			})
		}},
		{name: "a BLOB is open", bombs: "function", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			err := c.Raw(func(dc any) error {
				_, err := dc.(driver.Conn).Raw().OpenBlob("main", "b", "b", 1, true)
				return err
			})
			if err != nil {
				return err
			}
			_, err = c.ExecContext(ctx, three)
			return err
		}},
		{name: "an attached database", bombs: "function commit rollback", run: func(t *testing.T, db *sql.DB, _ *bombs) error {
			c := conn(t, db)
			defer c.Close()
			if _, err := c.ExecContext(ctx, "ATTACH ? AS other", t.TempDir()+"/other.db"); err != nil {
				return err
			}
			if _, err := c.ExecContext(ctx, "CREATE TABLE other.o(a)"); err != nil {
				return err
			}
			return c.Raw(func(dc any) error {
				return dc.(driver.Conn).Raw().Exec("BEGIN; INSERT INTO other.o VALUES (1);" + three)
			})
		}},
	} {
		for _, journal := range []string{"wal", "delete"} {
			t.Run(tc.name+", "+journal, func(t *testing.T) {
				var log eventLog
				b := &bombs{}
				dsn := file(t, "_pragma=busy_timeout(0)", "_pragma=journal_mode("+journal+")")
				db := openBombed(t, dsn, driver.Config{Init: b.init, Recorder: &log})
				exec(t, db, "CREATE TABLE t(a)")
				exec(t, db, "CREATE TABLE b(b); INSERT INTO b VALUES (zeroblob(10))")
				files := len(openFiles(t, dsnDir(dsn)))
				for range 2 {
					b.arm(strings.Fields(tc.bombs)...)
					var err error
					v := recovered(t, func() { err = tc.run(t, db, b) })
					b.arm()
					switch {
					case tc.is == nil && v != "boom":
						t.Errorf("it panicked with %v, and failed with %v", v, err)
					case tc.is != nil && (v != nil || !errors.Is(err, tc.is)):
						t.Errorf("it panicked with %v, and failed with %v: want the error", v, err)
					}
					exec(t, db, "CREATE TABLE free(a); DROP TABLE free") // the lock is released
					if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
						t.Errorf("%d rows of what was cut off are there", n)
					}
					if n := db.Stats().InUse; n != 0 && !tc.lost {
						t.Errorf("%d connections are in use", n)
					}
				}
				if n := len(openFiles(t, dsnDir(dsn))); n != files {
					t.Errorf("%d files are open, %d before", n, files)
				}
				opened, all, closed := 0, 0, 0
				db.Close()
				for _, e := range log.events {
					switch {
					case e.Kind == driver.KindConnect:
						opened++
					case e.Kind != driver.KindClose:
					case e.Reason == driver.ReasonPanic, e.Reason == driver.ReasonBad:
						closed++
						fallthrough
					default:
						all++
					}
				}
				if opened != all {
					t.Errorf("%d connections were opened, and %d closed", opened, all)
				}
				if closed != 2 {
					t.Errorf("%d connections were closed for it, want 2", closed)
				}
			})
		}
	}
}

// Panics on database/sql's own goroutines do not end the process.
func TestPanicsOnGoroutinesOfDatabaseSQL(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, db *sql.DB, b *bombs){
		"a transaction's context ends": func(t *testing.T, db *sql.DB, b *bombs) {
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, tx, "INSERT INTO t VALUES (1)")
			b.arm("rollback")
			cancel()
		},
		"a query's context ends": func(t *testing.T, db *sql.DB, b *bombs) {
			ctx, cancel := context.WithCancel(t.Context())
			rows, err := db.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
			if err != nil || !rows.Next() {
				t.Fatal(err)
			}
			b.arm("profile")
			cancel()
		},
		"an idle connection expires": func(t *testing.T, db *sql.DB, b *bombs) {
			b.arm("close", "term")
			db.SetConnMaxIdleTime(time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bombs{}
			dsn := file(t, "_pragma=busy_timeout(0)")
			db := openBombed(t, dsn, driver.Config{Init: b.init, Term: func(*sqlite3.Conn) error { b.blow("term"); return nil }})
			exec(t, db, "CREATE TABLE t(a)")
			run(t, db, b)
			eventually(t, func() (bool, string) {
				s := db.Stats()
				return s.InUse == 0 && s.OpenConnections == 0, fmt.Sprintf("%+v", s)
			})
			b.arm()
			exec(t, db, "INSERT INTO t VALUES (1)")
		})
	}
}

// Init may panic while database/sql opens a connection for a waiting caller.
func TestInitPanicsInTheBackground(t *testing.T) {
	b := &bombs{}
	db := open(t, file(t), driver.Config{Init: func(*sqlite3.Conn) error { b.blow("init"); return nil }})
	db.SetMaxOpenConns(1)
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() { failed <- db.PingContext(t.Context()) }()
	eventually(t, func() (bool, string) { return db.Stats().WaitCount == 1, "no call waits" })
	b.arm("init")
	c.Raw(func(any) error { return sqldriver.ErrBadConn })
	c.Close()
	var p *driver.PanicError
	if err := <-failed; !errors.As(err, &p) || p.Value != "boom" {
		t.Errorf("the call that waited says %v", err)
	}
	b.arm()
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
}

// Term is called for a connection after a panic, but cannot commit what SQLite has half
// done.
func TestTermAfterAPanic(t *testing.T) {
	b := &bombs{}
	terms := 0
	var err error
	db := open(t, file(t), driver.Config{Init: b.init, Term: func(c *sqlite3.Conn) error {
		terms++
		err = c.Exec("COMMIT")
		return nil
	}})
	exec(t, db, "CREATE TABLE t(a)")
	b.arm("function")
	recovered(t, func() { db.Exec("BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (boom(3))") })
	if terms != 1 || !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("Term was called %d times, and could execute: %v", terms, err)
	}
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
}
