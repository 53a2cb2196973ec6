package faults

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

func init() { roles["puppet"] = puppetRole }

// puppetRole executes the orders that it reads from its standard input.
func puppetRole() {
	p := &puppetChild{r: openReport()}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var o order
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			fatalf("order: %v", err)
		}
		f := puppetOrders[o.Do]
		if f == nil {
			fatalf("there is no order %q", o.Do)
		}
		var got answer
		got.set(f(p, context.Background(), o, &got))
		line, err := json.Marshal(got)
		if err != nil {
			fatalf("answer: %v", err)
		}
		p.r.line("did", string(line))
	}
}

// A puppetChild is the state of a puppet in its own process.
type puppetChild struct {
	r       *report
	db      *sql.DB
	pool    *pool.Pool
	dir     string
	writers sync.WaitGroup

	// Of a commit that the parent looks at before its call has returned.
	inside   chan struct{} // closed when the commit is done
	release  chan struct{} // closed when the call may return
	returned chan error

	mu       sync.Mutex
	outcomes []answer                  // of the writers
	inHook   func(*sqlite3.Conn) error // in Init
	atEnd    func(*sqlite3.Conn) error // in Term
}

var puppetOrders = map[string]func(*puppetChild, context.Context, order, *answer) error{
	"open": (*puppetChild).open,
	"close": func(p *puppetChild, _ context.Context, _ order, _ *answer) error {
		return p.pool.Close()
	},
	"exec": func(p *puppetChild, ctx context.Context, o order, _ *answer) error {
		_, err := p.db.ExecContext(ctx, o.Query)
		return err
	},
	"write": func(p *puppetChild, ctx context.Context, o order, _ *answer) error {
		return p.acked(o.ID, writeID(ctx, p.db, o.ID, max(o.N, 1), 200))
	},
	"take": (*puppetChild).takeRoad,
	"return": func(p *puppetChild, _ context.Context, _ order, _ *answer) error {
		close(p.release)
		return <-p.returned
	},
	"writers":   (*puppetChild).startWriters,
	"committed": (*puppetChild).awaitCommitted,
	"join":      (*puppetChild).join,
	"probe":     (*puppetChild).probe,
	"checkpoint": func(p *puppetChild, ctx context.Context, o order, _ *answer) error {
		_, err := p.pool.Checkpoint(ctx, o.Mode)
		return err
	},
	"health": func(p *puppetChild, ctx context.Context, _ order, got *answer) error {
		got.Texts = []string{p.pool.Health().Health.String()}
		return p.pool.HealthCheck(ctx)
	},
	"read": (*puppetChild).read,
	"raw": func(p *puppetChild, ctx context.Context, o order, _ *answer) error {
		return p.pool.Raw(ctx, func(c *sqlite3.Conn) error {
			return p.acked(o.ID, c.Exec(inserts(o.ID, 1, 200)))
		})
	},
	"stats": func(p *puppetChild, _ context.Context, _ order, got *answer) error {
		got.N, got.Texts = int(p.pool.Stats().Syncs), []string{p.pool.Config().CommitSync.String(), p.pool.Health().Health.String()}
		return nil
	},
}

func (p *puppetChild) open(ctx context.Context, o order, _ *answer) error {
	p.dir = filepath.Dir(o.Path)
	hook := func(f *func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
		return func(c *sqlite3.Conn) error {
			p.mu.Lock()
			call := *f
			p.mu.Unlock()
			if call == nil || readOnly(c) {
				return nil
			}
			return call(c)
		}
	}
	cfg := pool.Config{MaxConns: cmp.Or(o.Conns, 4), JournalSizeLimit: o.Limit, Init: hook(&p.inHook), Term: hook(&p.atEnd)}
	if o.Limit > 0 {
		cfg.HealthInterval = 20 * time.Millisecond
	}
	db, opened, err := o.Database.openWith(ctx, o.Path, cfg)
	if err == nil {
		p.db, p.pool = db, opened
	}
	return err
}

// acked acknowledges id if err is nil. It returns err.
func (p *puppetChild) acked(id int64, err error) error {
	if err == nil {
		p.r.ack(id)
	}
	return err
}

