package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/engines/servers"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const query = "INSERT INTO log VALUES ($1)"
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

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// more waits until n more inserts have been acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	n += l.count()
	eventually(t, "more inserts", func() bool { return l.count() >= n })
}

// end ends the load, reads all rows, and reports the figures. No row that was acknowledged may be
// lost, and none may be there twice.
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
	lost, twice, stored := 0, 0, 0
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
		kinds[kind(err)]++
	}
	t.Logf("%s: acknowledged %d, gap %v, failed %d (of these stored %d) %v, lost %d, twice %d",
		what, len(l.acked), l.gap().Round(time.Millisecond), len(l.failed), stored, kinds, lost, twice)
}

// gap returns the longest time without an acknowledged insert.
func (l *load) gap() (longest time.Duration) {
	var times []time.Time
	for _, at := range l.acked {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

// kind returns what an error is, for people.
func kind(err error) string {
	for name, target := range map[string]error{"demoted": postgres.ErrDemoted, "no primary": postgres.ErrNoPrimary, "timeout": core.ErrAcquireTimeout} {
		if errors.Is(err, target) {
			return name
		}
	}
	text := err.Error()
	return text[:min(len(text), 60)]
}

// openLog opens a pool with a table for a load.
func openLog(t *testing.T, change func(*postgres.Config), list ...*servers.Postgres) *postgres.Pool {
	t.Helper()
	p := open(t, change, list...)
	_, err := p.DB().ExecContext(t.Context(), "CREATE TABLE log (v text)") // no key, so that a row can be there twice
	must(t, err)
	return p
}

// TestKilledPrimary kills the primary under four writers, and promotes the standby.
func TestKilledPrimary(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	p := openLog(t, func(c *postgres.Config) { c.MaxConns = 4; c.FailoverTimeout = time.Minute }, primary, standby)
	l := startLoad(p.DB(), 4)
	l.more(t, 500)
	must(t, primary.Kill())
	began := time.Now()
	must(t, standby.Promote(t.Context()))
	t.Logf("the promotion took %v", time.Since(began).Round(time.Millisecond))
	l.more(t, 500)
	l.end(t, "primary killed, standby promoted")
	if n := len(l.failed); n > 4 {
		t.Errorf("%d inserts failed, want at most the 4 that were running", n)
	}
	events, took := reasons(p, postgres.ReasonPrimary)
	if !slices.Equal(events, []string{"failing", "recovered"}) {
		t.Errorf("events %q", events)
	}
	t.Logf("the outage took %v in its events", took.Round(time.Millisecond))
	if h := p.Health(); h.Health != core.HealthDegraded || !strings.Contains(strings.Join(h.Reasons, " "), primary.Addr()) {
		t.Errorf("%v: %q", h.Health, h.Reasons)
	}
}

// TestPausedPrimary pauses the primary under four writers, promotes the standby, and lets the old
// primary go on. It is refused, and gets nothing more.
func TestPausedPrimary(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	p := openLog(t, func(c *postgres.Config) { c.MaxConns = 4; c.FailoverTimeout = time.Minute }, primary, standby)
	l := startLoad(p.DB(), 4)
	l.more(t, 500)
	must(t, primary.Pause())
	must(t, standby.Promote(t.Context()))
	l.more(t, 500)
	must(t, primary.Resume())
	eventually(t, "the old primary is refused", func() bool {
		return strings.Contains(strings.Join(p.Health().Reasons, " "), "out of date")
	})
	l.more(t, 500)
	l.end(t, "primary paused, standby promoted, primary resumed")
	if n := len(l.failed); n > 4 {
		t.Errorf("%d inserts failed, want at most the 4 that were running", n)
	}
	must(t, primary.Exec(t.Context(), "SELECT 1/(NOT pg_is_in_recovery())::int"))
}

// TestTwoPrimaries promotes two standbys, which get the same timeline. Neither is used until one of
// them has stopped.
func TestTwoPrimaries(t *testing.T) {
	primary := servers.StartPostgres(t)
	one := primary.StartStandby(t)
	two := primary.StartStandby(t)
	p := openLog(t, func(c *postgres.Config) { c.MaxConns = 4 }, primary, one, two)
	must(t, primary.Kill())
	must(t, one.Promote(t.Context()))
	must(t, two.Promote(t.Context()))
	insert := func() error {
		_, err := p.DB().ExecContext(t.Context(), "INSERT INTO log VALUES ('x')")
		return err
	}
	eventually(t, "both are refused", func() bool { return errors.Is(insert(), postgres.ErrTwoPrimaries) })
	if err := p.HealthCheck(t.Context()); !errors.Is(err, postgres.ErrTwoPrimaries) {
		t.Errorf("HealthCheck: %v", err)
	}
	must(t, two.Stop())
	eventually(t, "the other one is used", func() bool { return insert() == nil })
}

// TestReaders kills and restarts the standby under readers, which use the primary meanwhile.
func TestReaders(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	p := open(t, nil, primary, standby)
	failed := 0
	read := func() (standby bool) {
		if err := p.Reader().QueryRowContext(t.Context(), "SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
			failed++
		}
		return standby
	}
	if !read() {
		t.Error("a reader does not use the standby")
	}
	must(t, standby.Kill())
	eventually(t, "readers use the primary", func() bool { return !read() })
	must(t, standby.Start())
	eventually(t, "readers use the standby again", read)
	if failed > 1 {
		t.Errorf("%d reads failed, want at most the first", failed)
	}
}

// TestWaiters measures how long calls take with 32 users on 4 connections: the pool serves them first
// come, first served.
func TestWaiters(t *testing.T) {
	primary := servers.StartPostgres(t)
	p := open(t, func(c *postgres.Config) { c.MaxConns = 4 }, primary)
	plain := sql.OpenDB(connector(t, primary))
	defer plain.Close()
	plain.SetMaxOpenConns(4)
	plain.SetMaxIdleConns(4)
	for _, of := range []struct {
		name string
		db   *sql.DB
	}{{"database/sql", plain}, {"the pool", p.DB()}, {"database/sql", plain}, {"the pool", p.DB()}} {
		var mu sync.Mutex
		var all []time.Duration
		var users sync.WaitGroup
		for range 32 {
			users.Go(func() {
				for range 60 {
					began := time.Now()
					_, err := of.db.ExecContext(context.Background(), "SELECT pg_sleep(0.005)")
					took := time.Since(began)
					mu.Lock()
					all = append(all, took)
					mu.Unlock()
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		users.Wait()
		slices.Sort(all)
		p50, p99 := all[len(all)/2], all[len(all)*99/100]
		t.Logf("%s, 32 users on 4 connections: p50 %v, p99 %v, p99/p50 %.2f", of.name, p50.Round(time.Microsecond), p99.Round(time.Microsecond), float64(p99)/float64(p50))
	}
	if s := p.Stats(); s.Overflows != 0 || s.PeakInUse > 4 {
		t.Errorf("%d connections were in use at the same time", s.PeakInUse)
	}
}
