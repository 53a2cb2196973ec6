package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A statement that writes does so in Query, even if no row is read. If it fails, the first
// request for a row, or Close, returns the error.
func TestAQueryThatWritesIsExecuted(t *testing.T) {
	tracer, _, spans := recordSpans(t)
	db := open(t, file(t), driver.Config{Tracing: tracer})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a UNIQUE)")
	for name, query := range map[string]func(text string, a any) (*sql.Rows, func() error, error){
		"text": func(text string, a any) (*sql.Rows, func() error, error) {
			rows, err := db.Query(text, a)
			return rows, func() error { return nil }, err
		},
		"prepared": func(text string, a any) (*sql.Rows, func() error, error) {
			stmt, err := db.Prepare(text)
			if err != nil {
				return nil, nil, err
			}
			rows, err := stmt.Query(a)
			return rows, stmt.Close, err
		},
		"transaction": func(text string, a any) (*sql.Rows, func() error, error) {
			tx, err := db.Begin()
			if err != nil {
				return nil, nil, err
			}
			rows, err := tx.Query(text, a)
			return rows, tx.Commit, err
		},
	} {
		for _, text := range []string{"INSERT INTO t VALUES (?) RETURNING a", "INSERT INTO t VALUES (?)"} {
			exec(t, db, "DELETE FROM t")
			for _, n := range []int{1, 2} {
				rows, end, err := query(text, n)
				if err != nil {
					t.Fatal(name, err)
				}
				if err := errors.Join(rows.Close(), end()); err != nil {
					t.Error(name, err)
				}
				if got := value[int](t, db, "SELECT count(*) FROM t"); got != n {
					t.Errorf("%s, %s: %d rows are there, want %d", name, text, got, n)
				}
			}
			rows, end, err := query(text, 1)
			if err != nil {
				t.Fatal(name, err)
			}
			if err := rows.Close(); !errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) {
				t.Errorf("%s, %s: closed without a question: %v", name, text, err)
			}
			if err := end(); err != nil {
				t.Error(name, err)
			}
			rows, end, err = query(text, 1)
			if err != nil {
				t.Fatal(name, err)
			}
			if rows.Next() || !errors.Is(rows.Err(), sqlite3.CONSTRAINT_UNIQUE) {
				t.Errorf("%s, %s: asked for a row: %v", name, text, rows.Err())
			}
			if err := errors.Join(rows.Close(), end()); err != nil {
				t.Error(name, err)
			}
			failed := 0
			for _, span := range spans.Ended() {
				if span.Name() == "INSERT t" && attr(span, "db.response.status_code") == "2067" {
					failed++
				}
			}
			if failed != 2 {
				t.Errorf("%s, %s: %d spans say that it has failed, want 2", name, text, failed)
			}
			spans.Reset()
		}
	}
}

// A call whose context has ended does not write.
func TestAQueryThatWritesEndsWithItsContext(t *testing.T) {
	db := open(t, file(t), driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if rows, err := db.QueryContext(ctx, "INSERT INTO t VALUES (1) RETURNING a"); err == nil {
		err = errors.Join(rows.Err(), rows.Close())
		t.Errorf("it was executed: %v", err)
	}
	if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows are there", n)
	}
}
