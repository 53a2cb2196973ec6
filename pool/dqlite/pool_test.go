package dqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/dqlite"
	"github.com/sqlitemw/sqlitemw/pool/page"
)

// bubble runs a test in a synctest bubble. There, time passes only while all goroutines wait, and
// every goroutine must have ended at the end.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		end := time.AfterFunc(3*time.Hour, func() { panic("the test has waited for three hours in its bubble") })
		t.Cleanup(func() { end.Stop() }) // the last of all cleanups
		f(t)
	})
}

// open opens a pool of the cluster. At the end of the test it is shut down, and no connection may be
// left.
func open(t *testing.T, c *cluster, change func(*dqlite.Config)) *dqlite.Pool {
	t.Helper()
	cfg := c.config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	p, err := dqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		synctest.Wait()
		if c.set(func() {}); c.open != 0 {
			t.Errorf("%d connections are still open", c.open)
		}
		if s := p.Stats(); s.Acquires != s.Releases+s.Discards || s.Connects != s.Closes || s.Panics != 0 {
			t.Errorf("%d acquires, but %d releases and %d discards; %d connects, but %d closes; %d panics", s.Acquires, s.Releases, s.Discards, s.Connects, s.Closes, s.Panics)
		}
	})
	return p
}

type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func insert(q querier, value any) error {
	_, err := q.ExecContext(context.Background(), "INSERT INTO t VALUES (?)", value)
	return err
}

func read(t *testing.T, q querier, query string) (values string) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), query).Scan(&values); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return values
}

// write inserts values from several callers at the same time, in statements and transactions, and
// returns the errors.
func write(db *sql.DB, callers, each int) (failed []error) {
	var mu sync.Mutex
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			for n := range each {
				err := insertTx(db, n%2 == 0, fmt.Sprintf("%d-%d", i, n))
				if err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	done.Wait()
	return failed
}

func insertTx(db *sql.DB, inTx bool, value string) error {
	if !inTx {
		return insert(db, value)
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := insert(tx, value); err != nil {
		return err
	}
	return tx.Commit()
}

// TestWritersDoNotLockEachOther checks that no writer of a pool finds the database locked, as those of
// a *sql.DB over the same driver do.
func TestWritersDoNotLockEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, nil)
		if failed := write(p.DB(), 32, 20); len(failed) > 0 {
			t.Errorf("%d of 640 writes failed: %v", len(failed), failed[0])
		}
		if n := len(c.all()); n != 640 {
			t.Errorf("there are %d values, want 640", n)
		}
		db := sql.OpenDB(connector{c})
		defer db.Close()
		db.SetMaxOpenConns(4)
		if failed := write(db, 32, 20); len(failed) == 0 || !errors.Is(failed[0], errLocked) {
			t.Error("the cluster is no valid test: a plain *sql.DB does not find it locked")
		}
	})
}

// TestLanes checks which queries are on a reader while the writer is in use.
func TestLanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, func(c *dqlite.Config) { c.AcquireTimeout = time.Second })
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for _, query := range []string{"SELECT v FROM t", "VALUES (1)", "-- a comment\nselect 1 from t"} {
			read(t, p.DB(), query)
			read(t, p.Reader(), query)
		}
		readOnly, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		read(t, readOnly, "SELECT v FROM t")
		readOnly.Rollback()
		for _, query := range []string{
			"WITH x AS (SELECT 1) DELETE FROM t", "SELECT last_insert_rowid()", "SELECT changes()", "INSERT INTO t VALUES (1) RETURNING v",
			"PRAGMA user_version", "SELECT 1; SELECT 2", "",
		} {
			if err := p.DB().QueryRowContext(t.Context(), query).Scan(new(any)); !errors.Is(err, core.ErrAcquireTimeout) {
				t.Errorf("%q: %v, want a wait for the writer", query, err)
			}
		}
		var failure *core.AcquireError
		err = insert(p.DB(), "x")
		if !errors.As(err, &failure) || failure.Lane != wrap.LaneWriter || len(failure.Holders) != 1 {
			t.Errorf("%v, want a wait for the writer", err)
		}
		if err := insert(p.Reader(), "x"); err != nil {
			t.Errorf("Reader: %v", err) // as documented
		}
	})
}

// TestReadersSeeWrites checks that a reader shows what was committed before.
func TestReadersSeeWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, newCluster(), nil)
		for i := range 10 {
			if err := insert(p.DB(), i); err != nil {
				t.Fatal(err)
			}
			if got := read(t, p.DB(), "SELECT v FROM t"); !strings.HasSuffix(got, fmt.Sprint(i)) {
				t.Errorf("a reader shows %q after %d", got, i)
			}
		}
		if s := p.Stats(); s.Readers != 1 || s.Writers != 1 {
			t.Errorf("%d readers and %d writers", s.Readers, s.Writers)
		}
	})
}

