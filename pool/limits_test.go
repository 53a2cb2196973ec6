package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// checkLimit checks that err reports the limit of setting, and that the pool has reported it
// this many times.
func checkLimit(t *testing.T, p *pool.Pool, log *logged, err error, setting string, times int) {
	t.Helper()
	var limit *pool.TimeLimitError
	if !errors.Is(err, pool.ErrTimeLimit) || !errors.Is(err, sqlite3.INTERRUPT) || !errors.As(err, &limit) || limit.Setting != setting || !strings.Contains(err.Error(), "Config."+setting) {
		t.Errorf("the error is %v, want one of %s", err, setting)
	}
	told := 0
	for _, e := range p.Events() {
		if e.Kind == driver.KindTimeLimit && string(e.Reason) == setting {
			told++
		}
	}
	if told != times || p.Stats().TimeLimits != uint64(times) || !log.has(setting) {
		t.Errorf("%d events and %d in Stats report it, want %d; logged %q", told, p.Stats().TimeLimits, times, log.lines)
	}
}

const forEver = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "

// TestStatementTimeout checks that a statement that takes too long is interrupted, and that the
// next one is not. That holds on either lane, in a transaction or not, for Exec and for rows.
func TestStatementTimeout(t *testing.T) {
	var log logged
	p, _ := pooled(t, pool.Config{Path: newFile(t), StatementTimeout: 50 * time.Millisecond, Logger: logger(&log)})
	must(t, p.DB(), "CREATE TABLE t(a)")
	tx, err := p.DB().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	checkLimit(t, p, &log, tx.QueryRow(forEver+"SELECT count(*) FROM n").Scan(new(int)), "StatementTimeout", 1)
	must(t, tx, "INSERT INTO t VALUES (1)")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	_, err = p.DB().Exec("INSERT INTO t " + forEver + "SELECT i FROM n WHERE i < 0")
	checkLimit(t, p, &log, err, "StatementTimeout", 2)

	rows, err := p.DB().Query(forEver + "SELECT i FROM n WHERE i < 3 OR i < 0")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if n != 2 {
		t.Errorf("%d rows were read, want 2", n)
	}
	checkLimit(t, p, &log, rows.Err(), "StatementTimeout", 3)
	if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows are there, want 1", n)
	}
	if s := p.Stats(); s.InUse != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestTxTimeout checks that a transaction that lasts too long is rolled back without a call of
// the program, however it was begun. The next waiter gets its turn.
func TestTxTimeout(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, db *sql.DB) (write func() error, end func() error){
		"BeginTx": func(t *testing.T, db *sql.DB) (func() error, func() error) {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := tx.Exec("INSERT INTO t VALUES (1)"); return err }, tx.Commit
		},
		"text": func(t *testing.T, db *sql.DB) (func() error, func() error) {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			must(t, conn, "BEGIN IMMEDIATE")
			return func() error { _, err := conn.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); return err }, func() error {
				_, err := conn.ExecContext(t.Context(), "COMMIT")
				return errors.Join(err, conn.Close())
			}
		},
	} {
		file, memory := pool.Config{Path: newFile(t)}, pool.InMemory()
		for lanes, cfg := range map[string]pool.Config{"two lanes": file, "memory": memory} {
			synctest.Test(t, func(t *testing.T) {
				name := name + ", " + lanes
				var log logged
				cfg.TxTimeout, cfg.Logger = time.Second, logger(&log)
				p, err := pool.Open(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				must(t, p.DB(), "CREATE TABLE t(a)")
				for range 3 { // short ones, which together take longer
					write, end := begin(t, p.DB())
					if err := write(); err != nil {
						t.Error(err)
					}
					time.Sleep(600 * time.Millisecond)
					if err := end(); err != nil {
						t.Error(err)
					}
				}
				write, end := begin(t, p.DB())
				if err := write(); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if _, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (2)"); err != nil {
					t.Errorf("%s: the next writer: %v", name, err)
				}
				if took := time.Since(began); took < time.Second || took > 1200*time.Millisecond {
					t.Errorf("%s: the next writer got its turn after %v", name, took)
				}
				checkLimit(t, p, &log, write(), "TxTimeout", 1)
				if err := end(); !errors.Is(err, pool.ErrTimeLimit) {
					t.Errorf("%s: the end of the transaction returns %v", name, err)
				}
				if a := intOf(t, p.DB(), "SELECT sum(a) FROM t"); a != 5 {
					t.Errorf("%s: the sum is %d, want 5", name, a)
				}
				must(t, p.DB(), "INSERT INTO t VALUES (3)")
				if s := p.Stats(); s.InUse != 0 || s.ClosedFor[driver.ReasonTimeLimit] != 1 {
					t.Errorf("%s: stats %+v", name, s)
				}
			})
		}
	}
}

