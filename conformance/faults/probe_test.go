//go:build unix

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A probe is one of the ways to use a database. A probe that writes gets an id.
type probe struct {
	name   string
	reads  func(context.Context) error
	writes func(context.Context, int64) error
}

// probe tries every way to use the database. With kept, each must work. Otherwise each must
// report that the file is lost.
func (p *player) probe(kept bool) {
	for i, h := range p.handles {
		probes := append(probesOfDB(h), probesOfPool(h)...)
		if i == 0 {
			probes = append(probes, p.probesOfHeld()...)
		}
		if !p.cfg.DisableWAL {
			probes = append(probes,
				probe{name: "Checkpoint PASSIVE", reads: func(ctx context.Context) error { return h.checkpoint(ctx, sqlite3.CHECKPOINT_PASSIVE) }},
				probe{name: "Checkpoint TRUNCATE", reads: func(ctx context.Context) error { return h.checkpoint(ctx, sqlite3.CHECKPOINT_TRUNCATE) }})
		}
		if p.held { // others that write would wait for the open write transaction
			probes = p.probesOfHeld()
			if kept {
				p.endHeld()
				probes = nil
			}
		}
		for _, pr := range probes {
			name := h.door + ": " + pr.name
			p.judge(kept, name, func() error {
				if pr.writes != nil {
					return p.write(name, pr.writes)
				}
				return p.call(name, pr.reads)
			})
		}
		if !p.held {
			p.judge(kept, h.door+": Backup", func() error { return p.makeBackup(h) })
		}
	}
	if p.mode.manager {
		p.checkManager()
	}
}

// probeHindered checks calls while permissions hinder them. Calls may work or fail. But a
// health check that cannot check the file must report neither a healthy database nor a loss.
func (p *player) probeHindered() {
	for _, h := range p.handles {
		ping := p.call(h.door+": Ping", h.db.PingContext)
		if ping != nil && !hindered(ping) {
			p.bad(h.door+": Ping", "(d) not permitted: %v", ping)
		}
		if h.pool == nil {
			continue
		}
		_, statErr := os.Stat(p.Path)
		err := p.call(h.door+": HealthCheck", h.pool.HealthCheck)
		if err == nil && statErr != nil {
			p.bad(h.door+": HealthCheck", "(d) it reports no problem, but the file cannot be checked: %v", statErr)
		}
		if err != nil && !hindered(err) {
			p.bad(h.door+": HealthCheck", "(d) not permitted: %v", err)
		}
	}
}

// hindered reports whether an error of the operating system or of SQLite says that something is
// not permitted.
func hindered(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.PERM) ||
		errors.Is(err, sqlite3.READONLY) && !lost(err) || errors.Is(err, sqlite3.IOERR)
}

func (p *player) judge(kept bool, name string, f func() error) {
	wasKnown := p.known.Load()
	err := f()
	for n := 0; kept && n < 20 && errors.Is(err, sqlite3.BUSY) && p.contends(); n++ {
		err = f()
	}
	for n := 0; kept && n < 3 && errors.Is(err, context.DeadlineExceeded); n++ {
		err = f() // a machine may be slow, but not forever
	}
	switch {
	case kept && err != nil:
		p.bad(name, "with no obstacle left: %v", err)
	case !kept && !wasKnown && !lost(err):
		p.bad(name, "(a) long after the file was lost: %s", outcome(err))
	}
}

// contends reports whether connections of the process lock each other out. All do, except those
// of pools.
func (p *player) contends() bool {
	return slices.ContainsFunc(p.handles, func(h *handle) bool { return h.pool == nil })
}

