//go:build unix

package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// isWAL reports whether an operation is on the WAL.
func isWAL(op fusefs.Op) bool { return strings.HasSuffix(op.Name, "-wal") }

// isShared reports whether a sync is one that commits share. Its descriptor is not for writing,
// unlike SQLite's.
func isShared(op fusefs.Op) bool { return op.Kind == fusefs.Sync && isWAL(op) && op.ReadOnly }

// isSolo reports whether a sync of the WAL is SQLite's own.
func isSolo(op fusefs.Op) bool { return op.Kind == fusefs.Sync && isWAL(op) && !op.ReadOnly }

// waitingWriters is the number of commits that wait for a sync that fails.
const waitingWriters = 2 * 8

// A failedSync is a sync that fails, and what leads to it.
type failedSync struct {
	name    string
	creator bool                 // another process has created the WAL and keeps it open
	first   bool                 // it is the pool's first sync
	alone   bool                 // no commit waits meanwhile
	fails   func(fusefs.Op) bool // which sync; nil means the one that commits share
	prepare func(*syncScene)     // before the commits that wait
	act     func(*syncScene)     // while they wait
}

var failedSyncs = []failedSync{
	{name: "shared"},
	{name: "by a checkpoint", fails: isSolo, act: func(s *syncScene) {
		s.fails("a checkpoint", order{Do: "checkpoint"})
	}},
	{name: "by a restarting checkpoint", fails: isSolo, act: func(s *syncScene) {
		s.fails("a checkpoint", order{Do: "checkpoint", Mode: sqlite3.CHECKPOINT_RESTART})
	}},
	{name: "of a header after a restart", fails: isSolo, act: func(s *syncScene) {
		s.fails("a commit", order{Do: "write", ID: 5000})
	}, prepare: func(s *syncScene) { s.restart = true }},
	{name: "of the directory", creator: true, first: true, fails: func(op fusefs.Op) bool { return op.Kind == fusefs.SyncDir }},
	{name: "in Raw", alone: true, fails: isSolo, act: func(s *syncScene) {
		s.fails("a commit in Raw", order{Do: "raw", ID: 5000})
	}},
	{name: "by another process", creator: true, fails: isSolo, act: func(s *syncScene) {
		if _, err := s.other.do("INSERT INTO t(id, part, parts) VALUES (5000, 0, 1)"); err == nil {
			s.Error("the other process's commit does not fail")
		}
	}},
}

// A syncScene is a test of one failed sync.
type syncScene struct {
	testing.TB
	failedSync
	disk    *disk
	puppet  *puppet
	other   *other
	restart bool
	drops   bool   // the disk shows no pages that it could not write
	holes   bool   // holes in the WAL are looked for even so
	base    []byte // the database before the sync failed
}

// fails gives an order that must fail because of the sync.
func (s *syncScene) fails(what string, o order) {
	s.Helper()
	if got := s.puppet.do(o); got.Err == "" || !got.IsFsync && !got.IsLost {
		s.Errorf("%s: %q, want the error of the sync", what, got.Err)
	}
}

// After a failed sync of the WAL, its commits are not known to be on the disk. No call may then
// succeed and nothing may be copied into the database, until the database has been opened again.
func TestFailedSyncs(t *testing.T) {
	for _, f := range failedSyncs {
		for _, drop := range []bool{true, false} {
			if testing.Short() && !drop {
				continue
			}
			t.Run(fmt.Sprintf("%s, drop %v", f.name, drop), func(t *testing.T) {
				s := newSyncScene(t, f, drop)
				s.fail()
				s.mustBeDown()
				s.mustReopen()
			})
		}
	}
}

