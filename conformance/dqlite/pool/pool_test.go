//go:build libsqlite3

package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/dqlite/cluster"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/dqlite"
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open starts a cluster, and opens a pool of it, with a table log.
func open(t *testing.T) (*cluster.Cluster, *dqlite.Pool) {
	t.Helper()
	c := cluster.Start(t, cluster.Config{Latency: 5 * time.Millisecond})
	connector, err := c.Connector("shop")
	must(t, err)
	p, err := dqlite.Open(t.Context(), dqlite.Config{
		Connector: connector, Database: "shop", FailoverTimeout: time.Minute, AcquireTimeout: 2 * time.Minute, Events: 1 << 16, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s := p.Stats(); s.Acquires != s.Releases+s.Discards || s.Connects != s.Closes || s.Panics != 0 {
			t.Errorf("%d acquires, but %d releases and %d discards; %d connects, but %d closes; %d panics", s.Acquires, s.Releases, s.Discards, s.Connects, s.Closes, s.Panics)
		}
	})
	_, err = p.DB().ExecContext(t.Context(), "CREATE TABLE log (v text)") // no key, so that a row can be there twice
	must(t, err)
	return c, p
}

// A load is several writers, each of which inserts values one after the other, in statements and
// transactions of their own.
type load struct {
	db   *sql.DB
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	acked  map[string]time.Time
	failed map[string]error
}

func startLoad(db *sql.DB, writers int) *load {
	l := &load{db: db, stop: make(chan struct{}), acked: map[string]time.Time{}, failed: map[string]error{}}
	for w := range writers {
		l.done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				value := fmt.Sprintf("%d-%d", w, n)
				err := l.insert(value, n%2 == 0)
				l.mu.Lock()
				if err == nil {
					l.acked[value] = time.Now()
				} else {
					l.failed[value] = err
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) insert(value string, inTx bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	const query = "INSERT INTO log VALUES (?)"
	if !inTx {
		_, err := l.db.ExecContext(ctx, query, value)
		return err
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, query, value); err != nil {
		return err
	}
	return tx.Commit()
}

// more waits until n more inserts have been acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acked)
	}
	n += count()
	for end := time.Now().Add(2 * time.Minute); count() < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d inserts were acknowledged, want %d", count(), n)
		}
	}
}

// end ends the load, reads all rows, and reports the figures. No row that was acknowledged may be
// lost, none may be there twice, and no insert may have failed because another one of the program was
// in its way.
func (l *load) end(t *testing.T, what string) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	rows, err := l.db.QueryContext(t.Context(), "SELECT v FROM log")
	must(t, err)
	defer rows.Close()
	count := map[string]int{}
	for rows.Next() {
		var v string
		must(t, rows.Scan(&v))
		count[v]++
	}
	must(t, rows.Err())
	lost, twice, stored, locked := 0, 0, 0, 0
	for v, n := range count {
		if n > 1 {
			twice++
			t.Errorf("%s is there %d times", v, n)
		}
	}
	for v := range l.acked {
		if count[v] == 0 {
			lost++
			t.Errorf("%s was acknowledged, but is lost", v)
		}
	}
	kinds := map[string]int{}
	for v, err := range l.failed {
		stored += min(count[v], 1)
		if strings.Contains(err.Error(), "locked") {
			locked++
		}
		kinds[kind(err)]++
	}
	if locked > 0 {
		t.Errorf("%d inserts failed because the database was locked", locked)
	}
	times := slices.SortedFunc(maps.Values(l.acked), time.Time.Compare)
	gap := time.Duration(0)
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i].Sub(times[i-1]))
	}
	t.Logf("%s: acknowledged %d, gap %v, failed %d (of these stored %d) %v, lost %d, twice %d",
		what, len(l.acked), gap.Round(time.Millisecond), len(l.failed), stored, kinds, lost, twice)
}

// kind returns what an error is, for people.
func kind(err error) string {
	var unknown *wrap.OutcomeError
	switch {
	case errors.As(err, &unknown):
		return "unknown outcome"
	case errors.Is(err, dqlite.ErrNoLeader):
		return "no leader"
	case errors.Is(err, core.ErrAcquireTimeout):
		return "timeout"
	}
	text := err.Error()
	return text[:min(len(text), 60)]
}

