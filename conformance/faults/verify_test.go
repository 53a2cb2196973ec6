package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // "sqlite3", the plain driver
)

// schema is the table that campaigns write to. One id is one transaction, of one or several
// rows. Each row has the number of rows, so that an incomplete transaction can be detected.
const schema = `CREATE TABLE IF NOT EXISTS t(id INTEGER, part INTEGER, parts INTEGER, body BLOB, PRIMARY KEY(id, part))`

// An execer is a *sql.DB, *sql.Conn or *sql.Tx.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// insertPart writes one row of the transaction id.
func insertPart(ctx context.Context, db execer, id int64, part, parts, size int) error {
	_, err := db.ExecContext(ctx, `INSERT INTO t(id, part, parts, body) VALUES (?, ?, ?, randomblob(?))`, id, part, parts, size)
	return err
}

// writeID writes the transaction id: in one statement if it has one part, and otherwise in a
// transaction. The id may be acknowledged once writeID has returned nil. If it returns an
// error, the id may exist or not, but only as a whole.
func writeID(ctx context.Context, db *sql.DB, id int64, parts, size int) error {
	if parts == 1 {
		return insertPart(ctx, db, id, 0, 1, size)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for part := range parts {
		if err := insertPart(ctx, tx, id, part, parts, size); err != nil {
			return errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// contents is what the plain driver reads from a database.
type contents struct {
	ids     map[int64]bool
	version int64    // result of PRAGMA user_version
	broken  []string // result of PRAGMA integrity_check, if not ok
	partial []int64  // incomplete transactions
}

// readBack opens the named database with the plain driver, which recovers it, and reads it. A
// missing file or table is an error that is [sqlite3.CANTOPEN] or [sqlite3.ERROR].
func readBack(path string) (c contents, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return c, err
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs), RawQuery: "mode=rw&_pragma=busy_timeout(60000)"}
	db, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	err = scan(db, `PRAGMA integrity_check`, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		if line != "ok" {
			c.broken = append(c.broken, line)
		}
		return err
	})
	if err != nil {
		return c, fmt.Errorf("integrity_check: %w", err)
	}
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&c.version); err != nil {
		return c, fmt.Errorf("user_version: %w", err)
	}
	c.ids = map[int64]bool{}
	err = scan(db, `SELECT id, count(*), min(parts), max(parts) FROM t NOT INDEXED GROUP BY id`, func(rows *sql.Rows) error {
		var id, n, low, high int64
		if err := rows.Scan(&id, &n, &low, &high); err != nil {
			return err
		}
		c.ids[id] = true
		if n != low || n != high {
			c.partial = append(c.partial, id)
		}
		return nil
	})
	return c, err
}

func scan(db *sql.DB, query string, each func(*sql.Rows) error) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// noDatabase reports whether an error of readBack means that there is no database yet, or no
// table in it, because the fault came before anything was acknowledged.
func noDatabase(err error) bool {
	return errors.Is(err, sqlite3.CANTOPEN) || err != nil && strings.Contains(err.Error(), "no such table: t")
}

// missing returns the acknowledged ids that the database does not contain.
func (c contents) missing(acked []int64) (ids []int64) {
	for _, id := range acked {
		if !c.ids[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// verify counts the acknowledged ids and calls compare.
func (c *campaign) verify(what, path string, acked []int64, mayLose bool) {
	c.t.Helper()
	c.add("acknowledged", len(acked))
	c.compare(what, path, acked, mayLose)
}

// A promise is what a database must contain.
type promise struct {
	acked   []int64
	shown   []int64 // ids that readers have seen
	version int64   // the highest user_version that was acknowledged

	mayLose     bool // the configuration promises no acknowledged id
	mayLoseSeen bool // it promises no id that readers have seen
}

// and returns a promise of what both have promised.
func (p promise) and(q promise) promise {
	p.acked = slices.Concat(p.acked, q.acked)
	p.shown = slices.Concat(p.shown, q.shown)
	p.version = max(p.version, q.version)
	return p
}

// compare is comparePromise for acknowledged ids.
func (c *campaign) compare(what, path string, acked []int64, mayLose bool) {
	c.t.Helper()
	c.comparePromise(what, path, promise{acked: acked, mayLose: mayLose})
}

// comparePromise reads a database back, and adds what is wrong to the campaign. Every missing
// acknowledged id counts as lost, and every missing id that a reader has seen as unseen. A database
// that cannot be read, fails its integrity check or has an incomplete transaction counts as not
// whole. What may be lost counts as "lost (allowed)" and "unseen (allowed)". Details begin with what.
func (c *campaign) comparePromise(what, path string, p promise) {
	c.t.Helper()
	got, err := readBack(path)
	if noDatabase(err) {
		if len(p.acked) > 0 && !p.mayLose {
			c.wrongs(len(p.acked), "lost", "%s: all %d acknowledged: %v", what, len(p.acked), err)
		}
		return
	}
	switch {
	case err != nil:
		c.wrong("not whole", "%s: %v", what, err)
		return
	case len(got.broken) > 0:
		c.wrong("not whole", "%s: integrity_check: %s", what, strings.Join(got.broken, "; "))
	case len(got.partial) > 0:
		c.wrong("not whole", "%s: %d incomplete transactions: %v", what, len(got.partial), firsts(got.partial))
	}
	c.missing("lost", what, "acknowledged", got.missing(p.acked), len(p.acked), p.mayLose)
	c.missing("unseen", what, "that readers have seen", got.missing(p.shown), len(p.shown), p.mayLose || p.mayLoseSeen)
	if got.version < p.version && !p.mayLose {
		c.wrong("lost", "%s: the user_version is %d, and %d was acknowledged", what, got.version, p.version)
	}
}

// missing adds missing ids to a figure.
func (c *campaign) missing(figure, what, which string, lost []int64, of int, allowed bool) {
	c.t.Helper()
	switch {
	case len(lost) == 0:
	case allowed:
		c.add(figure+" (allowed)", len(lost))
	default:
		c.wrongs(len(lost), figure, "%s: %d of %d %s: %v", what, len(lost), of, which, firsts(lost))
	}
}

// firsts returns a few of the ids, for a message.
func firsts(ids []int64) []int64 { return ids[:min(len(ids), 8)] }