func newSyncScene(t testing.TB, f failedSync, drop bool) *syncScene {
	s := &syncScene{TB: t, failedSync: f, drops: drop, disk: newDisk(t, fusefs.Options{Strict: true, Drop: drop, Seed: rand.Uint64()})}
	if s.failedSync.fails == nil {
		s.failedSync.fails = isShared
	}
	if f.creator {
		s.other = startOther(t, libPlain, s.path())
		for _, query := range []string{"PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", schema} {
			if _, err := s.other.do(query); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.other.do("PRAGMA synchronous=FULL"); err != nil {
			t.Fatal(err)
		}
	}
	s.puppet = startPuppet(t)
	s.puppet.must(order{Do: "open", Path: s.path()})
	if f.prepare != nil {
		f.prepare(s)
	}
	return s
}

func (s *syncScene) path() string { return filepath.Join(s.disk.dir, "a.db") }

// fail makes many commits wait for a sync, and a sync fail.
func (s *syncScene) fail() {
	s.Helper()
	p := s.puppet
	if !s.first {
		p.must(order{Do: "exec", Query: schema})
		for id := range int64(3) {
			p.must(order{Do: "write", ID: id + 1, N: 3})
		}
	}
	stall := s.stall(isShared)
	waiting := waitingWriters
	if s.alone {
		waiting = 0
	}
	p.must(order{Do: "writers", N: waiting, ID: 100})
	p.must(order{Do: "committed", N: waiting})
	if s.restart {
		p.must(order{Do: "checkpoint", Mode: sqlite3.CHECKPOINT_RESTART})
	}
	s.base = s.disk.Live()["a.db"]
	s.disk.Inject(fusefs.Nth(1, syscall.EIO, s.failedSync.fails))
	if s.act != nil {
		s.act(s)
	}
	stall.Release()
	got := p.must(order{Do: "join"})
	if s.disk.Injected() != 1 {
		s.Fatalf("%d syncs have failed", s.disk.Injected())
	}
	if got.N != waiting {
		s.Errorf("of %d waiting commits, %d fail with a CommitError; the others: %q", waiting, got.N, got.Texts)
	}
	s.disk.Inject(nil)
}

// stall blocks operations at the latest until the end of the test, when children must be able to end.
func (s *syncScene) stall(match func(fusefs.Op) bool) *fusefs.Stall {
	stall := s.disk.Stall(match)
	s.Cleanup(stall.Release)
	return stall
}

// mustBeDown checks that no call succeeds, and that the database's file does not change.
func (s *syncScene) mustBeDown() {
	s.Helper()
	p := s.puppet
	for _, text := range p.must(order{Do: "probe", ID: 6000}).Texts {
		s.Errorf("after a failed sync: %s", text)
	}
	if got := p.do(order{Do: "health"}); !slices.Equal(got.Texts, []string{"down"}) || !got.IsLost {
		s.Errorf("health is %v, %s", got.Texts, got.Err)
	}
	s.mustBeUnchanged("while it is open")
	p.must(order{Do: "close"})
	s.mustBeUnchanged("after it was closed")
}

func (s *syncScene) mustBeUnchanged(when string) {
	s.Helper()
	if now := s.disk.Live()["a.db"]; !bytes.Equal(now, s.base) {
		s.Errorf("the database's file has changed %s, from %d bytes to %d", when, len(s.base), len(now))
		s.base = now
	}
}

// mustReopen opens the database again, which recovers what has reached the disk.
func (s *syncScene) mustReopen() {
	s.Helper()
	p, r := s.puppet, rand.New(rand.NewPCG(rand.Uint64(), 1))
	acked := p.acked()
	s.mustKeep("a power failure before it is opened again", r, acked)
	if s.other != nil {
		got := p.do(order{Do: "open", Path: s.path()})
		if !got.IsLost || !strings.Contains(got.Err, "in all processes") {
			s.Errorf("opened while another process has the -shm: %q", got.Err)
		}
		s.other.stop()
	}
	p.must(order{Do: "open", Path: s.path()})
	got := p.must(order{Do: "read"})
	if missing := (contents{ids: idSet(got.IDs)}).missing(acked); len(missing) > 0 {
		s.Errorf("lost after it was opened again: %v", missing)
	}
	for id := range int64(3) {
		p.must(order{Do: "write", ID: 7000 + id, N: 2})
	}
	if got := p.do(order{Do: "health"}); got.Err != "" || !slices.Equal(got.Texts, []string{"ok"}) {
		s.Errorf("opened again: health is %v, %s", got.Texts, got.Err)
	}
	if !s.drops && !s.holes {
		return
	}
	s.mustKeep("a power failure after it was opened again", r, p.acked())
	p.must(order{Do: "close"})
	s.mustKeep("a power failure after it was closed", r, p.acked())
}

// mustKeep fails the power a few times, and checks that the images have what was acknowledged.
func (s *syncScene) mustKeep(what string, r *rand.Rand, acked []int64) {
	s.Helper()
	const images = 8
	c := &campaign{name: what, t: s, figures: map[string]int64{}, errors: map[string]int64{}}
	for range images {
		c.compareImage(what, s.disk.Freeze(r), "a.db", acked, false)
	}
}

func idSet(ids []int64) map[int64]bool {
	set := map[int64]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return set
}
