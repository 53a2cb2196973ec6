package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// injected are the errnos with which each kind of operation fails.
var injected = map[fusefs.Kind][]syscall.Errno{
	fusefs.Read:     {syscall.EIO},
	fusefs.Write:    {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS},
	fusefs.Sync:     {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT},
	fusefs.SyncDir:  {syscall.EIO},
	fusefs.Truncate: {syscall.EIO, syscall.EROFS},
	fusefs.Allocate: {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT},
	fusefs.Open:     {syscall.EIO, syscall.EMFILE},
	fusefs.Create:   {syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS},
	fusefs.Unlink:   {syscall.EIO, syscall.EROFS},
	fusefs.Rename:   {syscall.EIO, syscall.ENOSPC},
	fusefs.Lookup:   {syscall.EIO},
	fusefs.Stat:     {syscall.EIO},
	fusefs.Lock:     {syscall.EIO, syscall.ENOLCK},
}

// An injection is one fault during one workload.
type injection struct {
	kind        fusefs.Kind
	errno       syscall.Errno
	n           int64 // number of the operation of the kind that fails, from 1
	lasts       bool  // all later ones fail too, until the fault ends
	closeBroken bool  // the database is closed before the fault ends
}

func (i injection) String() string {
	s := fmt.Sprintf("%s %d fails with %v", i.kind, i.n, i.errno)
	if i.lasts {
		s += ", and all after it"
	}
	if i.closeBroken {
		s += ", also in Close"
	}
	return s
}

// matches reports whether the injection may hit an operation. Shared memory is never read or
// written with a system call: a fault in its pages is a signal that kills the process.
func (i injection) matches(op fusefs.Op) bool {
	shm := strings.HasSuffix(op.Name, "-shm") && (op.Kind == fusefs.Read || op.Kind == fusefs.Write)
	return op.Kind == i.kind && !shm
}

func (i injection) fault() fusefs.Fault {
	if i.lasts {
		return fusefs.After(i.n, i.errno, i.matches)
	}
	return fusefs.Nth(i.n, i.errno, i.matches)
}

// Whichever operation fails, nothing acknowledged may be lost, nothing may hang or leak, and
// the database must work again once the fault has ended.
func TestInjection(t *testing.T) {
	modes := []struct {
		name     string
		database database
	}{
		{"pool", database{}},
		{"pool, solo", database{CommitSync: pool.CommitSyncSolo}},
		{"pool without a WAL", database{Journal: "delete"}},
		{"sqlitemw", database{Driver: "sqlitemw"}},
	}
	for _, m := range modes {
		for _, drop := range []bool{false, true} {
			name := m.name
			if drop {
				// Without a WAL, SQLite rolls back from a journal that it could
				// not sync, and its cache keeps what is no longer in the
				// journal. A connection must not be kept after such an error.
				name += ", failed syncs drop pages"
			}
			t.Run(name, func(t *testing.T) {
				needFUSE(t)
				c := newCampaign(t, "input/output errors, "+name, "workloads", "faults", "acknowledged", "lost", "not whole", "leaked", "hung", "stuck", "crashed")
				injectAll(c, m.database, drop, length(t, 2*len(modes)))
			})
		}
	}
}

// injectionVar is the environment variable with a regular expression of the injections to play.
const injectionVar = "SQLITEMW_FAULTS_INJECTION"

func injectAll(c *campaign, d database, drop bool, length time.Duration) {
	in := &injector{c: c, drop: drop, rand: rand.New(rand.NewPCG(rand.Uint64(), 1))}
	in.begin()
	defer in.end()
	in.play(d, injection{})
	all := injections(in.rand, in.counts)
	if only := os.Getenv(injectionVar); only != "" {
		match := regexp.MustCompile(only)
		all = slices.DeleteFunc(all, func(i injection) bool { return !match.MatchString(i.String()) })
	}
	end := time.Now().Add(length)
	played := 0
	for _, i := range all {
		if played > 0 && time.Now().After(end) {
			break
		}
		in.play(d, i)
		played++
	}
	c.t.Logf("%d injections of %d", played, len(all))
}

