package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A connection is closed on release, with its locks and files, if a function's panic passed
// through it. The next call gets another connection. The program gets its own panic.
func TestPanicRetiresTheConnection(t *testing.T) {
	var log eventLog
	tracer, _, _ := recordSpans(t)
	dsn := file(t, "_pragma=busy_timeout(0)")
	db := open(t, dsn, driver.Config{Recorder: &log, Tracing: tracer, Init: explosive})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a)")
	files := len(openFiles(t, dsnDir(dsn)))
	calls := []func(){
		func() { db.Exec("INSERT INTO t VALUES (explode(1))") },
		func() { db.Exec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (explode(1))") },
		func() { db.Exec("INSERT INTO t VALUES (explode(?))", 1) },
		func() { db.QueryRow("SELECT explode(1)").Scan(new(int)) },
		func() { db.QueryRow("SELECT explode(a - 2) FROM t WHERE a > ?", 0).Scan(new(int)) },
		func() { db.QueryRow("INSERT INTO t VALUES (explode(1)) RETURNING a").Scan(new(int)) },
		func() {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			tx.Exec("INSERT INTO t VALUES (2)")
			tx.Exec("INSERT INTO t VALUES (explode(1))")
		},
	}
	for i, call := range calls {
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("call %d: recovered %v", i, r)
				}
			}()
			call()
		}()
		exec(t, db, "INSERT INTO t VALUES (3)")
		if n := len(openFiles(t, dsnDir(dsn))); n != files {
			t.Errorf("call %d: %d files are open, %d before", i, n, files)
		}
	}
	panics := 0
	for _, e := range log.events {
		if e.Kind == driver.KindClose && e.Reason == driver.ReasonPanic && e.Err == "" {
			panics++
		}
	}
	if panics != len(calls) {
		t.Errorf("%d of %d connections were closed for a panic", panics, len(calls))
	}
}

func explosive(c *sqlite3.Conn) error {
	return c.CreateFunction("explode", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
		if arg[0].Int() == 1 {
			panic("boom")
		}
		ctx.ResultValue(arg[0])
	})
}

// A transaction is rolled back after a panic has passed through it, whatever the program
// calls afterwards.
func TestTransactionEndsWithAPanic(t *testing.T) {
	db := open(t, file(t, "_pragma=busy_timeout(0)"), driver.Config{Init: explosive})
	exec(t, db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO t VALUES (explode(?))"
	exec(t, tx, insert, 5)
	rows, err := tx.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	func() {
		defer func() { recover() }()
		tx.Exec(insert, 1)
	}()
	exec(t, db, "INSERT INTO t VALUES (6)") // the lock is released immediately
	for name, call := range map[string]func() error{
		"Exec":    func() error { _, err := tx.Exec(insert, 6); return err },
		"Query":   func() error { return tx.QueryRow("SELECT 1").Scan(new(int)) },
		"Prepare": func() error { _, err := tx.Prepare(insert); return err },
		"Next":    func() error { rows.Next(); return rows.Err() },
	} {
		if err := call(); !errors.Is(err, driver.ErrPanicked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rows.ColumnTypes(); err == nil {
		t.Error("the rows have column types")
	}
	if err := tx.Commit(); !errors.Is(err, driver.ErrPanicked) {
		t.Errorf("Commit: %v", err)
	}
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want that of the other transaction", n)
	}
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// A statement that is never closed does not keep its connection open.
func TestForgottenStatement(t *testing.T) {
	dsn := file(t)
	db := open(t, dsn, driver.Config{})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.PrepareContext(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	raw(t, conn, func(c *sqlite3.Conn) {
		if _, _, err := c.Prepare("SELECT 2"); err != nil {
			t.Fatal(err)
		}
	})
	conn.Close()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if files := openFiles(t, dsnDir(dsn)); len(files) > 0 {
		t.Errorf("left open: %v", files)
	}
}

// Many goroutines with nested rows, transactions and cancellations see only errors of their
// own, and leave nothing open.
func TestUnderLoad(t *testing.T) {
	tracer, provider, rec := recordSpans(t)
	db := open(t, file(t, "_pragma=busy_timeout(600000)", "_pragma=journal_mode(wal)", "_txlock=immediate"), driver.Config{Tracing: tracer})
	exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	ctx, root := provider.Tracer("test").Start(t.Context(), "load")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			rows, err := db.QueryContext(ctx, "SELECT a FROM t LIMIT ?", 3)
			if err != nil {
				t.Error(err)
				return
			}
			defer rows.Close()
			for rows.Next() {
				var n int
				if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil {
					t.Error(err)
				}
			}
			if err := rows.Err(); err != nil {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(ctx)
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				t.Error(err)
				cancel()
				return
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (?)", i); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				cancel()
				if tx.Commit() == nil {
					t.Error("a cancelled transaction is committed")
				}
				return
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
			cancel()
		})
	}
	wg.Wait()
	root.End()
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 3+48 {
		t.Errorf("%d rows, want those of 48 transactions, and 3", n)
	}
	for _, span := range rec.Ended() {
		inTrace := span.SpanContext().TraceID() == root.SpanContext().TraceID()
		if inTrace && !span.Parent().IsValid() && span.Name() != "load" {
			t.Errorf("%s has no parent", span.Name())
		}
	}
}

// As on the plain driver, each connection of a pool has its own in-memory database. A
// database on the memdb VFS is shared, and so is one with cache=shared.
func TestMemory(t *testing.T) {
	for dsn, shared := range map[string]bool{
		":memory:": false, "file::memory:": false, "file:private?mode=memory": false, "file:private?mode=memory&cache=private": false,
		"file:/shared-memory?vfs=memdb":                           true,
		"file::memory:?cache=shared":                              true,
		"file:a%20name?mode=memory&cache=shared":                  true,
		"file:///b?cache=shared&mode=memory&_fk=1":                true,
		"file:/c?vfs=memdb&cache=shared":                          true,
		"file:d?%6dode=memory&_pragma=cache_size(9)&cache=shared": true,
	} {
		db := open(t, dsn, driver.Config{})
		first, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if _, err := first.ExecContext(t.Context(), "CREATE TABLE t(a)"); err != nil {
			t.Fatal(err)
		}
		_, err = db.Exec("INSERT INTO t VALUES (1)")
		if (err == nil) != shared {
			t.Errorf("%s: another connection says %v", dsn, err)
		}
		// The last connection takes the database with it.
		first.Close()
		db.Close()
		if _, err := open(t, dsn, driver.Config{}).Exec("INSERT INTO t VALUES (1)"); err == nil {
			t.Errorf("%s: the database is still there", dsn)
		}
	}
}

// A statement prepared on the database works on every connection.
func TestPreparedOnManyConnections(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	stmt, err := db.Prepare("SELECT ? + 1")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	var held []*sql.Rows
	for i := range 5 {
		rows, err := stmt.Query(i)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		held = append(held, rows)
	}
	for i, rows := range held {
		var n int
		if !rows.Next() || rows.Scan(&n) != nil || n != i+1 {
			t.Errorf("rows %d read %d, %v", i, n, rows.Err())
		}
	}
}
