package driver_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// Files that a program attaches to an in-memory database, or writes with VACUUM INTO, are
// real files, wherever the database is kept.
func TestFilesBesideADatabaseInMemory(t *testing.T) {
	for _, tc := range []struct{ name, dsn string }{
		{driver.Name, ":memory:"}, {driver.Name, "file::memory:?cache=shared"}, {driver.Name, "file:beside?mode=memory&cache=shared"},
		{driver.NameMattn, "file::memory:?cache=shared"}, {pool.Name, ":memory:"}, {pool.Name, "file:beside?mode=memory&cache=shared"},
		{pool.NameModernc, ":memory:"},
	} {
		t.Run(tc.name+" "+tc.dsn, func(t *testing.T) {
			dir := filepath.ToSlash(t.TempDir())
			db, err := sql.Open(tc.name, tc.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			mustExec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			mustExec(t, db, "ATTACH '"+dir+"/b.db' AS b")
			mustExec(t, db, "PRAGMA b.journal_mode=wal")
			mustExec(t, db, "CREATE TABLE b.u(a)")
			mustExec(t, db, "INSERT INTO b.u VALUES (2)")
			mustExec(t, db, "DETACH b")
			mustExec(t, db, "VACUUM INTO '"+dir+"/copy.db'")
			if _, err := db.Exec("VACUUM INTO '" + dir + "/copy.db'"); err == nil {
				t.Error("the copy was written over")
			}
			if _, err := db.Exec("ATTACH '" + dir + "/nowhere/x.db' AS x"); err == nil {
				t.Error("a file was attached in a directory that there is not")
			}
			for file, query := range map[string]string{"b.db": "SELECT a FROM u", "copy.db": "SELECT a FROM t"} {
				if _, err := os.Stat(dir + "/" + file); err != nil {
					t.Error(err)
				}
				other, err := sql.Open("sqlite3", "file:"+dir+"/"+file)
				if err != nil {
					t.Fatal(err)
				}
				if v := scanned(t, other, query); v != int64(2) && v != int64(1) {
					t.Errorf("%s has %v", file, v)
				}
				other.Close()
			}
		})
	}
}

// An in-memory database can be written to, whatever journal and locking modes the DSN
// requests.
func TestJournalsOfDatabasesInMemory(t *testing.T) {
	for _, name := range []string{driver.Name, driver.NameMattn, pool.Name, pool.NameMattn} {
		for _, params := range []string{"_journal=DELETE", "_journal=WAL", "_journal=PERSIST", "_journal=OFF", "_locking=EXCLUSIVE"} {
			db, err := sql.Open(name, "file:journals?mode=memory&cache=shared&"+params)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			if v := scanned(t, db, "SELECT count(*) FROM t"); v != int64(1) {
				t.Errorf("%s %s: %v", name, params, v)
			}
			mustExec(t, db, "PRAGMA journal_mode=delete")
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("INSERT INTO t VALUES (2)"); err != nil {
				t.Errorf("%s %s: %v", name, params, err)
			}
			tx.Rollback()
			if v := scanned(t, db, "SELECT count(*) FROM t"); v != int64(1) {
				t.Errorf("%s %s: %v after a rollback", name, params, v)
			}
			db.Close()
		}
	}
}
