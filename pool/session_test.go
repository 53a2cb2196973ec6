package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// laneOf executes a query on DB and returns the lane that it used, and its error.
func laneOf(p *pool.Pool, l *ledger, query string) (driver.Lane, error) {
	err := drain(p.DB().Query(query))
	return l.last(driver.KindAcquire).Lane, err
}

// TestOnlyQueriesOfSessionStateGoToTheWriter checks that a query goes to the writer if it names
// something that only the writer has, as long as that exists. All others stay on readers.
func TestOnlyQueriesOfSessionStateGoToTheWriter(t *testing.T) {
	for name, tc := range map[string]struct{ make, query, undo string }{
		"a file":                  {"ATTACH ':memory:' AS other", "SELECT count(*) FROM other.sqlite_schema", "DETACH other"},
		"a table of a file":       {"ATTACH ':memory:' AS other; CREATE TABLE other.x (a)", "SELECT count(*) FROM x", "DETACH other"},
		"a later table of a file": {"ATTACH ':memory:' AS other; SELECT 1; CREATE TABLE other.x (a)", `SELECT count(*) FROM "X"`, "DETACH other"},
		"a temporary table":       {"CREATE TEMP TABLE x (a)", "SELECT count(*) FROM x", "DROP TABLE x"},
		"a temporary view":        {"CREATE TEMP VIEW x AS SELECT 1", "SELECT count(*) FROM t, x", "DROP VIEW x"},
		"one that hides another":  {"CREATE TEMP TABLE t (a)", "SELECT count(*) FROM t", "DROP TABLE temp.t"},
		"several":                 {"CREATE TEMP TABLE y (a); CREATE TEMP TABLE x (a)", "SELECT count(*) FROM x", "DROP TABLE x"},
		"LIKE":                    {"PRAGMA case_sensitive_like = 1", "SELECT 'a' LIKE 'A'", "PRAGMA case_sensitive_like = 0"},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := pooled(t, pool.Config{})
			must(t, p.DB(), "CREATE TABLE t (a)")
			must(t, p.DB(), "CREATE TABLE other (a)")
			check := func(when, query string, want driver.Lane) {
				t.Helper()
				if lane, _ := laneOf(p, l, query); lane != want {
					t.Errorf("%s, %q goes to the %s", when, query, lane)
				}
			}
			check("before", tc.query, "reader")
			must(t, p.DB(), tc.make)
			check("with it", tc.query, "writer")
			check("with it", tc.query, "writer")
			for _, query := range []string{"SELECT 1", "SELECT count(*) FROM main.t", "SELECT x.a FROM other AS x", "SELECT 'x', count(*) FROM other", "WITH y AS (SELECT a FROM other) SELECT 1"} {
				check("with it", query, "reader")
			}
			must(t, p.DB(), tc.undo)
			check("without it", tc.query, "reader")
		})
	}
}

// TestPragmasThatChangeAllResults checks that queries of others see a pragma that changes all
// results once its checkout has ended, and not before.
func TestPragmasThatChangeAllResults(t *testing.T) {
	p, l := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t (a)")
	c, err := p.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want driver.Lane, column string) {
		t.Helper()
		got := columnsOf(t, func() (*sql.Rows, error) { return p.DB().Query("SELECT a, count(*) FROM t") })
		if lane := l.last(driver.KindAcquire).Lane; lane != want || !strings.Contains(got, column) {
			t.Errorf("%s, a query goes to the %s and has columns %q", when, lane, got)
		}
	}
	must(t, c, "PRAGMA short_column_names = off")
	must(t, c, "PRAGMA full_column_names = on")
	check("while the checkout lasts", "reader", "a")
	c.Close()
	check("afterwards", "writer", "t.a")
	must(t, p.DB(), "PRAGMA full_column_names = off; PRAGMA short_column_names = on")
	check("without it", "reader", "a")
}

