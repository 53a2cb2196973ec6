package faults

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

func init() {
	roles["power"] = powerRole
	roles["checkpoints"] = checkpointsRole
}

// powerModes are the configurations in which the power fails.
var powerModes = []struct {
	name        string
	database    database
	checkpoints bool // another process makes checkpoints
	mayLose     bool // acknowledged ids may be lost, because the configuration promises no more
}{
	{name: "pool", database: database{}},
	{name: "pool, checkpoints by another process", database: database{}, checkpoints: true},
	{name: "pool without a WAL", database: database{Journal: "delete"}},
	{name: "pool without a WAL, truncate", database: database{Journal: "truncate"}},
	{name: "pool without a WAL, persist", database: database{Journal: "persist"}},
	{name: "sqlitemw, WAL, synchronous full", database: database{Driver: "sqlitemw"}},
	{name: "pool, synchronous normal", database: database{Synchronous: pool.SynchronousNormal}, mayLose: true},
}

// powerArgs is the argument of the role "power".
type powerArgs struct {
	Path     string
	Database database
	First    int64 // id
	Writers  int
}

// powerRole writes forever, by every road, and acknowledges. It also rewrites other rows, so
// that the WAL is long and the database is not. It also reads, so that checkpoints meet
// readers.
func powerRole() {
	var args powerArgs
	childArgument(&args)
	r, ctx := openReport(), context.Background()
	db, p, err := args.Database.open(ctx, args.Path)
	if err != nil {
		fatalf("open: %v", err)
	}
	for _, text := range []string{schema, `CREATE TABLE IF NOT EXISTS churn(k INTEGER PRIMARY KEY, body BLOB)`} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			fatalf("%s: %v", text, err)
		}
	}
	r.say("ready")
	var next atomic.Int64
	next.Store(args.First)
	for range args.Writers {
		go func() {
			for {
				id := next.Add(1) - 1
				err := roads[rand.IntN(len(roads))].take(ctx, db, id, 1+rand.IntN(3), rand.IntN(200))
				if err != nil {
					r.failed(err)
					continue
				}
				r.ack(id)
			}
		}()
	}
	go func() {
		for {
			time.Sleep(upTo(20 * time.Millisecond))
			// One in a hundred is larger than the page cache, and spills.
			size := 20 << 10
			if rand.IntN(100) == 0 {
				size = 3 << 20
			}
			_, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO churn VALUES (?, randomblob(?))`, rand.IntN(20), size)
			r.failed(err)
		}
	}()
	for {
		time.Sleep(upTo(10 * time.Millisecond))
		r.failed(readAWhile(ctx, db, upTo(5*time.Millisecond)))
		if p != nil && args.Database.Journal == "" {
			_, err := p.Checkpoint(ctx, sqlite3.CheckpointMode(rand.IntN(int(sqlite3.CHECKPOINT_TRUNCATE)+1)))
			r.failed(err)
		}
	}
}

// readAWhile holds a read transaction open, which a checkpoint must respect.
func readAWhile(ctx context.Context, db *sql.DB, d time.Duration) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM churn`).Scan(&n); err != nil {
		_ = tx.Rollback()
		return err
	}
	time.Sleep(d)
	return tx.Commit()
}

// checkpointsRole is another process, which uses the plain driver. It makes checkpoints in
// every mode.
func checkpointsRole() {
	var path string
	childArgument(&path)
	r := openReport()
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path)+"?_pragma=busy_timeout(1000)")
	if err != nil {
		fatalf("open: %v", err)
	}
	for {
		mode := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[rand.IntN(4)]
		_, err := db.Exec("PRAGMA wal_checkpoint(" + mode + ")")
		r.failed(err)
		time.Sleep(upTo(20 * time.Millisecond))
	}
}

// After a power failure, the database must be whole, and contain what was acknowledged.
func TestPowerFailures(t *testing.T) {
	for _, m := range powerModes {
		t.Run(m.name, func(t *testing.T) {
			needFUSE(t)
			c := newCampaign(t, "power failures, "+m.name, "crashes", "kills", "acknowledged", "lost", "not whole")
			failPower(c, m.database, m.checkpoints, m.mayLose, length(t, len(powerModes)))
		})
	}
}

