package faults

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

func init() { roles["full"] = fullRole }

// fullArgs is the argument of the role "full".
type fullArgs struct {
	Dir      string
	Database database
	First    int64 // id
}

// The sizes of the small disk and of the file that occupies most of it. The database fills the
// rest in about a second, and has enough space once the file is removed.
const (
	diskSize    = 6 << 20
	ballastSize = 3 << 20
)

// fullWriters is the number of goroutines that write. fullErrors is the number of errors that
// each must have seen: the disk is then really full, and does not only lack space for one large
// transaction.
const (
	fullWriters = 4
	fullErrors  = 5
)

// fullRole fills the disk, says "full", and waits for a line, which means that there is space
// again. Then the database must work again.
func fullRole() {
	var args fullArgs
	childArgument(&args)
	r, ctx := openReport(), context.Background()
	left := watchLeaks(args.Dir)
	db, p, err := args.Database.openWith(ctx, filepath.Join(args.Dir, "a.db"), pool.Config{MaxConns: 4, HealthInterval: 50 * time.Millisecond})
	if err != nil {
		fatalf("open: %v", err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		fatalf("schema: %v", err)
	}
	var next atomic.Int64
	next.Store(args.First)
	write := func(n int64) error {
		id := next.Add(1) - 1
		err := roads[int(n)%len(roads)].take(ctx, db, id, 1+int(n%3), 5000)
		if err == nil {
			r.ack(id)
		}
		return err
	}
	var writers sync.WaitGroup
	for w := range int64(fullWriters) {
		writers.Go(func() {
			for n, errs := w, 0; errs < fullErrors; n++ {
				err := write(n)
				if err == nil {
					continue
				}
				errs++
				r.failed(err)
				// The driver tries to return FULL, but does not find the errno
				// in a wrapped error, and so returns IOERR (ncruces v0.36.0 and
				// v0.37.0, vfs/os_unix.go).
				if !errors.Is(err, sqlite3.FULL) && !errors.Is(err, sqlite3.IOERR) {
					r.count("other errors", 1)
				}
			}
		})
	}
	writers.Wait()
	if got, err := countIDs(ctx, db); err != nil {
		r.failed(fmt.Errorf("a read of the full disk: %w", err))
		r.count("failed reads", 1)
	} else {
		r.count("ids read", got)
	}
	if p != nil && p.Health().Health == pool.HealthDegraded {
		r.count("health degraded", 1)
	}
	r.say("full")
	bufio.NewScanner(os.Stdin).Scan()

	began := time.Now()
	err = write(0)
	for ; err != nil && time.Since(began) < recovery; err = write(0) {
		r.failed(fmt.Errorf("after there was room: %w", err))
		time.Sleep(time.Millisecond)
	}
	if p != nil && err == nil {
		for err = healthy(ctx, p); err != nil && time.Since(began) < recovery; err = healthy(ctx, p) {
			r.failed(fmt.Errorf("after there was room: %w", err))
			time.Sleep(10 * time.Millisecond)
		}
	}
	if err != nil {
		r.count("stuck", 1)
		r.failed(fmt.Errorf("stuck: %w", err))
	}
	for n := range int64(20) {
		if err := write(n); err != nil {
			r.failed(fmt.Errorf("after there was room: %w", err))
			r.count("stuck", 1)
		}
	}
	if p != nil {
		err = p.Close()
	} else {
		err = db.Close()
	}
	r.failed(err)
	for _, what := range left.left() {
		r.count("leaked", 1)
		r.failed(errors.New("leaked: " + what))
	}
}

func countIDs(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, `SELECT count(DISTINCT id) FROM t`).Scan(&n)
	return n, err
}

// Writes to a full disk must fail with an error of SQLite, and lose nothing. Once there is
// space, the database must work normally.
func TestFullDisk(t *testing.T) {
	modes := []struct {
		name     string
		database database
	}{
		{"pool", database{}},
		{"pool without a WAL", database{Journal: "delete"}},
		{"sqlitemw", database{Driver: "sqlitemw"}},
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			c := newCampaign(t, "full disk, "+m.name, "times full", "acknowledged", "lost", "not whole", "leaked", "hung", "stuck", "crashed", "other errors")
			for round, end := 0, time.Now().Add(length(t, len(modes))); round == 0 || time.Now().Before(end); round++ {
				fillDisk(c, m.database, round%2 == 0)
			}
			if n := c.get("other errors"); n > 0 {
				t.Errorf("%d errors are neither SQLITE_FULL nor SQLITE_IOERR", n)
			}
		})
	}
}

// fillDisk fills a disk once. Then it frees space, or kills the process.
func fillDisk(c *campaign, d database, room bool) {
	dir := newTmpfs(c.t, diskSize)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, ballastSize), 0o644); err != nil {
		c.t.Fatal(err)
	}
	ch := startChild(c.t, "full", fullArgs{Dir: dir, Database: d, First: 1})
	defer ch.collect(c)
	defer ch.kill()
	if !ch.await("full") {
		c.wrong("hung", "the disk is not full: %v\n%s", ch.err, ch.output())
		return
	}
	c.add("times full", 1)
	acked := ch.acked()
	c.compareLive("full disk", dir, "a.db", acked)
	if room {
		if err := os.Remove(ballast); err != nil {
			c.t.Fatal(err)
		}
		ch.tell(true)
		err, ended := ch.wait()
		switch {
		case !ended:
			c.wrong("hung", "after there was room: %s", ch.output())
		case err != nil:
			c.wrong("crashed", "after there was room: %v\n%s", err, ch.output())
		}
	} else {
		ch.kill()
	}
	c.add("acknowledged", len(ch.acked()))
	c.compareLive("full disk, after all", dir, "a.db", ch.acked())
}

// compareLive calls compare for a database on a disk that must not be touched. No process may
// be writing to it. It compares a copy.
func (c *campaign) compareLive(what, dir, name string, acked []int64) {
	c.t.Helper()
	m, err := readImage(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	delete(m, name+"-shm") // SQLite creates it again
	c.compareImage(what, m, name, acked, false)
}
