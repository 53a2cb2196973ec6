package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// plainWAL is the length of a WAL that SQLite's own checkpoints leave: a header of 32 bytes,
// and 1000 pages of 4096 bytes, each with a header of 24.
const plainWAL = 32 + 1000*(4096+24)

// walSize returns the length of the WAL's file, or 0 if there is none.
func walSize(p *pool.Pool) int64 {
	info, err := os.Stat(p.Config().Path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// grow writes until the WAL is longer than bytes, or until it gives up. It returns how long the
// longest write took.
func grow(t testing.TB, p *pool.Pool, bytes int64) (longest time.Duration) {
	t.Helper()
	for range 2 * bytes / 4000 {
		if walSize(p) > bytes {
			break
		}
		began := time.Now()
		must(t, p.DB(), "INSERT INTO t(b) VALUES (randomblob(3900))")
		longest = max(longest, time.Since(began))
	}
	return longest
}

// readFor starts to read from a database. Calling done ends it.
func readFor(t testing.TB, db *sql.DB, ctx context.Context) (done func()) {
	t.Helper()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT count(*) FROM t").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	return func() { tx.Rollback() }
}

func healthOf(p *pool.Pool) string {
	r := p.Health()
	return r.Health.String() + " " + strings.Join(r.Reasons, "; ")
}

// TestWALStaysWithinTwiceItsLimit checks that the WAL stays within twice its limit if no
// read lasts longer than a second. That holds even if each reader keeps its connection and at
// every moment one of them reads.
func TestWALStaysWithinTwiceItsLimit(t *testing.T) {
	const limit = 1 << 20
	for _, row := range []time.Duration{15 * time.Millisecond, 310 * time.Millisecond} { // how long each of three rows takes
		t.Run(row.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines logged
				p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, JournalSizeLimit: limit, Logger: slog.New(&lines)})
				must(t, p.DB(), "CREATE TABLE t(i INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, randomblob(3000)), (2, randomblob(3000)), (3, randomblob(3000))")
				ctx, cancel := context.WithTimeout(t.Context(), 150*row)
				defer cancel()
				var wg sync.WaitGroup
				for r := range 3 {
					wg.Go(func() {
						c, err := p.DB().Conn(context.Background())
						if err != nil {
							t.Error(err)
							return
						}
						defer c.Close()
						time.Sleep(time.Duration(r) * row * 4 / 3)
						for ctx.Err() == nil {
							rows, err := c.QueryContext(context.Background(), "SELECT b FROM t")
							if err != nil {
								t.Error(err)
								return
							}
							for rows.Next() {
								time.Sleep(row)
							}
							rows.Close()
						}
					})
				}
				writes, most := 0, int64(0)
				for ; ctx.Err() == nil; writes++ {
					must(t, p.DB(), "UPDATE t SET b = randomblob(3000) WHERE i = 1")
					most = max(most, walSize(p))
					time.Sleep(row / 15)
				}
				wg.Wait()
				if most > 2*limit || writes < 500 {
					t.Errorf("the WAL had up to %d bytes, with %d writes", most, writes)
				}
				if n := l.count(driver.KindFailing); n > 0 || healthOf(p) != "ok " {
					t.Errorf("%d failures, %s", n, healthOf(p))
				}
				if n := lines.count("longer than its limit"); n > 0 {
					t.Errorf("%d log lines report it", n)
				}
			})
		})
	}
}

