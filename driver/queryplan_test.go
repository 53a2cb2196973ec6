package driver_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Plan explains a call on its own connection: with tables that no other connection has. It
// executes nothing, and changes nothing that the program sees.
func TestWatchPlan(t *testing.T) {
	for name, open := range watchables {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			var plan []string
			var failed error
			explains := true
			detach, err := driver.Watch(db, func(c driver.Call) {
				if explains {
					plan, failed = c.Plan()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer detach()
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			exec(t, tx, "CREATE TEMP TABLE mine(x, y)")
			if plan != nil || failed != nil {
				t.Errorf("CREATE has the plan %q, %v", plan, failed)
			}
			for _, tc := range []struct{ text, want string }{
				{"INSERT INTO mine SELECT a, b FROM t", "SCAN t"},
				{"SELECT x FROM mine WHERE y = 1 ORDER BY x", "SCAN mine|USE TEMP B-TREE FOR ORDER BY"},
				{"SELECT c FROM t WHERE a = 1; ", "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"},
				{"SELECT a FROM t UNION SELECT b FROM t", "MERGE (UNION)|  LEFT|    SCAN t|  RIGHT|    SCAN t|    USE TEMP B-TREE FOR ORDER BY"},
				{"UPDATE mine SET x = 0 RETURNING x", "SCAN mine"},
				{"PRAGMA user_version", ""},
				{"EXPLAIN SELECT a FROM t", ""},
				{"-- a comment\nDELETE FROM mine WHERE x = 1", "SCAN mine"},
			} {
				rows, err := tx.Query(tc.text)
				if err != nil {
					t.Fatalf("%s: %v", tc.text, err)
				}
				for rows.Next() {
				}
				rows.Close()
				if got := strings.Join(plan, "|"); got != tc.want || failed != nil {
					t.Errorf("%s: plan %q, %v, want %q", tc.text, got, failed, tc.want)
				}
			}
			exec(t, tx, "DELETE FROM mine WHERE x = 2; CREATE TEMP TABLE other(x); SELECT * FROM other")
			if got := strings.Join(plan, "|"); got != "SCAN mine|SCAN other" || failed != nil {
				t.Errorf("several statements: plan %q, %v", got, failed)
			}
			explains = false
			exec(t, tx, "INSERT INTO mine SELECT 1, 1")
			explains = true
			value[int](t, tx, "SELECT a FROM t LIMIT 1")
			if n := value[int](t, tx, "SELECT changes()"); n != 1 {
				t.Errorf("after the plan of a SELECT, changes() returns %d", n)
			}
			if n := value[int](t, tx, "SELECT count(*) FROM mine"); n != 101 {
				t.Errorf("%d rows, want 101", n)
			}
		})
	}
}

// A connection whose calls are explained is still the pool's: nothing about it has changed.
func TestWatchPlanOfReader(t *testing.T) {
	p := openPool(t)
	filled(t, p.DB(), nil)
	detach, err := driver.Watch(p.DB(), func(c driver.Call) {
		if _, err := c.Plan(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer detach()
	before := p.Stats()
	for range 10 {
		value[int](t, p.DB(), "SELECT b FROM t WHERE a = 1")
	}
	after := p.Stats()
	if after.Connects > before.Connects+1 || after.Discards > before.Discards {
		t.Errorf("10 reads opened %d connections and discarded %d", after.Connects-before.Connects, after.Discards-before.Discards)
	}
}
