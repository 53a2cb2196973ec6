package pool_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestForeignTimeout checks the error of a call that waits too long for the writer. It has
// SQLite's code, and the words that programs of other drivers look for.
func TestForeignTimeout(t *testing.T) {
	for _, name := range []string{pool.NameMattn, pool.NameModernc} {
		t.Run(name, func(t *testing.T) {
			dsn := filepath.Join(t.TempDir(), "a.db") + "?_pool_acquire_timeout=20ms"
			db, err := sql.Open(name, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			other, err := sql.Open(name, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
				t.Fatal(err)
			}
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			for _, db := range []*sql.DB{db, other} {
				_, err := db.Exec("INSERT INTO t VALUES (2)")
				if err == nil || !strings.Contains(err.Error(), "database is locked") {
					t.Errorf("%v", err)
				}
				if code, _, _ := driver.Code(err); code != 5 {
					t.Errorf("code %d of %v", code, err)
				}
			}
		})
	}
}