// TestLeaderChange changes the leader under load, without a pause and with one of a second. Callers
// wait for the new leader; only calls that were on their way to the old one fail.
func TestLeaderChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, func(c *dqlite.Config) { c.Events = 1 << 20 })
		for leader := 2; leader < 6; leader++ {
			time.AfterFunc(100*time.Millisecond, func() { c.elect(0) })
			time.AfterFunc(101*time.Millisecond+time.Duration(leader%2)*time.Second, func() { c.elect(leader) })
			if failed := write(p.DB(), 8, 50); len(failed) > 1 {
				t.Errorf("%d writes failed, want at most the one that was on its way: %v", len(failed), failed)
			}
			read(t, p.DB(), "SELECT v FROM t")
		}
		count := map[string]int{}
		for _, e := range p.Events() {
			if e.Reason == dqlite.ReasonLeader {
				count[e.Kind.String()]++
			}
		}
		if count["failing"] < 2 || count["failing"] != count["recovered"] {
			t.Errorf("events %v, want at least the two outages", count)
		}
	})
}

// TestIdleConnectionsOfOldLeader checks that the connections to an old leader are replaced, also those
// that were idle when it changed, so that no call fails.
func TestIdleConnectionsOfOldLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, func(c *dqlite.Config) { c.ValidateAfter = -1 })
		read(t, p.DB(), "SELECT v FROM t")
		c.elect(2)
		time.Sleep(5 * time.Second)
		if err := insert(p.DB(), "x"); err != nil {
			t.Error(err)
		}
		read(t, p.DB(), "SELECT v FROM t")
		if s := p.Stats(); s.ClosedFor[wrap.ReasonReset] != 2 || s.Discards != 0 {
			t.Errorf("closed for %v, %d discards", s.ClosedFor, s.Discards)
		}
	})
}

// TestNoLeader checks the error and the health without a leader.
func TestNoLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, func(c *dqlite.Config) { c.FailoverTimeout = 5 * time.Second })
		c.elect(0)
		time.Sleep(10 * time.Second)
		for range 2 {
			if err := insert(p.DB(), "x"); !errors.Is(err, dqlite.ErrNoLeader) {
				t.Errorf("%v, want ErrNoLeader", err)
			}
		}
		if h := p.Health(); h.Health != core.HealthDown {
			t.Errorf("%v: %q", h.Health, h.Reasons)
		}
		c.elect(2)
		time.Sleep(10 * time.Second)
		if err := insert(p.DB(), "x"); err != nil {
			t.Error(err)
		}
		if h := p.Health(); h.Health != core.HealthOK {
			t.Errorf("%v: %q", h.Health, h.Reasons)
		}
		if _, err := dqlite.Open(t.Context(), dqlite.Config{}); !errors.Is(err, core.ErrInvalidConfig) {
			t.Errorf("without a connector: %v", err)
		}
	})
}

// TestPage checks that the page shows the pool with the queries of its holders.
func TestPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, newCluster(), func(c *dqlite.Config) { c.Name = "shop" })
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := insert(tx, "secret"); err != nil {
			t.Fatal(err)
		}
		h, err := page.New(page.Config{Pools: page.List(p), Allow: page.Guarded})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/state.txt", nil))
		for _, want := range []string{"shop", "primary", "leader", "INSERT t"} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("the page does not show %q:\n%s", want, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Error("the page shows an argument")
		}
	})
}

// TestClassify checks that errors of go-dqlite's shape have their codes.
func TestClassify(t *testing.T) {
	for err, want := range map[error]string{
		errLocked:                      "5",
		fmt.Errorf("a: %w", errLocked): "5",
		errors.New("other"):            "",
		struct {
			error
			Code int
		}{nil, 5}: "",
	} {
		if got := dqlite.Classify(err).StatusCode; got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if !slices.Contains([]string{""}, dqlite.Classify(nil).StatusCode) {
		t.Error("nil has a code")
	}
}

// TestUnknownOutcome checks that a write which the leader has applied, and of which the driver says
// that it has not, fails and is not repeated. A read and a begin are repeated.
func TestUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster()
		p := open(t, c, nil)
		for _, inTx := range []bool{false, true} {
			c.set(func() { c.values, c.lost = nil, []error{driver.ErrBadConn} })
			err := insertTx(p.DB(), inTx, "x")
			var unknown *wrap.OutcomeError
			if !errors.As(err, &unknown) || errors.Is(err, driver.ErrBadConn) {
				t.Errorf("%v, want an OutcomeError", err)
			}
			if got := c.all(); !slices.Equal(got, []string{"x"}) {
				t.Errorf("the cluster has %q, want the value once", got)
			}
			if err := insert(p.DB(), "y"); err != nil {
				t.Errorf("after that: %v", err)
			}
		}
		c.elect(2)
		read(t, p.DB(), "SELECT v FROM t")
		c.elect(3)
		if err := insertTx(p.DB(), true, "z"); err != nil {
			t.Errorf("a transaction that had not begun: %v", err)
		}
	})
}
