package driver_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A connection through which a function's panic passed is closed when it is
// released, and the next call gets another. The panic is the program's own.
func TestPanicRetiresTheConnection(t *testing.T) {
	var log eventLog
	tracer, _, _ := recordSpans(t)
	db := open(t, file(t), driver.Config{Recorder: &log, Tracing: tracer, Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("explode", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { panic("boom") })
	}})
	db.SetMaxOpenConns(1)
	for name, call := range map[string]func(){
		"exec":  func() { db.Exec("SELECT explode()") },
		"args":  func() { db.Exec("SELECT explode(), ?", 1) },
		"query": func() { db.QueryRow("SELECT explode()").Scan(new(int)) },
	} {
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			call()
		}()
		if n := value[int](t, db, "SELECT 1"); n != 1 {
			t.Errorf("%s: the next call reads %d", name, n)
		}
	}
	reasons := 0
	for _, e := range log.events {
		if e.Kind == driver.KindClose && e.Reason == driver.ReasonPanic {
			reasons++
		}
	}
	if reasons != 3 {
		t.Errorf("%d of 3 connections were closed for a panic", reasons)
	}
}

// Many goroutines, with rows within rows, transactions and cancellations, see
// no error that is not theirs, and leave nothing behind.
func TestUnderLoad(t *testing.T) {
	tracer, provider, rec := recordSpans(t)
	db := open(t, file(t, "_pragma=busy_timeout(60000)", "_pragma=journal_mode(wal)", "_txlock=immediate"), driver.Config{Tracing: tracer})
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

// Each connection of a pool has its own memory database, as on the plain driver,
// and one on the memdb VFS is shared.
func TestMemory(t *testing.T) {
	for dsn, shared := range map[string]bool{":memory:": false, "file:/shared-memory?vfs=memdb": true} {
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
	}
}

// Statements prepared on the database follow it to every connection.
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