// injections returns every injection into a workload that has counts operations of each kind.
// Their order is random, but the kinds alternate, so that a short campaign plays more than
// writes and reads.
func injections(r *rand.Rand, counts map[fusefs.Kind]int64) (all []injection) {
	var kinds [][]injection
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		var all []injection
		for _, errno := range injected[kind] {
			for n := range counts[kind] {
				for options := range 4 {
					i := injection{kind, errno, n + 1, options&1 != 0, options&2 != 0}
					if i.lasts && kind == fusefs.Lock {
						continue // SQLite takes it for another connection's lock, and retries for ten seconds each time
					}
					all = append(all, i)
				}
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		kinds = append(kinds, all)
	}
	for turn := 0; ; turn++ {
		before := len(all)
		for _, some := range kinds {
			if turn < len(some) {
				all = append(all, some[turn])
			}
		}
		if len(all) == before {
			return all
		}
	}
}

// A program that uses SQLite's own connection sees errors that no other layer sees. After a
// journal could not be synced and the system has dropped its pages, SQLite's cache has contents
// that no file has.
func TestInjectionIntoRaw(t *testing.T) {
	needFUSE(t)
	t.Setenv(injectionVar, "^sync 2[0-9] fails with no space left on device, also in Close$")
	c := newCampaign(t, "input/output errors, Raw", "workloads", "faults", "acknowledged", "lost", "not whole", "leaked", "hung", "stuck", "crashed")
	for range 10 { // which part of a failed sync reaches the disk is random
		injectAll(c, database{Journal: "delete"}, true, length(t, 10))
	}
}

// An injector lets one child play workload after workload on one disk. It starts another child
// when necessary.
type injector struct {
	c      *campaign
	rand   *rand.Rand
	disk   *disk
	child  *child
	drop   bool // see fusefs.Options
	number int
	counts map[fusefs.Kind]int64 // of the latest workload
}

func (in *injector) begin() {
	in.disk = newDisk(in.c.t, fusefs.Options{Drop: in.drop, Locks: true, Seed: in.rand.Uint64()})
	in.child = startChild(in.c.t, "workload", nil)
	in.child.mustAwait(in.c.t, "ready")
}

func (in *injector) end() {
	in.disk.Inject(nil)
	in.child.kill()
	in.child.collect(in.c)
	in.disk.discard(in.c.t)
}

// play plays one workload with a fault, and verifies the database afterwards.
func (in *injector) play(d database, i injection) {
	in.number++
	load := workload{Dir: in.disk.dir, Name: fmt.Sprintf("n%d.db", in.number), Database: d, CloseBroken: i.closeBroken}
	ids, words := len(in.child.acked()), len(in.child.words())
	said := func(word string) func() bool {
		return func() bool { return slices.Contains(in.child.said[words:], word) }
	}
	injectedBefore, countsBefore := in.disk.Injected(), in.disk.Counts()
	if i.n > 0 {
		in.disk.Inject(i.fault())
	}
	in.child.tell(load)
	healed := in.child.awaitFunc(said("heal"))
	in.disk.Inject(nil)
	in.counts = map[fusefs.Kind]int64{}
	for kind, n := range in.disk.Counts() {
		in.counts[kind] = n - countsBefore[kind]
	}
	in.child.tell(true)
	through := healed && in.child.awaitFunc(said("through"))
	in.c.add("workloads", 1)
	in.c.add("faults", int(in.disk.Injected()-injectedBefore))
	acked := in.child.acked()[ids:]
	in.c.add("acknowledged", len(acked))
	images := []fusefs.Image{in.disk.Live()}
	if !in.hidden(i) {
		images = append(images, in.disk.Freeze(in.rand))
	}
	for _, m := range images {
		in.c.compareImage(i.String(), m, load.Name, acked, false)
		in.c.compareCopies(i.String(), m, in.child.words()[words:])
	}
	if through {
		in.child.explain(in.c, i.String())
		in.disk.Load(nil)
		return
	}
	select {
	case <-in.child.done:
		in.c.wrong("crashed", "%v: %v\n%s", i, in.child.err, in.child.output())
	default:
		in.c.wrong("hung", "%v: not finished after %v", i, patience)
	}
	in.end()
	in.begin()
}

// hidden reports whether the kernel hides the damage of an injection. After a failed sync, the
// kernel shows every process the written data, which will never be synced. While the database
// is open, SQLite writes the data once more. If the database is closed, the next program to
// open it finds a valid WAL, and appends to it. On the disk, there is a hole before the
// appended data. No program can see that, not even SQLite, so a power failure may lose
// everything after the hole.
func (in *injector) hidden(i injection) bool {
	return i.kind == fusefs.Sync && i.closeBroken && !in.drop
}