func query(ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}) error {
	rows, err := db.QueryContext(ctx, "SELECT id, body FROM t LIMIT 20")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

const insertOne = "INSERT INTO t(id, part, parts, body) VALUES (?, 0, 1, randomblob(700))"

// probesOfDB are the probes that every *sql.DB has.
func probesOfDB(h *handle) []probe {
	return []probe{
		{name: "Exec", writes: func(ctx context.Context, id int64) error { return writeID(ctx, h.db, id, 1, 700) }},
		{name: "Begin, Exec, Commit", writes: func(ctx context.Context, id int64) error { return writeID(ctx, h.db, id, 2, 700) }},
		{name: "Query", reads: func(ctx context.Context) error { return query(ctx, h.db) }},
		{name: "QueryRow RETURNING", writes: func(ctx context.Context, id int64) error {
			return h.db.QueryRowContext(ctx, insertOne+" RETURNING id", id).Scan(new(int64))
		}},
		{name: "Prepare, Exec", writes: func(ctx context.Context, id int64) error {
			st, err := h.db.PrepareContext(ctx, insertOne)
			if err != nil {
				return err
			}
			defer st.Close()
			_, err = st.ExecContext(ctx, id)
			return err
		}},
		{name: "Prepare, Query", reads: func(ctx context.Context) error {
			st, err := h.db.PrepareContext(ctx, "SELECT count(*) FROM t")
			if err != nil {
				return err
			}
			defer st.Close()
			return st.QueryRowContext(ctx).Scan(new(int))
		}},
		{name: "Begin read-only", reads: func(ctx context.Context) error {
			tx, err := h.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := query(ctx, tx); err != nil {
				return err
			}
			return tx.Commit()
		}},
		{name: "Ping", reads: h.db.PingContext},
		{name: "PRAGMA user_version=", reads: func(ctx context.Context) error {
			_, err := h.db.ExecContext(ctx, "PRAGMA user_version=7")
			return err
		}},
		{name: "CREATE TABLE", reads: func(ctx context.Context) error {
			_, err := h.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS u(a); DROP TABLE u")
			return err
		}},
		{name: "Raw", writes: func(ctx context.Context, id int64) error {
			return h.raw(ctx, func(c *sqlite3.Conn) error {
				return c.Exec(fmt.Sprintf("INSERT INTO t(id, part, parts, body) VALUES (%d, 0, 1, NULL)", id))
			})
		}},
	}
}

// probesOfPool are the additional probes of a pool.
func probesOfPool(h *handle) []probe {
	if h.pool == nil {
		return nil
	}
	p := h.pool
	with := func(acquire func(context.Context) (*pool.Conn, error), f func(context.Context, *pool.Conn) error) func(context.Context) error {
		return func(ctx context.Context) error {
			c, err := acquire(ctx)
			if err != nil || c == nil {
				return err
			}
			defer c.Close()
			return f(ctx, c)
		}
	}
	reads := func(ctx context.Context, c *pool.Conn) error { return query(ctx, c) }
	writes := func(acquire func(context.Context) (*pool.Conn, error)) func(context.Context, int64) error {
		return func(ctx context.Context, id int64) error {
			return with(acquire, func(ctx context.Context, c *pool.Conn) error {
				return insertPart(ctx, c, id, 0, 1, 700)
			})(ctx)
		}
	}
	return []probe{
		{name: "Reader", reads: func(ctx context.Context) error { return query(ctx, p.Reader()) }},
		{name: "Writer", writes: func(ctx context.Context, id int64) error { return writeID(ctx, p.Writer(), id, 1, 700) }},
		{name: "Acquire, Query", reads: with(p.Acquire, reads)},
		{name: "Acquire, Exec", writes: writes(p.Acquire)},
		{name: "AcquireRead", reads: with(p.AcquireRead, reads)},
		{name: "AcquireWrite", writes: writes(p.AcquireWrite)},
		{name: "WithTx", writes: func(ctx context.Context, id int64) error {
			return p.WithTx(ctx, nil, func(tx *sql.Tx) error { return insertPart(ctx, tx, id, 0, 1, 700) })
		}},
		{name: "HealthCheck", reads: p.HealthCheck},
	}
}

// probesOfHeld use what was acquired before the game began.
func (p *player) probesOfHeld() []probe {
	probes := []probe{
		{name: "held Stmt, Query", reads: func(ctx context.Context) error { return p.read.QueryRowContext(ctx, 1).Scan(new(int)) }},
	}
	if p.conn != nil {
		probes = append(probes, probe{name: "held Conn, Query", reads: func(ctx context.Context) error { return query(ctx, p.conn) }})
	}
	if !p.held {
		probes = append(probes, probe{name: "held Stmt, Exec", writes: func(ctx context.Context, id int64) error { _, err := p.insert.ExecContext(ctx, id); return err }})
		if p.conn != nil {
			probes = append(probes, probe{name: "held Conn, Exec", writes: func(ctx context.Context, id int64) error { return insertPart(ctx, p.conn, id, 0, 1, 700) }})
		}
		return probes
	}
	return append(probes,
		probe{name: "held read-only Tx, Query", reads: func(ctx context.Context) error { return query(ctx, p.reads) }},
		probe{name: "held Tx, Query", reads: func(ctx context.Context) error { return query(ctx, p.writes) }},
		probe{name: "held Tx, Exec", reads: func(ctx context.Context) error { return insertPart(ctx, p.writes, p.writesID, 1, 2, 700) }},
		probe{name: "held Tx, Commit", reads: func(context.Context) error { return p.writes.Commit() }})
}

// endHeld completes the held transactions.
func (p *player) endHeld() {
	p.judge(true, "held read-only Tx", func() error {
		return p.call("held read-only Tx", func(ctx context.Context) error {
			if err := query(ctx, p.reads); err != nil {
				return err
			}
			return p.reads.Commit()
		})
	})
	p.judge(true, "held Tx", func() error {
		return p.call("held Tx", func(ctx context.Context) error {
			if err := insertPart(ctx, p.writes, p.writesID, 1, 2, 700); err != nil {
				return err
			}
			if err := p.writes.Commit(); err != nil {
				return err
			}
			p.r.ack(p.writesID)
			return nil
		})
	})
}
