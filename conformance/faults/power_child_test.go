package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

func init() {
	roles["power"] = powerRole
	roles["checkpoints"] = checkpointsRole
}

// powerArgs is the argument of the role "power".
type powerArgs struct {
	Path        string
	Database    database
	First       int64 // id
	Version     int64 // the last user_version
	Writers     int
	Checkpoints bool // the pool makes checkpoints in all modes
	Batches     bool // writers hand on their turn before the sync, so that many commits share it
}

// A power is a process below which the power fails.
type power struct {
	powerArgs
	r    *report
	db   *sql.DB
	pool *pool.Pool // nil for "sqlitemw"
	next atomic.Int64
	seen sync.Map // ids that readers have seen
}

// powerRole writes forever, by every road, and acknowledges. It also rewrites other rows, so
// that the WAL is long and the database is not. It also reads, so that checkpoints meet
// readers, and reports what it has seen.
func powerRole() {
	w := &power{r: openReport()}
	childArgument(&w.powerArgs)
	w.next.Store(w.First)
	ctx := context.Background()
	cfg := pool.Config{MaxConns: 8}
	if w.Database.sharesSyncs() {
		cfg.Init = w.init
	}
	var err error
	if w.db, w.pool, err = w.Database.openWith(ctx, w.Path, cfg); err != nil {
		fatalf("open: %v", err)
	}
	for _, text := range []string{schema, `CREATE TABLE IF NOT EXISTS churn(k INTEGER PRIMARY KEY, body BLOB)`} {
		if _, err := w.db.ExecContext(ctx, text); err != nil {
			fatalf("%s: %v", text, err)
		}
	}
	if w.pool != nil {
		w.r.say("commit sync " + w.pool.Config().CommitSync.String())
	}
	if w.pool != nil {
		go w.countSyncs(w.countSyncsSince(pool.Stats{}))
	}
	w.r.say("ready")
	for range w.Writers {
		go w.write(ctx)
	}
	if w.pool != nil {
		for range 2 {
			go w.keepReading(w.readsBeside(ctx))
		}
		go w.keepReading(w.readsOnWriter(ctx))
	}
	go w.churn(ctx)
	go w.setVersion(ctx)
	if w.Database.sharesSyncs() {
		go w.disturb(ctx)
	}
	for {
		time.Sleep(upTo(10 * time.Millisecond))
		w.r.failed(readAWhile(ctx, w.db, upTo(5*time.Millisecond)))
		if w.Checkpoints {
			_, err := w.pool.Checkpoint(ctx, sqlite3.CheckpointMode(rand.IntN(int(sqlite3.CHECKPOINT_TRUNCATE)+1)))
			w.r.failed(err)
		}
	}
}

// init is called for each new connection. It writes, if it can.
func (w *power) init(c *sqlite3.Conn) error {
	id := w.next.Add(1) - 1
	if c.Exec(inserts(id, 1+int(id%3), 100)) == nil { // not on a reader, nor before there is a table
		w.r.ack(id)
		w.r.count("acknowledged in Init", 1)
	}
	return nil
}

// write writes forever. Some contexts end early, so that a commit may stand although its call fails.
func (w *power) write(ctx context.Context) {
	roads := slices.DeleteFunc(slices.Clone(roads), func(r road) bool { return w.Batches && r.conn })
	for {
		id := w.next.Add(1) - 1
		func() {
			ctx := ctx
			if rand.IntN(10) == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, upTo(5*time.Millisecond))
				defer cancel()
			}
			err := roads[rand.IntN(len(roads))].take(ctx, w.db, id, 1+rand.IntN(3), rand.IntN(200))
			if err == nil {
				w.r.ack(id)
				return
			}
			if commit := new(pool.CommitError); errors.As(err, &commit) {
				w.r.count("commit errors", 1)
			}
			if ctx.Err() == nil {
				w.r.failed(err)
			}
		}()
	}
}

func (w *power) churn(ctx context.Context) {
	for {
		time.Sleep(upTo(20 * time.Millisecond))
		// One in a hundred is larger than the page cache, and spills.
		size := 20 << 10
		if rand.IntN(100) == 0 {
			size = 3 << 20
		}
		_, err := w.db.ExecContext(ctx, `INSERT OR REPLACE INTO churn VALUES (?, randomblob(?))`, rand.IntN(20), size)
		w.r.failed(err)
	}
}

func (w *power) setVersion(ctx context.Context) {
	for n := w.Version + 1; ; n++ {
		time.Sleep(upTo(5 * time.Millisecond))
		if _, err := w.db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", n)); err != nil {
			w.r.failed(err)
			continue
		}
		w.r.line("version", fmt.Sprint(n))
	}
}

// countSyncs reports the syncs that commits have shared, again and again.
func (w *power) countSyncs(last pool.Stats) {
	for {
		time.Sleep(10 * time.Millisecond)
		last = w.countSyncsSince(last)
	}
}

func (w *power) countSyncsSince(last pool.Stats) pool.Stats {
	now := w.pool.Stats()
	w.r.count("syncs", int(now.Syncs-last.Syncs))
	w.r.count("synced commits", int(now.SyncedCommits-last.SyncedCommits))
	return now
}

