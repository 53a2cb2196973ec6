package driver_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A connection whose file was removed, replaced or emptied is closed on release. SQLite
// itself would keep using the open file, and what it writes there would be lost. The loss
// is noticed at the next check, after 1 ms, or immediately by Ping.
func TestFileLost(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {},
		"replaced": func(t *testing.T, path string) {
			db, err := sql.Open(driver.Name, "file:"+path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			exec(t, db, "CREATE TABLE other(a)")
		},
	} {
		for _, mode := range []string{"wal", "delete"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log eventLog
					path := filepath.ToSlash(filepath.Join(t.TempDir(), "test.db"))
					connector, err := driver.NewConnector("file:"+path+"?_pragma=journal_mode("+mode+")", driver.Config{Recorder: &log})
					if err != nil {
						t.Fatal(err)
					}
					db := sql.OpenDB(connector)
					defer db.Close()
					db.SetMaxOpenConns(1)
					exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
					for _, suffix := range []string{"", "-wal", "-shm"} {
						os.Remove(path + suffix)
					}
					lose(t, path)
					exec(t, db, "SELECT 1")
					if n := log.count(driver.KindClose); n != 0 {
						t.Errorf("%d connections are closed without a look", n)
					}

					time.Sleep(2 * time.Second)
					exec(t, db, "SELECT 1")
					if last := log.events[len(log.events)-1]; last.Kind != driver.KindClose || last.Reason != driver.ReasonSick {
						t.Errorf("the last event is %+v", last)
					}
					if _, err := db.Exec("INSERT INTO t VALUES (2)"); err == nil {
						t.Error("what is written is lost")
					}
				})
			})
		}
	}
}

func TestPingOfLostFile(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "test.db"))
	db := open(t, "file:"+path, driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); !errors.Is(err, driver.ErrFileLost) || !errors.Is(err, sqlite3.READONLY_DBMOVED) {
		t.Errorf("ping: %v", err)
	}
	if err := db.Ping(); !errors.Is(err, driver.ErrFileLost) {
		t.Errorf("ping by a new connection: %v", err)
	}
	again := open(t, "file:"+path, driver.Config{})
	if err := again.Ping(); err != nil {
		t.Errorf("ping of a database that is opened anew: %v", err)
	}
}