// TestSessionStateOfACheckoutLetsOthersBe checks that other callers read and write beside a
// checkout that has left session state and does nothing.
func TestSessionStateOfACheckoutLetsOthersBe(t *testing.T) {
	raw := func(f func(*sqlite3.Conn) error) func(*testing.T, *sql.Conn) {
		return func(t *testing.T, c *sql.Conn) {
			rawOf(t, c, f)
			if err := c.PingContext(t.Context()); err != nil { // the pool learns only then that Raw is over
				t.Fatal(err)
			}
		}
	}
	exec := func(query string) func(*testing.T, *sql.Conn) {
		return func(t *testing.T, c *sql.Conn) { must(t, c, query) }
	}
	for name, leave := range map[string]func(*testing.T, *sql.Conn){
		"a temporary table": exec("CREATE TEMP TABLE x (a)"),
		"a file":            exec("ATTACH ':memory:' AS other"),
		"a pragma":          exec("PRAGMA cache_size = 123"),
		"LIKE":              exec("PRAGMA case_sensitive_like = 1"),
		"Raw":               raw(func(*sqlite3.Conn) error { return nil }),
		"Raw of a query":    raw(func(c *sqlite3.Conn) error { return c.Exec("SELECT 1") }),
		"Raw of a table":    raw(func(c *sqlite3.Conn) error { return c.Exec("CREATE TEMP TABLE x (a)") }),
		"a function": raw(func(c *sqlite3.Conn) error {
			return c.CreateFunction("seven", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(7) })
		}),
		"a collation": raw(func(c *sqlite3.Conn) error { return c.CreateCollation("mine", bytes.Compare) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, l := pooled(t, pool.Config{AcquireTimeout: time.Second})
				must(t, p.DB(), "CREATE TABLE t (a)")
				c, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				leave(t, c)
				others := func(when string) {
					t.Helper()
					if lane, err := laneOf(p, l, "SELECT count(*) FROM t"); lane != "reader" || err != nil {
						t.Errorf("%s, a query goes to the %s: %v", when, lane, err)
					}
					if _, err := p.DB().Exec("INSERT INTO t VALUES (1)"); err != nil {
						t.Errorf("%s, a write: %v", when, err)
					}
				}
				others("while it is held")
				if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
					t.Errorf("its own write: %v", err)
				}
				others("after it has written")
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				others("afterwards")
				p.Reset()
				others("after a reset")
			})
		})
	}
}

