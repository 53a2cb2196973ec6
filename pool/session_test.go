package pool_test

import (
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// What a program has attached or made for a time keeps queries on the connection
// that writes for that time, and no longer.
func TestQueriesGoBackToReaders(t *testing.T) {
	for name, tc := range map[string]struct{ make, undo string }{
		"a file":            {"ATTACH ':memory:' AS other", "DETACH other"},
		"a temporary table": {"CREATE TEMP TABLE x (a)", "DROP TABLE x"},
		"both":              {"CREATE TEMP TABLE x (a); ATTACH ':memory:' AS other", "DROP TABLE temp.x; DETACH other"},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := pooled(t, pool.Config{})
			lane := func() driver.Event {
				t.Helper()
				var n int
				if err := p.DB().QueryRow("SELECT 1").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return l.last(driver.KindAcquire)
			}
			if e := lane(); e.Lane != "reader" {
				t.Fatalf("before, a query is on the %s", e.Lane)
			}
			must(t, p.DB(), tc.make)
			if e := lane(); e.Lane != "writer" {
				t.Errorf("with it, a query is on the %s", e.Lane)
			}
			must(t, p.DB(), tc.undo)
			if e := lane(); e.Lane != "reader" {
				t.Errorf("without it, a query is on the %s", e.Lane)
			}
		})
	}
}

// One of two that is undone leaves the other in force.
func TestQueriesStayWithWhatIsLeft(t *testing.T) {
	p, l := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TEMP TABLE x (a); CREATE TEMP TABLE y (a)")
	must(t, p.DB(), "DROP TABLE x")
	var n int
	if err := p.DB().QueryRow("SELECT count(*) FROM y").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if e := l.last(driver.KindAcquire); e.Lane != "writer" {
		t.Errorf("a query is on the %s", e.Lane)
	}
}

// What a commit needs to survive a power failure follows the journal mode, unless the
// program has said what it wants.
func TestSynchronousFollowsTheJournalMode(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg                   pool.Config
		before, without, with int
	}{
		"default":       {pool.Config{}, 2, 3, 2},
		"one lane":      {pool.Config{MaxConns: 1}, 2, 3, 2},
		"without a WAL": {pool.Config{DisableWAL: true}, 3, 3, 2},
		"full":          {pool.Config{Synchronous: pool.SynchronousFull}, 2, 2, 2},
		"pragma":        {pool.Config{Pragmas: []driver.Pragma{{Name: "synchronous", Value: "full"}}}, 2, 2, 2},
		"normal":        {pool.Config{Synchronous: pool.SynchronousNormal}, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pooled(t, tc.cfg)
			for _, step := range []struct {
				mode string
				want int
			}{{"", tc.before}, {"delete", tc.without}, {"wal", tc.with}, {"truncate", tc.without}} {
				if step.mode != "" {
					must(t, p.DB(), "PRAGMA journal_mode = "+step.mode)
				}
				if n := intOf(t, p.Writer(), "PRAGMA synchronous"); n != step.want {
					t.Errorf("in mode %q it is %d, want %d", step.mode, n, step.want)
				}
			}
			must(t, p.Writer(), "PRAGMA synchronous = off")
			must(t, p.DB(), "PRAGMA journal_mode = delete")
			if n := intOf(t, p.Writer(), "PRAGMA synchronous"); n != 0 {
				t.Errorf("what a program has set is %d, want 0", n)
			}
		})
	}
}
