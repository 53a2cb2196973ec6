package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// A durableRoad is a way to commit, of which each must be durable by itself.
type durableRoad struct {
	name string
	take func(ctx context.Context, p *puppetChild, id int64) error
	solo bool   // SQLite itself syncs it
	kept string // a query whose result is 1 if the commit is there; empty means the id in t
	file string // of the database that has it; empty means the pool's
}

// durableRoads returns all ways to commit: the roads, and those that write no id or commit before
// their call returns.
func durableRoads() (all []durableRoad) {
	for _, road := range roads {
		all = append(all, durableRoad{name: road.name, solo: road.solo, take: func(ctx context.Context, p *puppetChild, id int64) error {
			return road.take(ctx, p.db, id, 3, 200)
		}})
	}
	exec := func(query string) func(context.Context, *puppetChild, int64) error {
		return func(ctx context.Context, p *puppetChild, id int64) error {
			_, err := p.db.ExecContext(ctx, fmt.Sprintf(query, id))
			return err
		}
	}
	return append(all, []durableRoad{
		{name: "Exec of one statement", take: exec(`INSERT INTO t VALUES (%d, 0, 1, NULL)`)},
		{name: "several statements that each commit", take: exec(`INSERT INTO t VALUES (%[1]d, 0, 2, NULL); INSERT INTO t VALUES (%[1]d, 1, 2, NULL); SELECT 1`)},
		{name: "DDL", take: exec(`CREATE TABLE d%d(a)`), kept: `SELECT count(*) FROM sqlite_schema WHERE name = 'd%d'`},
		{name: "user_version", take: exec(`PRAGMA user_version=%d`), kept: `SELECT user_version = %d FROM pragma_user_version`},
		{name: "VACUUM", kept: `SELECT freelist_count = 0 OR %d = 0 FROM pragma_freelist_count`, take: func(ctx context.Context, p *puppetChild, _ int64) error {
			_, err := p.db.ExecContext(ctx, "VACUUM") // the parent has made free pages
			return err
		}},
		{name: "Exec on a Conn", take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.ExecContext(ctx, inserts(id, 2, 100))
			p.mayReturn()
			return err
		}},
		{name: "Commit on a Conn", take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, inserts(id, 2, 100))
			err = errors.Join(err, tx.Commit())
			p.mayReturn()
			return err
		}},
		{name: "AcquireWrite", take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.pool.AcquireWrite(ctx)
			if err != nil {
				return err
			}
			defer conn.Release()
			_, err = conn.ExecContext(ctx, inserts(id, 2, 100))
			p.mayReturn()
			return err
		}},
		{name: "in Pool.Raw", solo: true, take: func(ctx context.Context, p *puppetChild, id int64) error {
			return p.pool.Raw(ctx, func(c *sqlite3.Conn) error { return p.commitAndHold(c, id) })
		}},
		{name: "in Raw after other calls of a Conn", solo: true, take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.ExecContext(ctx, inserts(id+1, 1, 100)); err != nil {
				return err
			}
			return conn.Raw(func(dc any) error {
				return p.commitAndHold(dc.(interface{ Raw() *sqlite3.Conn }).Raw(), id)
			})
		}},
		{name: "COMMIT in Raw of a transaction", solo: true, take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			for _, query := range []string{"BEGIN IMMEDIATE", inserts(id, 2, 100)} {
				if _, err := conn.ExecContext(ctx, query); err != nil {
					return err
				}
			}
			return conn.Raw(func(dc any) error {
				err := dc.(interface{ Raw() *sqlite3.Conn }).Raw().Exec("COMMIT")
				p.mayReturn()
				return err
			})
		}},
		{name: "in Init", solo: true, take: func(ctx context.Context, p *puppetChild, id int64) error {
			return p.inNewConn(ctx, &p.inHook, id)
		}},
		{name: "in Term", solo: true, take: func(ctx context.Context, p *puppetChild, id int64) error {
			return p.inNewConn(ctx, &p.atEnd, id)
		}},
		{name: "into an attached database", solo: true, file: "b.db", take: func(ctx context.Context, p *puppetChild, id int64) error {
			conn, err := p.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			for _, query := range []string{
				fmt.Sprintf("ATTACH '%s' AS b", filepath.Join(p.dir, "b.db")), "PRAGMA b.journal_mode=WAL", "PRAGMA b.synchronous=FULL",
				"CREATE TABLE IF NOT EXISTS b.t(id, part, parts, body)", fmt.Sprintf("INSERT INTO b.t VALUES (%d, 0, 1, NULL)", id),
			} {
				if _, err := conn.ExecContext(ctx, query); err != nil {
					return err
				}
			}
			p.mayReturn()
			_, err = conn.ExecContext(ctx, "DETACH b")
			return err
		}},
	}...)
}

// takeRoad commits by the road named o.Query. It answers when the commit is durable, which may be
// before its call returns.
func (p *puppetChild) takeRoad(ctx context.Context, o order, _ *answer) error {
	for _, road := range durableRoads() {
		if road.name != o.Query {
			continue
		}
		p.inside, p.release, p.returned = make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() { p.returned <- road.take(ctx, p, o.ID) }()
		select {
		case <-p.inside:
			return nil
		case err := <-p.returned:
			p.returned <- err
			return err
		}
	}
	return fmt.Errorf("there is no road %q", o.Query)
}

// mayReturn lets the parent look at the disk before it returns.
func (p *puppetChild) mayReturn() {
	close(p.inside)
	<-p.release
}

// commitAndHold commits, and lets the parent look at the disk.
func (p *puppetChild) commitAndHold(c *sqlite3.Conn, id int64) error {
	if err := c.Exec("BEGIN IMMEDIATE; " + inserts(id, 3, 100) + "; COMMIT"); err != nil {
		return err
	}
	p.mayReturn()
	return nil
}

// inNewConn commits in a hook of the writer's next connection.
func (p *puppetChild) inNewConn(ctx context.Context, hook *func(*sqlite3.Conn) error, id int64) error {
	p.mu.Lock()
	*hook = func(c *sqlite3.Conn) error {
		p.mu.Lock()
		*hook = nil
		p.mu.Unlock()
		return p.commitAndHold(c, id)
	}
	p.mu.Unlock()
	p.pool.Reset()
	conn, err := p.pool.AcquireWrite(ctx)
	if err != nil {
		return err
	}
	return conn.Release()
}

// readOnly reports whether a connection cannot write.
func readOnly(c *sqlite3.Conn) bool {
	stmt, _, err := c.Prepare("PRAGMA query_only")
	if err != nil {
		return true
	}
	defer stmt.Close()
	return !stmt.Step() || stmt.ColumnInt(0) != 0
}
