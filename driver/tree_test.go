package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
)

// outline returns a span's kind, its status, and the keys of its attributes, except those
// of every call's span.
func outline(span sdktrace.ReadOnlySpan) string {
	s := " " + span.SpanKind().String()
	if span.SpanKind() == trace.SpanKindClient {
		s = ""
	}
	if status := span.Status(); status.Code != 0 {
		s += fmt.Sprintf(" %s %q", status.Code, status.Description)
	}
	if len(span.Events()) > 0 {
		s += fmt.Sprintf(" %d events", len(span.Events()))
	}
	common := []string{"db.system.name", "db.namespace", "sqlitemw.connection.id"}
	var keys []string
	for _, kv := range span.Attributes() {
		keys = append(keys, string(kv.Key))
	}
	for _, key := range common {
		if !slices.Contains(keys, key) {
			s += " no " + key
		}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(common, key) })
	slices.Sort(keys)
	for _, key := range keys {
		s += " " + strings.TrimPrefix(key, "sqlitemw.")
	}
	return s
}

// The spans of each kind of call, with their kind if it is not client.
func TestSpanTrees(t *testing.T) {
	read := func(rows *sql.Rows, err error) {
		if err == nil {
			defer rows.Close()
			for rows.Next() {
			}
		}
	}
	for _, tc := range []struct {
		name string
		call func(context.Context, *sql.DB)
		want string
	}{
		{"exec", func(ctx context.Context, db *sql.DB) {
			db.ExecContext(ctx, "INSERT INTO t VALUES (?)", 1)
			db.ExecContext(ctx, "INSERT INTO t VALUES (2); DELETE FROM t")
		}, `
program internal
	acquire internal connection.new
	INSERT t db.query.summary db.query.text
	acquire internal connection.new
	INSERT t DELETE t db.query.summary db.query.text`},

		{"query", func(ctx context.Context, db *sql.DB) {
			read(db.QueryContext(ctx, "SELECT a FROM t WHERE a > ?", 0))
			db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
		}, `
program internal
	acquire internal connection.new
	SELECT t db.query.summary db.query.text db.response.returned_rows engine.duration
	acquire internal connection.new
	SELECT db.query.summary db.query.text db.response.returned_rows engine.duration`},

		{"prepared", func(ctx context.Context, db *sql.DB) {
			stmt, _ := db.PrepareContext(ctx, "SELECT a FROM t WHERE a = ?")
			defer stmt.Close()
			read(stmt.QueryContext(ctx, 1))
			stmt.ExecContext(ctx, 1)
		}, `
program internal
	acquire internal connection.new
	PREPARE SELECT t db.operation.name db.query.summary db.query.text
	acquire internal connection.new
	SELECT t db.query.summary db.query.text db.response.returned_rows engine.duration
	acquire internal connection.new
	SELECT t db.query.summary db.query.text`},

		{"transaction", func(ctx context.Context, db *sql.DB) {
			tx, _ := db.BeginTx(ctx, nil)
			tx.ExecContext(ctx, "INSERT INTO t VALUES (?)", 1)
			read(tx.QueryContext(ctx, "SELECT a FROM t"))
			tx.Commit()
			tx, _ = db.BeginTx(ctx, nil)
			tx.Rollback()
		}, `
program internal
	acquire internal connection.new
	BEGIN db.operation.name transaction.id
	INSERT t db.query.summary db.query.text transaction.id
	SELECT t db.query.summary db.query.text db.response.returned_rows engine.duration transaction.id
	COMMIT db.operation.name transaction.id
	acquire internal connection.new
	BEGIN db.operation.name transaction.id
	ROLLBACK db.operation.name transaction.id`},

		{"ping", func(ctx context.Context, db *sql.DB) {
			db.PingContext(ctx)
		}, `
program internal
	acquire internal connection.new
	PING db.operation.name`},

		{"failed", func(ctx context.Context, db *sql.DB) {
			db.ExecContext(ctx, "INSERT INTO t VALUES (?)", 5)
			db.ExecContext(ctx, "INSERT INTO t VALUES (?)", 5)
			read(db.QueryContext(ctx, "SELECT fail(a) FROM t"))
			db.PrepareContext(ctx, "SELEC")
			read(db.QueryContext(ctx, "SELECT ?", 1, 2))
		}, `
program internal
	acquire internal connection.new
	INSERT t db.query.summary db.query.text
	acquire internal connection.new
	INSERT t Error "sqlite3: constraint failed" db.query.summary db.query.text db.response.status_code error.type
	acquire internal connection.new
	SELECT t Error "sqlite3: SQL logic error" db.query.summary db.query.text db.response.returned_rows db.response.status_code error.type engine.duration
	acquire internal connection.new
	PREPARE sqlite Error "sqlite3: SQL logic error" db.operation.name db.query.text db.response.status_code error.type
	acquire internal connection.new
	SELECT Error "" db.query.summary db.query.text db.response.returned_rows error.type engine.duration`},

		{"cancelled", func(ctx context.Context, db *sql.DB) {
			exec, cancel := context.WithCancel(ctx)
			db.ExecContext(exec, untilCancelled, goFunc(cancel))
			query, cancel := context.WithCancel(ctx)
			read(db.QueryContext(query, untilCancelled, goFunc(cancel)))
			db.ExecContext(query, "SELECT 1") // acquires no connection
		}, `
program internal
	acquire internal connection.new
	SELECT SELECT SELECT Error "sqlite3: interrupted" db.query.summary db.query.text db.response.status_code error.type
	acquire internal connection.new
	SELECT SELECT SELECT Error "sqlite3: interrupted" db.query.summary db.query.text db.response.returned_rows db.response.status_code error.type engine.duration`},

		{"panicking", func(ctx context.Context, db *sql.DB) {
			boom := goFunc(func() { panic("boom") })
			panics(func() { db.ExecContext(ctx, "SELECT call(?)", boom) })
			panics(func() { read(db.QueryContext(ctx, "SELECT call(?)", boom)) })
		}, `
program internal
	acquire internal connection.new
	SELECT Error "panic" db.query.summary db.query.text error.type
	acquire internal connection.new
		connect internal
	SELECT Error "panic" db.query.summary db.query.text db.response.returned_rows error.type engine.duration
close -> connect internal connection.close_reason`},

		{"none", func(ctx context.Context, db *sql.DB) {
			conn, _ := db.Conn(ctx)
			conn.ExecContext(ctx, "")
			conn.Close()
		}, `
program internal
	acquire internal connection.new`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tel := newTelemetry(t)
			tel.ReturnedRows = true
			db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), Init: callable})
			db.SetMaxOpenConns(1)
			exec(t, db, "CREATE TABLE t(a PRIMARY KEY)")
			tel.forget(t)
			ctx, program := tel.spans.Tracer("test").Start(t.Context(), "program")
			tc.call(ctx, db)
			program.End()
			got := tree(tel.spans.take(), outline)
			got = strings.Replace(got, " no db.system.name no db.namespace no sqlitemw.connection.id", "", 1) // the program's span
			if got != tc.want {
				t.Errorf("spans%s\nwant%s", got, tc.want)
			}
		})
	}
}