// TestOldReaderIsNamed checks that no write waits for a reader that reads for
// long. Health, an event and a log line name the reader until the WAL is short again, which
// needs no further write.
func TestOldReaderIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logged
		p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, JournalSizeLimit: 1 << 20, Logger: slog.New(&lines)})
		must(t, p.DB(), "CREATE TABLE t(b)")
		done := readFor(t, p.DB(), pool.WithOwner(t.Context(), "report"))
		holder := p.Holders()[0].Conn
		time.Sleep(1500 * time.Millisecond)
		before := l.count(driver.KindHealth)
		began := time.Now()
		if longest := grow(t, p, 4<<20); longest >= time.Millisecond { // SQLite itself waits for microseconds
			t.Errorf("a write waited for %v", longest)
		}
		took := time.Since(began)
		if n := walSize(p); n < 4<<20 {
			t.Errorf("the WAL has %d bytes: does the reader pin it?", n)
		}
		time.Sleep(time.Second) // a commit may have blocked the last checkpoint
		for _, part := range []string{"degraded", "the WAL of", "more than its limit, 1.0 MiB (Config.JournalSizeLimit)", "report", "SELECT t", fmt.Sprintf("connection %v", holder)} {
			if h := healthOf(p); !strings.Contains(h, part) {
				t.Errorf("%q is not in %q", part, h)
			}
		}
		until(t, "failing", func() bool { return l.count(driver.KindFailing) > 0 })
		if e := l.last(driver.KindFailing); l.count(driver.KindFailing) != 1 || e.Reason != driver.ReasonWAL || e.Holder != holder {
			t.Errorf("%d events, the last %+v", l.count(driver.KindFailing), e)
		}
		if e := l.last(driver.KindHealth); l.count(driver.KindHealth) != before+1 || e.Health != "degraded" {
			t.Errorf("%d more health events, the last %+v", l.count(driver.KindHealth)-before, e)
		}
		if !lines.has("the WAL is longer than its limit", "report", "SELECT t") || lines.count("the WAL is longer") != 1 {
			t.Errorf("the log: %q", lines.lines)
		}
		if err := p.HealthCheck(t.Context()); err != nil || !strings.HasPrefix(healthOf(p), "degraded") || p.Stats().Health != pool.HealthDegraded {
			t.Errorf("after a check: %v, %s", err, healthOf(p))
		}
		if took >= 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		done()
		time.Sleep(3 * time.Second)
		if h, n := healthOf(p), walSize(p); h != "ok " || n > plainWAL {
			t.Errorf("without the reader: %s; the WAL has %d bytes", h, n)
		}
		until(t, "recovered", func() bool { return l.count(driver.KindRecovered) > 0 && lines.count("within its limit again") > 0 })
		if e := l.last(driver.KindRecovered); l.count(driver.KindRecovered) != 1 || e.Reason != driver.ReasonWAL || e.Duration <= 0 || lines.count("within its limit again") != 1 {
			t.Errorf("%d events, the last %+v; the log: %q", l.count(driver.KindRecovered), e, lines.lines)
		}
		if e := l.last(driver.KindHealth); e.Health != "ok" {
			t.Errorf("the last health event: %+v", e)
		}
	})
}

// TestForeignReaderIsWaitedForOnce checks that writes may wait for a reader that belongs to
// no pool, but not for long and not often.
func TestForeignReaderIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, JournalSizeLimit: 1 << 20})
		must(t, p.DB(), "CREATE TABLE t(b)")
		c := foreignConn(t, p.Config().Path)
		if err := c.Exec("BEGIN; SELECT * FROM t"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if longest := grow(t, p, 8<<20); longest > 1200*time.Millisecond {
			t.Errorf("a write waited for %v", longest)
		}
		if d := time.Since(began); d > 1300*time.Millisecond {
			t.Errorf("writers have waited for %v", d)
		}
		if h := healthOf(p); !strings.Contains(h, "outside the pools") {
			t.Error(h)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		until(t, "recovered", func() bool { return l.count(driver.KindRecovered) > 0 })
		if h, n := healthOf(p), walSize(p); h != "ok " || n > plainWAL || l.count(driver.KindRecovered) != 1 {
			t.Errorf("without the reader: %s; the WAL has %d bytes", h, n)
		}
	})
}

