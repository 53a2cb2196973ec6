package faults

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// A powerMode is a configuration in which the power fails.
type powerMode struct {
	name        string
	database    database
	checkpoints string // what makes checkpoints in all modes, besides the pool's own; see below
	mayLose     bool   // acknowledged ids may be lost, because the configuration promises no more
	mayLoseSeen bool   // the same for ids that readers have seen
	lie         fusefs.Lie
	batches     bool // syncs are slow, and many commits share each
}

// What makes checkpoints in all modes.
const (
	byPool    = "the pool"
	byProcess = "another process"
)

// The longest times that a sync takes. During a slow one, a few commits are made.
const (
	fastSync = 300 * time.Microsecond
	slowSync = 10 * time.Millisecond
)

var powerModes = []powerMode{
	{name: "pool"},
	{name: "pool, checkpoints", checkpoints: byPool},
	{name: "pool, checkpoints by another process", checkpoints: byProcess},
	{name: "pool, batches", batches: true},
	{name: "pool, batches, checkpoints by another process", batches: true, checkpoints: byProcess},
	{name: "pool, shared early", database: database{CommitSync: pool.CommitSyncSharedEarly}, checkpoints: byPool, mayLoseSeen: true},
	{name: "pool, solo", database: database{CommitSync: pool.CommitSyncSolo}, checkpoints: byPool},
	{name: "pool without a WAL", database: database{Journal: "delete"}},
	{name: "pool without a WAL, truncate", database: database{Journal: "truncate"}},
	{name: "pool without a WAL, persist", database: database{Journal: "persist"}},
	{name: "sqlitemw, WAL, synchronous full", database: database{Driver: "sqlitemw"}},
	{name: "pool, synchronous normal", database: database{Synchronous: pool.SynchronousNormal}, mayLose: true},
}

// sharingModes returns the number of modes in which commits share syncs.
func sharingModes() (n int) {
	for _, m := range powerModes {
		if m.database.sharesSyncs() {
			n++
		}
	}
	return n
}

// After a power failure, the database must be whole, and contain what was acknowledged and what
// readers have seen.
func TestPowerFailures(t *testing.T) {
	for _, m := range powerModes {
		t.Run(m.name, func(t *testing.T) {
			needFUSE(t)
			c := newCampaign(t, "power failures, "+m.name, "crashes", "kills", "acknowledged", "seen", "lost", "unseen", "not whole")
			least := int64(1)
			if m.database.sharesSyncs() {
				least = max(least, leastCrashes(t, sharingModes()))
			}
			end := time.Now().Add(length(t, len(powerModes)))
			failPower(c, m, func() bool { return c.get("crashes") < least || time.Now().Before(end) })
			if shared := c.get("syncs") > 0; shared != m.database.sharesSyncs() {
				t.Errorf("commits have shared syncs: %v", shared)
			}
		})
	}
}

// A campaign that must find something, and does not fail.
func newLiar(t testing.TB) *campaign {
	return &campaign{name: "liar", t: &recordingT{TB: t}, figures: map[string]int64{}, errors: map[string]int64{}}
}

// The campaign must find what synchronous OFF loses.
func TestPowerFailuresLiar(t *testing.T) {
	needFUSE(t)
	for _, d := range []database{{Off: true}, {Off: true, Journal: "delete"}, {Off: true, Driver: "sqlitemw"}} {
		found := 0
		for end := time.Now().Add(patience); found == 0 && time.Now().Before(end); {
			c := newLiar(t)
			failPower(c, powerMode{database: d}, func() bool { return c.get("crashes") < 10 })
			found = int(c.get("lost") + c.get("not whole"))
		}
		if found == 0 {
			t.Errorf("%+v: the liar lost nothing in %v of power failures", d, patience)
		}
	}
}

// The campaign must find a shared sync that does nothing, and one that does too little, in most of its
// runs, of a few power failures each. A run ends when it has found something.
func TestSharedSyncLiars(t *testing.T) {
	needFUSE(t)
	runs := 5
	if testing.Short() {
		runs = 3
	}
	for _, liar := range []powerMode{
		{name: "nothing", lie: fusefs.Lie{Syncs: isShared}},
		{name: "nothing, checkpoints by another process", checkpoints: byProcess, lie: fusefs.Lie{Syncs: isShared}},
		{name: "what was written before the previous one", lie: fusefs.Lie{Syncs: isShared, Late: true}},
	} {
		t.Run(liar.name, func(t *testing.T) {
			caught, found := 0, int64(0)
			for range runs {
				c := newLiar(t)
				failPower(c, liar, func() bool { return c.get("crashes") < 10 && c.get("lost") == 0 })
				if n := c.get("lost"); n > 0 {
					caught++
					found += n
				}
			}
			t.Logf("caught in %d of %d runs of up to 10 power failures: lost %d", caught, runs, found)
			if caught <= runs/2 {
				t.Errorf("caught in only %d of %d runs", caught, runs)
			}
		})
	}
}

