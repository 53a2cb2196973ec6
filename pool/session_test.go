package pool_test

import (
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestQueriesGoBackToReaders checks that queries go to the writer only as long as a file that
// the program attached, or a temporary object, exists.
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
				t.Fatalf("before, a query goes to the %s", e.Lane)
			}
			must(t, p.DB(), tc.make)
			if e := lane(); e.Lane != "writer" {
				t.Errorf("with it, a query goes to the %s", e.Lane)
			}
			must(t, p.DB(), tc.undo)
			if e := lane(); e.Lane != "reader" {
				t.Errorf("without it, a query goes to the %s", e.Lane)
			}
		})
	}
}

// TestQueriesStayWithWhatIsLeft checks that queries stay on the writer if only one of two
// changes is undone.
func TestQueriesStayWithWhatIsLeft(t *testing.T) {
	p, l := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TEMP TABLE x (a); CREATE TEMP TABLE y (a)")
	must(t, p.DB(), "DROP TABLE x")
	var n int
	if err := p.DB().QueryRow("SELECT count(*) FROM y").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if e := l.last(driver.KindAcquire); e.Lane != "writer" {
		t.Errorf("a query goes to the %s", e.Lane)
	}
}

// TestSynchronousFollowsTheJournalMode checks that synchronous follows the journal mode, so
// that commits survive a power failure, unless the program has set synchronous.
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
					t.Errorf("in mode %q, synchronous is %d, want %d", step.mode, n, step.want)
				}
			}
			must(t, p.Writer(), "PRAGMA synchronous = off")
			must(t, p.DB(), "PRAGMA journal_mode = delete")
			if n := intOf(t, p.Writer(), "PRAGMA synchronous"); n != 0 {
				t.Errorf("after the program has set synchronous, it is %d, want 0", n)
			}
		})
	}
}