// TestMaxReadAge checks that reading for too long is ended, for rows and for transactions.
// After that, the WAL can be restarted.
func TestMaxReadAge(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, db *sql.DB) (next func() error, end func() error){
		"rows": func(t *testing.T, db *sql.DB) (func() error, func() error) {
			rows, err := db.Query("SELECT a FROM t")
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				if rows.Next() {
					return rows.Scan(new(int))
				}
				return rows.Err()
			}, rows.Close
		},
		"transaction": func(t *testing.T, db *sql.DB) (func() error, func() error) {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return tx.QueryRow("SELECT a FROM t").Scan(new(int)) }, tx.Rollback
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t)
			synctest.Test(t, func(t *testing.T) {
				var log logged
				p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxConns: 2, MaxReadAge: time.Second, Logger: logger(&log)})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
				next, end := begin(t, p.DB())
				if err := next(); err != nil {
					t.Fatal(err)
				}
				must(t, p.DB(), "INSERT INTO t VALUES (4)")
				time.Sleep(1200 * time.Millisecond)
				if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 4 { // uses the only reader
					t.Errorf("%d rows are there, want 4", n)
				}
				if progress, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); err != nil {
					t.Errorf("the checkpoint returns %+v, %v", progress, err)
				}
				checkLimit(t, p, &log, next(), "MaxReadAge", 1)
				_ = end()
				if s := p.Stats(); s.InUse != 0 || s.ClosedFor[driver.ReasonTimeLimit] != 1 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// TestLimitInterruptsRunningCall checks that a running call is interrupted before its
// connection is taken away.
func TestLimitInterruptsRunningCall(t *testing.T) {
	for name, cfg := range map[string]pool.Config{"TxTimeout": {TxTimeout: 100 * time.Millisecond}, "MaxReadAge": {MaxReadAge: 100 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			var log logged
			cfg.Path, cfg.Logger = newFile(t), logger(&log)
			p, _ := pooled(t, cfg)
			tx, err := p.DB().Begin()
			if err != nil {
				t.Fatal(err)
			}
			must(t, tx, "CREATE TABLE t(a)")
			checkLimit(t, p, &log, tx.QueryRow(forEver+"SELECT count(*) FROM n").Scan(new(int)), name, 1)
			if err := tx.Rollback(); err != nil && !errors.Is(err, pool.ErrTimeLimit) {
				t.Error(err)
			}
			must(t, p.DB(), "CREATE TABLE t(a)")
		})
	}
}

// TestLimitKeepsValuesThatWereRead checks that values read before a limit can be scanned after
// it. None of them may be in SQLite's memory, which is freed with the connection.
func TestLimitKeepsValuesThatWereRead(t *testing.T) {
	path := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxReadAge: time.Second, Logger: logger(&log)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, size := range []int{40, 1000, 3000, 20000} {
			want := bytes.Repeat([]byte{'A'}, size)
			must(t, p.DB(), "CREATE TABLE t(a)")
			must(t, p.DB(), "INSERT INTO t VALUES (?1), (?1)", want)
			for name, scan := range map[string]func(*sql.Rows) (func() []byte, error){
				"bytes": func(rows *sql.Rows) (func() []byte, error) {
					time.Sleep(2 * time.Second)
					var b []byte
					err := rows.Scan(&b)
					return func() []byte { return b }, err
				},
				"raw bytes": func(rows *sql.Rows) (func() []byte, error) {
					var b sql.RawBytes
					err := rows.Scan(&b)
					time.Sleep(2 * time.Second)
					return func() []byte { return b }, err
				},
			} {
				rows, err := p.DB().Query("SELECT a FROM t")
				if err != nil || !rows.Next() {
					t.Fatal(err)
				}
				got, err := scan(rows)
				must(t, p.DB(), "CREATE TABLE u(a); DROP TABLE u")
				if err != nil && !errors.Is(err, pool.ErrTimeLimit) || err == nil && !bytes.Equal(got(), want) {
					t.Errorf("%s of %d bytes: %v, or the values have changed", name, size, err)
				}
				if rows.Next() || !errors.Is(rows.Err(), pool.ErrTimeLimit) {
					t.Errorf("%s of %d bytes: then %v", name, size, rows.Err())
				}
				rows.Close()
			}
			must(t, p.DB(), "DROP TABLE t")
		}
	})
}

