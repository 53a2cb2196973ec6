package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// A road is one way in which a program can commit. It writes the transaction id like writeID.
// All roads must be equally durable, and a pool that watches commits must miss none.
type road struct {
	name string
	take func(ctx context.Context, db *sql.DB, id int64, parts, size int) error
}

var roads = []road{
	{"exec or tx", writeID},
	{"several statements in one query", func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE; "+inserts(id, parts, size)+"; COMMIT")
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // in case it has begun
		}
		return errors.Join(err, conn.Close())
	}},
	{"BEGIN and COMMIT by text", func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return onConn(ctx, db, "BEGIN IMMEDIATE", "COMMIT", id, parts, size)
	}},
	{"SAVEPOINT and RELEASE by text", func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return onConn(ctx, db, "SAVEPOINT s", "RELEASE s", id, parts, size)
	}},
	{"RETURNING", func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		rows, err := db.QueryContext(ctx, inserts(id, parts, size)+" RETURNING part")
		if err != nil {
			return err
		}
		if id%2 == 0 { // closed early: the rows are written nevertheless
			rows.Next()
		} else {
			for rows.Next() {
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	}},
	{"prepared statement", func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		stmt, err := db.PrepareContext(ctx, inserts(id, parts, size))
		if err != nil {
			return err
		}
		_, err = stmt.ExecContext(ctx)
		return errors.Join(err, stmt.Close())
	}},
	{"Raw", func(ctx context.Context, db *sql.DB, id int64, parts, size int) (err error) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		return conn.Raw(func(dc any) (err error) {
			// Raw of a pool's connection panics if it cannot get one.
			defer func() {
				if p, ok := recover().(error); ok {
					err = p
				}
			}()
			return dc.(interface{ Raw() *sqlite3.Conn }).Raw().Exec(inserts(id, parts, size))
		})
	}},
}

// inserts returns the query that writes all parts of a transaction.
func inserts(id int64, parts, size int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO t(id, part, parts, body) VALUES ")
	for part := range parts {
		if part > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, %d, %d, randomblob(%d))", id, part, parts, size)
	}
	return b.String()
}

// onConn writes on one connection, between the queries begin and commit. If a statement fails,
// it rolls back.
func onConn(ctx context.Context, db *sql.DB, begin, commit string, id int64, parts, size int) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// This fails if SQLite has already rolled back.
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	for part := range parts {
		if err := insertPart(ctx, conn, id, part, parts, size); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, commit)
	return err
}
