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