// TestRawLeavesNoMark checks that queries go to readers after Raw has changed nothing, also while
// the writer is in use and within rows.
func TestRawLeavesNoMark(t *testing.T) {
	for name, raw := range map[string]func(t *testing.T, p *pool.Pool){
		"Pool.Raw": func(t *testing.T, p *pool.Pool) {
			if err := p.Raw(t.Context(), func(c *sqlite3.Conn) error { return c.Exec("SELECT 1") }); err != nil {
				t.Fatal(err)
			}
		},
		"Conn.Raw": func(t *testing.T, p *pool.Pool) {
			c, err := p.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			rawOf(t, c, func(c *sqlite3.Conn) error { return c.Exec("PRAGMA cache_size = 5; PRAGMA cache_size = -2000") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			lines := &logged{}
			p, l := pooled(t, pool.Config{Logger: slog.New(lines), Pragmas: []driver.Pragma{{Name: "cache_size", Value: "-2000"}}})
			must(t, p.DB(), "CREATE TABLE t (a)")
			must(t, p.DB(), "INSERT INTO t VALUES (1)")
			raw(t, p)
			tx, err := p.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			rows, err := p.DB().Query("SELECT a FROM t")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			if lane, err := laneOf(p, l, "SELECT count(*) FROM t"); lane != "reader" || err != nil {
				t.Errorf("a query goes to the %s: %v", lane, err)
			}
			if n := p.Stats().SessionChanges; n != 0 {
				t.Errorf("%d session changes are counted", n)
			}
		})
	}
}

// TestRedefinedFunction checks that queries that name a function that Raw has redefined see the
// new one, and that only these go to the writer.
func TestRedefinedFunction(t *testing.T) {
	p, l := pooled(t, pool.Config{})
	const query = "SELECT upper('a')"
	if s := mustScan[string](t, p.DB(), query); s != "A" {
		t.Fatalf("upper returns %q", s)
	}
	err := p.Raw(t.Context(), func(c *sqlite3.Conn) error {
		return c.CreateFunction("upper", 1, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultText("mine") })
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := mustScan[string](t, p.DB(), query); s != "mine" {
		t.Errorf("upper returns %q", s)
	}
	if lane, _ := laneOf(p, l, "SELECT lower('A')"); lane != "reader" {
		t.Errorf("another query goes to the %s", lane)
	}
}

// TestSessionStateWithinRows checks what happens within the rows of a query that names session
// state. What names nothing of it works, also a write. What does fails at once, with advice,
// because it gets another connection. Within a *sql.Conn, everything works.
func TestSessionStateWithinRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t (a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1), (2), (3)")
		must(t, p.DB(), "ATTACH ':memory:' AS two")
		must(t, p.DB(), "CREATE TABLE two.price (a); INSERT INTO price VALUES (1), (2), (3)")
		rows, err := p.DB().Query("SELECT t.a FROM t JOIN two.price USING (a)")
		if err != nil {
			t.Fatal(err)
		}
		began, n := time.Now(), 0
		for rows.Next() {
			n++
			if got := mustScan[int](t, p.DB(), "SELECT count(*) FROM t WHERE a < 4"); got != 3 {
				t.Errorf("%d rows", got)
			}
			must(t, p.DB(), "INSERT INTO t VALUES (4)")
			err := p.DB().QueryRow("SELECT count(*) FROM two.price").Scan(new(int))
			var told *pool.SessionError
			if !errors.As(err, &told) || told.Name != "two" || !errors.Is(err, sqlite3.ERROR) || !strings.Contains(err.Error(), "close the rows") {
				t.Errorf("a query of the attached file: %v", err)
			}
			if _, err := p.DB().Exec("DELETE FROM two.price"); !errors.As(err, &told) || told.Name != "two" {
				t.Errorf("a write to the attached file: %v", err)
			}
			if err := p.DB().QueryRow("SELECT nothing").Scan(new(int)); err == nil || errors.As(err, &told) {
				t.Errorf("a query with a mistake: %v", err)
			}
		}
		if err := rows.Err(); err != nil || n != 3 {
			t.Errorf("%d rows: %v", n, err)
		}
		rows.Close()
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
		if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM two.price"); n != 3 {
			t.Errorf("%d rows afterwards", n)
		}

		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if rows, err = c.QueryContext(t.Context(), "SELECT a FROM two.price"); err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			if n := mustScan[int](t, c, "SELECT count(*) FROM two.price"); n != 3 {
				t.Errorf("%d rows within those of a Conn", n)
			}
			must(t, c, "INSERT INTO t VALUES (5)")
		}
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestSessionStateElsewhere checks that a query that names session state never reads or writes
// something else of that name, while another checkout has the connection. It fails if that checkout
// does nothing, and has the right connection afterwards.
func TestSessionStateElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		for _, query := range []string{"CREATE TABLE t (a)", "CREATE TABLE z (a)", "INSERT INTO t VALUES ('main')", "CREATE TEMP TABLE t (a)", "INSERT INTO t VALUES ('temp')", "PRAGMA case_sensitive_like = 1"} {
			must(t, p.DB(), query)
		}
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, c, "INSERT INTO z VALUES (1)") // it has the connection, and does nothing
		fails := func(what string, err error) {
			t.Helper()
			var told *pool.SessionError
			if !errors.As(err, &told) || !errors.Is(err, sqlite3.ERROR) {
				t.Errorf("%s: %v", what, err)
			}
		}
		began := time.Now()
		fails("Query", drain(p.DB().Query("SELECT a FROM t")))
		fails("LIKE", drain(p.DB().Query("SELECT 'a' LIKE 'A'")))
		_, err = p.DB().Exec("DELETE FROM t")
		fails("Exec", err)
		_, err = p.DB().Prepare("SELECT a FROM t")
		fails("Prepare", err)
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec("INSERT INTO t VALUES ('tx')")
		fails("Exec in a transaction", err)
		fails("Query in a transaction", drain(tx.Query("SELECT a FROM t")))
		must(t, tx, "INSERT INTO main.t VALUES ('tx')")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := drain(p.DB().QueryContext(ctx, "SELECT a FROM t")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Query with a deadline: %v", err)
		}
		if s := mustScan[string](t, c, "SELECT a FROM t"); s != "temp" {
			t.Errorf("the checkout reads %q", s)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if s := mustScan[string](t, p.DB(), "SELECT group_concat(a) FROM t"); s != "temp" {
			t.Errorf("afterwards, t has %q", s)
		}
		if s := mustScan[string](t, p.DB(), "SELECT group_concat(a) FROM main.t"); s != "main,tx" {
			t.Errorf("afterwards, main.t has %q", s)
		}
	})
}