// TestHeldCommitEndsWithContext checks a write whose context ends while its commit is held:
// the write succeeds and does not wait longer.
func TestHeldCommitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, JournalSizeLimit: 1 << 20})
		must(t, p.DB(), "CREATE TABLE t(b)")
		done := readFor(t, p.DB(), t.Context())
		defer done()
		grow(t, p, 1<<20-8000)
		n := intOf(t, p.Writer(), "SELECT count(*) FROM t")
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			began := time.Now()
			if _, err := p.DB().ExecContext(ctx, "INSERT INTO t(b) VALUES (randomblob(3900))"); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d > 30*time.Millisecond {
				t.Errorf("write %d took %v", i, d)
			}
			cancel()
		}
		if m := intOf(t, p.Writer(), "SELECT count(*) FROM t"); m != n+5 {
			t.Errorf("%d rows were added, want 5", m-n)
		}
	})
}

// TestCommitIsNotHeldForOwnRows checks that a commit is not held because of open rows of
// its own connection.
func TestCommitIsNotHeldForOwnRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, JournalSizeLimit: 1 << 20})
		must(t, p.DB(), "CREATE TABLE t(b); INSERT INTO t VALUES (1), (2)")
		c, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		rows, err := c.QueryContext(t.Context(), "SELECT b FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		rows.Next()
		began := time.Now()
		for n := 0; n < 600; n++ {
			_, err := c.ExecContext(t.Context(), "INSERT INTO t(b) VALUES (randomblob(3900))")
			// A connection that reads the WAL's index while it is being written locks it for a
			// moment. A connection with open rows does not wait for that lock.
			if errors.Is(err, sqlite3.BUSY) {
				n--
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it took %v", d)
		}
		rows.Close()
	})
}

// TestWALOfIdlePool checks that an idle pool's WAL is no longer than the plain driver leaves it,
// whatever its length was. That also holds while a checkout keeps the writer.
func TestWALOfIdlePool(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
			must(t, p.DB(), "CREATE TABLE t(b)")
			if kept {
				c, err := p.DB().Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				must(t, c, "INSERT INTO t VALUES (1)")
			}
			must(t, p.DB(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT randomblob(3900) FROM n")
			if n := walSize(p); n <= 2*plainWAL {
				t.Fatalf("the WAL has only %d bytes", n)
			}
			time.Sleep(5 * time.Second)
			if n := walSize(p); n > plainWAL {
				t.Errorf("kept %v: when idle, the WAL has %d bytes", kept, n)
			}
			if n := l.count(driver.KindFailing); n > 0 {
				t.Errorf("%d failures: %s", n, healthOf(p))
			}
			must(t, p.DB(), "INSERT INTO t VALUES (2)")
		})
	}
}

// TestWALUnderSteadyWrites checks that steady writes do not make the WAL much longer either,
// whichever checkout has the writer. Once the checkpointer has its connection, it restarts the
// WAL in time.
func TestWALUnderSteadyWrites(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
			must(t, p.DB(), "CREATE TABLE t(b)")
			on := execer(p.DB())
			if kept {
				c, err := p.AcquireWrite(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Release()
				on = c
			}
			for range 2500 {
				must(t, on, "INSERT INTO t VALUES (randomblob(3900))")
				time.Sleep(time.Millisecond) // so that the checkpointer can run
			}
			if n := walSize(p); n > plainWAL*3/2 {
				t.Errorf("kept %v: the WAL has %d bytes", kept, n)
			}
		})
	}
}