// TestWriters checks that none of 32 writers finds the database locked, and prints how that is with
// database/sql on 4 connections.
func TestWriters(t *testing.T) {
	c, p := open(t)
	connector, err := c.Connector("shop")
	must(t, err)
	plain := sql.OpenDB(connector)
	defer plain.Close()
	plain.SetMaxOpenConns(4)
	l := startLoad(plain, 32)
	l.more(t, 300)
	close(l.stop)
	l.done.Wait()
	kinds := map[string]int{}
	for _, err := range l.failed {
		kinds[kind(err)]++
	}
	t.Logf("database/sql, 32 writers on 4 connections: acknowledged %d, failed %v", len(l.acked), kinds)
	_, err = p.DB().ExecContext(t.Context(), "DELETE FROM log")
	must(t, err)

	l = startLoad(p.DB(), 32)
	for range 10 { // beside the writers
		l.more(t, 30)
		var n int
		must(t, p.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM log").Scan(&n))
		if n == 0 {
			t.Error("a reader sees no rows")
		}
	}
	l.end(t, "the pool, 32 writers")
	if len(l.failed) > 0 {
		t.Errorf("%d inserts failed", len(l.failed))
	}
}

// TestReadersSeeWrites checks that a reader sees each row that was written before, by calls, prepared
// statements and read-only transactions.
func TestReadersSeeWrites(t *testing.T) {
	_, p := open(t)
	insert, err := p.DB().PrepareContext(t.Context(), "INSERT INTO log VALUES (?)")
	must(t, err)
	defer insert.Close()
	find, err := p.DB().PrepareContext(t.Context(), "SELECT count(*) FROM log WHERE v = ?")
	must(t, err)
	defer find.Close()
	for i := range 50 {
		value := fmt.Sprint(i)
		_, err := insert.ExecContext(t.Context(), value)
		must(t, err)
		var n, inTx int
		must(t, find.QueryRowContext(t.Context(), value).Scan(&n))
		tx, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		must(t, err)
		must(t, tx.StmtContext(t.Context(), find).QueryRowContext(t.Context(), value).Scan(&inTx))
		must(t, tx.Rollback())
		if n != 1 || inTx != 1 {
			t.Fatalf("after %s, readers see %d and %d rows", value, n, inTx)
		}
	}
	if s := p.Stats(); s.Discards != 0 || s.Readers == 0 || s.Writers != 1 {
		t.Errorf("%d discards, %d readers, %d writers", s.Discards, s.Readers, s.Writers)
	}
}

// TestKilledLeader kills the leader under four writers.
func TestKilledLeader(t *testing.T) {
	c, p := open(t)
	l := startLoad(p.DB(), 4)
	l.more(t, 200)
	leader, err := c.Leader(t.Context())
	must(t, err)
	must(t, leader.Kill())
	l.more(t, 200)
	l.end(t, "leader killed")
	outages := 0
	var events []string
	for _, e := range p.Events() {
		if e.Reason == dqlite.ReasonLeader {
			events = append(events, fmt.Sprintf("%v %v", e.Kind, e.Duration.Round(time.Millisecond)))
			if e.Kind == wrap.KindFailing {
				outages++
			}
		}
	}
	// The next leader may lose an election soon after it has won one.
	if n := len(l.failed); n > max(outages, 1) {
		t.Errorf("%d inserts failed, want at most the one that was running, for each leader that was lost", n)
	}
	t.Logf("events %q", events)
	if h := p.Health(); h.Health != core.HealthOK {
		t.Errorf("%v: %q", h.Health, h.Reasons)
	}
}

// TestPausedLeader pauses the leader under four writers, for so long that another node is elected, and
// lets it go on.
func TestPausedLeader(t *testing.T) {
	c, p := open(t)
	l := startLoad(p.DB(), 4)
	l.more(t, 200)
	leader, err := c.Leader(t.Context())
	must(t, err)
	must(t, leader.Pause())
	next, err := c.Leader(t.Context())
	must(t, err)
	if next == leader {
		t.Fatal("the paused node leads")
	}
	must(t, leader.Resume())
	l.more(t, 200)
	l.end(t, "leader paused and resumed")
}
