package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestWritesThatFail checks that a write that fails because SQLite cannot write makes the pool
// degraded immediately. There is one event and one log line, until a write succeeds. That holds
// in every journal mode and for every way to write.
func TestWritesThatFail(t *testing.T) {
	for name, cfg := range map[string]pool.Config{
		"lanes": {}, "one lane": {MaxConns: 1}, "journal": {DisableWAL: true}, "memory": pool.InMemory(),
	} {
		for how, write := range map[string]func(p *pool.Pool) error{
			"Exec": func(p *pool.Pool) error {
				_, err := p.DB().Exec("INSERT INTO t VALUES (randomblob(100000))")
				return err
			},
			"Tx": func(p *pool.Pool) error {
				return p.WithTx(context.Background(), nil, func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO t VALUES (randomblob(100000))")
					return err
				})
			},
			"RETURNING": func(p *pool.Pool) error {
				return p.DB().QueryRow("INSERT INTO t VALUES (randomblob(100000)) RETURNING 1").Scan(new(int))
			},
			"Raw": func(p *pool.Pool) error {
				return p.Raw(context.Background(), func(c *sqlite3.Conn) error { return c.Exec("INSERT INTO t VALUES (randomblob(100000))") })
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var lines logged
					cfg.Logger = slog.New(&lines)
					p, l := pooled(t, cfg)
					must(t, p.DB(), "CREATE TABLE t(a); CREATE TABLE u(a)")
					must(t, p.Writer(), fmt.Sprintf("PRAGMA max_page_count = %d", intOf(t, p.Writer(), "PRAGMA page_count")+5))
					for range 3 {
						if err := write(p); !errors.Is(err, sqlite3.FULL) {
							t.Fatalf("a write returns %v", err)
						}
						intOf(t, p.DB(), "SELECT count(*) FROM t") // not a write
						if h := healthOf(p); !strings.HasPrefix(h, "degraded writes to ") || !strings.Contains(h, "database or disk is full") {
							t.Error(h)
						}
						if err := p.HealthCheck(t.Context()); err != nil || p.Stats().Health != pool.HealthDegraded {
							t.Errorf("the check returns %v: %s", err, healthOf(p))
						}
					}
					if e := l.last(driver.KindFailing); l.count(driver.KindFailing) != 1 || e.Reason != driver.ReasonWrite || e.Err != "13" || e.Conn == 0 {
						t.Errorf("%d events, %+v", l.count(driver.KindFailing), e)
					}
					if !lines.has("writes fail", "database or disk is full") || lines.count("writes fail") != 1 || lines.count("health") != 0 {
						t.Errorf("the log: %q", lines.lines)
					}
					must(t, p.Writer(), "PRAGMA max_page_count = 100000")
					if !strings.HasPrefix(healthOf(p), "degraded") {
						t.Errorf("before a write has succeeded, health is %s", healthOf(p))
					}
					time.Sleep(time.Second)
					if err := write(p); err != nil {
						t.Fatal(err)
					}
					if h := healthOf(p); h != "ok " {
						t.Errorf("after a write has succeeded, health is %s", h)
					}
					if e := l.last(driver.KindRecovered); l.count(driver.KindRecovered) != 1 || e.Reason != driver.ReasonWrite || e.Duration != time.Second {
						t.Errorf("%d events, %+v", l.count(driver.KindRecovered), e)
					}
					if lines.count("writes succeed again") != 1 {
						t.Errorf("the log: %q", lines.lines)
					}
				})
			})
		}
	}
}

// TestErrorsThatAreNotFailures checks that an error of the program, or a lock of another
// connection, does not count as a failed write.
func TestErrorsThatAreNotFailures(t *testing.T) {
	p, l := pooled(t, pool.Config{BusyTimeout: -1})
	must(t, p.DB(), "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
	nowhere := filepath.ToSlash(filepath.Join(t.TempDir(), "none", "b.db"))
	for _, query := range []string{
		"INSERT INTO t VALUES (1)", "INSERT INTO nowhere VALUES (1)", "INSERT INTO", "ATTACH '" + nowhere + "' AS b", "VACUUM INTO '" + nowhere + "'",
		"PRAGMA query_only = ON; INSERT INTO t VALUES (2)",
	} {
		if _, err := p.Writer().Exec(query); err == nil {
			t.Errorf("%s succeeds", query)
		}
	}
	must(t, p.Writer(), "PRAGMA query_only = OFF")
	if _, err := p.Reader().Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write on a reader returns %v", err)
	}
	c := foreignConn(t, p.Config().Path)
	if err := c.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DB().Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("beside a writer, a write returns %v", err)
	}
	if n := l.count(driver.KindFailing); n > 0 || healthOf(p) != "ok " {
		t.Errorf("%d failures, %s", n, healthOf(p))
	}
}