// TestLimitWithRawConnection checks that a caller that uses SQLite's own connection, as a
// savepoint does, keeps it after a limit. An earlier caller's use of it makes no difference.
func TestLimitWithRawConnection(t *testing.T) {
	path := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p, err := pool.Open(t.Context(), pool.Config{Path: path, TxTimeout: time.Second, Logger: logger(&log)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		must(t, p.DB(), "CREATE TABLE t(a)")
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		savepoint := sqlite3driver.Savepoint(tx)
		must(t, tx, "INSERT INTO t VALUES (1)")
		time.Sleep(2 * time.Second)
		if err := savepoint.Rollback(); err != nil {
			t.Errorf("the savepoint was taken away: %v", err)
		}
		checkLimit(t, p, &log, tx.Commit(), "TxTimeout", 1)

		conn, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw := func() (err error) {
			return conn.Raw(func(c any) (err error) {
				defer func() {
					if v, ok := recover().(error); ok {
						err = v
					}
				}()
				return c.(sqlite3driver.Conn).Raw().Exec("INSERT INTO t VALUES (3)")
			})
		}
		if err := raw(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		// This checkout uses the same connection.
		if conn, err = p.DB().Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tx, err = conn.BeginTx(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		must(t, tx, "INSERT INTO t VALUES (2)")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (4)"); err != nil {
			t.Errorf("the next writer: %v", err)
		}
		if err := raw(); !errors.Is(err, pool.ErrTimeLimit) {
			t.Errorf("Raw of a connection that was taken away: %v", err)
		}
		if err := tx.Commit(); !errors.Is(err, pool.ErrTimeLimit) {
			t.Error(err)
		}
		conn.Close()
		if a := intOf(t, p.DB(), "SELECT sum(a) FROM t"); a != 7 {
			t.Errorf("the sum is %d, want 7", a)
		}
	})
}

// TestMaxReadAgeOfSQLTransaction checks that MaxReadAge also ends a transaction begun by an
// SQL BEGIN.
func TestMaxReadAgeOfSQLTransaction(t *testing.T) {
	path := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		p, err := pool.Open(t.Context(), pool.Config{Path: path, MaxReadAge: time.Second, Logger: logger(&log)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		must(t, p.DB(), "CREATE TABLE t(a)")
		conn, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		must(t, conn, "BEGIN")
		for began := time.Now(); err == nil; time.Sleep(100 * time.Millisecond) {
			if err = conn.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(new(int)); time.Since(began) > 2*time.Second {
				t.Fatal("the transaction is not ended")
			}
		}
		checkLimit(t, p, &log, err, "MaxReadAge", 1)
	})
}

// TestStatementTimeoutEndsWriteTransaction checks that a write that takes too long ends
// its transaction, because SQLite rolls it back. Later statements of that transaction are not
// executed outside it.
func TestStatementTimeoutEndsWriteTransaction(t *testing.T) {
	var log logged
	p, _ := pooled(t, pool.Config{Path: newFile(t), StatementTimeout: 50 * time.Millisecond, Logger: logger(&log)})
	must(t, p.DB(), "CREATE TABLE t(a)")
	tx, err := p.DB().Begin()
	if err != nil {
		t.Fatal(err)
	}
	_, first := tx.Exec("INSERT INTO t " + forEver + "SELECT i FROM n WHERE i < 0")
	_, second := tx.Exec("INSERT INTO t VALUES (1)")
	for _, err := range []error{first, second, tx.Commit()} {
		checkLimit(t, p, &log, err, "StatementTimeout", 1)
	}
	if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are there, want none", n)
	}
}