// The campaign must find readers that do not wait for the disk.
func TestEarlyReaderLiar(t *testing.T) {
	needFUSE(t)
	c := newLiar(t)
	end := time.Now().Add(patience)
	early := powerMode{database: database{CommitSync: pool.CommitSyncSharedEarly}, batches: true}
	failPower(c, early, func() bool { return c.get("unseen") == 0 && time.Now().Before(end) })
	if c.get("unseen") == 0 {
		t.Errorf("readers that do not wait have seen nothing in %v that a power failure has undone", patience)
	}
	t.Log(c.line())
}

// failPower fails the power below a database, again and again, while more returns true.
func failPower(c *campaign, m powerMode, more func() bool) {
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	f := &powerFailer{campaign: c, powerMode: m, more: more, rand: rand.New(rand.NewPCG(seed, 1))}
	for strict := true; more() && c.get("hung") == 0; strict = !strict {
		f.round(fusefs.Options{Strict: strict, Seed: f.rand.Uint64()})
	}
}

// A powerFailer is the state of failPower.
type powerFailer struct {
	*campaign
	powerMode
	more  func() bool
	rand  *rand.Rand
	next  int64        // id
	image fusefs.Image // for the next round; nil for a new database
	held  promise      // of the image
}

// round mounts a disk with the image, and starts a child that writes to it. It fails the power a few
// times, and kills the child.
func (f *powerFailer) round(o fusefs.Options) {
	disk := newDisk(f.t, o)
	defer disk.discard(f.t)
	disk.Load(f.image)
	delay := fastSync
	if f.batches {
		delay = slowSync
	}
	disk.SetSyncDelay(func() time.Duration { return upTo(delay) })
	path := filepath.Join(disk.dir, "a.db")
	args := powerArgs{Path: path, Database: f.database, First: f.next, Version: f.held.version, Writers: 4, Checkpoints: f.checkpoints == byPool, Batches: f.batches}
	if f.database.sharesSyncs() {
		args.Writers = 8 + f.rand.IntN(25)
	}
	ch := startChild(f.t, "power", args)
	ch.mustAwait(f.t, "ready")
	if want := f.database.commitSync(); want != "" && !ch.hasSaid("commit sync "+want) {
		f.t.Fatalf("commits are not synced %s: %q", want, ch.words())
	}
	disk.Lie(f.lie)
	var beside *child
	if f.checkpoints == byProcess {
		beside = startChild(f.t, "checkpoints", path)
	}
	for n := 6 + f.rand.IntN(10); n > 0 && f.more(); n-- {
		if !ch.awaitAcks(len(ch.acked()) + 1 + f.rand.IntN(20)) {
			f.wrong("hung", "no further acknowledgment: %v\n%s", ch.err, ch.output())
			break
		}
		time.Sleep(upTo(max(delay, 2*time.Millisecond))) // to hit any moment of a commit
		p := f.promised(ch)
		f.image = disk.Freeze(f.rand)
		f.add("crashes", 1)
		f.compareImagePromise(fmt.Sprintf("power failure, strict %v", o.Strict), f.image, "a.db", p)
	}
	p := f.promised(ch)
	f.image = disk.Freeze(f.rand)
	ch.kill()
	ch.collect(f.campaign)
	if beside != nil {
		beside.kill()
		beside.collect(f.campaign)
	}
	f.add("kills", 1)
	f.add("acknowledged", len(ch.acked()))
	f.add("seen", len(ch.reported("saw")))
	f.compareImagePromise("kill", disk.Live(), "a.db", f.promised(ch))
	for _, id := range ch.acked() {
		f.next = max(f.next, id+1)
	}
	f.next += 1000 // beyond the unacknowledged ids
	f.held = p
	liar := f.lie.Syncs != nil || f.database.Off
	if len(p.acked) > 3000 || f.mayLose || liar { // so that images do not grow without limit, and none is damaged
		f.image, f.held = nil, promise{}
	}
}

// promised returns what the child and those before it have promised until now.
func (f *powerFailer) promised(ch *child) promise {
	p := promise{acked: ch.acked()}
	for _, text := range ch.reported("saw") {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			p.shown = append(p.shown, id)
		}
	}
	for _, text := range ch.reported("version") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			p.version = n
		}
	}
	p = f.held.and(p)
	p.mayLose, p.mayLoseSeen = f.mayLose, f.mayLoseSeen
	return p
}