// The campaign must find what synchronous OFF loses.
func TestPowerFailuresLiar(t *testing.T) {
	needFUSE(t)
	for _, d := range []database{{Off: true}, {Off: true, Journal: "delete"}, {Off: true, Driver: "sqlitemw"}} {
		found := 0
		for end := time.Now().Add(patience); found == 0 && time.Now().Before(end); {
			liar := &recordingT{TB: t}
			c := &campaign{name: "liar", t: liar, figures: map[string]int64{}, errors: map[string]int64{}}
			failPower(c, d, false, false, 100*time.Millisecond)
			found = int(c.get("lost") + c.get("not whole"))
		}
		if found == 0 {
			t.Errorf("%+v: the liar lost nothing in %v of power failures", d, patience)
		}
	}
}

// failPower fails the power below a database, again and again.
func failPower(c *campaign, d database, checkpoints, mayLose bool, length time.Duration) {
	var (
		seed  = rand.Uint64()
		r     = rand.New(rand.NewPCG(seed, 1))
		next  int64 // id
		image fusefs.Image
		held  []int64 // ids that the image must contain
	)
	c.t.Logf("seed %d", seed)
	for round, end := 0, time.Now().Add(length); round == 0 || time.Now().Before(end); round++ {
		image, held, next = powerRound(c, r, d, checkpoints, mayLose, end, fusefs.Options{Strict: round%2 == 0, Seed: r.Uint64()}, image, held, next)
	}
}

// powerRound mounts a disk with an image, and starts a child that writes to it. It fails the
// power a few times, and kills the child. It returns an image for the next round, with the ids
// that the image must contain, or nil for a new database.
func powerRound(c *campaign, r *rand.Rand, d database, checkpoints, mayLose bool, end time.Time, o fusefs.Options, image fusefs.Image, held []int64, next int64) (fusefs.Image, []int64, int64) {
	disk := newDisk(c.t, o)
	defer disk.discard(c.t)
	disk.Load(image)
	disk.SetSyncDelay(func() time.Duration { return upTo(300 * time.Microsecond) })
	path := filepath.Join(disk.dir, "a.db")
	ch := startChild(c.t, "power", powerArgs{Path: path, Database: d, First: next, Writers: 4})
	ch.mustAwait(c.t, "ready")
	var beside *child
	if checkpoints {
		beside = startChild(c.t, "checkpoints", path)
	}
	for n := 6 + r.IntN(10); n > 0 && (c.get("crashes") == 0 || time.Now().Before(end)); n-- {
		if !ch.awaitAcks(len(ch.acked()) + 1 + r.IntN(20)) {
			c.wrong("hung", "no further acknowledgment: %v\n%s", ch.err, ch.output())
			break
		}
		time.Sleep(upTo(2 * time.Millisecond)) // to hit any moment of a commit
		acked := append(held[:len(held):len(held)], ch.acked()...)
		image = disk.Freeze(r)
		c.add("crashes", 1)
		c.compareImage(fmt.Sprintf("power failure, strict %v", o.Strict), image, "a.db", acked, mayLose)
	}
	acked := append(held[:len(held):len(held)], ch.acked()...)
	image = disk.Freeze(r)
	ch.kill()
	ch.collect(c)
	if beside != nil {
		beside.kill()
		beside.collect(c)
	}
	c.add("kills", 1)
	c.add("acknowledged", len(ch.acked()))
	all := append(held[:len(held):len(held)], ch.acked()...)
	c.compareImage("kill", disk.Live(), "a.db", all, mayLose)
	for _, id := range ch.acked() {
		next = max(next, id+1)
	}
	next += 1000 // beyond the unacknowledged ids
	if len(acked) > 3000 || mayLose {
		return nil, nil, next // so that images do not grow without limit
	}
	return image, acked, next
}