// startWriters starts o.N goroutines. Each writes one id, by one of the roads on which commits
// share syncs.
func (p *puppetChild) startWriters(ctx context.Context, o order, _ *answer) error {
	roads := slices.DeleteFunc(slices.Clone(roads), func(r road) bool { return r.solo })
	for i := range o.N {
		p.writers.Go(func() {
			id := o.ID + int64(i)
			err := p.acked(id, roads[i%len(roads)].take(ctx, p.db, id, 1+i%3, 200))
			var got answer
			got.set(err)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.outcomes = append(p.outcomes, got)
		})
	}
	return nil
}

// awaitCommitted waits until o.N calls have committed, and wait for the disk.
func (p *puppetChild) awaitCommitted(_ context.Context, o order, got *answer) error {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		if got.N = p.pool.Stats().SyncWaiting; got.N >= o.N {
			return nil
		}
	}
	return fmt.Errorf("only %d calls wait for the disk", got.N)
}

// join waits for the writers. It answers with the number of commits whose sync has failed, and with
// the texts of all other outcomes, each once.
func (p *puppetChild) join(_ context.Context, _ order, got *answer) error {
	if err := within(patience, "a writer", p.writers.Wait); err != nil {
		return err
	}
	for _, o := range p.outcomes {
		switch {
		case o.isCommitError():
			got.N++
		case o.Err == "":
			got.Texts = append(got.Texts, "ok")
		default:
			got.Texts = append(got.Texts, o.Err)
		}
	}
	slices.Sort(got.Texts)
	got.Texts, p.outcomes = slices.Compact(got.Texts), nil
	return nil
}

// probe makes every kind of call, each of which must fail because the database is lost. It answers
// with those that did not.
func (p *puppetChild) probe(ctx context.Context, o order, got *answer) error {
	calls := map[string]func() error{
		"Query":     func() error { return query(ctx, p.db) },
		"Ping":      func() error { return p.db.PingContext(ctx) },
		"Backup":    func() error { return p.pool.Backup(ctx, filepath.Join(p.dir, "copy.db")) },
		"WithTx":    func() error { return p.pool.WithTx(ctx, nil, func(*sql.Tx) error { return nil }) },
		"Reader":    func() error { return query(ctx, p.pool.Reader()) },
		"Raw alone": func() error { return p.pool.Raw(ctx, func(*sqlite3.Conn) error { return nil }) },
		"read transaction": func() error {
			tx, err := p.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"wal_checkpoint": func() error { _, err := p.db.ExecContext(ctx, "PRAGMA wal_checkpoint"); return err },
		"VACUUM":         func() error { _, err := p.db.ExecContext(ctx, "VACUUM"); return err },
		"HealthCheck":    func() error { return p.pool.HealthCheck(ctx) },
	}
	for i, road := range roads {
		calls[road.name] = func() error { id := o.ID + int64(i); return p.acked(id, road.take(ctx, p.db, id, 2, 200)) }
	}
	for mode := sqlite3.CHECKPOINT_PASSIVE; mode <= sqlite3.CHECKPOINT_TRUNCATE; mode++ {
		calls[fmt.Sprintf("Checkpoint %d", mode)] = func() error { _, err := p.pool.Checkpoint(ctx, mode); return err }
	}
	for name, call := range calls {
		if err := call(); !lost(err) {
			got.Texts = append(got.Texts, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return nil
}

// read answers with the ids. It fails if the database is not whole, or if its transactions are not
// those that were committed first: each row has a higher rowid than the one before it.
func (p *puppetChild) read(ctx context.Context, _ order, got *answer) error {
	var check string
	if err := p.db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		return fmt.Errorf("integrity_check: %s, %w", check, err)
	}
	err := scan(p.db, `SELECT id FROM t GROUP BY id HAVING count(*) = max(parts)`, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		got.IDs = append(got.IDs, id)
		return err
	})
	if err != nil {
		return err
	}
	var wrong []string
	err = scan(p.db, prefixQuery, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		wrong = append(wrong, text)
		return err
	})
	if err == nil && len(wrong) > 0 {
		err = errors.New(strings.Join(wrong, ", "))
	}
	return err
}

// prefixQuery returns what is wrong if a database is not what it was after some commit: rows are only
// added, so the rowids have no gaps, and each transaction has all its rows.
const prefixQuery = `SELECT 'gaps between rows' FROM (SELECT count(*) AS n, max(rowid) AS last FROM t) WHERE n <> last
	UNION ALL SELECT 'incomplete: ' || id FROM t GROUP BY id HAVING count(*) <> max(parts)`
