//go:build unix

package faults

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// A failed sync of a checkpoint in the background is the last checkpoint, though the WAL is too long.
func TestFailedSyncStopsCheckpointer(t *testing.T) {
	s := newSyncScene(t, failedSync{fails: isSolo}, true)
	p := s.puppet
	p.must(order{Do: "close"})
	p.must(order{Do: "open", Path: s.path(), Limit: 64 << 10})
	p.must(order{Do: "exec", Query: schema}) // it also syncs the WAL's header
	s.base = s.disk.Live()["a.db"]
	s.disk.Inject(fusefs.Nth(1, syscall.EIO, isSolo))
	var got answer
	for id := int64(1); got.Err == "" && id < 10_000; id++ {
		got = p.do(order{Do: "write", ID: id, N: 20})
	}
	if !got.IsFsync || s.disk.Injected() != 1 {
		t.Fatalf("%d syncs have failed; write %d: %+v", s.disk.Injected(), len(p.acked()), got)
	}
	time.Sleep(10 * 20 * time.Millisecond) // in which the pool would retry
	s.mustBeDown()
	s.mustReopen()
}

// If another sync fails during a commit, the commit fails too, and its connection is discarded.
// Then the pool must not open others: the program has not opened the database again, and has not
// learned that commits may be lost.
func TestFailedSyncDuringCommit(t *testing.T) {
	s := newSyncScene(t, failedSync{fails: isSolo}, true)
	p := s.puppet
	p.must(order{Do: "close"})
	p.must(order{Do: "open", Path: s.path(), Limit: 64 << 10})
	p.must(order{Do: "exec", Query: schema})
	s.base = s.disk.Live()["a.db"]
	checkpoint := s.stall(isSolo)
	for id := int64(1); !reached(checkpoint); id++ {
		p.must(order{Do: "write", ID: id, N: 5})
	}
	commit := s.stall(func(op fusefs.Op) bool { return op.Kind == fusefs.Write && isWAL(op) })
	p.must(order{Do: "writers", N: 1, ID: 5000})
	<-commit.Reached()
	s.disk.Inject(fusefs.Nth(1, syscall.EIO, isSolo))
	checkpoint.Release()
	for end := time.Now().Add(patience); p.must(order{Do: "stats"}).Texts[1] != "down"; {
		if time.Now().After(end) {
			t.Fatal("health is not down")
		}
	}
	commit.Release()
	if got := p.must(order{Do: "join"}); slices.Contains(got.Texts, "ok") {
		t.Error("a commit during which a sync has failed is acknowledged")
	}
	s.mustBeDown()
	s.mustReopen()
}

func reached(stall *fusefs.Stall) bool {
	select {
	case <-stall.Reached():
		return true
	default:
		return false
	}
}

// What is committed after the database was opened again stays, although the operating system
// shows pages that it could not write, and never writes them.
func TestFailedSyncLeavesNoHole(t *testing.T) {
	for _, f := range failedSyncs {
		t.Run(f.name, func(t *testing.T) {
			s := newSyncScene(t, f, false)
			s.holes = true
			s.fail()
			s.puppet.must(order{Do: "close"})
			s.mustReopen()
		})
	}
}

// Commits share syncs again when the database is in WAL mode again.
func TestSyncsAreSharedAgainInWAL(t *testing.T) {
	s := newDurableScene(t)
	s.open(database{})
	for _, mode := range []string{"DELETE", "WAL"} {
		s.puppet.must(order{Do: "exec", Query: "PRAGMA journal_mode=" + mode})
	}
	before := s.puppet.must(order{Do: "stats"}).N
	s.puppet.must(order{Do: "write", ID: 1})
	if syncs := s.puppet.must(order{Do: "stats"}).N - before; syncs == 0 {
		t.Error("a commit in WAL mode has shared no sync")
	}
}
