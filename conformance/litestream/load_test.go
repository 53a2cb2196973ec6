package litestream

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

const schema = `
CREATE TABLE entries(writer INTEGER, n INTEGER, body TEXT, PRIMARY KEY (writer, n)) WITHOUT ROWID;
CREATE TABLE totals(writer INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);
CREATE INDEX entries_body ON entries(body);
CREATE VIEW newest AS SELECT writer, max(n) AS n FROM entries GROUP BY writer;
CREATE TRIGGER counts AFTER INSERT ON entries BEGIN
	UPDATE totals SET n = n + 1 WHERE writer = new.writer;
END`

const (
	writers = 4
	readers = 2
)

// prepare makes the tables, and so the database.
func prepare(t *testing.T, p *pool.Pool) {
	t.Helper()
	if _, err := p.DB().Exec(schema); err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		if _, err := p.DB().Exec("INSERT INTO totals(writer) VALUES (?)", w); err != nil {
			t.Fatal(err)
		}
	}
}

// A load writes and reads a database. It writes as much as it is granted, and so cannot exceed the
// WAL's limit on a slow machine. Writer w inserts its rows in the order of n: if row n is there,
// all before it must be.
type load struct {
	t      *testing.T
	pool   *pool.Pool
	ctx    context.Context
	end    context.CancelFunc
	tasks  sync.WaitGroup
	grants chan struct{}         // a commit each
	open   atomic.Int64          // grants that have not been used
	acked  [writers]atomic.Int64 // rows of each writer that have been acknowledged
	reads  atomic.Int64
}

// startLoad starts a load. Each writer goes on where the last load of the database ended.
func startLoad(t *testing.T, p *pool.Pool) *load {
	t.Helper()
	l := &load{t: t, pool: p, grants: make(chan struct{}, 100000)}
	l.ctx, l.end = context.WithCancel(context.Background())
	t.Cleanup(l.stop)
	for w := range writers {
		var n int64
		if err := p.DB().QueryRow("SELECT count(*) FROM entries WHERE writer = ?", w).Scan(&n); err != nil {
			t.Fatal(err)
		}
		l.acked[w].Store(n)
		l.tasks.Go(func() { l.write(w) })
	}
	for range readers {
		l.tasks.Go(l.read)
	}
	return l
}

// stop ends the load, and waits for the calls in progress.
func (l *load) stop() {
	l.end()
	l.tasks.Wait()
	if l.reads.Load() == 0 {
		l.t.Error("the readers have read nothing")
	}
}

// grant lets the load make so many commits.
func (l *load) grant(commits int64) {
	l.open.Add(commits)
	for range commits {
		l.grants <- struct{}{}
	}
}

// finish waits until the load has made all commits that it was granted.
func (l *load) finish() {
	l.t.Helper()
	wait(l.t, "for commits", func() bool { return l.open.Load() == 0 })
}

// untilReset makes commits until the WAL has been reset once more, and returns the size that it
// had. Without a reset, it stops at several times the length at which Litestream runs a checkpoint.
func (l *load) untilReset(path string) (most int64) {
	l.t.Helper()
	made, salt := 0, walSalt(l.t, path)
	wait(l.t, "for a reset of the WAL", func() bool {
		if l.open.Load() == 0 && made < 1000 {
			l.grant(50)
			made += 50
		}
		most = max(most, walBytes(path))
		return walSalt(l.t, path) != salt
	})
	return most
}

// acknowledged returns how many rows of each writer have been acknowledged.
func (l *load) acknowledged() (rows [writers]int64) {
	for w := range writers {
		rows[w] = l.acked[w].Load()
	}
	return rows
}

// rows returns how many rows have been acknowledged.
func (l *load) rows() (sum int64) {
	for _, n := range l.acknowledged() {
		sum += n
	}
	return sum
}

// checkBeginning checks that a file contains the beginning of what the load has written: from each
// writer at least so many rows, without a gap, and only whole transactions.
func (l *load) checkBeginning(path string, least [writers]int64) {
	l.t.Helper()
	readContent(l.t, path)
	db, err := sql.Open(driver.Name, driver.FileURI(path))
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	for w := range writers {
		var total, rows, last int64
		err := db.QueryRow("SELECT n, (SELECT count(*) FROM entries WHERE writer = ?1), (SELECT ifnull(max(n), -1) FROM entries WHERE writer = ?1) FROM totals WHERE writer = ?1", w).Scan(&total, &rows, &last)
		if err != nil || rows != total || last != rows-1 || rows < least[w] {
			l.t.Errorf("%s, writer %d: %d rows up to number %d, a total of %d, want at least %d rows: %v", path, w, rows, last, total, least[w], err)
		}
	}
}

const insert = "INSERT INTO entries VALUES (?, ?, ?)"

// write inserts rows, by single statements and by transactions of three.
func (l *load) write(w int) {
	for {
		select {
		case <-l.grants:
		case <-l.ctx.Done():
			return
		}
		n := l.acked[w].Load()
		count := int64(1)
		var err error
		if n%5 == 0 {
			count = 3
			err = l.pool.WithTx(context.Background(), nil, func(tx *sql.Tx) error {
				for i := range count {
					if _, err := tx.Exec(insert, w, n+i, body(w, n+i)); err != nil {
						return err
					}
				}
				return nil
			})
		} else {
			_, err = l.pool.DB().Exec(insert, w, n, body(w, n))
		}
		if err != nil {
			l.t.Errorf("writer %d, row %d: %v", w, n, err)
			return
		}
		l.acked[w].Store(n + count)
		l.open.Add(-1)
	}
}

// body returns the text of a row. Most take a few hundred bytes, some several pages.
func body(w int, n int64) string {
	size := 200
	if n%50 == 0 {
		size = 20000
	}
	text := fmt.Sprintf("%d %d ", n*7919%10007, w)
	return text + strings.Repeat("x", size-len(text))
}

// read checks that a reader sees every row that was acknowledged before it began, and each
// transaction as a whole. It pauses while nothing is to be written, because Litestream cannot reset
// the WAL at a moment when a reader uses it.
func (l *load) read() {
	for i := 0; l.ctx.Err() == nil; i++ {
		if l.open.Load() == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		w := i % writers
		acked := l.acked[w].Load()
		var total int64
		var last, next bool
		err := l.pool.DB().QueryRow(`SELECT n,
			n = 0 OR EXISTS (SELECT 1 FROM entries WHERE writer = ?1 AND n = totals.n - 1),
			EXISTS (SELECT 1 FROM entries WHERE writer = ?1 AND n = totals.n)
			FROM totals WHERE writer = ?1`, w).Scan(&total, &last, &next)
		if err != nil || total < acked || !last || next {
			l.t.Errorf("writer %d: a total of %d after %d were acknowledged; the last row is there: %t, and one more: %t; %v", w, total, acked, last, next, err)
			return
		}
		l.reads.Add(1)
	}
}

// wait waits until done returns true.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("waited %v %s", patience, what)
		}
		if t.Failed() {
			t.Fatal(errors.New("the test has failed before"))
		}
	}
}
