package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

func init() { roles["backup"] = backupRole }

// backupArgs is the argument of the role "backup".
type backupArgs struct {
	Dir      string
	Database database
	First    int64 // id, and number of the first copy
	Liar     bool  // copies are not synced
}

// again is the name to which copies are made repeatedly, as by a program that keeps its latest
// backup. Every other copy has its own name.
const again = "latest.db"

func copyName(id int64) string { return fmt.Sprintf("copy%d.db", id) }

// backupRole writes, and makes copies. It says "begin NAME ID" before a copy that must contain
// the transaction ID, "done NAME ID" once Backup has returned nil, and "drop NAME" before it
// removes an old copy.
func backupRole() {
	var args backupArgs
	childArgument(&args)
	r, ctx := openReport(), context.Background()
	path := filepath.Join(args.Dir, "a.db")
	db, p, err := args.Database.open(ctx, path)
	if err != nil {
		fatalf("open: %v", err)
	}
	for _, text := range []string{
		schema, `CREATE TABLE IF NOT EXISTS churn(k INTEGER PRIMARY KEY, body BLOB)`,
		`INSERT OR REPLACE INTO churn SELECT value, randomblob(4000) FROM generate_series(1, 500)`, // a copy takes a while
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			fatalf("%s: %v", text, err)
		}
	}
	go func() {
		for {
			_, err := db.ExecContext(ctx, `UPDATE churn SET body = randomblob(4000) WHERE k = ?`, rand.IntN(500)+1)
			r.failed(err)
			time.Sleep(upTo(5 * time.Millisecond))
		}
	}()
	r.say("ready")
	for id := args.First; ; id++ {
		if err := writeID(ctx, db, id, 1+int(id%3), 100); err != nil {
			fatalf("write: %v", err)
		}
		r.ack(id)
		name := again
		if id%2 == 0 {
			name = copyName(id)
			// Said two copies earlier, so that the parent reads it before it looks
			// for the file.
			r.say("drop " + copyName(id-6))
			if err := os.Remove(filepath.Join(args.Dir, copyName(id-8))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				fatalf("remove: %v", err)
			}
		}
		r.say(fmt.Sprintf("begin %s %d", name, id))
		to := filepath.Join(args.Dir, name)
		if args.Liar {
			err = backupWithoutSync(ctx, path, to)
		} else {
			err = p.BackupTo(ctx, to, pool.BackupOptions{Replace: name == again})
		}
		if err != nil {
			r.failed(err)
			r.count("stuck", 1)
			continue
		}
		r.say(fmt.Sprintf("done %s %d", name, id))
	}
}

// backupWithoutSync makes a copy without syncing it. It is the liar.
func backupWithoutSync(ctx context.Context, from, to string) error {
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(from)+"?_pragma=busy_timeout(30000)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return err
}

// A copying is the state of the copies with one name.
type copying struct {
	began   int64 // the newest ID that a copy which was begun must contain
	done    int64 // the newest ID that a completed copy must contain
	isDone  bool
	dropped bool
}

// known parses what children have said about copies.
func known(words []string) map[string]copying {
	m := map[string]copying{}
	for _, word := range words {
		var verb, name string
		var id int64
		n, _ := fmt.Sscan(word, &verb, &name, &id)
		k := m[name]
		switch {
		case n == 3 && verb == "begin":
			k.began = id
		case n == 3 && verb == "done":
			k.done, k.isDone = id, true
		case n >= 2 && verb == "drop":
			k.dropped = true
		default:
			continue
		}
		m[name] = k
	}
	return m
}

// compareCopies checks every copy in an image. A copy that was said to be done must exist and
// be whole, with everything acknowledged before it began. Any other copy must be whole or
// absent.
func (c *campaign) compareCopies(what string, m fusefs.Image, words []string) {
	c.t.Helper()
	for name, k := range known(words) {
		d, ok := m[name]
		if !ok {
			if k.isDone && !k.dropped {
				c.wrong("lost", "%s: %s was completed, but is missing", what, name)
			}
			continue
		}
		c.add("copies", 1)
		has := k.began
		if k.isDone {
			has = k.done // the older one may still be there
		}
		// The copy must be whole by itself, and also together with its journal and WAL.
		c.compareCopy(what+": "+name, fusefs.Image{name: d}, name, has)
		if beside := besides(m, name); len(beside) > 1 {
			c.compareCopy(what+": "+name+" with its journal and WAL", beside, name, has)
		}
	}
}

// compareCopy checks one copy, which must contain the transaction has. If has is 0, the copy
// may be of an empty database.
func (c *campaign) compareCopy(what string, m fusefs.Image, name string, has int64) {
	c.t.Helper()
	dir, remove := memoryDir(c.t)
	defer remove()
	if err := m.WriteTo(dir); err != nil {
		c.t.Fatal(err)
	}
	got, err := readBack(filepath.Join(dir, name))
	switch {
	case has == 0 && noDatabase(err):
	case err != nil:
		c.wrong("not whole", "%s, %d bytes: %v", what, len(m[name]), err)
	case len(got.broken) > 0 || len(got.partial) > 0:
		c.wrong("not whole", "%s: integrity_check %v, incomplete transactions %v", what, got.broken, firsts(got.partial))
	case has != 0 && !got.ids[has]:
		c.wrong("lost", "%s: it has %d ids, want %d", what, len(got.ids), has)
	}
}

