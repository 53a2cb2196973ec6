package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestIdleKeeperDoesNotBlockWriters checks that a program may keep a connection that has
// written and write through another one. Programs that migrate a database do so. The kept
// connection is the same afterwards.
func TestIdleKeeperDoesNotBlockWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
		kept, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, kept, "INSERT INTO t(id, a) VALUES (7, 'kept')")
		for i := range 3 {
			tx, err := p.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			must(t, tx, "INSERT INTO t(a) VALUES (?)", i)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		var id, n int
		if err := kept.QueryRowContext(t.Context(), "SELECT last_insert_rowid(), (SELECT count(*) FROM t)").Scan(&id, &n); err != nil {
			t.Fatal(err)
		}
		if id != 7 || n != 4 {
			t.Errorf("the kept connection has last insert ID %d and sees %d rows, want 7 and 4", id, n)
		}
		must(t, kept, "INSERT INTO t(a) VALUES ('kept')")
		if err := kept.Close(); err != nil {
			t.Fatal(err)
		}
		if s := p.Stats(); s.Writers != 1 || s.WritersInUse != 0 || s.Timeouts != 0 {
			t.Errorf("afterwards there are %d writer connections, %d in use, and %d acquires timed out", s.Writers, s.WritersInUse, s.Timeouts)
		}
		if l.closedFor(driver.ReasonOverflow) == 0 {
			t.Error("no turn of the kept connection was taken")
		}
	})
}

// TestBusyKeeperKeepsTurn checks that no turn is taken from a checkout that is not
// idle or that has asked for the writer.
func TestBusyKeeperKeepsTurn(t *testing.T) {
	for name, keep := range map[string]func(ctx context.Context, t *testing.T, p *pool.Pool) (end func() error){
		"AcquireWrite": func(ctx context.Context, t *testing.T, p *pool.Pool) func() error {
			c, err := p.AcquireWrite(ctx)
			if err != nil {
				t.Fatal(err)
			}
			must(t, c, "INSERT INTO t VALUES (1)")
			return c.Close
		},
		"a transaction": func(ctx context.Context, t *testing.T, p *pool.Pool) func() error {
			tx, err := p.DB().BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			return tx.Rollback
		},
		"a transaction by SQL": func(ctx context.Context, t *testing.T, p *pool.Pool) func() error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			must(t, c, "BEGIN")
			return func() error {
				must(t, c, "ROLLBACK")
				return c.Close()
			}
		},
		"rows that write": func(ctx context.Context, t *testing.T, p *pool.Pool) func() error {
			rows, err := p.DB().QueryContext(ctx, "INSERT INTO t VALUES (1), (2) RETURNING a")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			return rows.Close
		},
		"a session pragma that affects writes": func(ctx context.Context, t *testing.T, p *pool.Pool) func() error {
			c, err := p.DB().Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			must(t, c, "PRAGMA foreign_keys = off")
			return c.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
				must(t, p.DB(), "CREATE TABLE t(a)")
				end := keep(t.Context(), t, p)
				if _, err := p.DB().Exec("INSERT INTO t VALUES (3)"); !errors.Is(err, pool.ErrAcquireTimeout) {
					t.Errorf("another caller writes meanwhile: %v", err)
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}
				must(t, p.DB(), "INSERT INTO t VALUES (3)")
			})
		})
	}
}

// TestRowsOfDBLetOthersWrite checks that other callers write while rows of a SELECT by DB are open,
// also if only the writer can answer it. Rows of a Conn, and rows that write, keep the turn.
func TestRowsOfDBLetOthersWrite(t *testing.T) {
	type source interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}
	for query, lets := range map[string]bool{
		"SELECT last_insert_rowid()":                true,
		"SELECT changes() UNION SELECT 5":           true,
		"SELECT name FROM pragma_table_list()":      true,
		"WITH x AS (SELECT changes()) SELECT 1":     true,
		"PRAGMA table_info(t)":                      false,
		"INSERT INTO t VALUES (1), (2) RETURNING a": false,
	} {
		t.Run(query, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
				must(t, p.DB(), "CREATE TABLE t(a)")
				c, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for _, from := range []source{p.DB(), c} {
					rows, err := from.QueryContext(t.Context(), query)
					if err != nil {
						t.Fatal(err)
					}
					if !rows.Next() {
						t.Error("there are no rows")
					}
					_, err = p.DB().Exec("INSERT INTO t VALUES (3)")
					if want := lets && from == source(p.DB()); want != (err == nil) || err != nil && !errors.Is(err, pool.ErrAcquireTimeout) {
						t.Errorf("of %T, another caller writes: %v", from, err)
					}
					for rows.Next() {
					}
					if err := rows.Err(); err != nil {
						t.Error(err)
					}
					rows.Close()
				}
			})
		})
	}
}

// TestManyKeepers checks many checkouts that keep their connections: taken turns are
// requested again, and again in order. Every caller is served, and one writes at a time.
func TestManyKeepers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t(a)")
		const keepers, writes = 8, 20
		done := make(chan error)
		for i := range keepers {
			go func() {
				c, err := p.DB().Conn(context.Background())
				for range writes {
					if err == nil {
						_, err = c.ExecContext(context.Background(), "INSERT INTO t VALUES (?)", i)
					}
					time.Sleep(time.Millisecond)
				}
				if err == nil {
					err = c.Close()
				}
				done <- err
			}()
		}
		for range keepers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != keepers*writes {
			t.Errorf("%d rows, %v; want %d", n, err, keepers*writes)
		}
		if s := p.Stats(); s.Writers != 1 {
			t.Errorf("%d writer connections are left", s.Writers)
		}
	})
}

