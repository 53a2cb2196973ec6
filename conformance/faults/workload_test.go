package faults

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

func init() { roles["workload"] = workloadRole }

// A workload makes every kind of call with a database once, while something in it fails. The
// child says "heal" when the fault should end.
type workload struct {
	Dir         string
	Name        string // of the database
	Database    database
	CloseBroken bool // the database is closed during the fault, and opened again afterwards
}

// recovery is how long a pool may fail after the fault has ended. Broken connections are
// replaced within a call or two, and the pool's maintenance retries a failed checkpoint after a
// while.
const recovery = 10 * time.Second

// workloadRole plays the workloads that it reads from its standard input, and says "through"
// after each. A line "true" means that the fault has ended.
func workloadRole() {
	w := worker{report: openReport(), lines: bufio.NewScanner(os.Stdin)}
	w.say("ready")
	for w.lines.Scan() {
		var load workload
		if err := json.Unmarshal(w.lines.Bytes(), &load); err != nil {
			fatalf("workload: %v", err)
		}
		w.play(load)
		w.say("through")
	}
}

// A worker plays workloads.
type worker struct {
	*report
	lines *bufio.Scanner
	workload
	next  int64 // id
	acked []int64
}

func (w *worker) play(load workload) {
	w.workload, w.acked = load, nil
	ctx := context.Background()
	left := watchLeaks(load.Dir)
	db, p := w.open(ctx)
	if db != nil {
		w.work(ctx, db, p)
		if load.CloseBroken {
			w.close(db, p)
			db, p = nil, nil
		}
	}
	w.say("heal")
	w.lines.Scan()
	if db == nil {
		db, p = w.open(ctx)
	}
	if p != nil && w.isUnsynced(ctx, p) {
		// A pool whose commits share syncs does not recover from a failed one.
		w.count("opened again", 1)
		w.close(db, p)
		db, p = w.open(ctx)
	}
	if db != nil && p == nil && !w.recover(ctx, db, nil) {
		// A driver does not replace its broken connections, so the program opens the
		// database again.
		w.count("opened again", 1)
		w.close(db, nil)
		db, p = w.open(ctx)
	}
	if db == nil || !w.recover(ctx, db, p) {
		w.count("stuck", 1)
	}
	if db != nil {
		w.close(db, p)
	}
	for _, what := range left.left() {
		w.count("leaked", 1)
		w.failed(errors.New("leaked: " + what))
	}
}

// failed reports an error. An error that means a damaged database is a figure of its own,
// because even a read that fails must not find damage.
func (w *worker) failed(err error) {
	if errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) {
		w.count("not whole", 1)
	}
	w.report.failed(err)
}

func (w *worker) path() string { return filepath.Join(w.Dir, w.Name) }

// open opens the database with a page cache of a few pages, so that reads and spills reach the
// disk.
func (w *worker) open(ctx context.Context) (*sql.DB, *pool.Pool) {
	db, p, err := w.Database.openWith(ctx, w.path(), pool.Config{
		MaxConns: 3, AcquireTimeout: 10 * time.Second, BusyTimeout: time.Second,
		Pragmas: []driver.Pragma{{Name: "cache_size", Value: "8"}},
	})
	if err != nil {
		w.failed(fmt.Errorf("open: %w", err))
		return nil, nil
	}
	return db, p
}

// close closes the database. The database counts as closed even if Close returns an error.
func (w *worker) close(db *sql.DB, p *pool.Pool) {
	var err error
	if p != nil {
		err = p.Close()
	} else {
		err = db.Close()
	}
	if err != nil {
		w.failed(fmt.Errorf("close: %w", err))
	}
}

// work makes every kind of call with the database. It continues after errors.
func (w *worker) work(ctx context.Context, db *sql.DB, p *pool.Pool) {
	_, err := db.ExecContext(ctx, schema)
	w.failed(err)
	for i, road := range roads {
		w.write(ctx, db, road, 1+i%3, 100)
	}
	w.read(ctx, db)
	w.write(ctx, db, roads[0], 12, 3000) // larger than the page cache
	w.checkpoint(ctx, db, p, sqlite3.CHECKPOINT_PASSIVE)
	w.write(ctx, db, roads[0], 2, 100)
	w.checkpoint(ctx, db, p, sqlite3.CHECKPOINT_TRUNCATE)
	w.write(ctx, db, roads[0], 1, 100)
	w.read(ctx, db)
	if p != nil {
		w.backup(ctx, p, "copy1.db")
		w.failed(p.HealthCheck(ctx))
	}
	w.write(ctx, db, roads[0], 1, 100)
}

