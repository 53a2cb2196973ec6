package pool_test

import (
	"os"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestCheckpointerMovesWAL checks that the checkpointer moves the WAL to the database while
// the writer goes on, on its own connection. It also restarts the WAL, so that the WAL does not
// grow with each write.
func TestCheckpointerMovesWAL(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
	must(t, p.DB(), "CREATE TABLE t(a)")
	before := l.count(driver.KindConnect)
	for range 40 {
		must(t, p.DB(), "INSERT INTO t VALUES (zeroblob(1000000))") // 240 pages each
	}
	// The checkpointer moves the WAL as soon as it runs. No commit does, because commits
	// checkpoint only a longer WAL than these 10000 pages.
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
		t.Errorf("%d connections were opened for checkpoints, want 1", n-before)
	}
	if s := p.Stats(); s.Writers != 1 || s.Pages.Frames > 20000 {
		t.Errorf("the WAL has room for %d pages of about 10000 that were written; %d writer connections", s.Pages.Frames, s.Writers)
	}
}

// TestCheckpointsLeftToSQLite checks that a program that sets wal_autocheckpoint leaves the
// checkpoints to SQLite.
func TestCheckpointsLeftToSQLite(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff, Pragmas: []driver.Pragma{{Name: "wal_autocheckpoint", Value: "500"}}})
	must(t, p.DB(), "CREATE TABLE t(a)")
	before := l.count(driver.KindConnect)
	for range 10 {
		must(t, p.DB(), "INSERT INTO t VALUES (zeroblob(1000000))")
	}
	if n := l.count(driver.KindConnect); n != before {
		t.Errorf("%d connections were opened for checkpoints, want none", n-before)
	}
	if s := p.Stats(); s.Pages.Frames > 1000 {
		t.Errorf("the WAL has room for %d pages", s.Pages.Frames)
	}
}