// TestSessionStateOfManyCallers checks that callers that use session state at the same time wait
// for each other, and all find it.
func TestSessionStateOfManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		for _, query := range []string{"CREATE TABLE t (a)", "INSERT INTO t VALUES ('main')", "CREATE TEMP TABLE t (a)", "INSERT INTO t VALUES ('temp')"} {
			must(t, p.DB(), query)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 30 {
					var s string
					if err := p.DB().QueryRow("SELECT a FROM t").Scan(&s); err != nil || s != "temp" {
						t.Errorf("%q, %v", s, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestE1ForeignKeysBesideOtherState checks that foreign_keys, when a checkout has switched it off,
// is off for the next one, whatever state another connection of the writer has.
func TestE1ForeignKeysBesideOtherState(t *testing.T) {
	for name, other := range map[string]string{"none": "SELECT 1", "a pragma": "PRAGMA cache_size = 77", "a temporary table": "CREATE TEMP TABLE x (a)"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{})
				must(t, p.DB(), other)
				a, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				must(t, a, "CREATE TABLE t (a)")
				b, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				must(t, b, "PRAGMA foreign_keys = off")
				a.Close()
				b.Close()
				if n := intOf(t, p.DB(), "PRAGMA foreign_keys"); n != 0 {
					t.Errorf("foreign_keys is %d", n)
				}
			})
		})
	}
}

// TestIdleConnLetsOthersWrite checks that other callers write beside a *sql.Conn that does nothing,
// after calls whose effects the pool must find out.
func TestIdleConnLetsOthersWrite(t *testing.T) {
	inTx := func(t *testing.T, c *sql.Conn, end func(*sql.Tx) error, queries ...string) {
		tx, err := c.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range queries {
			must(t, tx, query)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	for name, leave := range map[string]func(*testing.T, *sql.Conn){
		"a transaction":             func(t *testing.T, c *sql.Conn) { inTx(t, c, (*sql.Tx).Commit, "CREATE TEMP TABLE x (a)") },
		"a transaction rolled back": func(t *testing.T, c *sql.Conn) { inTx(t, c, (*sql.Tx).Rollback, "CREATE TEMP TABLE x (a)") },
		"a pragma in a transaction": func(t *testing.T, c *sql.Conn) { inTx(t, c, (*sql.Tx).Commit, "PRAGMA foreign_keys = on") },
		"a pragma by Query":         func(t *testing.T, c *sql.Conn) { mustScan[int](t, c, "PRAGMA busy_timeout = 5000") },
		"a transaction by SQL":      func(t *testing.T, c *sql.Conn) { mustExec(t, c, "BEGIN", "CREATE TEMP TABLE x (a)", "COMMIT") },
		"a table beside rows": func(t *testing.T, c *sql.Conn) {
			rows, err := c.QueryContext(t.Context(), "SELECT 1 UNION SELECT 2")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			must(t, c, "CREATE TEMP TABLE x (a)")
			rows.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
				must(t, p.DB(), "CREATE TABLE t (a)")
				c, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				must(t, c, "INSERT INTO t VALUES (1)") // it has the writer
				leave(t, c)
				must(t, p.DB(), "INSERT INTO t VALUES (1)")
			})
		})
	}
}

// TestSessionStateOfAClosedConnection checks that queries go to readers again when the connection
// with session state is closed, also if its last checkout has removed the state before.
func TestSessionStateOfAClosedConnection(t *testing.T) {
	p, l := pooled(t, pool.Config{Dirty: pool.DirtyDiscard})
	must(t, p.DB(), "CREATE TABLE t (a)")
	must(t, p.DB(), "CREATE TEMP TABLE t (a)")
	c, err := p.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "DROP TABLE temp.t", "BEGIN")
	c.Close()
	if lane, err := laneOf(p, l, "SELECT a FROM t"); lane != "reader" || err != nil {
		t.Errorf("a query goes to the %s: %v", lane, err)
	}
}

