package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// Where a query ends, and whether it is empty, is decided as in the plain driver.
func TestTextsAsThePlainDriver(t *testing.T) {
	for _, text := range append([]string{
		"/*", "\v", "\v;", ";\v", "SELECT 1;\v", "SELECT 1; \v;", "SELECT 1;\vSELECT 2", "SELECT 1; /*", "SELECT 1; /", "SELECT 1; -", "SELECT 1; --", "SELECT 1; /* a", "SELECT 1;\uFEFF", "\uFEFF",
		"SELECT 1;\x00SELECT 2", "SELECT $a(;), ?; SELECT 2", "SELECT $a('); SELECT 2; --')", "SELECT ';', ?", "SELECT \";\", ?; -- ;", "INSERT INTO t(b) VALUES (';')", "INSERT INTO t(b) VALUES ('a'); INSERT INTO t(b) VALUES ('b')",
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; INSERT INTO t(b) VALUES (1)", "CREATE VIRTUAL TABLE x USING nothing(a; b); SELECT 1",
	}, sqltexttest.Seeds...) {
		sameText(t, text)
	}
}

// FuzzTexts executes, queries and prepares any SQL here and on the plain driver.
func FuzzTexts(f *testing.F) {
	for _, text := range sqltexttest.Seeds {
		f.Add(text, []byte(text))
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		sameText(t, text)
		sameText(t, sqltexttest.Weave(data))
	})
}

func sameText(t *testing.T, text string) {
	t.Helper()
	plain, err := sqlite3driver.Open("file::memory:", tame)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	c, err := driver.NewConnector("file::memory:", driver.Config{Init: tame})
	if err != nil {
		t.Fatal(err)
	}
	ours := sql.OpenDB(c)
	defer ours.Close()
	want := play(plain, text)
	// A long execution is interrupted at different places.
	if got := play(ours, text); got != want && !strings.Contains(want+got, "interrupted") {
		t.Errorf("%q\nplain:\n%s\nours:\n%s", text, want, got)
	}
}

// tame stops a connection from executing anything that reaches outside it.
func tame(c *sqlite3.Conn) error {
	c.Limit(sqlite3.LIMIT_LENGTH, 1<<20)
	if err := c.Exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c, \"d e\" REAL, temp, changes, pragma_note); CREATE TABLE u(a, b, c); INSERT INTO u VALUES (1, 2, 3)"); err != nil {
		return err
	}
	return c.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, _, value, _, _ string) sqlite3.AuthorizerReturnCode {
		switch action {
		case sqlite3.AUTH_ATTACH, sqlite3.AUTH_RECURSIVE:
			return sqlite3.AUTH_DENY
		case sqlite3.AUTH_PRAGMA:
			if value != "" {
				return sqlite3.AUTH_DENY
			}
		}
		return sqlite3.AUTH_OK
	})
}

// play describes the result of SQL.
func play(db *sql.DB, text string) string {
	var log strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	see := func(what string, res sql.Result, err error) {
		fmt.Fprintf(&log, "%s: %v", what, err)
		if err == nil && res != nil {
			id, idErr := res.LastInsertId()
			rows, rowsErr := res.RowsAffected()
			fmt.Fprintf(&log, " id %d %v, rows %d %v", id, idErr, rows, rowsErr)
		}
		log.WriteByte('\n')
	}
	for range 2 {
		stmt, err := conn.PrepareContext(ctx, text)
		if see("prepare", nil, err); err == nil {
			see("close", nil, stmt.Close())
		}
		res, err := conn.ExecContext(ctx, text)
		see("exec", res, err)
		// The plain driver panics if there is no statement.
		if sqltext.SQLite.Head(text).Verb == sqltext.Empty {
			continue
		}
		res, err = conn.ExecContext(ctx, text, 1)
		see("exec with an argument", res, err)
		rows, err := conn.QueryContext(ctx, text)
		if see("query", nil, err); err == nil {
			n := 0
			for n < 100 && rows.Next() {
				n++
			}
			fmt.Fprintf(&log, "%d rows: ", n)
			see("rows", nil, rows.Err())
			rows.Close()
		}
	}
	return log.String()
}
