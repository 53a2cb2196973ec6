package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A road is one way in which a program can commit. It writes the transaction id like writeID.
// All roads must be equally durable, and a pool that watches commits must miss none.
type road struct {
	name string
	take func(ctx context.Context, db *sql.DB, id int64, parts, size int) error
	solo bool // a pool does not let its commits share syncs
	conn bool // a *sql.Conn keeps the writer's turn during the sync
}

var roads = []road{
	{name: "exec or tx", take: writeID},
	{name: "several statements in one query", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE; "+inserts(id, parts, size)+"; COMMIT")
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // in case it has begun
		}
		return errors.Join(err, conn.Close())
	}, conn: true},
	{name: "BEGIN and COMMIT by text", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return onConn(ctx, db, "BEGIN IMMEDIATE", "COMMIT", id, parts, size)
	}, conn: true},
	{name: "SAVEPOINT and RELEASE by text", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return onConn(ctx, db, "SAVEPOINT s", "RELEASE s", id, parts, size)
	}, conn: true},
	{name: "RETURNING", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
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
	{name: "RETURNING by QueryRow", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return db.QueryRowContext(ctx, inserts(id, parts, size)+" RETURNING part").Scan(new(int))
	}},
	{name: "prepared statement", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		stmt, err := db.PrepareContext(ctx, inserts(id, parts, size))
		if err != nil {
			return err
		}
		_, err = stmt.ExecContext(ctx)
		return errors.Join(err, stmt.Close())
	}},
	{name: "prepared statement in a transaction", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
		return inTx(ctx, db, func(tx *sql.Tx) error {
			stmt, err := tx.PrepareContext(ctx, `INSERT INTO t(id, part, parts, body) VALUES (?, ?, ?, randomblob(?))`)
			for part := 0; err == nil && part < parts; part++ {
				_, err = stmt.ExecContext(ctx, id, part, parts, size)
			}
			return err
		})
	}},
	{name: "Raw", take: func(ctx context.Context, db *sql.DB, id int64, parts, size int) (err error) {
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
	}, solo: true, conn: true},
}

// inTx calls f in a transaction: that of [pool.Pool.WithTx] if db is a pool's.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	if p := pool.Of(db); p != nil {
		return p.WithTx(ctx, nil, f)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
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