// TestSessionStateOfTwoConnections checks that a connection without session state does not hide
// that another has some.
func TestSessionStateOfTwoConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t (a)")
		err := p.Raw(t.Context(), func(c *sqlite3.Conn) error { return c.CreateCollation("mine", bytes.Compare) })
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, c, "INSERT INTO t VALUES (1)")
		d, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, d, "PRAGMA foreign_keys = on")
		d.Close()
		c.Close()
		if n := intOf(t, p.DB(), "SELECT count(*) FROM t ORDER BY a COLLATE mine"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestSessionStateInReadOnlyTransactions checks that a read-only transaction does not read something
// else in place of session state, and that it stays on a reader.
func TestSessionStateInReadOnlyTransactions(t *testing.T) {
	p, l := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t (a)")
	must(t, p.DB(), "CREATE TABLE u (a)")
	must(t, p.DB(), "CREATE TEMP TABLE t (a)")
	tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if lane := l.last(driver.KindAcquire).Lane; lane != "reader" {
		t.Errorf("it has a %s", lane)
	}
	mustScan[int](t, tx, "SELECT count(*) FROM u")
	mustScan[int](t, tx, "SELECT count(*) FROM main.t")
	var told *pool.SessionError
	if err := tx.QueryRow("SELECT count(*) FROM t").Scan(new(int)); !errors.As(err, &told) || !strings.Contains(err.Error(), "without ReadOnly") {
		t.Errorf("Query: %v", err)
	}
	if _, err := tx.Exec("SELECT count(*) FROM t"); !errors.As(err, &told) {
		t.Errorf("Exec: %v", err)
	}
	if _, err := tx.Prepare("SELECT count(*) FROM t"); !errors.As(err, &told) {
		t.Errorf("Prepare: %v", err)
	}
}

// TestSessionStateIsBounded checks that at most one connection with session state is idle, however
// many checkouts leave some.
func TestSessionStateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		var conns []*sql.Conn
		for range 5 {
			c, err := p.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			must(t, c, "CREATE TEMP TABLE x (a)")
			conns = append(conns, c)
		}
		for _, c := range conns {
			if n := mustScan[int](t, c, "SELECT count(*) FROM x"); n != 0 {
				t.Errorf("%d rows", n)
			}
			c.Close()
		}
		if n := p.Stats().Writers; n > 2 {
			t.Errorf("%d writers are open", n)
		}
		if n := mustScan[int](t, p.DB(), "SELECT count(*) FROM x"); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestSessionWarnings checks that there is a warning, and an event, only for a checkout that leaves
// a value that differs from the configured one.
func TestSessionWarnings(t *testing.T) {
	const change, noEffect = "a change of session state", "has no effect inside a transaction"
	for _, tc := range []struct {
		queries []string // of one checkout
		want    string   // part of the warning; empty for none
	}{
		{[]string{"PRAGMA foreign_keys = off"}, change},
		{[]string{"PRAGMA foreign_keys = off", "PRAGMA foreign_keys = on"}, ""},
		{[]string{"PRAGMA foreign_keys = off; PRAGMA foreign_keys = on"}, ""},
		{[]string{"PRAGMA foreign_keys = on"}, ""},
		{[]string{"PRAGMA foreign_keys(1)"}, ""},
		{[]string{"PRAGMA cache_size = 77"}, change},
		{[]string{"PRAGMA busy_timeout = 77"}, change},
		{[]string{"PRAGMA busy_timeout = 5000"}, ""},
		{[]string{"PRAGMA synchronous = full"}, ""},
		{[]string{"PRAGMA synchronous = off"}, change},
		{[]string{"PRAGMA temp_store = 2"}, change},
		{[]string{"PRAGMA case_sensitive_like = 1"}, change},
		{[]string{"PRAGMA case_sensitive_like = 0"}, ""},
		{[]string{"PRAGMA journal_mode = wal"}, ""},
		{[]string{"PRAGMA user_version = 3"}, ""},
		{[]string{"PRAGMA nonsense = 3"}, ""},
		{[]string{"PRAGMA wal_checkpoint(TRUNCATE)"}, ""},
		{[]string{"PRAGMA optimize"}, ""},
		{[]string{"PRAGMA defer_foreign_keys = on"}, ""},
		{[]string{"VACUUM"}, ""},
		{[]string{"ANALYZE"}, ""},
		{[]string{"CREATE TEMP TABLE x (a)"}, change},
		{[]string{"CREATE TEMP TABLE x (a)", "DROP TABLE x"}, ""},
		{[]string{"BEGIN", "CREATE TEMP TABLE x (a)", "ROLLBACK"}, ""},
		{[]string{"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END"}, change},
		{[]string{"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; DROP TRIGGER x"}, ""},
		{[]string{"ATTACH ':memory:' AS other"}, change},
		{[]string{"ATTACH ':memory:' AS other", "DETACH other"}, ""},
		{[]string{"BEGIN", "PRAGMA foreign_keys = off", "COMMIT"}, noEffect},
		{[]string{"BEGIN", "PRAGMA foreign_keys = on", "COMMIT"}, ""},
		{[]string{"BEGIN; PRAGMA foreign_keys = off; COMMIT"}, noEffect},
		{[]string{"PRAGMA foreign_keys = off; BEGIN; COMMIT; PRAGMA foreign_keys = on"}, ""},
		{[]string{"SAVEPOINT s", "PRAGMA foreign_keys = no", "RELEASE s"}, noEffect},
		{[]string{"BEGIN", "PRAGMA cache_size = 77", "COMMIT"}, change},
	} {
		for _, way := range []string{"Exec", "Query"} {
			t.Run(way+" "+strings.Join(tc.queries, ", "), func(t *testing.T) {
				lines := &logged{}
				p, _ := pooled(t, pool.Config{Logger: slog.New(lines)})
				must(t, p.DB(), "CREATE TABLE t (a)")
				c, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, query := range tc.queries {
					if way == "Query" && !strings.Contains(query, ";") {
						if err := drain(c.QueryContext(t.Context(), query)); err != nil {
							t.Fatal(err)
						}
						continue
					}
					must(t, c, query)
				}
				c.Close()
				var got []string
				lines.mu.Lock()
				for _, line := range lines.lines {
					if strings.Contains(line, change+" stays") || strings.Contains(line, noEffect) {
						got = append(got, line)
					}
				}
				lines.mu.Unlock()
				if want := tc.want != ""; want != (len(got) == 1) || want && !strings.Contains(got[0], tc.want) || !want && len(got) > 0 {
					t.Errorf("warnings %q, want %q", got, tc.want)
				}
				if n := p.Stats().SessionChanges; (n == 1) != (tc.want == change) {
					t.Errorf("%d session changes are counted", n)
				}
			})
		}
	}
}

// TestSynchronousFollowsTheJournalMode checks that synchronous follows the journal mode, so
// that commits survive a power failure, unless the program has set synchronous.
func TestSynchronousFollowsTheJournalMode(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg                   pool.Config
		before, without, with int
	}{
		"default":       {pool.Config{}, 2, 3, 2},
		"one lane":      {pool.Config{MaxConns: 1}, 2, 3, 2},
		"without a WAL": {pool.Config{DisableWAL: true}, 3, 3, 2},
		"full":          {pool.Config{Synchronous: pool.SynchronousFull}, 2, 2, 2},
		"pragma":        {pool.Config{Pragmas: []driver.Pragma{{Name: "synchronous", Value: "full"}}}, 2, 2, 2},
		"normal":        {pool.Config{Synchronous: pool.SynchronousNormal}, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pooled(t, tc.cfg)
			for _, step := range []struct {
				mode string
				want int
			}{{"", tc.before}, {"delete", tc.without}, {"wal", tc.with}, {"truncate", tc.without}} {
				if step.mode != "" {
					must(t, p.DB(), "PRAGMA journal_mode = "+step.mode)
				}
				if n := intOf(t, p.Writer(), "PRAGMA synchronous"); n != step.want {
					t.Errorf("in mode %q, synchronous is %d, want %d", step.mode, n, step.want)
				}
			}
			must(t, p.Writer(), "PRAGMA synchronous = off")
			must(t, p.DB(), "PRAGMA journal_mode = delete")
			if n := intOf(t, p.Writer(), "PRAGMA synchronous"); n != 0 {
				t.Errorf("after the program has set synchronous, it is %d, want 0", n)
			}
		})
	}
}