// besides returns a database of an image together with its journal and WAL.
func besides(m fusefs.Image, name string) fusefs.Image {
	some := fusefs.Image{}
	for other, d := range m {
		if other == name || other == name+"-journal" || other == name+"-wal" {
			some[other] = d
		}
	}
	return some
}

// A copy that Backup has completed must survive a power failure. A copy that was in progress
// must be absent under its name, or whole.
func TestBackupPowerFailures(t *testing.T) {
	needFUSE(t)
	c := newCampaign(t, "backup and power failures", "crashes", "copies", "lost", "not whole", "stuck")
	failBackups(c, false, length(t, 2))
}

// The campaign must find what a copy without a sync loses.
func TestBackupPowerFailuresLiar(t *testing.T) {
	needFUSE(t)
	c := &campaign{name: "liar", t: &recordingT{TB: t}, figures: map[string]int64{}, errors: map[string]int64{}}
	for end := time.Now().Add(patience); c.get("lost")+c.get("not whole") == 0; {
		if time.Now().After(end) {
			t.Fatalf("the liar lost no copy in %v of power failures", patience)
		}
		failBackups(c, true, 100*time.Millisecond)
	}
}

func failBackups(c *campaign, liar bool, length time.Duration) {
	seed := rand.Uint64()
	c.t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	next := int64(1)
	for round, end := 0, time.Now().Add(length); round == 0 || time.Now().Before(end); round++ {
		o := fusefs.Options{Strict: round%2 == 0, Seed: r.Uint64()}
		d := database{}
		if round%4 >= 2 {
			d.Journal = "delete"
		}
		next = backupRound(c, r, o, backupArgs{Database: d, First: next, Liar: liar}, end)
	}
}

func backupRound(c *campaign, r *rand.Rand, o fusefs.Options, args backupArgs, end time.Time) (next int64) {
	disk := newDisk(c.t, o)
	defer disk.discard(c.t)
	args.Dir = disk.dir
	ch := startChild(c.t, "backup", args)
	ch.mustAwait(c.t, "ready")
	for n := range 8 {
		if n > 1 && time.Now().After(end) {
			break
		}
		// The next word is the begin or the end of a copy.
		before := len(ch.words())
		if !ch.awaitFunc(func() bool { return len(ch.said) > before+r.IntN(4) }) {
			c.wrong("hung", "no further copy: %v\n%s", ch.err, ch.output())
			break
		}
		if r.IntN(2) == 0 {
			time.Sleep(upTo(30 * time.Millisecond)) // about as long as a copy takes
		}
		words := ch.words()
		m := disk.Freeze(r)
		for _, word := range ch.words()[len(words):] {
			if strings.HasPrefix(word, "drop ") {
				words = append(words, word)
			}
		}
		c.add("crashes", 1)
		c.compareCopies(fmt.Sprintf("power failure, strict %v, journal %q", o.Strict, args.Database.Journal), m, words)
	}
	ch.kill()
	ch.collect(c)
	last := args.First
	for _, id := range ch.acked() {
		last = max(last, id)
	}
	return last + 1000
}

// After a process was killed during Backup, its copy must be absent under its name, or whole.
// The next process must make copies as if nothing had happened.
func TestBackupKills(t *testing.T) {
	c := newCampaign(t, "backup and kill -9", "kills", "copies", "lost", "not whole", "stuck", "left over")
	var (
		words []string
		next  = int64(1)
	)
	dir, remove := memoryDir(t)
	defer remove()
	for round, end := 0, time.Now().Add(length(t, 2)); round < 2 || time.Now().Before(end); round++ {
		ch := startChild(t, "backup", backupArgs{Dir: dir, First: next})
		ch.mustAwait(t, "ready")
		done := func() int {
			return len(slices.DeleteFunc(slices.Clone(ch.said), func(s string) bool { return !strings.HasPrefix(s, "done") }))
		}
		if !ch.awaitFunc(func() bool { return done() >= 2 }) {
			c.wrong("hung", "no further copy: %v\n%s", ch.err, ch.output())
		}
		if !ch.awaitFunc(func() bool { return strings.HasPrefix(ch.said[len(ch.said)-1], "begin") }) {
			c.wrong("hung", "no further copy: %v\n%s", ch.err, ch.output())
		}
		time.Sleep(upTo(10 * time.Millisecond)) // about as long as a copy takes
		ch.kill()
		ch.collect(c)
		c.add("kills", 1)
		words = append(words, ch.words()...)
		m, err := readImage(dir)
		if err != nil {
			t.Fatal(err)
		}
		c.compareCopies("kill", m, words)
		for _, id := range ch.acked() {
			next = max(next, id+7) // beyond all that were begun; all older copies are removed
		}
		for name := range known(words) {
			if name == again {
				continue
			}
			words = append(words, "drop "+name)
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	m, err := readImage(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The next backup to the same name removes what a killed process leaves. So at most the
	// files of the last process may be left.
	leftOver := 0
	for name := range m {
		if strings.Contains(name, again) && name != again {
			leftOver++
		}
	}
	if c.add("left over", leftOver); leftOver > 1 {
		t.Errorf("%d files are left over from backups to %s", leftOver, again)
	}
}

// readImage reads a directory of a real file system.
func readImage(dir string) (fusefs.Image, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	m := fusefs.Image{}
	for _, e := range list {
		if m[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return m, nil
}
