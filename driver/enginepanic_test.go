package driver_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestEnginePanics checks that a query which the engine panics for is an error to programs of
// other drivers, on all roads, that the database goes on, and that panics of the program's own
// functions pass.
func TestEnginePanics(t *testing.T) {
	deep := "SELECT 1" + strings.Repeat(" UNION ALL SELECT 2", 400)
	big := "SELECT length(group_concat(hex(zeroblob(1000000)), '')) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) SELECT i FROM n)"
	for _, name := range []string{driver.NameMattn, driver.NameModernc, pool.NameMattn, pool.NameModernc} {
		for about, query := range map[string]string{"stack": deep, "memory": big} {
			says := map[string]string{"stack": "too complex", "memory": "out of memory"}[about]
			t.Run(name+"/"+about, func(t *testing.T) {
				db, err := sql.Open(name, filepath.Join(t.TempDir(), "a.db")+"?_memory_limit=67108864")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				exec(t, db, "CREATE TABLE t(a)")
				check := func(road string, err error) {
					t.Helper()
					if err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("%s: %v", road, err)
					}
					if n := value[int](t, db, "SELECT count(*) FROM t"); n != 0 {
						t.Errorf("after %s: %d rows", road, n)
					}
				}
				_, err = db.Exec(query)
				check("Exec", err)
				var n int
				check("QueryRow", db.QueryRow(query).Scan(&n))
				st, err := db.Prepare(query)
				if err == nil {
					_, err = st.Exec()
				}
				check("Stmt.Exec", err)
				if st != nil {
					check("Stmt.Query", st.QueryRow().Scan(&n))
					st.Close()
				}
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
					t.Fatal(err)
				}
				_, err = tx.Exec(query)
				tx.Rollback()
				check("Tx.Exec", err)
			})
		}
	}

	connector, err := driver.NewConnector(":memory:", driver.Config{Compat: driver.CompatMattn, Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("oops", 0, 0, func(sqlite3.Context, ...sqlite3.Value) {
			none := []int{}
			_ = none[len(none)]
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	passed := func() (v any) {
		defer func() { v = recover() }()
		_, err := db.Exec("SELECT oops()")
		t.Errorf("the program's own panic is %v", err)
		return nil
	}()
	if passed == nil {
		t.Error("the program's own panic has not passed")
	}
}