// disturb does what happens seldom.
func (w *power) disturb(ctx context.Context) {
	for {
		if _, err := w.db.ExecContext(ctx, "VACUUM"); err == nil {
			w.r.count("vacuums", 1)
		} else {
			w.r.failed(err)
		}
		time.Sleep(upTo(time.Second))
		w.pool.Reset() // so that the writer is opened again while commits wait
		time.Sleep(upTo(200 * time.Millisecond))
	}
}

// latest returns ids that have been written last.
const latest = `SELECT id FROM t ORDER BY rowid DESC LIMIT 5`

// keepReading reads forever, in each of the ways, which report what they have seen.
func (w *power) keepReading(ways []func() error) {
	for {
		time.Sleep(upTo(2 * time.Millisecond))
		w.r.failed(ways[rand.IntN(len(ways))]())
	}
}

// readsBeside returns ways to read that do not wait for writers.
func (w *power) readsBeside(ctx context.Context) []func() error {
	return []func() error{
		func() error { return w.see(ctx, w.db) },
		func() error {
			var id sql.NullInt64
			err := w.db.QueryRowContext(ctx, `SELECT id FROM t ORDER BY rowid DESC`).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err == nil && id.Valid {
				w.saw(id.Int64)
			}
			return err
		},
		func() error {
			tx, err := w.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return w.see(ctx, tx)
		},
	}
}

// readsOnWriter returns ways to read on the connection that writes. A transaction waits at its end
// for what it has seen.
func (w *power) readsOnWriter(ctx context.Context) []func() error {
	return []func() error{
		func() error { return w.see(ctx, w.pool.Writer()) },
		func() error {
			return w.pool.Raw(ctx, func(c *sqlite3.Conn) error {
				stmt, _, err := c.Prepare(latest)
				if err != nil {
					return err
				}
				defer stmt.Close()
				for stmt.Step() {
					w.saw(stmt.ColumnInt64(0))
				}
				return stmt.Err()
			})
		},
		func() error {
			tx, err := w.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			ids, err := collect(ctx, tx)
			if rand.IntN(2) == 0 {
				err = errors.Join(err, tx.Commit())
			} else {
				err = errors.Join(err, tx.Rollback())
			}
			if err == nil {
				w.saw(ids...)
			}
			return err
		},
		func() error {
			conn, err := w.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			pair := [][2]string{{"BEGIN IMMEDIATE", "COMMIT"}, {"BEGIN IMMEDIATE", "ROLLBACK"}, {"BEGIN", "COMMIT"}, {"SAVEPOINT s", "RELEASE s"}}[rand.IntN(4)]
			if _, err := conn.ExecContext(ctx, pair[0]); err != nil {
				return err
			}
			ids, err := collect(ctx, conn)
			_, endErr := conn.ExecContext(ctx, pair[1])
			if err = errors.Join(err, endErr); err == nil {
				w.saw(ids...)
			}
			return err
		},
		func() error { // it waits for its own commit, which is later than what it has seen
			var id sql.NullInt64
			err := w.db.QueryRowContext(ctx, `UPDATE churn SET k = k WHERE k = 1 RETURNING (SELECT id FROM t ORDER BY rowid DESC)`).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err == nil && id.Valid {
				w.saw(id.Int64)
			}
			return err
		},
	}
}

// A queryer is a *sql.DB, *sql.Conn or *sql.Tx.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// see reads ids, and reports each immediately.
func (w *power) see(ctx context.Context, db queryer) error {
	return eachLatest(ctx, db, func(id int64) { w.saw(id) })
}

func collect(ctx context.Context, db queryer) (ids []int64, err error) {
	err = eachLatest(ctx, db, func(id int64) { ids = append(ids, id) })
	return ids, err
}

func eachLatest(ctx context.Context, db queryer, f func(id int64)) error {
	rows, err := db.QueryContext(ctx, latest)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		f(id)
	}
	return rows.Err()
}

// saw reports ids that a reader has seen, each once.
func (w *power) saw(ids ...int64) {
	for _, id := range ids {
		if _, before := w.seen.LoadOrStore(id, true); !before {
			w.r.line("saw", fmt.Sprint(id))
		}
	}
}

// readAWhile holds a read transaction open, which a checkpoint must respect.
func readAWhile(ctx context.Context, db *sql.DB, d time.Duration) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM churn`).Scan(&n); err != nil {
		_ = tx.Rollback()
		return err
	}
	time.Sleep(d)
	return tx.Commit()
}

// checkpointsRole is another process, which uses the plain driver. It makes checkpoints in
// every mode.
func checkpointsRole() {
	var path string
	childArgument(&path)
	r := openReport()
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path)+"?_pragma=busy_timeout(1000)")
	if err != nil {
		fatalf("open: %v", err)
	}
	for {
		mode := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[rand.IntN(4)]
		_, err := db.Exec("PRAGMA wal_checkpoint(" + mode + ")")
		r.failed(err)
		time.Sleep(upTo(20 * time.Millisecond))
	}
}
