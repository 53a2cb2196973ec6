//go:build unix

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// An operation is one kind of call in a storm.
type operation struct {
	name string
	pool bool // only pools have it
	run  func(*gust) error
}

// operations are all operations. Repeated entries occur more often.
var operations = []operation{
	{name: "Exec", run: func(g *gust) error {
		id := g.id()
		return g.wrote(id, insertPart(g.ctx, g.h.db, id, 0, 1, rand.IntN(600)))
	}},
	{name: "Exec cancelled", run: func(g *gust) error {
		ctx, cancel := g.fickle()
		defer cancel()
		id := g.id()
		return g.wrote(id, insertPart(ctx, g.h.db, id, 0, 1, 300))
	}},
	{name: "Tx", run: func(g *gust) error {
		id := g.id()
		return g.wrote(id, writeID(g.ctx, g.h.db, id, 3, 300))
	}},
	{name: "Tx cancelled", run: func(g *gust) error {
		ctx, cancel := g.fickle()
		defer cancel()
		id := g.id()
		return g.wrote(id, writeID(ctx, g.h.db, id, 3, 300))
	}},
	{name: "Tx rolled back", run: func(g *gust) error {
		tx, err := g.h.db.BeginTx(g.ctx, nil)
		if err != nil {
			return err
		}
		id := g.id()
		err = insertPart(g.ctx, tx, id, 0, 1, 300)
		if err := tx.Rollback(); err != nil {
			return err
		}
		g.undone(id)
		return err
	}},
	{name: "Tx read-only", run: func(g *gust) error {
		tx, err := g.h.db.BeginTx(g.ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var a, b int64
		if err := tx.QueryRowContext(g.ctx, "SELECT count(*) FROM t").Scan(&a); err != nil {
			return err
		}
		if err := tx.QueryRowContext(g.ctx, "SELECT count(*) FROM t").Scan(&b); err != nil {
			return err
		}
		if a != b {
			g.wrong("not whole", "a read-only transaction sees %d rows, then %d", a, b)
		}
		return tx.Commit()
	}},
	{name: "savepoints", run: func(g *gust) error {
		tx, err := g.h.db.BeginTx(g.ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		kept, gone := g.id(), g.id()
		for _, step := range []func() error{
			func() error { return insertPart(g.ctx, tx, kept, 0, 1, 300) },
			func() error { _, err := tx.ExecContext(g.ctx, "SAVEPOINT s"); return err },
			func() error { return insertPart(g.ctx, tx, gone, 0, 1, 300) },
			func() error { _, err := tx.ExecContext(g.ctx, "ROLLBACK TO s"); return err },
			func() error { _, err := tx.ExecContext(g.ctx, "RELEASE s"); return err },
			tx.Commit,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		g.undone(gone)
		return g.wrote(kept, nil)
	}},
	{name: "Query", run: func(g *gust) error { return query(g.ctx, g.h.db) }},
	{name: "Query closed early", run: func(g *gust) error {
		rows, err := g.h.db.QueryContext(g.ctx, "SELECT id FROM t")
		if err != nil {
			return err
		}
		rows.Next()
		return rows.Close()
	}},
	{name: "Query cancelled", run: func(g *gust) error {
		ctx, cancel := g.fickle()
		defer cancel()
		return g.h.db.QueryRowContext(ctx, "SELECT sum(length(body)) FROM t").Scan(new(sql.NullInt64))
	}},
	{name: "Stmt", run: func(g *gust) error {
		id := g.id()
		if _, err := g.stmts.write.ExecContext(g.ctx, id); g.wrote(id, err) != nil {
			return err
		}
		var n int
		if err := g.stmts.read.QueryRowContext(g.ctx, id).Scan(&n); err != nil {
			return err
		}
		if n != 1 {
			g.wrong("lost", "%s: %d was acknowledged, but the next query does not see it", g.h.door, id)
		}
		return nil
	}},
	{name: "RETURNING", run: func(g *gust) error {
		id := g.id()
		return g.wrote(id, g.h.db.QueryRowContext(g.ctx, insertOne+" RETURNING id", id).Scan(new(int64)))
	}},
	{name: "Conn.Raw", run: func(g *gust) error {
		id := g.id()
		return g.conn(func(c *sql.Conn) error {
			return g.wrote(id, c.Raw(func(dc any) (err error) {
				defer func() { // a pool's connection panics if it can get none
					if r := recover(); r != nil {
						var acquire *pool.AcquireError
						var ok bool
						if err, ok = r.(error); !ok || !errors.As(err, &acquire) && !errors.Is(err, pool.ErrClosed) {
							panic(r)
						}
					}
				}()
				return rawOf(dc).Exec(fmt.Sprintf("INSERT INTO t(id, part, parts) VALUES (%d, 0, 1)", id))
			}))
		})
	}},
	{name: "Raw", run: func(g *gust) error {
		id := g.id()
		return g.wrote(id, g.h.raw(g.ctx, func(c *sqlite3.Conn) error {
			return c.Exec(fmt.Sprintf("INSERT INTO t(id, part, parts) VALUES (%d, 0, 1)", id))
		}))
	}},
	{name: "temporary table", run: func(g *gust) error {
		return g.conn(func(c *sql.Conn) error {
			name := fmt.Sprintf("temp.x%d", g.id())
			for _, text := range []string{"CREATE TABLE %s(a)", "INSERT INTO %s VALUES (1)", "DROP TABLE %s"} {
				if _, err := c.ExecContext(g.ctx, fmt.Sprintf(text, name)); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{name: "PRAGMA", run: func(g *gust) error {
		pragma := []string{"cache_size=-1000", "cache_size=-2000", "foreign_keys=ON", "user_version=7", "optimize"}[rand.IntN(5)]
		_, err := g.h.db.ExecContext(g.ctx, "PRAGMA "+pragma)
		return err
	}},
	{name: "DDL", run: func(g *gust) error {
		name := fmt.Sprintf("d%d", g.id())
		if _, err := g.h.db.ExecContext(g.ctx, "CREATE TABLE "+name+"(a)"); err != nil {
			return err
		}
		_, err := g.h.db.ExecContext(g.ctx, "DROP TABLE "+name)
		return err
	}},
	{name: "ATTACH", run: func(g *gust) error {
		return g.conn(func(c *sql.Conn) error {
			name := fmt.Sprintf("a%d", g.id())
			if _, err := c.ExecContext(g.ctx, "ATTACH ':memory:' AS "+name); err != nil {
				return err
			}
			_, err := c.ExecContext(g.ctx, "DETACH "+name)
			return err
		})
	}},
	{name: "BEGIN left open", run: func(g *gust) error {
		return g.conn(func(c *sql.Conn) error {
			if _, err := c.ExecContext(g.ctx, "BEGIN IMMEDIATE"); err != nil {
				return err
			}
			if g.h.pool == nil { // the driver leaves the transaction open for the next user
				_, err := c.ExecContext(context.Background(), "ROLLBACK")
				return err
			}
			id := g.id()
			err := insertPart(g.ctx, c, id, 0, 1, 300)
			g.undone(id)
			return err
		})
	}},
	{name: "panic in a function", run: func(g *gust) error {
		if g.h.door != doorPool || seldom() { // the others have no Init
			return nil
		}
		return survives(func() error {
			_, err := g.h.db.ExecContext(g.ctx, "INSERT INTO t(id, part, parts) VALUES (boom(), 0, 1)")
			return err
		})
	}},
	{name: "panic in Raw", run: func(g *gust) error {
		if seldom() {
			return nil
		}
		return survives(func() error { return g.h.raw(g.ctx, func(*sqlite3.Conn) error { panic(errBoom) }) })
	}},
	{name: "panic in WithTx", pool: true, run: func(g *gust) error {
		if seldom() {
			return nil
		}
		return survives(func() error {
			return g.h.pool.WithTx(g.ctx, nil, func(tx *sql.Tx) error {
				id := g.id()
				if err := insertPart(g.ctx, tx, id, 0, 1, 300); err != nil {
					return err
				}
				g.undone(id)
				panic(errBoom)
			})
		})
	}},
	{name: "WithTx", pool: true, run: func(g *gust) error {
		id := g.id()
		return g.wrote(id, g.h.pool.WithTx(g.ctx, nil, func(tx *sql.Tx) error { return insertPart(g.ctx, tx, id, 0, 1, 300) }))
	}},
	{name: "Acquire", pool: true, run: func(g *gust) error {
		c, err := g.h.pool.Acquire(pool.WithOwner(g.ctx, "storm"))
		if err != nil {
			return err
		}
		defer c.Release()
		if err := c.QueryRowContext(g.ctx, "SELECT max(id) FROM t").Scan(new(sql.NullInt64)); err != nil {
			return err
		}
		id := g.id()
		return g.wrote(id, insertPart(g.ctx, c, id, 0, 1, 300))
	}},
	{name: "AcquireRead", pool: true, run: func(g *gust) error {
		c, err := g.h.pool.AcquireRead(g.ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		return query(g.ctx, c)
	}},
	{name: "AcquireWrite", pool: true, run: func(g *gust) error {
		c, err := g.h.pool.AcquireWrite(g.ctx)
		if err != nil {
			return err
		}
		defer c.Release()
		id := g.id()
		return g.wrote(id, insertPart(g.ctx, c, id, 0, 1, 300))
	}},
	{name: "TryAcquire", pool: true, run: func(g *gust) error {
		c, ok, err := g.h.pool.TryAcquire(g.ctx)
		if err != nil || !ok {
			return err
		}
		defer c.Release()
		id := g.id()
		return g.wrote(id, insertPart(g.ctx, c, id, 0, 1, 300))
	}},
	{name: "Acquire cancelled", pool: true, run: func(g *gust) error {
		ctx, cancel := g.fickle()
		defer cancel()
		c, err := g.h.pool.AcquireWrite(ctx)
		if err != nil {
			return err
		}
		return c.Release()
	}},
	{name: "Backup", run: func(g *gust) error {
		if !g.backup.TryLock() { // backups take long, and one at a time is enough
			return nil
		}
		defer g.backup.Unlock()
		name := filepath.Join(g.dir, fmt.Sprintf("backup-%d.db", g.id()))
		defer os.Remove(name)
		g.mu.Lock()
		acked := len(g.storm.acked)
		g.mu.Unlock()
		if err := g.h.backup(g.ctx, name); err != nil {
			return err
		}
		got, err := readBack(name)
		if err != nil {
			return err
		}
		g.mu.Lock()
		missing := got.missing(g.storm.acked[:acked])
		g.mu.Unlock()
		if len(missing) > 0 || len(got.broken) > 0 || len(got.partial) > 0 {
			g.wrong("not whole", "a backup: %d missing, %v, %v", len(missing), got.broken, firsts(got.partial))
		}
		return nil
	}},
	{name: "Checkpoint", run: func(g *gust) error {
		if rand.IntN(20) == 0 { // it waits for readers, and writers wait for it
			return g.h.checkpoint(g.ctx, sqlite3.CHECKPOINT_TRUNCATE)
		}
		return g.h.checkpoint(g.ctx, sqlite3.CHECKPOINT_PASSIVE)
	}},
	{name: "HealthCheck", pool: true, run: func(g *gust) error { return g.h.pool.HealthCheck(g.ctx) }},
	{name: "Stats", pool: true, run: func(g *gust) error {
		if n := g.h.pool.Stats(); n.InUse < 0 || n.Idle < 0 || n.Waiting < 0 {
			return fmt.Errorf("counts below zero: %+v", n)
		}
		_, _, _ = g.h.pool.Holders(), g.h.pool.Health(), g.h.pool.Events()
		return nil
	}},
	{name: "Subscribe", pool: true, run: func(g *gust) error {
		s := g.h.pool.Subscribe(1 + rand.IntN(4))
		defer s.Close()
		select {
		case <-s.C():
		case <-time.After(rand.N(5 * time.Millisecond)): // like a subscriber that leaves
		}
		return nil
	}},
	{name: "LogEvents", pool: true, run: func(g *gust) error {
		stop := g.h.pool.LogEvents(slog.New(slog.DiscardHandler))
		stop()
		return nil
	}},
	{name: "Reset", pool: true, run: func(g *gust) error {
		if rand.IntN(20) == 0 { // more often would leave time for opening only
			g.h.pool.Reset()
		}
		return nil
	}},
	{name: "Resize", pool: true, run: func(g *gust) error {
		return resize(g.h.pool, 2+rand.IntN(8))
	}},
}

// seldom reports true for three of four calls: an operation that costs a connection is then
// left out, because opening another takes longer than everything else.
func seldom() bool { return rand.IntN(4) > 0 }

// resize changes a pool's MaxConns, whichever method it has for that.
func resize(p *pool.Pool, n int) error {
	switch p := any(p).(type) {
	case interface{ Resize(int) error }:
		return p.Resize(n)
	case interface{ SetMaxConns(int) error }:
		return p.SetMaxConns(n)
	}
	return errors.New("a pool has no method to change MaxConns")
}