// TestPragmaOfKeptWriterApplies checks that a pragma of the program applies to
// all later writes, also while a checkout keeps the connection with the pragma. If others could
// write through another connection, their writes would delete the rows that refer to replaced
// ones.
func TestPragmaOfKeptWriterApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
		must(t, p.DB(), "CREATE TABLE parent(id INTEGER PRIMARY KEY)")
		must(t, p.DB(), "CREATE TABLE child(of REFERENCES parent ON DELETE CASCADE)")
		must(t, p.DB(), "INSERT INTO parent VALUES (1)")
		must(t, p.DB(), "INSERT INTO child VALUES (1)")
		must(t, p.DB(), "PRAGMA foreign_keys = OFF")
		kept, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, kept, "UPDATE parent SET id = id")
		if _, err := p.DB().Exec("DELETE FROM parent"); !errors.Is(err, pool.ErrAcquireTimeout) {
			t.Errorf("another caller writes without the pragma: %v", err)
		}
		if err := kept.Close(); err != nil {
			t.Fatal(err)
		}
		must(t, p.DB(), "DELETE FROM parent")
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM child").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d children are left, %v", n, err)
		}
	})
}

// TestTurnIsOfferedAfterEveryCall checks that a checkout offers its turn also after a failed
// call or a ping.
func TestTurnIsOfferedAfterEveryCall(t *testing.T) {
	for name, do := range map[string]func(context.Context, *sql.Conn) error{
		"Ping": func(ctx context.Context, c *sql.Conn) error { return c.PingContext(ctx) },
		"Prepare, failing": func(ctx context.Context, c *sql.Conn) error {
			_, err := c.PrepareContext(ctx, "SELECT a FROM x")
			return err
		},
		"BeginTx, failing": func(ctx context.Context, c *sql.Conn) error {
			_, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := pooled(t, pool.Config{AcquireTimeout: time.Second})
				must(t, p.DB(), "CREATE TABLE t(a)")
				kept, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer kept.Close()
				must(t, kept, "INSERT INTO t VALUES (1)")
				if err := do(t.Context(), kept); (err == nil) != (name == "Ping") {
					t.Fatal(err)
				}
				must(t, p.DB(), "INSERT INTO t VALUES (2)")
			})
		})
	}
}

// TestKeptWritersAreBounded checks that the number of writer connections is limited, because
// each kept one is one more that is open.
func TestKeptWritersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{MaxConns: 2, AcquireTimeout: time.Second})
		must(t, p.DB(), "CREATE TABLE t(a)")
		for range 200 {
			c, err := p.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); errors.Is(err, pool.ErrAcquireTimeout) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("there are %d writer connections", p.Stats().Writers)
	})
}

// TestKeeperContinuesDuringShutdown checks a connection that is in use when Shutdown begins. It
// may be used until it is released, even if its checkout has to queue again for its turn.
func TestKeeperContinuesDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t(a)")
		kept, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		must(t, kept, "INSERT INTO t VALUES (1)")
		tx, err := p.DB().Begin() // takes the turn
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			closed <- p.Shutdown(ctx)
		}()
		synctest.Wait()
		done := make(chan error)
		go func() {
			_, err := kept.ExecContext(context.Background(), "INSERT INTO t VALUES (2)")
			done <- err
		}()
		synctest.Wait()
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("a connection in use is refused: %v", err)
		}
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// openKeeper returns the database of a pool, and a checkout that keeps its connection.
func openKeeper(t *testing.T) (*sql.DB, *sql.Conn) {
	t.Helper()
	p, _ := pooled(t, pool.Config{})
	db := p.DB()
	must(t, db, "CREATE TABLE t(a)")
	keeper, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := keeper.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, keeper
}

// TestTurnOfferedLateIsTaken checks that a waiter for the writer is served soon after the
// holder's transaction has ended, though the holder keeps the connection.
func TestTurnOfferedLateIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, keeper := openKeeper(t)
		for range 3 { // each time the checkout queues again for its turn
			tx, err := keeper.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			must(t, tx, "INSERT INTO t VALUES (1)")
			others := make(chan error, 2)
			for range cap(others) {
				go func() {
					_, err := db.Exec("INSERT INTO t VALUES (2)")
					others <- err
				}()
			}
			time.Sleep(time.Second)
			if len(others) != 0 {
				t.Fatal("another caller wrote during a transaction")
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if n := len(others); n != cap(others) {
				t.Fatalf("ten milliseconds after the commit, %d callers have written", n)
			}
			for range cap(others) {
				if err := <-others; err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestBusyKeeperLetsOthersWrite checks a checkout that keeps its connection and writes now and
// then. However often it writes, it does not prevent others from writing.
func TestBusyKeeperLetsOthersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, keeper := openKeeper(t)
		must(t, keeper, "INSERT INTO t VALUES (1)")
		wrote := make(chan error, 1)
		begun := time.Now()
		go func() {
			_, err := db.Exec("INSERT INTO t VALUES (2)")
			wrote <- err
		}()
		for len(wrote) == 0 && time.Since(begun) < time.Second {
			must(t, keeper, "INSERT INTO t VALUES (1)")
			time.Sleep(1500 * time.Microsecond)
		}
		if len(wrote) == 0 {
			t.Fatal("no other caller has written for a second")
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	})
}