// recover uses the database after the fault has ended, and reports whether it works.
func (w *worker) recover(ctx context.Context, db *sql.DB, p *pool.Pool) bool {
	works := w.works("schema", func() error { _, err := db.ExecContext(ctx, schema); return err }) &&
		w.works("write", func() error { return w.write(ctx, db, roads[0], 2, 100) }) &&
		w.works("read", func() error { return w.read(ctx, db) })
	if p == nil || !works {
		return works
	}
	return w.works("checkpoint", func() error { return w.checkpoint(ctx, db, p, sqlite3.CHECKPOINT_PASSIVE) }) &&
		w.works("backup", func() error { return w.backup(ctx, p, "copy2.db") }) &&
		w.works("health", func() error { return healthy(ctx, p) })
}

// isUnsynced reports whether a sync that commits share has failed, or one that could have made them
// durable.
func (w *worker) isUnsynced(ctx context.Context, p *pool.Pool) bool {
	var lost *driver.FileLostError
	return w.Database.sharesSyncs() && errors.As(p.HealthCheck(ctx), &lost) && lost.Change == driver.NotSynced
}

// healthy returns nil if the pool is healthy, and otherwise an error with the reasons.
func healthy(ctx context.Context, p *pool.Pool) error {
	if err := p.HealthCheck(ctx); err != nil {
		return err
	}
	if h := p.Health(); h.Health != pool.HealthOK {
		return fmt.Errorf("health %v: %q", h.Health, h.Reasons)
	}
	return nil
}

// works calls f until it succeeds, or returns false after recovery.
func (w *worker) works(what string, f func() error) bool {
	began := time.Now()
	for tries := 1; ; tries++ {
		err := f()
		if err == nil {
			if tries > 1 {
				w.count("recovered late", 1)
			}
			return true
		}
		w.failed(fmt.Errorf("after the fault: %s: %w", what, err))
		if time.Since(began) > recovery || w.Database.Driver != "" && tries == 3 {
			w.failed(fmt.Errorf("stuck: %s: %w", what, err))
			return false
		}
		time.Sleep(time.Duration(tries) * time.Millisecond)
	}
}

// write writes an id by a road, and acknowledges it.
func (w *worker) write(ctx context.Context, db *sql.DB, by road, parts, size int) error {
	w.next++
	id := w.next
	if err := by.take(ctx, db, id, parts, size); err != nil {
		w.failed(err)
		return err
	}
	w.acked = append(w.acked, id)
	w.ack(id)
	return nil
}

// read reads all ids. If that succeeds, all acknowledged ids must be among them.
func (w *worker) read(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT DISTINCT id FROM t`)
	if err != nil {
		w.failed(err)
		return err
	}
	defer rows.Close()
	got := contents{ids: map[int64]bool{}}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			w.failed(err)
			return err
		}
		got.ids[id] = true
	}
	if err := rows.Err(); err != nil {
		w.failed(err)
		return err
	}
	if lost := got.missing(w.acked); len(lost) > 0 {
		w.count("lost", len(lost))
		w.failed(fmt.Errorf("lost: a read does not see %d ids of %d", len(lost), len(w.acked)))
	}
	return nil
}

// checkpoint copies the WAL into the database, if there is a WAL.
func (w *worker) checkpoint(ctx context.Context, db *sql.DB, p *pool.Pool, mode sqlite3.CheckpointMode) (err error) {
	switch {
	case p == nil:
		_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint`)
	case w.Database.Journal == "":
		_, err = p.Checkpoint(ctx, mode)
	}
	w.failed(err)
	return err
}

// backup makes a copy, and announces it. After success, it must be whole. After an error, there
// must be no file of that name, or a whole copy.
func (w *worker) backup(ctx context.Context, p *pool.Pool, name string) error {
	id := int64(0)
	if n := len(w.acked); n > 0 {
		id = w.acked[n-1]
	}
	w.say(fmt.Sprintf("begin %s %d", w.Name+"-"+name, id))
	path := w.path() + "-" + name
	if err := p.Backup(ctx, path); err != nil {
		w.failed(err)
		if _, statErr := os.Stat(path); statErr == nil {
			w.count("failed backups that left a file", 1)
		} else if !errors.Is(statErr, fs.ErrNotExist) {
			w.failed(statErr)
		}
		return err
	}
	w.say(fmt.Sprintf("done %s %d", w.Name+"-"+name, id))
	return nil
}