// TestCheckpointsOff checks that a program that turns SQLite's checkpoints off also
// turns the pool's off. A WAL beyond its limit is still reported, until something else has made
// it short.
func TestCheckpointsOff(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"lanes": {},
		"one":   {MaxConns: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg.Synchronous, cfg.JournalSizeLimit = pool.SynchronousOff, 1<<20
				cfg.Pragmas = []driver.Pragma{{Name: "wal_autocheckpoint", Value: "0"}}
				p, l := pooled(t, cfg)
				must(t, p.DB(), "CREATE TABLE t(b)")
				before := l.count(driver.KindConnect)
				if longest := grow(t, p, 6<<20); longest > 0 {
					t.Errorf("a write waited for %v", longest)
				}
				synctest.Wait()
				if n := l.count(driver.KindConnect); n != before {
					t.Errorf("%d connections were opened for checkpoints", n-before)
				}
				time.Sleep(time.Minute)
				if n := walSize(p); n < 6<<20 {
					t.Errorf("the WAL has %d bytes", n)
				}
				until(t, "failing", func() bool { return l.count(driver.KindFailing) > 0 })
				if h := healthOf(p); !strings.Contains(h, "wal_autocheckpoint is off") || l.count(driver.KindFailing) != 1 {
					t.Errorf("%d failures, %s", l.count(driver.KindFailing), h)
				}
				c := foreignConn(t, p.Config().Path) // as Litestream does
				defer c.Close()
				if err := c.Exec("PRAGMA wal_checkpoint(truncate)"); err != nil {
					t.Fatal(err)
				}
				must(t, p.DB(), "INSERT INTO t VALUES (1)")
				until(t, "recovered", func() bool { return l.count(driver.KindRecovered) > 0 })
				if h := healthOf(p); h != "ok " || l.count(driver.KindRecovered) != 1 {
					t.Errorf("%d recoveries, %s", l.count(driver.KindRecovered), h)
				}
			})
		})
	}
}

// TestWALOfOtherCheckpoints checks that a WAL beyond its limit is also reported if commits
// or SQLite itself do the checkpoints.
func TestWALOfOtherCheckpoints(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"one":         {MaxConns: 1},
		"SQLite's":    {Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "100"}}},
		"SQLite's, 1": {Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "100"}}, MaxConns: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg.Synchronous, cfg.JournalSizeLimit = pool.SynchronousOff, 1<<20
				p, l := pooled(t, cfg)
				must(t, p.DB(), "CREATE TABLE t(b)")
				c := foreignConn(t, p.Config().Path)
				if err := c.Exec("BEGIN; SELECT * FROM t"); err != nil {
					t.Fatal(err)
				}
				if longest := grow(t, p, 6<<20); longest > 0 {
					t.Errorf("a write waited for %v", longest)
				}
				time.Sleep(time.Minute)
				if h := healthOf(p); !strings.Contains(h, "more than its limit") || l.count(driver.KindFailing) != 1 {
					t.Errorf("%d failures, %s", l.count(driver.KindFailing), h)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				for range 3 { // the pool's own check may block a commit's checkpoint for a moment
					must(t, p.DB(), "INSERT INTO t VALUES (1)")
					must(t, p.DB(), "INSERT INTO t VALUES (1)")
					time.Sleep(time.Minute)
				}
				if h := healthOf(p); h != "ok " || l.count(driver.KindRecovered) == 0 || l.count(driver.KindRecovered) != l.count(driver.KindFailing) {
					t.Errorf("%d failures, %d recoveries, %s", l.count(driver.KindFailing), l.count(driver.KindRecovered), h)
				}
			})
		})
	}
}

// TestWALLeftByForeignReaderIsMoved checks that a WAL that another program's reader has blocked
// is moved after the reader has gone, without a further write.
func TestWALLeftByForeignReaderIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, pool.Config{MaxConns: 1, Synchronous: pool.SynchronousOff, JournalSizeLimit: 1 << 20})
		must(t, p.DB(), "CREATE TABLE t(b)")
		c := foreignConn(t, p.Config().Path)
		if err := c.Exec("BEGIN; SELECT * FROM t"); err != nil {
			t.Fatal(err)
		}
		grow(t, p, 2<<20)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if h := healthOf(p); !strings.Contains(h, "more than its limit") {
			t.Error(h)
		}
		time.Sleep(time.Minute)
		if h := healthOf(p); h != "ok " {
			t.Error(h)
		}
	})
}
