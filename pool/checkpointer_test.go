package pool_test

import (
	"os"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// The WAL is moved to the database while the writer goes on, by a connection that
// is nobody's; and it is begun anew, so that it does not grow with what is written.
func TestTheWALIsMovedMeanwhile(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
	must(t, p.DB(), "CREATE TABLE t(a)")
	before := l.count(driver.KindConnect)
	for range 40 {
		must(t, p.DB(), "INSERT INTO t VALUES (zeroblob(1000000))") // 240 pages each
	}
	// It is moved whenever the checkpointer gets to it: by nobody else, for a WAL of
	// some 10000 pages is not yet so long that a commit does it.
	deadline := time.Now().Add(5 * time.Minute)
	for {
		info, err := os.Stat(p.Config().Path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 5_000_000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the database has %d bytes of 40 million", info.Size())
		}
		time.Sleep(time.Millisecond)
	}
	if n := l.count(driver.KindConnect); n != before+1 {
		t.Errorf("%d connections were opened for it, want 1", n-before)
	}
	if s := p.Stats(); s.Writers != 1 || s.Pages.Frames > 20000 {
		t.Errorf("the WAL has room for %d pages of some 10000 that were written; %d connections write", s.Pages.Frames, s.Writers)
	}
}

// Who says when SQLite is to do it is obeyed.
func TestTheWALIsLeftToSQLite(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "500"}}})
	must(t, p.DB(), "CREATE TABLE t(a)")
	before := l.count(driver.KindConnect)
	for range 10 {
		must(t, p.DB(), "INSERT INTO t VALUES (zeroblob(1000000))")
	}
	if n := l.count(driver.KindConnect); n != before {
		t.Errorf("%d connections were opened for it, want none", n-before)
	}
	if s := p.Stats(); s.Pages.Frames > 1000 {
		t.Errorf("the WAL has room for %d pages", s.Pages.Frames)
	}
}
